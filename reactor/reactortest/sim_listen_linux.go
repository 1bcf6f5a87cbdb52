package reactortest

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// A listening file is a socket with a queue of connections that nobody has accepted yet.
type listening struct {
	sim     *Sim
	queue   []*link
	backlog int
	watched []*watch
}

// Listen opens a listening descriptor whose queue holds backlog connections.
func (s *Sim) Listen(backlog int) (int, error) {
	return s.open(&listening{sim: s, backlog: backlog})
}

func (l *listening) watchers() *[]*watch { return &l.watched }

func (l *listening) poll() uint32 {
	if len(l.queue) > 0 {
		return unix.EPOLLIN
	}
	return 0
}

// shut resets the connections that wait in the queue.
func (l *listening) shut() {
	for _, q := range l.queue {
		q.server.aborts = true
		q.server.release()
		l.sim.settle(q)
	}
}

// Accept implements reactor.Kernel.
func (s *Sim) Accept(fd int) (int, error) {
	s.begin()
	accepted, err := s.accept(fd)
	s.done("accept", fd, 0, accepted, err)
	s.finish(fd)
	return accepted, err
}

func (s *Sim) accept(fd int) (int, error) {
	l, ok := s.file(fd).(*listening)
	if !ok {
		s.violation("accept on descriptor %d, which does not listen", fd)
		return -1, syscall.EINVAL
	}
	s.foreign("accept", l, fd)
	if s.roll(s.faults.Interrupt) {
		return -1, syscall.EINTR
	}
	if err := s.acceptFault(l); err != nil {
		return -1, err
	}
	if len(l.queue) == 0 {
		return -1, syscall.EAGAIN
	}
	accepted, err := s.open(l.queue[0].server)
	if err != nil {
		return -1, err // The connection stays in the queue.
	}
	s.note("accepted", l.queue[0].no, accepted)
	l.queue = l.queue[1:]
	return accepted, nil
}

// acceptFault fails an accept as accept(2) says it may: either of the process's or the machine's
// limits, which leaves the queue as it was, or of a connection that broke while it waited.
func (s *Sim) acceptFault(l *listening) error {
	if !s.roll(s.faults.Accept) {
		return nil
	}
	if len(l.queue) == 0 || s.random.IntN(2) == 0 {
		return []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM}[s.random.IntN(4)]
	}
	broken := l.queue[0]
	l.queue = l.queue[1:]
	broken.doomed = true
	broken.server.aborts = true
	broken.server.release()
	return []error{syscall.ECONNABORTED, syscall.EPROTO}[s.random.IntN(2)]
}
