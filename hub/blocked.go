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
