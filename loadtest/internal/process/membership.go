package process

import (
	"bytes"

	"sluice/loadtest/internal/eventstream"
)

// A membership is one client in one room, and what it has seen there.
type membership struct {
	room  *room
	check sequenceCheck
	at    *standing // nil where nobody is told positions
}

func newMembership(r *room) membership {
	return membership{room: r, check: sequenceCheck{next: make([]uint32, len(r.streams))}}
}

// each calls yield with each of the client's memberships.
func (c *client) each(yield func(*membership) bool) {
	if !yield(&c.membership) {
		return
	}
	for _, m := range c.others {
		if !yield(m) {
			return
		}
	}
}

// join makes a client that came for the first time one that a room's streams begin with.
func (m *membership) join() { m.check.begin(m.room.streams) }

// reset begins the measured phase.
func (m *membership) reset() {
	m.check.begin(m.room.streams)
	if m.at != nil {
		m.at.counts, m.at.jumped = PositionCounts{}, 0
	}
}

// pause ends a stay. A client that resumes goes on where it was.
func (m *membership) pause(resumes bool) {
	if m.at != nil {
		m.at.owed = 0
	}
	if resumes {
		return
	}
	m.check.pause()
	if m.at != nil {
		m.at.forget()
	}
}

// A standing is behind which message of its room a client stands, by what it was told.
type standing struct {
	epoch   []byte
	offset  uint64
	isKnown bool
	jumped  uint64 // offsets that were left out, and that nothing has filled
	owed    uint64 // messages that had been sent when the client returned, and have not come
	counts  PositionCounts
}

// PositionCounts are what those saw who are told positions, beside messages.
type PositionCounts struct {
	Resets    uint64 // times that somebody was told of a gap
	Excused   uint64 // messages that did not come, and of which that told
	Misplaced uint64 // positions that are not the next one, for which no lost message accounts
}

func (n *PositionCounts) add(o PositionCounts) {
	n.Resets += o.Resets
	n.Excused += o.Excused
	n.Misplaced += o.Misplaced
}

// move stands somewhere else, of which nobody judges.
func (s *standing) move(to eventstream.Position) {
	s.epoch = append(s.epoch[:0], to.Epoch...)
	s.offset, s.isKnown = to.Offset, true
}

// forget is for who does not go on where it was.
func (s *standing) forget() { s.isKnown = false }

func (s *standing) isOf(p eventstream.Position) bool { return bytes.Equal(s.epoch, p.Epoch) }

// follow moves to a message's position, which should be the next one.
func (s *standing) follow(to eventstream.Position) {
	switch {
	case !s.isKnown:
	case !s.isOf(to) || to.Offset <= s.offset:
		s.counts.Misplaced++
	default:
		s.jumped += to.Offset - s.offset - 1
	}
	s.move(to)
}

// repeat moves to the position of a message that came before, if it is the next one.
func (s *standing) repeat(to eventstream.Position) {
	if s.isKnown && s.isOf(to) && to.Offset == s.offset+1 {
		s.move(to)
	}
}

// reset moves to where somebody was told that it goes on, and returns how many messages, of its
// room's, that says are missing: any number, where nobody can tell.
func (s *standing) reset(to eventstream.Position, isPosition bool) (missing uint64) {
	missing = unlimited
	s.counts.Resets++
	if !isPosition {
		s.forget()
		return missing
	}
	if s.isKnown && s.isOf(to) {
		if to.Offset < s.offset {
			s.counts.Misplaced++
		}
		missing = max(to.Offset, s.offset) - s.offset
	}
	s.move(to)
	return missing
}

// receive judges a message and the position that it came with, if any.
func (c *client) receive(m *membership, data []byte, at eventstream.Position, isPosition bool, now int64) {
	before := m.check.counts
	c.deliver(m, data, now)
	after := &m.check.counts
	switch {
	case after.Reordered > before.Reordered: // It fills what a position had left out.
		m.at.jumped -= min(m.at.jumped, 1)
	case after.Duplicated > before.Duplicated: // It is counted as such, wherever it is.
		m.at.repeat(at)
	case isPosition:
		m.at.follow(at)
	case m.at.isKnown:
		m.at.counts.Misplaced++
		m.at.offset++ // It has taken one.
	}
	if after.Delivered > before.Delivered {
		c.tookOwed(m, 1, now)
	}
}

// positionCounts are those of the end of the run: what positions have left out is a fault where no
// message is missing.
func (c *client) positionCounts(m *membership) PositionCounts {
	n := m.at.counts
	n.Misplaced += m.at.jumped - min(m.at.jumped, m.check.missed+uint64(len(m.check.gaps)))
	n.Excused = m.check.excused(m.room.streams, c)
	return n
}
