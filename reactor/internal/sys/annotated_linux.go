//go:build linux && race

package sys

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The twin of raw_linux.go: the same calls through wrappers that tell the race detector which
// memory they touch.

// Read implements Calls.
func (Real) Read(fd int, p []byte) (int, error) {
	n, err := unix.Read(fd, p)
	return max(n, 0), err // x/sys says -1 with an error.
}

// Write implements Calls.
func (Real) Write(fd int, p []byte) (int, error) {
	n, err := unix.Write(fd, p)
	return max(n, 0), err
}

// Accept implements Calls.
func (Real) Accept(fd int) (int, error) {
	n, _, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	return n, err
}

// EpollCtl implements Calls.
func (Real) EpollCtl(epfd, op, fd int, ev *unix.EpollEvent) error {
	return unix.EpollCtl(epfd, op, fd, ev)
}

// EpollWait implements Calls.
func (Real) EpollWait(epfd int, events []unix.EpollEvent, msec int) (int, error) {
	return unix.EpollWait(epfd, events, msec)
}

// EpollWaitBriefly implements Calls.
func (Real) EpollWaitBriefly(epfd int, events []unix.EpollEvent) (int, error) {
	return unix.EpollWait(epfd, events, 1)
}

// annotateRead tells the race detector that a call reads p.
func annotateRead(p []byte) {
	if len(p) > 0 {
		runtime.RaceReadRange(unsafe.Pointer(&p[0]), len(p))
	}
}
