//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package reactortest_test

import (
	"bytes"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/reactor"
	"sluice/reactor/reactortest"
)

type sourceFunc func(*reactor.Loop, reactor.Event)

func (f sourceFunc) OnEvent(l *reactor.Loop, ev reactor.Event) { f(l, ev) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newLoop returns a loop to be stepped on a new kernel.
func newLoop(t *testing.T) (*reactor.Loop, *reactortest.Kernel) {
	t.Helper()
	k := reactortest.New()
	k.StopClock()
	l, err := reactor.NewLoop(reactor.Options{Kernel: k})
	must(t, err)
	t.Cleanup(l.Release)
	return l, k
}

// socketPair returns two connected, non-blocking sockets: one for a loop to close, and its peer.
func socketPair(t *testing.T) (fd, peer int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err)
	must(t, unix.SetNonblock(fds[0], true))
	must(t, unix.SetNonblock(fds[1], true))
	t.Cleanup(func() { unix.Close(fds[1]) })
	return fds[0], fds[1]
}

// step makes n ticks that do not wait.
func step(t *testing.T, l *reactor.Loop, n int) {
	t.Helper()
	for range n {
		l.Wake()
		must(t, l.Tick())
	}
}

func received(t *testing.T, fd int) []byte {
	t.Helper()
	var all []byte
	for {
		buf := make([]byte, 4096)
		n, err := unix.Read(fd, buf)
		if errors.Is(err, syscall.EAGAIN) || n == 0 && err == nil {
			return all
		}
		must(t, err)
		all = append(all, buf[:n]...)
	}
}

func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i * 7)
	}
	return p
}

func TestFaultsStrikeInOrderAndThenTheKernelAnswers(t *testing.T) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	defer l.Close()
	for range 2 {
		c, err := net.Dial("tcp4", l.Addr().String())
		must(t, err)
		defer c.Close()
	}
	raw, err := l.SyscallConn()
	must(t, err)
	k := reactortest.New()
	k.Fail(reactortest.Accept, reactortest.AnyFD, syscall.EPROTO)
	must(t, raw.Control(func(fd uintptr) {
		k.Fail(reactortest.Accept, int(fd), syscall.ECONNABORTED, nil, syscall.EMFILE)
		for i, want := range []error{syscall.ECONNABORTED, nil, syscall.EMFILE, syscall.EPROTO, nil, syscall.EAGAIN} {
			accepted, err := k.Accept(int(fd))
			if !errors.Is(err, want) || (want == nil) != (accepted >= 0) {
				t.Errorf("accept %d: %d, %v, want %v", i, accepted, err, want)
			}
			if err == nil {
				must(t, k.Close(accepted))
			}
		}
	}))
	if n := k.Count(reactortest.Accept); n != 6 {
		t.Errorf("counted %d, want 6", n)
	}
}

// The source is armed for life and makes no call but its writes: without help it would wait for an
// edge for ever.
func TestRefusedWriteOfAnArmedSourceIsReportedAgain(t *testing.T) {
	l, k := newLoop(t)
	fd, peer := socketPair(t)
	k.Fail(reactortest.Write, fd, syscall.EAGAIN, syscall.EAGAIN, syscall.EAGAIN)
	refused := 0
	token, err := l.Register(fd, reactor.Readable|reactor.Writable, reactor.Edge, sourceFunc(func(l *reactor.Loop, ev reactor.Event) {
		if _, err := l.Kernel().Write(fd, []byte("x")); errors.Is(err, syscall.EAGAIN) {
			refused++
		}
	}))
	must(t, err)
	step(t, l, 10)
	if got := received(t, peer); refused != 3 || string(got) != "x" {
		t.Errorf("refused %d times, then %q arrived, want 3 and one x", refused, got)
	}
	if n := k.Count(reactortest.Rearm); n != 0 {
		t.Errorf("%d rearms counted, but the source made none", n)
	}
	if _, ok := l.Source(token); !ok {
		t.Error("the source is gone")
	}
}

func TestRefusedWriteFollowedByRearmIsOneEvent(t *testing.T) {
	l, k := newLoop(t)
	fd, _ := socketPair(t)
	k.Fail(reactortest.Write, fd, syscall.EAGAIN)
	events := 0
	token, err := l.Register(fd, reactor.Readable, reactor.Edge, sourceFunc(func(*reactor.Loop, reactor.Event) { events++ }))
	must(t, err)
	if n, err := k.Write(fd, []byte("x")); n != 0 || !errors.Is(err, syscall.EAGAIN) {
		t.Fatalf("wrote %d, %v", n, err)
	}
	step(t, l, 1)
	if events != 0 {
		t.Errorf("%d events for a source that did not ask for Writable", events)
	}
	must(t, l.Rearm(token, reactor.Readable|reactor.Writable))
	step(t, l, 3)
	if events != 1 {
		t.Errorf("%d events after rearming, want 1", events)
	}
}

