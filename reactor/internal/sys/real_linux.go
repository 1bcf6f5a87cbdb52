package sys

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// pollCalls is epoll(7) and eventfd(2).
type pollCalls interface {
	EpollCreate() (int, error)
	EpollCtl(epfd, op, fd int, ev *unix.EpollEvent) error
	// EpollWait waits msec milliseconds: zero does not wait, -1 waits without bound.
	EpollWait(epfd int, events []unix.EpollEvent, msec int) (int, error)
	// EpollWaitBriefly waits a millisecond at most, of which Go's scheduler is not told.
	EpollWaitBriefly(epfd int, events []unix.EpollEvent) (int, error)
	// Eventfd makes a non-blocking eventfd.
	Eventfd() (int, error)
	// Signal adds one to an eventfd's counter, which makes it readable anew.
	Signal(eventfd int) error
}

// EpollCreate implements Calls.
func (Real) EpollCreate() (int, error) { return unix.EpollCreate1(unix.EPOLL_CLOEXEC) }

// Eventfd implements Calls.
func (Real) Eventfd() (int, error) { return unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK) }

// one is what an eventfd takes: the 64-bit number one, in this machine's byte order.
var one = binary.NativeEndian.AppendUint64(nil, 1)

// Signal implements Calls.
func (Real) Signal(eventfd int) error {
	_, err := unix.Write(eventfd, one)
	return err
}

// Queued implements Calls. The kernel writes a C int, of 32 bits: IoctlGetInt would take it for the
// upper half of Go's on a big-endian machine of 64 bits.
func (Real) Queued(fd int) (int, error) {
	n, err := unix.IoctlGetUint32(fd, unix.SIOCOUTQ)
	return int(n), err
}

var optionTable = [optionsPerTable]place{
	NoDelay:      {unix.IPPROTO_TCP, unix.TCP_NODELAY},
	KeepAlive:    {unix.SOL_SOCKET, unix.SO_KEEPALIVE},
	KeepIdle:     {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
	NotSentLowat: {unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT},
	UserTimeout:  {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT},
	SendBuffer:   {unix.SOL_SOCKET, unix.SO_SNDBUF},
	PendingError: {unix.SOL_SOCKET, unix.SO_ERROR},
	ReusePort:    {unix.SOL_SOCKET, unix.SO_REUSEPORT},
}
