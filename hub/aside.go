package hub

import "time"

// An aside is what a branch knows of its blocked members. They stand aside: a message is not worth a look at thousands of clients
// that have stopped reading, so a round visits them only if it finds that something may have changed for them. What it counts
// otherwise is how they stood when a round last did, or were refused since.
type aside struct {
	adrift     int32         // those that stand nowhere in the log
	hasChanged bool          // one of them was refused, landed or became even since
	at         time.Duration // when a round last took them in
	end        int64         // the track's end then
	oldest     int64         // base of the oldest segment retained then
	tally
}

// isStale reports whether a round that begins now has to take the blocked members in: which they are has changed, publishers wait
// for them, the log has dropped what they may need or grown by a share of the publish window, or they have not been looked at for
// a while.
func (b *branch) isStale(now time.Duration) bool {
	a := &b.aside
	return a.hasChanged || b.room.IsFull() || b.track.oldest.Load().base != a.oldest ||
		b.track.end.Load()-a.end >= b.room.hub.limits.Window/4 || now-a.at >= watchEvery || now < a.at
}

// hold notes that m, which is blocked, stands in the log, however far the running round is.
func (b *branch) hold(m *Member) {
	b.aside.hasChanged = true
	b.aside.lowest = min(b.aside.lowest, m.cursor.seq())
	b.note(m)
	if m.cursor.seg.base < b.track.oldest.Load().base {
		b.round.again = true // A running round may have passed it. Without one the drop's mark brings the next.
	}
}

// setAdrift takes m, which was overtaken, out of the log. next is the number of the first frame that it is not owed.
func (b *branch) setAdrift(m *Member) {
	next := m.cursor.seq()
	if m.cursor.restOfFrame() > 0 {
		next++ // It gets the whole of the frame it is in.
	}
	m.cursor = adriftBefore(next)
	b.aside.adrift++
	b.note(m)
}

// land puts m, which is adrift, back into the log, and counts what it has missed.
func (b *branch) land(m *Member, to cursor) {
	b.fan.stats.Missed += to.seq() - m.cursor.seq()
	m.cursor = to
	b.aside.adrift--
	b.hold(m)
}
