//go:build linux

package reactortest_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/reactor/reactortest"
)

// meanest is a kernel on which everything goes wrong that need not end a connection.
func meanest(seed uint64) *reactortest.Sim {
	s := reactortest.NewSim(seed)
	s.SetBuffers(reactortest.Buffers{Send: 40, PeerReceive: 30, PeerSend: 30, Receive: 20})
	s.SetFaults(reactortest.Faults{
		ShortRead: 500, Squeeze: 500, Interrupt: 200, Late: 500, Spurious: 200, Stale: 500, Accept: 0, Slow: 100, SlowBy: time.Millisecond,
	})
	return s
}

// accepted returns both ends of a connection on s.
func accepted(t *testing.T, s *reactortest.Sim) (fd int, peer *reactortest.Peer) {
	t.Helper()
	l, err := s.Listen(4)
	must(t, err)
	peer, err = s.Dial(l)
	must(t, err)
	for {
		fd, err := s.Accept(l)
		if !errors.Is(err, syscall.EINTR) {
			must(t, err)
			return fd, peer
		}
	}
}

// Bytes survive all of it: sent on every event of an edge-triggered descriptor until refused, they
// arrive whole, and the edges that the kernel owes are enough to get them there.
func TestSimOwesAnEdgeForWhateverItRefuses(t *testing.T) {
	for seed := range uint64(200) {
		s := meanest(seed)
		fd, peer := accepted(t, s)
		ep, err := s.EpollCreate()
		must(t, err)
		must(t, s.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLET, Fd: int32(fd)}))
		sent := pattern(1000)
		rest, got := sent, []byte(nil)
		for turns := 0; len(got) < len(sent); turns++ {
			if turns > 100_000 {
				t.Fatalf("seed %d: %d bytes are stuck, %d arrived\n%s", seed, len(rest), len(got), s.Trace())
			}
			events := make([]unix.EpollEvent, 4)
			n, err := s.EpollWait(ep, events, 0)
			if err != nil && !errors.Is(err, syscall.EINTR) {
				t.Fatal(err)
			}
			for isDone := n == 0; !isDone && len(rest) > 0; {
				n, err := s.Write(fd, rest)
				rest = rest[n:]
				// A short write counts as refused, as the gateway has it.
				isDone = errors.Is(err, syscall.EAGAIN) || err == nil
			}
			s.Step()
			buf := make([]byte, 7)
			if n, err := peer.Read(buf); err == nil {
				got = append(got, buf[:n]...)
			}
		}
		if !bytes.Equal(got, sent) {
			t.Fatalf("seed %d: what arrived is not what was sent", seed)
		}
	}
}

func TestSimTellsOfCallsThatNobodyShouldMake(t *testing.T) {
	var nothing unix.EpollEvent
	for name, wrong := range map[string]func(s *reactortest.Sim, fd, ep, other int){
		"close of descriptor 4, which is not open": func(s *reactortest.Sim, fd, _, _ int) {
			s.Close(fd)
			s.Close(fd)
		},
		"read on descriptor 4, which is not open": func(s *reactortest.Sim, fd, _, _ int) {
			s.Close(fd)
			s.Read(fd, make([]byte, 1))
		},
		"write on descriptor 3, which is no connection": func(s *reactortest.Sim, _, _, _ int) { s.Write(3, []byte("x")) },
		"close of descriptor 4 while it is registered": func(s *reactortest.Sim, fd, ep, _ int) {
			s.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &nothing)
			s.Close(fd)
		},
		"write on descriptor 4 by the loop of poller 6": func(s *reactortest.Sim, fd, ep, other int) {
			s.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &nothing)
			s.SetActor(other)
			s.Write(fd, []byte("x"))
		},
	} {
		s := reactortest.NewSim(1)
		fd, _ := accepted(t, s)
		ep, err := s.EpollCreate()
		must(t, err)
		other, err := s.EpollCreate()
		must(t, err)
		if err := s.Err(); err != nil {
			t.Fatal(err)
		}
		wrong(s, fd, ep, other)
		if err := s.Err(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v; want %s", err, name)
		}
	}
}

func TestSimRunsOutOfDescriptorsWithoutLosingAnybody(t *testing.T) {
	s := reactortest.NewSim(1)
	l, err := s.Listen(1)
	must(t, err)
	_, err = s.Dial(l)
	must(t, err)
	if _, err := s.Dial(l); !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("%v from a queue that is full, want EAGAIN", err)
	}
	s.SetFaults(reactortest.Faults{DescriptorMax: 1})
	if _, err := s.Accept(l); !errors.Is(err, syscall.EMFILE) {
		t.Errorf("%v, want EMFILE", err)
	}
	s.Calm()
	fd, err := s.Accept(l)
	must(t, err)
	if fd != l+1 {
		t.Errorf("descriptor %d, want the lowest free one, %d", fd, l+1)
	}
}

func TestSimReportsARemovedRegistrationOnceMore(t *testing.T) {
	s := reactortest.NewSim(1)
	fd, _ := accepted(t, s)
	ep, err := s.EpollCreate()
	must(t, err)
	s.SetFaults(reactortest.Faults{Stale: 1000})
	must(t, s.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: 7, Pad: 8}))
	must(t, s.EpollCtl(ep, unix.EPOLL_CTL_DEL, fd, &unix.EpollEvent{}))
	var got []unix.EpollEvent
	for range 100 {
		events := make([]unix.EpollEvent, 4)
		n, err := s.EpollWait(ep, events, 0)
		must(t, err)
		got = append(got, events[:n]...)
	}
	if len(got) != 1 || got[0].Fd != 7 || got[0].Pad != 8 || s.Stale(ep) != 1 {
		t.Errorf("%v was reported, %d counted; want one event of the removed registration", got, s.Stale(ep))
	}
}

// Each fault strikes at some time, and the digest tells two runs apart.
func TestSimDoesWhatItsFaultsSay(t *testing.T) {
	run := func(seed uint64) (digest uint64, seen []string) {
		s := meanest(seed)
		fd, peer := accepted(t, s)
		for range 300 {
			n, err := s.Write(fd, pattern(10))
			switch {
			case errors.Is(err, syscall.EAGAIN):
				seen = append(seen, "refused")
			case errors.Is(err, syscall.EINTR):
				seen = append(seen, "interrupted")
			case n < 10:
				seen = append(seen, "short write")
			}
			peer.Write(pattern(10))
			if n, err := s.Read(fd, make([]byte, 20)); err == nil && n < 20 {
				seen = append(seen, "short read")
			}
			for s.Step() {
			}
			peer.Read(make([]byte, 64))
		}
		slices.Sort(seen)
		return s.Digest(), slices.Compact(seen)
	}
	first, seen := run(1)
	if want := []string{"interrupted", "refused", "short read", "short write"}; !slices.Equal(seen, want) {
		t.Errorf("seen were %v, want %v", seen, want)
	}
	again, _ := run(1)
	other, _ := run(2)
	if first != again || first == other {
		t.Errorf("digests %x and %x of one seed, %x of another", first, again, other)
	}
}
