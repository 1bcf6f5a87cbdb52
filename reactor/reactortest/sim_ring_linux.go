package reactortest

import (
	"hash/crc32"
	"syscall"

	"sluice/reactor/internal/sys"
)

// A lateSend is one of a ring's that has begun and not ended: the kernel has yet to read its bytes,
// and nobody may change them, or write to its socket.
type lateSend struct {
	c     *socket
	bytes []byte
	sum   uint32 // of what they were
}

// Rings is how many rings are open.
func (s *Sim) Rings() int { return len(s.rings) }

// OpenRing implements reactor.Kernel. Its descriptor is none of those that a program's connections
// share.
func (s *Sim) OpenRing(n int) (*sys.Ring, error) {
	if s.hasNoRings {
		return nil, s.done("io_uring_setup", 0, n, 0, syscall.EPERM)
	}
	r := new(sys.Ring)
	s.rings[r] = true
	return r, s.done("io_uring_setup", 0, n, 0, nil)
}

// ForbidRings makes every call that concerns one fail from here on, as under a filter of system
// calls.
func (s *Sim) ForbidRings() { s.hasNoRings = true }

// CloseRing implements reactor.Kernel.
func (s *Sim) CloseRing(r *sys.Ring) {
	if !s.rings[r] {
		s.violation("close of a ring that is not open")
	}
	delete(s.rings, r)
}

// ringErrors are what the whole call may fail with, and no send begins.
var ringErrors = []error{syscall.EAGAIN, syscall.EINTR, syscall.EPERM, syscall.ENOSYS, syscall.ENOMEM}

// SendRing implements reactor.Kernel. Nobody runs between its sends, which end in any order.
func (s *Sim) SendRing(r *sys.Ring, batch []sys.Send, done []sys.Completion) (begun, completed int, err error) {
	s.begin()
	begun, completed, err = s.sendRing(r, batch, done)
	s.done("io_uring_enter", 0, len(batch), completed, err)
	for i := range begun {
		if c, ok := s.file(batch[i].FD).(*socket); ok {
			s.settle(c.link)
		}
	}
	s.finish(-1)
	return begun, completed, err
}

func (s *Sim) sendRing(r *sys.Ring, batch []sys.Send, done []sys.Completion) (begun, completed int, err error) {
	switch {
	case !s.rings[r]:
		s.violation("a batch for a ring that is not open")
		return 0, 0, syscall.EBADF
	case s.hasNoRings:
		return 0, 0, syscall.EPERM
	case s.roll(s.faults.RingFails):
		return 0, 0, ringErrors[s.random.IntN(len(ringErrors))]
	}
	if begun = len(batch); s.roll(s.faults.RingShort) {
		begun = s.random.IntN(begun + 1)
	}
	for i := range batch[:begun] {
		one := &batch[i]
		if s.roll(s.faults.RingLate) {
			s.beLate(one)
			continue
		}
		n, err := s.write(one.FD, one.Bytes)
		s.trace.mix(uint64(crc32.ChecksumIEEE(one.Bytes[:n])))
		s.done("send", one.FD, len(one.Bytes), n, err)
		done[completed] = completion(i, n, err)
		completed++
	}
	s.random.Shuffle(completed, func(i, j int) { done[i], done[j] = done[j], done[i] })
	return begun, completed, nil
}

// beLate begins a send that does not end within the call.
func (s *Sim) beLate(one *sys.Send) {
	c, err := s.socketAt("send", one.FD)
	if err != nil {
		return
	}
	s.note("late send", c.link.no, len(one.Bytes))
	c.link.doomed = true
	c.isSending = true
	s.late = append(s.late, lateSend{c, one.Bytes, crc32.ChecksumIEEE(one.Bytes)})
}

// endLate ends the send that has been late for longest. Closing its socket has cancelled it.
func (s *Sim) endLate() {
	l := s.late[0]
	s.late = s.late[1:]
	if crc32.ChecksumIEEE(l.bytes) != l.sum {
		s.violation("the bytes of a send under way to connection %d have changed", l.c.link.no)
	}
	l.c.isSending = false
	n := 0
	if !l.c.isReleased {
		n, _ = l.c.write(l.bytes)
	}
	s.note("end of a late send", l.c.link.no, n)
}
