//go:build darwin || freebsd || openbsd || netbsd || dragonfly

package reactortest

import "sluice/reactor/internal/sys"

// registration is what a descriptor was last registered for: by filter, the flags, or zero.
type registration struct {
	kq    int
	flags [2]uint16
}

// Pipe implements reactor.Kernel.
func (k *Kernel) Pipe() (r, w int, err error) {
	r, w, err = k.real.Pipe()
	if err == nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.waking[r], k.waking[w] = true, true
	}
	return r, w, err
}

// Kevent implements reactor.Kernel.
func (k *Kernel) Kevent(kq int, changes, events []sys.Kevent, msec int) (int, error) {
	if len(changes) > 0 {
		return 0, k.change(kq, changes)
	}
	return k.wait(kq, msec, func(msec int) (int, error) { return k.real.Kevent(kq, nil, events, msec) })
}

// change applies changes of one descriptor, as the backend makes them.
func (k *Kernel) change(kq int, changes []sys.Kevent) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	fd := changes[0].FD
	if changes[len(changes)-1].Flags&sys.FlagAdd != 0 && !k.waking[fd] {
		call := Register
		if _, ok := k.watched[fd]; ok {
			call = Rearm
		}
		if err := k.fault(call, fd); err != nil {
			return err
		}
	}
	if _, err := k.real.Kevent(kq, changes, nil, 0); err != nil {
		return err
	}
	r := registration{kq: kq, flags: k.watched[fd].flags}
	for _, c := range changes {
		r.flags[c.Filter] = 0
		if c.Flags&sys.FlagAdd != 0 {
			r.flags[c.Filter] = c.Flags
		}
	}
	k.watched[fd] = r
	if r.flags == ([2]uint16{}) {
		delete(k.watched, fd)
	}
	return nil
}

// nudge makes kqueue look at fd's readiness anew, as the backend's rearming does; see the package
// comment.
func (k *Kernel) nudge(fd int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r, ok := k.watched[fd]
	if !ok {
		return
	}
	for filter, flags := range r.flags {
		if flags == 0 || flags&sys.FlagOneshot != 0 {
			continue
		}
		changes := []sys.Kevent{
			{FD: fd, Filter: sys.Filter(filter), Flags: sys.FlagDelete},
			{FD: fd, Filter: sys.Filter(filter), Flags: flags},
		}
		// It fails when fd was closed without Close of this kernel; then nobody waits for its
		// events.
		_, _ = k.real.Kevent(r.kq, changes, nil, 0)
	}
}
