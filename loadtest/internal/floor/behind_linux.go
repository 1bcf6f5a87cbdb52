package floor

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// behindMax is how many frames a client may have to wait for before it is cut off.
const behindMax = 16

// fallBehind keeps what the kernel did not take of a frame, until it says that it takes more. The
// frame must not change any more.
func (f *floor) fallBehind(fd int32, left []byte) {
	waiting := f.behind[fd]
	if len(waiting) == behindMax || len(waiting) == 0 && f.rewatch(fd, unix.EPOLLIN|unix.EPOLLOUT) != nil {
		f.drop(fd)
		return
	}
	f.behind[fd] = append(waiting, left)
}

// goOn writes what a client has waited for.
func (f *floor) goOn(fd int32) {
	waiting := f.behind[fd]
	for len(waiting) > 0 {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&waiting[0][0])), uintptr(len(waiting[0])))
		switch {
		case errors.Is(errno, unix.EAGAIN):
			f.behind[fd] = waiting
			return
		case errno != 0:
			f.drop(fd)
			return
		case int(n) < len(waiting[0]):
			waiting[0] = waiting[0][n:]
		default:
			waiting = waiting[1:]
		}
	}
	delete(f.behind, fd)
	if f.rewatch(fd, unix.EPOLLIN) != nil {
		f.drop(fd)
	}
}

func (f *floor) rewatch(fd int32, events uint32) error {
	return unix.EpollCtl(f.epfd, unix.EPOLL_CTL_MOD, int(fd), &unix.EpollEvent{Events: events, Fd: fd})
}
