package reactortest

import "golang.org/x/sys/unix"

// registration is what a descriptor was last registered for.
type registration struct {
	epfd  int
	event unix.EpollEvent
}

var callOf = map[int]Call{unix.EPOLL_CTL_ADD: Register, unix.EPOLL_CTL_MOD: Rearm}

// Eventfd implements reactor.Kernel.
func (k *Kernel) Eventfd() (int, error) {
	fd, err := k.real.Eventfd()
	if err == nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.waking[fd] = true
	}
	return fd, err
}

// Signal implements reactor.Kernel.
func (k *Kernel) Signal(eventfd int) error {
	k.mu.Lock()
	k.counts[Wake]++
	k.mu.Unlock()
	return k.real.Signal(eventfd)
}

// EpollCtl implements reactor.Kernel.
func (k *Kernel) EpollCtl(epfd, op, fd int, ev *unix.EpollEvent) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if call, ok := callOf[op]; ok && !k.waking[fd] {
		if err := k.fault(call, fd); err != nil {
			return err
		}
	}
	if err := k.real.EpollCtl(epfd, op, fd, ev); err != nil {
		return err
	}
	if op == unix.EPOLL_CTL_DEL {
		delete(k.watched, fd)
	} else {
		k.watched[fd] = registration{epfd, *ev}
	}
	return nil
}

// EpollWait implements reactor.Kernel.
func (k *Kernel) EpollWait(epfd int, events []unix.EpollEvent, msec int) (int, error) {
	return k.wait(epfd, msec, func(msec int) (int, error) { return k.real.EpollWait(epfd, events, msec) })
}

// EpollWaitBriefly implements reactor.Kernel: the wait, and what a test does in it, is EpollWait's.
func (k *Kernel) EpollWaitBriefly(int, []unix.EpollEvent) (int, error) { return 0, nil }

// nudge makes epoll look at fd's readiness anew; see the package comment.
func (k *Kernel) nudge(fd int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r, ok := k.watched[fd]
	if !ok || r.event.Events&unix.EPOLLONESHOT != 0 {
		return
	}
	// It fails when fd was closed without Close of this kernel; then nobody waits for its events.
	_ = k.real.EpollCtl(r.epfd, unix.EPOLL_CTL_MOD, fd, &r.event)
}
