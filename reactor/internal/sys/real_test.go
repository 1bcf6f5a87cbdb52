//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package sys

import (
	"bytes"
	"errors"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func listen(t *testing.T) (int, unix.Sockaddr) {
	t.Helper()
	l := socket(t)
	must(t, unix.SetNonblock(l, true))
	must(t, unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(t, unix.Listen(l, 8))
	addr, err := unix.Getsockname(l)
	must(t, err)
	return l, addr
}

func socket(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// connect returns both ends of a connection to l. The caller closes the accepted one.
func connect(t *testing.T, l int, addr unix.Sockaddr) (accepted, client int) {
	t.Helper()
	client = socket(t)
	must(t, unix.Connect(client, addr))
	accepted, err := acceptSoon(l)
	must(t, err)
	return accepted, client
}

// acceptSoon takes a connection that is on its way.
func acceptSoon(l int) (accepted int, err error) {
	for range 1000 {
		if accepted, err = (Real{}).Accept(l); !errors.Is(err, syscall.EAGAIN) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return accepted, err
}

func TestAcceptedSocketDoesNotBlockAndClosesOnExec(t *testing.T) {
	l, addr := listen(t)
	if _, err := (Real{}).Accept(l); !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("accept of nobody: %v, want EAGAIN", err)
	}
	fd, _ := connect(t, l, addr)
	defer unix.Close(fd)
	nonBlockingAndPrivate(t, fd)
	if n, err := (Real{}).Read(fd, make([]byte, 1)); n > 0 || !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("read of nothing: %d, %v", n, err)
	}
}

func nonBlockingAndPrivate(t *testing.T, fd int) {
	t.Helper()
	status, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	must(t, err)
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	must(t, err)
	if status&unix.O_NONBLOCK == 0 || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("status %#x, descriptor flags %#x: want O_NONBLOCK and FD_CLOEXEC", status, flags)
	}
}

func TestBytesAndTheEndOfTheStreamPass(t *testing.T) {
	var kernel Real
	l, addr := listen(t)
	fd, client := connect(t, l, addr)
	defer kernel.Close(fd)
	if n, err := kernel.Write(fd, nil); n != 0 || err != nil {
		t.Errorf("wrote %d, %v of nothing", n, err)
	}
	if n, err := kernel.Write(fd, []byte("hello")); n != 5 || err != nil {
		t.Errorf("wrote %d, %v", n, err)
	}
	must(t, kernel.CloseWrite(fd))
	buf := make([]byte, 8) // The client blocks, so nothing here is a race.
	if n, err := kernel.Read(client, buf); err != nil || !bytes.Equal(buf[:n], []byte("hello")) {
		t.Errorf("read %q, %v", buf[:max(n, 0)], err)
	}
	if n, err := kernel.Read(client, buf); n != 0 || err != nil {
		t.Errorf("read %d, %v at the end of the stream", n, err)
	}
}

// The test lives: SIGPIPE would have ended it.
func TestWriteToAClosedPeerIsAnError(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err)
	must(t, unix.Close(fds[1]))
	defer unix.Close(fds[0])
	if _, err := (Real{}).Write(fds[0], []byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("%v, want EPIPE", err)
	}
}

func TestAbortOnCloseResetsThePeer(t *testing.T) {
	var kernel Real
	l, addr := listen(t)
	fd, client := connect(t, l, addr)
	must(t, kernel.SetOption(fd, AbortOnClose, 1))
	must(t, kernel.Close(fd))
	if n, err := kernel.Read(client, make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %d, %v, want ECONNRESET", n, err)
	}
}

func TestEveryOptionIsSetOrUnsupported(t *testing.T) {
	var kernel Real
	fd := socket(t)
	for option, value := range map[Option]int{
		NoDelay: 1, KeepAlive: 1, KeepIdle: 60, NotSentLowat: 65536, UserTimeout: 20_000, SendBuffer: 65536, ReusePort: 1,
	} {
		err := kernel.SetOption(fd, option, value)
		got, readErr := kernel.Option(fd, option)
		if errors.Is(err, ErrUnsupported) && errors.Is(readErr, ErrUnsupported) {
			continue
		}
		// Linux doubles SO_SNDBUF, and some systems answer a flag with its bit.
		if err != nil || readErr != nil || got == 0 || (option != SendBuffer && value > 1 && got != value) {
			t.Errorf("option %d set to %d (%v) is %d (%v)", option, value, err, got, readErr)
		}
	}
	if got, err := kernel.Option(fd, PendingError); got != 0 || err != nil {
		t.Errorf("pending error of a new socket: %d, %v", got, err)
	}
}

func TestDuplicateDoesNotBlockAndClosesOnExec(t *testing.T) {
	fd := socket(t)
	n, err := Duplicate(fd)
	must(t, err)
	defer unix.Close(n)
	nonBlockingAndPrivate(t, n)
	if _, err := Duplicate(-1); !errors.Is(err, syscall.EBADF) {
		t.Errorf("duplicate of nothing: %v, want EBADF", err)
	}
}

func TestDescriptorLimitIsWhatTheProcessHas(t *testing.T) {
	got, err := DescriptorLimit()
	must(t, err)
	var r syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r))
	if got == 0 || got != uint64(r.Cur) {
		t.Errorf("limit %d, the kernel says %d", got, r.Cur)
	}
}

func TestNowIsMonotonic(t *testing.T) {
	var kernel Real
	before := kernel.Now()
	time.Sleep(2 * time.Millisecond)
	if took := kernel.Now() - before; took < 2*time.Millisecond || took > 10*time.Second {
		t.Errorf("2 ms took %v", took)
	}
}