func TestOneshotThatFiredIsNotRevived(t *testing.T) {
	l, k := newLoop(t)
	fd, _ := socketPair(t)
	k.Limit(reactortest.Write, func(int, int64, int) int { return 0 })
	events := 0
	token, err := l.Register(fd, reactor.Writable, reactor.Oneshot, sourceFunc(func(l *reactor.Loop, _ reactor.Event) {
		events++
		if _, err := l.Kernel().Write(fd, []byte("x")); !errors.Is(err, syscall.EAGAIN) {
			t.Errorf("%v, want EAGAIN", err)
		}
	}))
	must(t, err)
	step(t, l, 3)
	if events != 1 {
		t.Errorf("%d events from a oneshot source", events)
	}
	must(t, l.Rearm(token, reactor.Writable))
	step(t, l, 3)
	if events != 2 {
		t.Errorf("%d events after it was rearmed, want 2", events)
	}
}

// Bytes that came in one go are told in pieces, each until EAGAIN, and every piece's edge comes.
func TestLimitedReadsArriveInPieces(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 1000, 5000} {
		l, k := newLoop(t)
		k.Limit(reactortest.Read, reactortest.CutEvery(n))
		fd, peer := socketPair(t)
		sent := pattern(2000)
		if _, err := unix.Write(peer, sent); err != nil {
			t.Fatal(err)
		}
		must(t, unix.Shutdown(peer, unix.SHUT_WR))
		var got []byte
		turns, ended := 0, false
		_, err := l.Register(fd, reactor.Readable, reactor.Edge, sourceFunc(func(l *reactor.Loop, ev reactor.Event) {
			turns++
			for buf := make([]byte, 4096); ; {
				read, err := l.Kernel().Read(fd, buf)
				if errors.Is(err, syscall.EAGAIN) {
					return
				}
				if err == nil && read == 0 {
					ended = true
					l.Close(ev.Token)
					return
				}
				must(t, err)
				if read > n {
					t.Fatalf("%d bytes in one read, want at most %d", read, n)
				}
				got = append(got, buf[:read]...)
			}
		}))
		must(t, err)
		step(t, l, 2003)
		if want := 2000/n + 1; !bytes.Equal(got, sent) || !ended || turns < want {
			t.Errorf("cut every %d: %d bytes in %d turns, want 2000 in at least %d; ended: %v", n, len(got), turns, want, ended)
		}
	}
}

func TestK10_StreamSurvivesAShortWriteAtEveryOffset(t *testing.T) {
	for _, n := range []int{1, 2, 5, 64, 999, 1000, 1001} {
		l, k := newLoop(t)
		k.Limit(reactortest.Write, reactortest.CutEvery(n))
		fd, peer := socketPair(t)
		rest := pattern(1000)
		writes := 0
		_, err := l.Register(fd, reactor.Writable, reactor.Edge, sourceFunc(func(l *reactor.Loop, ev reactor.Event) {
			for len(rest) > 0 {
				written, err := l.Kernel().Write(fd, rest)
				if errors.Is(err, syscall.EAGAIN) {
					return
				}
				must(t, err)
				rest = rest[written:]
				writes++
			}
		}))
		must(t, err)
		var got []byte
		for range 1001 {
			step(t, l, 1)
			got = append(got, received(t, peer)...) // A unix socket holds few packets, however small.
		}
		if !bytes.Equal(got, pattern(1000)) || writes != (1000+n-1)/n {
			t.Errorf("cut every %d: %d bytes in %d writes", n, len(got), writes)
		}
	}
}

// A short write is not followed by a second attempt: the source counts it as a refusal.
func TestShortWriteOfAnArmedSourceIsReportedAgain(t *testing.T) {
	l, k := newLoop(t)
	k.Limit(reactortest.Write, func(_ int, off int64, want int) int { return min(want, 3) })
	fd, peer := socketPair(t)
	rest := pattern(10)
	_, err := l.Register(fd, reactor.Writable, reactor.Edge, sourceFunc(func(l *reactor.Loop, _ reactor.Event) {
		n, err := l.Kernel().Write(fd, rest)
		must(t, err)
		rest = rest[n:]
	}))
	must(t, err)
	step(t, l, 6)
	if got := received(t, peer); !bytes.Equal(got, pattern(10)) {
		t.Errorf("%d bytes arrived", len(got))
	}
}

func TestNumberThatIsReusedStartsItsStreamAnew(t *testing.T) {
	k := reactortest.New()
	var offsets []int64
	k.Limit(reactortest.Write, func(_ int, off int64, want int) int {
		offsets = append(offsets, off)
		return want
	})
	for range 2 {
		fd, _ := socketPair(t)
		for range 2 {
			_, err := k.Write(fd, []byte("four"))
			must(t, err)
		}
		must(t, k.Close(fd))
	}
	if want := []int64{0, 4, 0, 4}; len(offsets) != 4 || [4]int64(offsets) != [4]int64(want) {
		t.Errorf("offsets %v, want %v", offsets, want)
	}
}

