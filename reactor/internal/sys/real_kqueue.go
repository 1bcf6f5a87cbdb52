//go:build darwin || freebsd || openbsd || netbsd || dragonfly

package sys

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// pollCalls is kqueue(2), and a pipe to wake it with: EVFILT_USER is not everywhere.
type pollCalls = KqueueCalls

// eventsPerCall bounds what one Kevent call fetches, so that the translation fits on the stack.
const eventsPerCall = 128

// Each index is zero, or this does not compile: the portable flags are the system's own.
var (
	_ = [1]bool{}[unix.EV_ADD-FlagAdd]
	_ = [1]bool{}[unix.EV_DELETE-FlagDelete]
	_ = [1]bool{}[unix.EV_ONESHOT-FlagOneshot]
	_ = [1]bool{}[unix.EV_CLEAR-FlagClear]
	_ = [1]bool{}[unix.EV_EOF-FlagEOF]
)

// nativeFilter is indexed by Filter.
var nativeFilter = [...]int{FilterRead: unix.EVFILT_READ, FilterWrite: unix.EVFILT_WRITE}

// Kqueue implements Calls.
func (Real) Kqueue() (int, error) {
	// No child may be started between the two calls: it would inherit the descriptor on systems
	// where kqueues are inherited.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	kq, err := unix.Kqueue()
	if err != nil {
		return -1, err
	}
	unix.CloseOnExec(kq)
	return kq, nil
}

// Kevent implements Calls. It takes at most eventsPerCall changes and fetches at most as many
// events.
func (Real) Kevent(kq int, changes, events []Kevent, msec int) (int, error) {
	var in, out [eventsPerCall]unix.Kevent_t
	for i := range changes {
		c := &changes[i]
		unix.SetKevent(&in[i], c.FD, nativeFilter[c.Filter], int(c.Flags))
	}
	var ts unix.Timespec
	timeout := &ts
	if msec < 0 {
		timeout = nil
	} else {
		ts = unix.NsecToTimespec(int64(msec) * 1e6)
	}
	n, err := unix.Kevent(kq, in[:len(changes)], out[:min(len(events), eventsPerCall)], timeout)
	if err != nil {
		return 0, err
	}
	for i := range out[:n] {
		events[i] = portable(&out[i])
	}
	return n, nil
}

func portable(k *unix.Kevent_t) Kevent {
	ev := Kevent{FD: int(k.Ident), Filter: FilterRead, Flags: uint16(k.Flags), Fflags: k.Fflags}
	if k.Filter == unix.EVFILT_WRITE {
		ev.Filter = FilterWrite
	}
	return ev
}

// Pipe implements Calls.
func (Real) Pipe() (r, w int, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	var ends [2]int
	if err := unix.Pipe(ends[:]); err != nil {
		return -1, -1, err
	}
	for _, fd := range ends {
		unix.CloseOnExec(fd)
		if err := unix.SetNonblock(fd, true); err != nil {
			unix.Close(ends[0])
			unix.Close(ends[1])
			return -1, -1, err
		}
	}
	return ends[0], ends[1], nil
}

// Read implements Calls.
func (Real) Read(fd int, p []byte) (int, error) {
	n, err := unix.Read(fd, p)
	return max(n, 0), err // x/sys says -1 with an error.
}

// Write implements Calls. The Go runtime turns SIGPIPE into EPIPE, except for the standard output
// and error.
func (Real) Write(fd int, p []byte) (int, error) {
	n, err := unix.Write(fd, p)
	return max(n, 0), err
}

// Queued implements Calls. What is written to a unix socket lies at its reader's end at once, and
// is not counted.
func (Real) Queued(fd int) (int, error) {
	self, err := unix.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	if _, isUnix := self.(*unix.SockaddrUnix); isUnix {
		return 0, ErrUnsupported
	}
	return queued(fd)
}

var optionTable = [optionsPerTable]place{
	NoDelay:      {unix.IPPROTO_TCP, unix.TCP_NODELAY},
	KeepAlive:    {unix.SOL_SOCKET, unix.SO_KEEPALIVE},
	KeepIdle:     keepIdle,
	NotSentLowat: notSentLowat,
	SendBuffer:   {unix.SOL_SOCKET, unix.SO_SNDBUF},
	PendingError: {unix.SOL_SOCKET, unix.SO_ERROR},
}
