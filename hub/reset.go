package hub

import (
	"math"
	"math/bits"
	"slices"
)

// Members are told of a reset in turns of their branch, as they get messages: a room of 20,000 may
// not hold up the others. Until all are told no sweep of the branch goes on, so that each is told
// before it gets anything that follows. Only a reader whose bundle has its turn meanwhile is told
// in that, alone.

// isReset reports whether there was a reset that the branch has yet to note.
func (b *branch) isReset() bool {
	h := b.room.log.history
	return h != nil && uint16(h.resets.Load()) != b.resets
}

// mustTell reports whether members of the branch have yet to be told of a reset. Asked behind a
// look at the log's end, it has each told before what was appended behind that.
func (b *branch) mustTell() bool { return b.isReset() || b.fan.tellings[b] != nil }

// noteReset notes that whoever is in the branch is to be told of a reset, if there was one; who
// joins later is not. The caller holds the room's lock.
func (b *branch) noteReset(h *history) {
	resets := uint16(h.resets.Load())
	if resets == b.resets {
		return
	}
	b.resets = resets
	if b.fan.tellings == nil {
		b.fan.tellings = map[*branch]*telling{}
	}
	b.fan.tellings[b] = &telling{at: h.resetAt, untold: slices.Repeat([]uint64{math.MaxUint64}, len(b.bitmap))}
}

// telling is that of the last reset, which members of b have yet to be told of.
func (b *branch) telling() *telling {
	b.room.mu.Lock()
	defer b.room.mu.Unlock()
	b.noteReset(b.room.log.history)
	return b.fan.tellings[b]
}

// tellReset tells members of a reset that have yet to be told, until the pace's deadline is past.
func (b *branch) tellReset(p *pace) {
	t := b.telling()
	for ; t.next < len(t.untold); t.next++ {
		for set := &t.untold[t.next]; *set != 0; {
			if p.now >= p.deadline {
				return
			}
			place := 64*t.next + bits.TrailingZeros64(*set)
			if *set &= *set - 1; place < len(b.members) && b.members[place] != nil {
				b.members[place].hearReset(t.at)
				p.look() // Its client may have written.
			}
		}
	}
	if b.fan.tellings[b] == t { // Or there was another reset meanwhile.
		delete(b.fan.tellings, b)
	}
}

// isUntold reports whether m has yet to be told of a reset, asked as mustTell is.
func (m *Member) isUntold() bool {
	return m.branch.isReset() || m.branch.fan.tellings[m.branch].has(m.place)
}

// tellReset tells m, which is untold, before the others.
func (m *Member) tellReset() {
	t := m.branch.telling()
	t.drop(m.place)
	m.hearReset(t.at)
}

func (m *Member) hearReset(at Position) {
	m.branch.fan.stats.Reset++
	m.client.Reset(at)
}
