package sys

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// tryRing finds out whether the kernel does what rings are used for: of two sends, to a TCP socket
// that is full and to one that is not, it says within the call that the one would block and that
// the other was taken.
func (k Real) tryRing(r *Ring) error {
	full, empty, err := tcpPair()
	if err != nil {
		return err
	}
	defer k.Close(full)
	defer k.Close(empty)
	for range triesMax {
		if err := k.fill(full); err != nil {
			return err
		}
		if hadRoom, err := k.tryBatch(r, full, empty); !hadRoom {
			return err
		}
	}
	return fmt.Errorf("a socket that nobody reads is never full for long: %w", ErrUnsupported)
}

// triesMax is how often the trial is made again because room came in the full socket meanwhile: the
// other end has acknowledged what was on its way. That ends when its buffer is full, too.
const triesMax = 64

// tryBatch makes the two sends once. hadRoom says that the full socket was not.
func (k Real) tryBatch(r *Ring, full, empty int) (hadRoom bool, err error) {
	var done [2]Completion
	batch := []Send{{FD: full, Bytes: filling[:]}, {FD: empty, Bytes: filling[:1]}}
	begun, completed, err := k.SendRing(r, batch, done[:])
	if err != nil {
		return false, os.NewSyscallError("io_uring_enter", err)
	}
	if begun != 2 || completed != 2 {
		return false, fmt.Errorf("of 2 sends %d began and %d ended: %w", begun, completed, ErrUnsupported)
	}
	for _, is := range done {
		want := Completion{0, -int32(unix.EAGAIN)}
		if is.Index == 1 {
			want = Completion{1, 1}
		}
		switch {
		case is.Index == 0 && is.Result > 0:
			hadRoom = true
		case is != want:
			return false, fmt.Errorf("a send ended with %d, not %d: %w", is.Result, want.Result, ErrUnsupported)
		}
	}
	return hadRoom, nil
}

// filling is what nobody reads, and always there: the kernel may come to read it late.
var filling [64 << 10]byte

// fillingsMax bounds what a socket may take that nobody reads; its buffers are small.
const fillingsMax = 1024

func (k Real) fill(fd int) error {
	for range fillingsMax {
		if _, err := k.Write(fd, filling[:]); err == syscall.EAGAIN {
			return nil
		} else if err != nil && err != syscall.EINTR {
			return os.NewSyscallError("sendto", err)
		}
	}
	return fmt.Errorf("a socket that nobody reads is never full: %w", ErrUnsupported)
}

// tcpPair returns two non-blocking sockets with a connection between them, by the loopback
// interface.
func tcpPair() (a, b int, err error) {
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, -1, os.NewSyscallError("socket", err)
	}
	defer unix.Close(l)
	if err := unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return -1, -1, os.NewSyscallError("bind", err)
	}
	if err := unix.Listen(l, 1); err != nil {
		return -1, -1, os.NewSyscallError("listen", err)
	}
	at, err := unix.Getsockname(l)
	if err != nil {
		return -1, -1, os.NewSyscallError("getsockname", err)
	}
	if a, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, -1, os.NewSyscallError("socket", err)
	}
	if b, err = connectTo(l, a, at); err != nil {
		unix.Close(a)
		return -1, -1, err
	}
	return a, b, nil
}

func connectTo(l, a int, at unix.Sockaddr) (b int, err error) {
	// Without it either would grow its buffers to megabytes. It is a wish: full they are in any
	// case.
	_ = unix.SetsockoptInt(a, unix.SOL_SOCKET, unix.SO_SNDBUF, 4096)
	if err := unix.Connect(a, at); err != nil {
		return -1, os.NewSyscallError("connect", err)
	}
	if b, _, err = unix.Accept4(l, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC); err != nil {
		return -1, os.NewSyscallError("accept4", err)
	}
	if err := unix.SetNonblock(a, true); err != nil {
		unix.Close(b)
		return -1, os.NewSyscallError("fcntl", err)
	}
	return b, nil
}
