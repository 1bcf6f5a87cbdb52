//go:build linux

package reactor

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sluice/reactor/internal/sys"
)

// wakeToken marks the eventfd. Zero is never issued to a source.
const wakeToken Token = 0

// backend is epoll(7).
type backend struct {
	kernel sys.Calls
	epfd   int
	wakefd int
	events []unix.EpollEvent
	asked  unix.EpollEvent // what the kernel is being asked; here it is no garbage
	isSoon bool            // the next wait is likely to be short
}

func newPoller(kernel sys.Calls) (*Poller, error) {
	epfd, err := kernel.EpollCreate()
	if err != nil {
		return nil, fmt.Errorf("reactor: new poller: %w", os.NewSyscallError("epoll_create1", err))
	}
	wakefd, err := kernel.Eventfd()
	if err != nil {
		kernel.Close(epfd)
		return nil, fmt.Errorf("reactor: new poller: %w", os.NewSyscallError("eventfd", err))
	}
	p := &Poller{backend{kernel: kernel, epfd: epfd, wakefd: wakefd}}
	if err := p.Register(wakefd, wakeToken, Readable, Edge); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Register starts watching fd.
func (p *backend) Register(fd int, t Token, in Interest, m Mode) error {
	return p.control(unix.EPOLL_CTL_ADD, "register", fd, t, in, m)
}

// Reregister replaces what fd is watched for and looks at its readiness anew (EPOLL_CTL_MOD does).
func (p *backend) Reregister(fd int, t Token, in Interest, m Mode) error {
	return p.control(unix.EPOLL_CTL_MOD, "reregister", fd, t, in, m)
}

// Deregister stops watching fd.
func (p *backend) Deregister(fd int) error {
	// Kernels before 2.6.9 want a pointer, epoll_ctl(2) "Bugs"; it costs nothing.
	if err := p.kernel.EpollCtl(p.epfd, unix.EPOLL_CTL_DEL, fd, &p.asked); err != nil {
		return fmt.Errorf("reactor: deregister fd %d: %w", fd, os.NewSyscallError("epoll_ctl", err))
	}
	return nil
}

func (p *backend) control(op int, verb string, fd int, t Token, in Interest, m Mode) error {
	// The event's 64 bits of user data are two fields here; the token fills both.
	p.asked = unix.EpollEvent{Events: epollBits(in, m), Fd: int32(t.slot()), Pad: int32(t.generation())}
	if err := p.kernel.EpollCtl(p.epfd, op, fd, &p.asked); err != nil {
		return fmt.Errorf("reactor: %s fd %d: %w", verb, fd, os.NewSyscallError("epoll_ctl", err))
	}
	return nil
}

func epollBits(in Interest, m Mode) uint32 {
	var bits uint32
	if in&Readable != 0 {
		// RDHUP: a reader that stops at a short read still learns of the end of the stream that
		// came with it.
		bits |= unix.EPOLLIN | unix.EPOLLRDHUP
	}
	if in&Writable != 0 {
		bits |= unix.EPOLLOUT
	}
	if in == 0 {
		m = Edge // Hangups and errors are reported all the same, and would be at each Wait.
	}
	switch m {
	case Edge:
		bits |= unix.EPOLLET
	case Oneshot:
		bits |= unix.EPOLLONESHOT
	}
	return bits
}

// Wait appends events to dst; see Poller.
func (p *backend) Wait(dst []Event, timeout time.Duration) ([]Event, error) {
	room := cap(dst) - len(dst)
	if room == 0 {
		return dst, nil
	}
	if len(p.events) < room {
		p.events = make([]unix.EpollEvent, room)
	}
	n, err := p.wait(p.events[:room], milliseconds(timeout))
	if err != nil {
		if errors.Is(err, syscall.EINTR) {
			return dst, nil
		}
		return dst, fmt.Errorf("reactor: wait: %w", os.NewSyscallError("epoll_wait", err))
	}
	for i := range p.events[:n] {
		ev := &p.events[i]
		t := makeToken(uint32(ev.Fd), uint32(ev.Pad))
		if t == wakeToken {
			// Registered for edges, so it need not be read: each write is a new edge, and the
			// counter has 64 bits.
			continue
		}
		dst = append(dst, Event{Token: t, ready: epollReady(ev.Events)})
	}
	return dst, nil
}

// expect says whether events are likely to come within a millisecond. Then the next wait begins
// with one of which Go's scheduler is not told, and goes on like any other; it may last a
// millisecond more.
func (p *backend) expect(soon bool) { p.isSoon = soon }

func (p *backend) wait(events []unix.EpollEvent, msec int) (int, error) {
	if p.isSoon && msec != 0 && msec != 1 {
		if n, err := p.kernel.EpollWaitBriefly(p.epfd, events); n > 0 || err != nil {
			return n, err
		}
	}
	return p.kernel.EpollWait(p.epfd, events, msec)
}

func epollReady(bits uint32) ready {
	var r ready
	if bits&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		r |= readyRead
	}
	if bits&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		r |= readyWrite
	}
	if bits&(unix.EPOLLRDHUP|unix.EPOLLHUP) != 0 {
		r |= readyHangup
	}
	if bits&unix.EPOLLERR != 0 {
		r |= readyError
	}
	return r
}

// Wake ends the present or the next Wait; any goroutine may call it.
func (p *backend) Wake() error {
	err := p.kernel.Signal(p.wakefd)
	// EAGAIN: the counter is full, so the event stands already.
	if err != nil && !errors.Is(err, syscall.EAGAIN) {
		return fmt.Errorf("reactor: wake: %w", os.NewSyscallError("write", err))
	}
	return nil
}

// Close frees the poller's own descriptors; those it watches stay open.
func (p *backend) Close() error {
	p.kernel.Close(p.wakefd)
	return p.kernel.Close(p.epfd)
}
