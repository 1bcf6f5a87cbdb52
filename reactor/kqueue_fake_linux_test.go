package reactor

import (
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/reactor/internal/sys"
)

// The conformance suite on the kqueue backend, over a kernel that looks at the readiness anew when
// a filter that exists is added again, and over one that does not.
func TestKqueueConformsOverAFakeKernel(t *testing.T) {
	for name, reAddLooks := range map[string]bool{"ReAddLooksAnew": true, "ReAddDoesNothing": false} {
		t.Run(name, func(t *testing.T) {
			testPoller(t, func() (poller, error) {
				b, err := newKqueue(&fakeKqueue{reAddLooks: reAddLooks})
				return &b, err
			})
		})
	}
}

// fakeKqueue is a kqueue in user space with real descriptors. Each filter is an epoll of its own,
// so that the two directions of a descriptor have their edges apart; a third epoll waits for both.
type fakeKqueue struct {
	sys.Real
	reAddLooks bool
	filters    [2]int
	knotes     [2]map[int]uint16 // flags by filter and descriptor
}

var fakeInterest = [2]uint32{
	sys.FilterRead:  unix.EPOLLIN | unix.EPOLLRDHUP,
	sys.FilterWrite: unix.EPOLLOUT,
}

func (k *fakeKqueue) Kqueue() (int, error) {
	kq, err := k.EpollCreate()
	if err != nil {
		return -1, err
	}
	for i := range k.filters {
		if k.filters[i], err = k.EpollCreate(); err != nil {
			return -1, err
		}
		ev := unix.EpollEvent{Events: unix.EPOLLIN}
		if err := k.EpollCtl(kq, unix.EPOLL_CTL_ADD, k.filters[i], &ev); err != nil {
			return -1, err
		}
		k.knotes[i] = map[int]uint16{}
	}
	return kq, nil
}

func (k *fakeKqueue) Pipe() (r, w int, err error) {
	var ends [2]int
	err = unix.Pipe2(ends[:], unix.O_NONBLOCK|unix.O_CLOEXEC)
	return ends[0], ends[1], err
}

// Close follows the order of kqueueBackend.Close: the kqueue goes last, and its filters with it.
func (k *fakeKqueue) Close(fd int) error {
	if _, isWake := k.knotes[sys.FilterRead][fd]; isWake || k.isWriteEnd(fd) {
		return k.Real.Close(fd)
	}
	for _, filter := range k.filters {
		k.Real.Close(filter)
	}
	return k.Real.Close(fd)
}

// Read and Write are of the wake pipe; the real ones of this system take sockets alone.
func (k *fakeKqueue) Read(fd int, p []byte) (int, error) {
	n, err := unix.Read(fd, p)
	return max(n, 0), err
}

func (k *fakeKqueue) Write(fd int, p []byte) (int, error) {
	n, err := unix.Write(fd, p)
	return max(n, 0), err
}

func (k *fakeKqueue) isWriteEnd(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO
}

func (k *fakeKqueue) Kevent(kq int, changes, events []sys.Kevent, msec int) (int, error) {
	for i := range changes {
		if err := k.change(&changes[i]); err != nil {
			return 0, err
		}
	}
	deadline := time.Now().Add(time.Duration(msec) * time.Millisecond)
	for len(events) > 0 {
		if n := k.fetch(events); n > 0 {
			return n, nil
		}
		left := -1
		if msec >= 0 {
			if left = milliseconds(max(0, time.Until(deadline))); left == 0 {
				break
			}
		}
		if _, err := k.EpollWait(kq, make([]unix.EpollEvent, 2), left); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

func (k *fakeKqueue) change(c *sys.Kevent) error {
	old, exists := k.knotes[c.Filter][c.FD]
	op := unix.EPOLL_CTL_ADD
	switch {
	case c.Flags&sys.FlagDelete != 0 && !exists:
		return syscall.ENOENT
	case c.Flags&sys.FlagDelete != 0:
		delete(k.knotes[c.Filter], c.FD)
		return k.EpollCtl(k.filters[c.Filter], unix.EPOLL_CTL_DEL, c.FD, nil)
	case exists && !k.reAddLooks:
		return nil
	case exists:
		op = unix.EPOLL_CTL_MOD
		c.Flags = old
	}
	ev := unix.EpollEvent{Events: fakeInterest[c.Filter], Fd: int32(c.FD)}
	if c.Flags&sys.FlagClear != 0 {
		ev.Events |= unix.EPOLLET
	}
	if err := k.EpollCtl(k.filters[c.Filter], op, c.FD, &ev); err != nil {
		return err
	}
	k.knotes[c.Filter][c.FD] = c.Flags
	return nil
}

// fetch fills events without waiting.
func (k *fakeKqueue) fetch(events []sys.Kevent) (n int) {
	for f := range k.filters {
		if n == len(events) {
			break
		}
		got := make([]unix.EpollEvent, len(events)-n)
		m, _ := k.EpollWait(k.filters[f], got, 0)
		for _, ev := range got[:m] {
			events[n] = fakeEvent(sys.Filter(f), ev)
			n++
			if k.knotes[f][int(ev.Fd)]&sys.FlagOneshot != 0 {
				k.change(&sys.Kevent{FD: int(ev.Fd), Filter: sys.Filter(f), Flags: sys.FlagDelete})
			}
		}
	}
	return n
}

func fakeEvent(f sys.Filter, ev unix.EpollEvent) sys.Kevent {
	out := sys.Kevent{FD: int(ev.Fd), Filter: f}
	end := uint32(unix.EPOLLHUP | unix.EPOLLERR)
	if f == sys.FilterRead {
		end |= unix.EPOLLRDHUP
	}
	if ev.Events&end != 0 {
		out.Flags |= sys.FlagEOF
	}
	if ev.Events&unix.EPOLLERR != 0 {
		out.Fflags = uint32(syscall.ECONNRESET) // SO_ERROR cannot be looked at without taking it.
	}
	return out
}
