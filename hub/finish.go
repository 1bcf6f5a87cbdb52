package hub

import "math"

// Leave ends the membership. Nothing of the room is delivered after it, but bytes that the
// transport has not answered for may still be written.
func (m *Member) Leave() {
	switch b := m.branch; {
	case b == nil:
	case b.isTrunks:
		bundleOf(m).leave()
	case b.isBundled:
		readerOf(m).Leave()
	default:
		m.leave()
	}
}

// Finish ends m's stream at a position of its track, which may be below zero, and with what is
// published now at the latest, and its place in line: it publishes no more. Where m is past that
// position, as every m is past math.MinInt64, the frame that it is in the middle of is its last.
// Its client's Finished is called when it has been sent that, which may be before Finish returns.
// Another Finish may end it sooner.
//
// Of a trunk everything but math.MinInt64 is the end of each of its readers' tracks.
func (m *Member) Finish(upTo int64) {
	if m.branch.isTrunks {
		bundleOf(m).finish(upTo)
		return
	}
	m.endAt(upTo)
	if m.CanSendOwn() && !m.hasOwn && m.cursor.position() >= m.owedTo {
		m.client.Finished()
	}
}

// finish is Member.Finish of the trunk: readers leave when they have what they are to get.
func (k *Bundle) finish(upTo int64) {
	if upTo != math.MinInt64 {
		upTo = withoutEnd
	}
	k.isFinishing = true
	for i := len(k.readers) - 1; i >= 0; i-- {
		r := k.readers[i]
		m := &r.m
		m.endAt(upTo)
		r.Ready()
		if m.cursor.isOverrun() || r.offer == 0 && r.isDone() {
			r.Leave()
		}
	}
	k.checkFinished()
}

// endAt notes where m's stream ends. The brake waits for it no more.
func (m *Member) endAt(upTo int64) {
	b := m.branch
	m.quitLine()
	m.owedTo = min(upTo, m.owedTo, b.track.end.Load())
	if m.IsBlocked() {
		b.blocked.hasChanged = true
		if b.room.IsFull() {
			b.schedule(b.fan, becauseLeft)
		}
	}
}
