package hub

import "time"

// endTurn lets a round that has met m in its turn count it.
func (m *Member) endTurn(now time.Duration) {
	b := m.branch
	if b == nil || !m.isMet {
		return
	}
	m.isMet = false
	b.meet(m, now)
	b.closeTurn()
}

// meet deals with what has befallen m, which no transport has bytes of, and counts how it stands.
func (b *branch) meet(m *Member, now time.Duration) {
	if !m.cursor.isOverrun() && m.cursor.seg.base < b.round.oldest.base {
		m.cursor.settle() // At the end of a segment that was dropped it needs nothing of it.
	}
	if m.IsBlocked() {
		m.voter().Ask(now) // Before it may be called stalled.
	}
	if m.IsBlocked() && !m.cursor.isOverrun() {
		if m.cursor.seg.base < b.round.oldest.base {
			b.overrun(m, now)
		} else {
			m.JudgeLag(now)
		}
	}
	switch {
	case m.branch != b: // It left.
	case m.cursor.isOverrun():
		b.countOverrun(m)
	default:
		b.count(m)
	}
}

// countOverrun counts m as late while it takes the rest of its frame. Once it is stalled no round
// need visit it.
func (b *branch) countOverrun(m *Member) {
	if m.isStalled() {
		b.bitmap.clear(m.place)
		return
	}
	if !m.isWaitedFor() {
		return
	}
	b.blocked.activeMembers++
	b.blocked.lateMembers++
}

// count adds m to the tally of those that stand like it. Stalled it counts on neither side, and not
// on the side of those that keep up if what it keeps up with is its own.
func (b *branch) count(m *Member) {
	at, t := m.cursor.position(), &b.round.tally
	if m.IsBlocked() {
		t = &b.blocked.tally
	} else {
		b.round.sweptTo = min(b.round.sweptTo, at)
	}
	t.lowest = min(t.lowest, m.cursor.seq())
	behind := b.track.end.Load() - at
	switch {
	case !m.isWaitedFor(), m.isStalled(), behind > 0 && b.isBundled && !readerOf(m).hasShare:
	case behind > b.room.hub.limits.Window || behind > 0 && b.isNearOverrun(&m.cursor):
		t.activeMembers++
		t.lateMembers++
	case !m.hearsItself():
		t.activeMembers++
	}
}