func TestWakingIsExemptFromScripts(t *testing.T) {
	l, k := newLoop(t)
	k.Fail(reactortest.Write, reactortest.AnyFD, syscall.EIO)
	k.Fail(reactortest.Read, reactortest.AnyFD, syscall.EIO)
	k.Limit(reactortest.Write, func(int, int64, int) int { return 0 })
	step(t, l, 1)
	k.OnWait(func(time.Duration) { l.Wake() })
	must(t, l.Tick()) // It would not return.
	if n := k.Count(reactortest.Wake); n != 1 {
		t.Errorf("%d wakes counted, want 1", n)
	}
	k.Limit(reactortest.Write, nil)
	fd, _ := socketPair(t)
	defer k.Close(fd)
	if _, err := k.Write(fd, []byte("x")); !errors.Is(err, syscall.EIO) {
		t.Errorf("%v, want the fault that no wake used up", err)
	}
}

// A caller may add the count to its cursor before it looks at the error.
func TestCallsThatFailCountNoBytes(t *testing.T) {
	k := reactortest.New()
	fd, _ := socketPair(t)
	defer k.Close(fd)
	if n, err := k.Read(fd, make([]byte, 1)); n != 0 || !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("read %d, %v from an empty socket", n, err)
	}
	for chunk := make([]byte, 16<<10); ; {
		n, err := k.Write(fd, chunk)
		if err == nil {
			continue
		}
		if n != 0 || !errors.Is(err, syscall.EAGAIN) {
			t.Errorf("wrote %d, %v to a full socket", n, err)
		}
		return
	}
}

func TestRefusedRearmAndRegister(t *testing.T) {
	l, k := newLoop(t)
	fd, _ := socketPair(t)
	k.Fail(reactortest.Register, reactortest.AnyFD, syscall.ENOSPC)
	k.Fail(reactortest.Rearm, fd, syscall.ENOMEM)
	nothing := sourceFunc(func(*reactor.Loop, reactor.Event) {})
	if _, err := l.Register(fd, reactor.Readable, reactor.Edge, nothing); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("%v, want ENOSPC", err)
	}
	token, err := l.Register(fd, reactor.Readable, reactor.Edge, nothing)
	must(t, err)
	if err := l.Rearm(token, reactor.Writable); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("%v, want ENOMEM", err)
	}
	must(t, l.Rearm(token, reactor.Writable))
	if k.Count(reactortest.Register) != 2 || k.Count(reactortest.Rearm) != 2 {
		t.Errorf("%d registers, %d rearms counted", k.Count(reactortest.Register), k.Count(reactortest.Rearm))
	}
}

func TestStoppedClockMovesByAdvanceAlone(t *testing.T) {
	k := reactortest.New()
	k.StopClock()
	start := k.Now()
	time.Sleep(2 * time.Millisecond)
	if k.Now() != start {
		t.Error("a stopped clock moved by itself")
	}
	k.Advance(time.Hour)
	if got := k.Now() - start; got != time.Hour {
		t.Errorf("it moved by %v, want an hour", got)
	}
}

func TestRunningClockMovesByItselfAndByAdvance(t *testing.T) {
	k := reactortest.New()
	start := k.Now()
	k.Advance(time.Hour)
	time.Sleep(2 * time.Millisecond)
	if got := k.Now() - start; got < time.Hour+2*time.Millisecond || got > 2*time.Hour {
		t.Errorf("it moved by %v, want a little more than an hour", got)
	}
}

// A loop on its own goroutine sleeps towards a timer; the clock is moved by another.
func TestPassingTimeEndsTheWaitsOfARunningLoop(t *testing.T) {
	k := reactortest.New()
	k.StopClock()
	l, err := reactor.NewLoop(reactor.Options{Kernel: k})
	must(t, err)
	fd, _ := socketPair(t)
	fired := make(chan time.Duration, 1)
	token, err := l.Register(fd, reactor.Readable, reactor.Edge, sourceFunc(func(l *reactor.Loop, ev reactor.Event) { fired <- l.Now() }))
	must(t, err)
	l.SetTimer(token, time.Minute)
	due := l.Now() + time.Minute
	done := make(chan error)
	go func() { done <- l.Run() }()
	select {
	case <-fired:
		t.Error("the timer fired although the clock stands")
	case <-time.After(10 * time.Millisecond):
	}
	k.Pass(61 * time.Second)
	select {
	case at := <-fired:
		if at < due || at > due+time.Second {
			t.Errorf("fired at %v, due at %v", at, due)
		}
	default:
		t.Error("a minute passed and the timer has not fired")
	}
	l.Stop()
	must(t, <-done)
	if n := l.Stats().Pauses; n != 0 {
		t.Errorf("the loop noticed %d pauses", n)
	}
}

func TestHookAdvancesTheClockInsideTheWait(t *testing.T) {
	l, k := newLoop(t)
	fd, _ := socketPair(t)
	fired := false
	token, err := l.Register(fd, reactor.Readable, reactor.Edge, sourceFunc(func(_ *reactor.Loop, ev reactor.Event) { fired = ev.Timeout() }))
	must(t, err)
	l.SetTimer(token, time.Hour)
	k.OnWait(func(timeout time.Duration) { k.Advance(timeout) })
	for ticks := 0; !fired && ticks < 1000; ticks++ { // A timer beyond the wheel's turn is looked at once a turn.
		must(t, l.Tick())
	}
	if !fired {
		t.Error("the timer did not fire")
	}
}
