//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package reactor

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/reactor/internal/sys"
)

// pairs makes connected sockets of both kinds: systems treat a peer's end differently for them.
var pairs = []func(testing.TB) (int, int){socketPair, tcpPair}

// socketPair returns two connected, non-blocking unix sockets.
func socketPair(t testing.TB) (a, b int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err)
	own(t, fds[0])
	own(t, fds[1])
	return fds[0], fds[1]
}

// tcpPair returns two connected, non-blocking loopback sockets.
func tcpPair(t testing.TB) (a, b int) {
	t.Helper()
	l, addr := listen(t)
	b = dial(t, addr)
	return accept(t, l), b
}

func listen(t testing.TB) (int, unix.Sockaddr) {
	t.Helper()
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	must(t, err)
	own(t, l)
	must(t, unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(t, unix.Listen(l, 8))
	addr, err := unix.Getsockname(l)
	must(t, err)
	return l, addr
}

// dial connects before the socket becomes non-blocking, so the connection waits in the listener's
// queue afterwards.
func dial(t testing.TB, addr unix.Sockaddr) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	must(t, err)
	must(t, unix.Connect(fd, addr))
	own(t, fd)
	return fd
}

func accept(t testing.TB, l int) int {
	t.Helper()
	for deadline := time.Now().Add(lost); ; time.Sleep(time.Millisecond) {
		fd, err := sys.Real{}.Accept(l)
		if err == nil {
			own(t, fd)
			return fd
		}
		if !errors.Is(err, syscall.EAGAIN) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// owned remembers what closeNow closed, so that the end of the test does not close a number that
// has a new owner.
var owned = map[int]bool{}

func own(t testing.TB, fd int) {
	t.Helper()
	must(t, unix.SetNonblock(fd, true))
	unix.CloseOnExec(fd)
	owned[fd] = true
	t.Cleanup(func() {
		if owned[fd] {
			delete(owned, fd)
			unix.Close(fd)
		}
	})
}

func closeNow(t testing.TB, fd int) {
	t.Helper()
	delete(owned, fd)
	must(t, unix.Close(fd))
}

// reuseNumber closes fd and gives its number to one end of a new socket pair.
func reuseNumber(t testing.TB, fd int) {
	t.Helper()
	a, _ := socketPair(t)
	closeNow(t, fd)
	n, err := unix.FcntlInt(uintptr(a), unix.F_DUPFD_CLOEXEC, fd)
	must(t, err)
	own(t, n)
	if n != fd {
		t.Fatalf("descriptor %d came back as %d", fd, n)
	}
}

// closedDescriptor returns the lowest number that is not an open descriptor.
func closedDescriptor(t testing.TB) int {
	t.Helper()
	fd, err := unix.Dup(0)
	must(t, err)
	must(t, unix.Close(fd))
	return fd
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, fd int, s string) {
	t.Helper()
	n, err := sys.Real{}.Write(fd, []byte(s))
	if n != len(s) || err != nil {
		t.Fatalf("wrote %d, %v", n, err)
	}
}

// readSome reads once, waiting for bytes that are still on their way through the loopback.
func readSome(fd int) (int, error) {
	var buf [4096]byte
	for deadline := time.Now().Add(lost); ; time.Sleep(time.Millisecond) {
		n, err := sys.Real{}.Read(fd, buf[:])
		if !errors.Is(err, syscall.EAGAIN) || time.Now().After(deadline) {
			return n, err
		}
	}
}

// drain reads until the kernel has no more, and returns how much that was.
func drain(t testing.TB, fd int) (total int) {
	t.Helper()
	buf := make([]byte, 64<<10)
	for {
		n, err := sys.Real{}.Read(fd, buf)
		if errors.Is(err, syscall.EAGAIN) {
			return total
		}
		if err != nil || n == 0 {
			t.Fatalf("read %d, %v", n, err)
		}
		total += n
	}
}

// fill writes until the kernel refuses.
func fill(t testing.TB, fd int) {
	t.Helper()
	chunk := make([]byte, 16<<10)
	for {
		_, err := sys.Real{}.Write(fd, chunk)
		if errors.Is(err, syscall.EAGAIN) {
			return
		}
		must(t, err)
	}
}

func register(t testing.TB, p poller, fd int, token Token, in Interest, m Mode) {
	t.Helper()
	must(t, p.Register(fd, token, in, m))
}

func reregister(t testing.TB, p poller, fd int, token Token, in Interest, m Mode) {
	t.Helper()
	must(t, p.Reregister(fd, token, in, m))
}

// expect waits for one event of token that says at least want, and allows no other before it.
func expect(t testing.TB, p poller, token Token, want ready) Event {
	t.Helper()
	for deadline := time.Now().Add(lost); time.Now().Before(deadline); {
		events, err := p.Wait(make([]Event, 0, 8), max(0, time.Until(deadline)))
		must(t, err)
		if len(events) == 0 {
			continue // A signal or a wake.
		}
		if len(events) != 1 || events[0].Token != token || events[0].ready&want != want {
			t.Fatalf("got %v, want %v alone", events, Event{Token: token, ready: want})
		}
		return events[0]
	}
	t.Fatalf("waited in vain for %v", Event{Token: token, ready: want})
	return Event{}
}

// expectAll waits until events of token together say at least want: what happens in steps may be
// told in steps.
func expectAll(t testing.TB, p poller, token Token, want ready) Event {
	t.Helper()
	sum := Event{Token: token}
	for deadline := time.Now().Add(lost); time.Now().Before(deadline); {
		events, err := p.Wait(make([]Event, 0, 8), max(0, time.Until(deadline)))
		must(t, err)
		for _, ev := range events {
			if ev.Token != token {
				t.Fatalf("got %v, want token %v", ev, token)
			}
			sum.ready |= ev.ready
		}
		if sum.ready&want == want {
			return sum
		}
	}
	t.Fatalf("got %v, want %v", sum, Event{Token: token, ready: want})
	return sum
}

// silent checks that nothing is reported for a while, and that the waits last that while and do not
// spin.
func silent(t testing.TB, p poller) {
	t.Helper()
	waits := 0
	for end := time.Now().Add(3 * time.Millisecond); time.Now().Before(end); waits++ {
		events, err := p.Wait(make([]Event, 0, 8), max(0, time.Until(end)))
		must(t, err)
		if len(events) != 0 {
			t.Fatalf("got %v, want silence", events)
		}
	}
	if waits > 5 { // A signal may end one, or a wake that came late.
		t.Fatalf("%d waits in 3 ms without an event", waits)
	}
}
