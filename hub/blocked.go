package hub

import "time"

// needsSweep reports whether a round that begins now has to take the blocked members in:
//
//   - which they are has changed, or publishers wait for them
//   - the log has dropped what they may need, or grown by a quarter of the publish window
//   - they have not been looked at for a while, or the clock fell back
func (b *branch) needsSweep(now time.Duration) bool {
	s := &b.blocked
	return s.hasChanged || b.room.IsFull() || b.track.oldest.Load().base != s.oldest ||
		b.track.end.Load()-s.end >= b.room.hub.limits.Window/4 || now-s.at >= watchEvery || now < s.at
}

// enterLog notes that m, which is blocked, stands in the log, however far the running round is.
func (b *branch) enterLog(m *Member) {
	b.blocked.hasChanged = true
	b.blocked.lowest = min(b.blocked.lowest, m.cursor.seq())
	b.setVisit(m)
	if m.cursor.seg.base < b.track.oldest.Load().base {
		// A running round may have passed it. Without one the drop's mark brings the next.
		b.round.again = true
	}
}

// leaveLog takes m, which is overrun, out of the log.
func (b *branch) leaveLog(m *Member) {
	next := m.cursor.seq() // The number of the first frame that it is not owed.
	if m.cursor.restOfFrame() > 0 {
		next++ // It gets the whole of the frame it is in.
	}
	m.cursor = overrunBefore(next)
	b.blocked.overrun++
	b.setVisit(m)
}
