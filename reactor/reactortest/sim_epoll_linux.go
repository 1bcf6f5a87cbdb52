package reactortest

import (
	"math"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// lateMax is how many waits an event may be held back.
const lateMax = 4

// conditions are the bits of epoll_ctl(2) that name something to wait for. Without any, a oneshot
// that fired, nothing is reported.
const conditions = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLERR | unix.EPOLLHUP

// An epoll is an instance of epoll(7).
type epoll struct {
	sim     *Sim
	fd      int
	all     []*watch // in the order they were added
	ready   []*watch // woken since they were reported last
	stale   []unix.EpollEvent
	watched []*watch
}

// A watch is one registration.
type watch struct {
	ep        *epoll
	fd        int
	file      file
	events    uint32
	low, high int32 // the user data
	isQueued  bool  // among ep.ready
	late      int   // waits it was held back
}

// An eventFile is an eventfd(2).
type eventFile struct {
	count   uint64
	watched []*watch
}

func (e *eventFile) watchers() *[]*watch { return &e.watched }

func (e *eventFile) poll() uint32 {
	mask := uint32(0)
	if e.count > 0 {
		mask |= unix.EPOLLIN
	}
	if e.count < math.MaxUint64-1 {
		mask |= unix.EPOLLOUT
	}
	return mask
}

func (ep *epoll) watchers() *[]*watch { return &ep.watched }

func (ep *epoll) poll() uint32 {
	if ep.isReady() {
		return unix.EPOLLIN
	}
	return 0
}

func (ep *epoll) isReady() bool {
	if len(ep.stale) > 0 {
		return true
	}
	for _, w := range ep.ready {
		if w.file.poll()&w.events != 0 {
			return true
		}
	}
	return false
}

// wake is ep_poll_callback. A key of zero says only that something changed.
func (w *watch) wake(key uint32) {
	if w.events&conditions == 0 || key != 0 && key&w.events == 0 {
		return
	}
	w.enqueue()
}

func (w *watch) enqueue() {
	if !w.isQueued {
		w.isQueued = true
		w.ep.ready = append(w.ep.ready, w)
	}
}

func (ep *epoll) forget(w *watch) {
	is := func(o *watch) bool { return o == w }
	ep.all = slices.DeleteFunc(ep.all, is)
	ep.ready = slices.DeleteFunc(ep.ready, is)
}

// shut forgets all registrations. The files stay open.
func (ep *epoll) shut() {
	for _, w := range ep.all {
		ws := w.file.watchers()
		*ws = slices.DeleteFunc(*ws, func(o *watch) bool { return o == w })
	}
	ep.all, ep.ready = nil, nil
}

// EpollCreate implements reactor.Kernel.
func (s *Sim) EpollCreate() (int, error) {
	ep := &epoll{sim: s}
	fd, err := s.open(ep)
	ep.fd = fd
	return fd, s.done("epoll_create", fd, 0, 0, err)
}

// Eventfd implements reactor.Kernel.
func (s *Sim) Eventfd() (int, error) {
	fd, err := s.open(&eventFile{})
	return fd, s.done("eventfd", fd, 0, 0, err)
}

// Signal implements reactor.Kernel. Each one is an edge, also while the counter is not zero.
func (s *Sim) Signal(fd int) error {
	e, ok := s.file(fd).(*eventFile)
	if !ok {
		s.violation("signal to descriptor %d, which is no eventfd", fd)
		return syscall.EBADF
	}
	e.count++
	for _, w := range e.watched {
		w.wake(unix.EPOLLIN)
	}
	return s.done("signal", fd, 0, 0, nil)
}

var ctlNames = map[int]string{unix.EPOLL_CTL_ADD: "epoll add", unix.EPOLL_CTL_MOD: "epoll mod", unix.EPOLL_CTL_DEL: "epoll del"}

// EpollCtl implements reactor.Kernel.
func (s *Sim) EpollCtl(epfd, op, fd int, ev *unix.EpollEvent) error {
	s.begin()
	err := s.control(epfd, op, fd, ev)
	s.done(ctlNames[op], fd, int(ev.Events), 0, err)
	s.finish(fd)
	return err
}

func (s *Sim) control(epfd, op, fd int, ev *unix.EpollEvent) error {
	ep, ok := s.file(epfd).(*epoll)
	f := s.file(fd)
	if !ok || f == nil {
		s.violation("%s of descriptor %d at poller %d: one of them is not open", ctlNames[op], fd, epfd)
		return syscall.EBADF
	}
	at := slices.IndexFunc(*f.watchers(), func(w *watch) bool { return w.ep == ep })
	switch {
	case op == unix.EPOLL_CTL_ADD && at >= 0:
		return syscall.EEXIST
	case op != unix.EPOLL_CTL_ADD && at < 0:
		return syscall.ENOENT
	case op == unix.EPOLL_CTL_DEL:
		w := (*f.watchers())[at]
		*f.watchers() = slices.Delete(*f.watchers(), at, at+1)
		ep.forget(w)
		ep.remember(w)
		return nil
	}
	if err := s.watchFault(op, f); err != nil {
		return err
	}
	var w *watch
	if op == unix.EPOLL_CTL_ADD {
		w = &watch{ep: ep, fd: fd, file: f}
		ep.all = append(ep.all, w)
		*f.watchers() = append(*f.watchers(), w)
	} else {
		w = (*f.watchers())[at]
	}
	w.events, w.low, w.high = ev.Events|unix.EPOLLERR|unix.EPOLLHUP, ev.Fd, ev.Pad
	if f.poll()&w.events != 0 {
		w.enqueue()
	}
	return nil
}

// watchFault fails the registration of a connection or listener for want of memory, or of watches.
func (s *Sim) watchFault(op int, f file) error {
	if !s.roll(s.faults.Watch) {
		return nil
	}
	switch f := f.(type) {
	case *socket:
		if f.link.lack(&f.link.lackedOut); op == unix.EPOLL_CTL_ADD {
			f.link.doomed = true
		}
	case *listening:
		if op == unix.EPOLL_CTL_ADD {
			return nil // Without its listener there would be nothing to simulate.
		}
	default:
		return nil
	}
	if op == unix.EPOLL_CTL_ADD && s.random.IntN(2) == 0 {
		return syscall.ENOSPC
	}
	return syscall.ENOMEM
}

// remember makes a later wait report the registration w once more although it is gone.
func (ep *epoll) remember(w *watch) {
	if _, ok := w.file.(*socket); ok && ep.sim.roll(ep.sim.faults.Stale) {
		ep.stale = append(ep.stale, unix.EpollEvent{Events: unix.EPOLLIN, Fd: w.low, Pad: w.high})
	}
}

// Ready reports whether a wait on the poller epfd would find something.
func (s *Sim) Ready(epfd int) bool {
	ep, ok := s.file(epfd).(*epoll)
	return ok && ep.isReady()
}

// EpollWaitBriefly implements reactor.Kernel: nothing comes in no time.
func (s *Sim) EpollWaitBriefly(int, []unix.EpollEvent) (int, error) { return 0, nil }

// EpollWait implements reactor.Kernel.
func (s *Sim) EpollWait(epfd int, events []unix.EpollEvent, msec int) (int, error) {
	ep, ok := s.file(epfd).(*epoll)
	if !ok {
		s.violation("wait on descriptor %d, which is no poller", epfd)
		return 0, syscall.EBADF
	}
	until := s.deadline(msec)
	if s.onSleep != nil {
		s.onSleep(epfd, s.now) // Nobody keeps the processor for ever.
	}
	for {
		if s.roll(s.faults.Interrupt) {
			return 0, s.done("wait", epfd, msec, 0, syscall.EINTR)
		}
		n := ep.collect(events)
		if n > 0 || s.now >= until || s.onSleep == nil {
			s.done("wait", epfd, msec, n, nil)
			return n, nil
		}
		s.onSleep(epfd, until)
	}
}

// collect is ep_send_events: what was woken is looked up now, reported if it holds, and stays if it
// is level-triggered. An order is not promised.
func (ep *epoll) collect(events []unix.EpollEvent) (n int) {
	s := ep.sim
	stale := ep.stale
	ep.stale = nil
	for _, ev := range stale {
		if n == len(events) || !s.isCalm && s.random.IntN(2) == 0 {
			ep.stale = append(ep.stale, ev)
			continue
		}
		events[n] = ev
		n++
		s.stale[ep.fd]++
	}
	woken := ep.ready
	ep.ready = nil
	if !s.isCalm {
		s.random.Shuffle(len(woken), func(i, k int) { woken[i], woken[k] = woken[k], woken[i] })
	}
	for _, w := range woken {
		w.isQueued = false
		if n == len(events) || w.late < lateMax && s.roll(s.faults.Late) {
			w.late++
			w.enqueue()
			continue
		}
		w.late = 0
		mask := w.file.poll() & w.events
		if mask == 0 {
			continue
		}
		events[n] = unix.EpollEvent{Events: mask, Fd: w.low, Pad: w.high}
		n++
		s.noteEvent(w.fd, mask)
		switch {
		case w.events&unix.EPOLLONESHOT != 0:
			w.events &^= conditions
		case w.events&unix.EPOLLET == 0:
			w.enqueue()
		}
	}
	n += ep.spurious(events[n:])
	if !s.isCalm {
		s.random.Shuffle(n, func(i, k int) { events[i], events[k] = events[k], events[i] })
	}
	return n
}

// spurious reports one descriptor as ready for something it was registered for, whether it is or
// not.
func (ep *epoll) spurious(events []unix.EpollEvent) int {
	s := ep.sim
	if len(events) == 0 || len(ep.all) == 0 || !s.roll(s.faults.Spurious) {
		return 0
	}
	w := ep.all[s.random.IntN(len(ep.all))]
	bits := w.events & []uint32{unix.EPOLLIN, unix.EPOLLOUT}[s.random.IntN(2)]
	if bits == 0 || w.events&unix.EPOLLONESHOT != 0 {
		return 0
	}
	events[0] = unix.EpollEvent{Events: bits, Fd: w.low, Pad: w.high}
	s.noteEvent(w.fd, bits)
	return 1
}
