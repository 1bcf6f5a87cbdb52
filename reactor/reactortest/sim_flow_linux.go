package reactortest

import (
	"slices"

	"golang.org/x/sys/unix"
)

// A flow is one direction of a link.
type flow struct {
	from, to  *socket
	unsent    []byte // in the sender's kernel
	unacked   int    // have arrived, and the sender has not learned of it: still in its buffer
	arrived   []byte // in the receiver's, unread
	unsentMax int    // TCP_NOTSENT_LOWAT; zero: none
	sendMax   int
	recvMax   int
	hasEnd    bool // the end of the stream stands behind unsent
	hasReset  bool // a reset is under way, instead of everything behind it
	squeezed  bool // room in the sender's kernel is short for a while
	allowance int  // what it still takes meanwhile
}

// queued is what SIOCOUTQ says: what was written and is not acknowledged. What has arrived and is
// unread is acknowledged, sooner or later.
func (f *flow) queued() int { return len(f.unsent) + f.unacked }

// movable is how many bytes can move on.
func (f *flow) movable() int {
	if f.to.isReleased && f.to.isReset {
		return 0 // A reset is on its way against them.
	}
	if f.to.isReleased {
		return len(f.unsent)
	}
	return min(len(f.unsent), f.recvMax-len(f.arrived))
}

// hasNews reports whether something of f is under way.
func (f *flow) hasNews() bool {
	return f.squeezed || f.hasReset || f.movable() > 0 || f.unacked > 0 || f.endIsDue()
}

func (f *flow) endIsDue() bool {
	return f.hasEnd && len(f.unsent) == 0 && !f.to.sawEnd && !f.to.isReset
}

// move lets n bytes arrive; or, with nothing else under way, what stands behind the bytes; or the
// word that some have arrived.
func (f *flow) move(n int) {
	switch {
	case f.hasReset:
		f.hasReset = false
		f.to.gotReset()
	case n > 0 && f.to.isReleased:
		f.to.sendReset() // Sending to a closed socket brings a reset: RFC 1122 §4.2.2.13.
	case n > 0:
		f.arrived = append(f.arrived, f.unsent[:n]...)
		f.unsent = f.unsent[n:]
		f.unacked += n
		f.to.wake(unix.EPOLLIN)
		f.from.roomCame()
	case f.endIsDue():
		f.endArrives()
	case f.unacked > 0:
		f.acknowledge(f.unacked)
	}
}

// acknowledge tells the sender that n bytes have arrived, which makes room in its buffer.
func (f *flow) acknowledge(n int) {
	f.unacked -= n
	if f.from == f.from.link.server {
		f.from.link.ackedAt = f.from.sim.now
	}
	f.from.roomCame()
}

// endArrives is tcp_fin. When both streams have ended the connection is over.
func (f *flow) endArrives() {
	f.to.sawEnd, f.to.recvShut = true, true
	if f.from.sawEnd {
		f.from.isReset, f.to.isReset = true, true
	}
	f.to.wake(0)
	f.from.sim.forgetFinished()
}

func (f *flow) relieve() {
	f.squeezed = false
	f.from.roomCame()
}

// Step lets one thing happen on one of the wires: some bytes arrive, or an end, or a reset, or room
// in a buffer that had shrunk comes back, or a ring's late send ends. False means that nothing was
// under way.
func (s *Sim) Step() bool {
	if len(s.late) > 0 && s.random.IntN(4) == 0 {
		s.endLate()
		return true
	}
	busy := s.busy[:0]
	for _, l := range s.links {
		for _, f := range [...]*flow{l.server.out, l.client.out} {
			if f.hasNews() {
				busy = append(busy, f)
			}
		}
	}
	s.busy = busy
	if len(busy) == 0 {
		return false
	}
	f := busy[s.random.IntN(len(busy))]
	if f.squeezed && (s.random.IntN(2) == 0 || !f.hasReset && f.movable() == 0 && !f.hasEnd) {
		s.note("relief", f.from.link.no, 0)
		f.relieve()
		return true
	}
	if f.unacked > 0 && !f.hasReset && (s.random.IntN(2) == 0 || f.movable() == 0) {
		n := 1 + s.random.IntN(f.unacked)
		s.note("acknowledged", f.from.link.no, n)
		f.acknowledge(n)
		return true
	}
	n := f.movable()
	if n > 1 && s.random.IntN(2) == 0 {
		n = 1 + s.random.IntN(n)
	}
	s.note(arrives[f.from == f.from.link.server], f.from.link.no, n)
	f.move(n)
	return true
}

var arrives = map[bool]string{true: "to client", false: "to server"}

// settle lets everything that is under way on l arrive, if the kernel is calm.
func (s *Sim) settle(l *link) {
	for moved := s.isCalm; moved; {
		moved = false
		for _, f := range [...]*flow{l.server.out, l.client.out} {
			if f.squeezed {
				f.relieve()
			}
			if f.hasNews() {
				f.move(f.movable())
				moved = true
			}
		}
	}
}

// forgetFinished drops the links that nobody holds any more and on which nothing is under way that
// anybody could see.
func (s *Sim) forgetFinished() {
	s.links = slices.DeleteFunc(s.links, func(l *link) bool { return l.server.isReleased && l.client.isReleased })
}
