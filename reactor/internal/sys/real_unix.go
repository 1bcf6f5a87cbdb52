//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package sys

import (
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Real is the operating system itself. It has no state.
type Real struct{}

var start = time.Now()

// Now implements Calls.
func (Real) Now() time.Duration { return time.Since(start) }

// CloseWrite implements Calls.
func (Real) CloseWrite(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) }

// Close implements Calls. On Linux the descriptor is freed even when close(2) reports EINTR, so it
// is never retried.
func (Real) Close(fd int) error { return unix.Close(fd) }

// SetOption implements Calls.
func (Real) SetOption(fd int, o Option, value int) error {
	if o == AbortOnClose {
		return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: int32(value)})
	}
	at := optionTable[o]
	if at == (place{}) {
		return ErrUnsupported
	}
	return unix.SetsockoptInt(fd, at.level, at.name, value)
}

// Option implements Calls.
func (Real) Option(fd int, o Option) (int, error) {
	at := optionTable[o]
	if at == (place{}) {
		return 0, ErrUnsupported
	}
	return unix.GetsockoptInt(fd, at.level, at.name)
}

// PeerAddress implements Calls.
func (Real) PeerAddress(fd int) (netip.Addr, error) {
	peer, err := unix.Getpeername(fd)
	if err != nil {
		return netip.Addr{}, err
	}
	switch peer := peer.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(peer.Addr), nil
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(peer.Addr).Unmap(), nil
	}
	return netip.Addr{}, nil
}

// place is where a system keeps an option; the zero place means that it has none.
type place struct{ level, name int }

// Duplicate returns a second, non-blocking, close-on-exec descriptor for the open file behind fd.
// It is for start-up and hand-over, not for the data path.
func Duplicate(fd int) (int, error) {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	return n, unix.SetNonblock(n, true)
}

// DescriptorLimit is the soft RLIMIT_NOFILE, after raising it to the hard one. Go raises it by
// itself at start, but gives children the old value unless Setrlimit was called.
func DescriptorLimit() (uint64, error) {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0, err
	}
	if r.Cur < r.Max {
		r.Cur = r.Max
		// A refusal leaves the limit as it was, which is what is then reported.
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &r)
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
			return 0, err
		}
	}
	return uint64(r.Cur), nil
}
