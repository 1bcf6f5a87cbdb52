package hub

import "time"

// overrun deals with a blocked member that stands before the oldest segment retained. What is left
// of the frame that it is in the middle of is copied, and the segment is let go. Where the policy
// keeps it, it is overrun until its client has taken that rest: nothing that is dropped meanwhile
// costs anything for it.
func (b *branch) overrun(m *Member, now time.Duration) {
	f, policy, client := b.fan, b.policy, m.client
	f.stats.Overrun[policy]++
	rest := b.restFor(m)
	b.leaveLog(m)
	if policy != Disconnect {
		m.JudgeLag(now)
	}
	if client.Overrun(rest); policy == Disconnect && !b.isBundled && m.IsIn() { // A bundle leaves with all its readers.
		m.leave()
	}
	f.fitPins()
}

// rejoin puts m, which is overrun, back into the log where its room's policy says, now that its
// Rest has been sent and the kernel takes more. What it jumps over it has skipped.
func (m *Member) rejoin() {
	to, missed, at := m.rejoinAt()
	m.cursor = to
	m.branch.blocked.overrun--
	m.branch.enterLog(m)
	m.client.Rejoined(missed, at)
}

// rejoinAt is where m, which is overrun, goes on, how many messages it has missed, and the position
// behind which that is.
func (m *Member) rejoinAt() (to cursor, skipped uint64, at Position) {
	b, r := m.branch, m.branch.room
	r.mu.Lock()
	defer r.mu.Unlock()
	to = b.track.atOldest()
	if b.policy == Latest {
		to = b.track.atNewest()
	}
	if h := r.log.history; h != nil {
		// Segments end at other numbers in other tracks: what is before the oldest record is not
		// known.
		if first := r.log.tracks[source].oldest.Load().first; to.seq() < first {
			to = b.track.at(first)
		}
		at = Position{h.epoch, r.log.before(to.seq()).offset}
	}
	// A room short of memory may drop it before the next round ends.
	b.reported.lowest = min(b.reported.lowest, to.seq())
	skipped = to.seq() - m.cursor.seq()
	r.account.Skipped += skipped
	b.fan.stats.Skipped += skipped
	return to, skipped, at
}

// restFor keeps what m has yet to send of the frame it is in the middle of. The frame is copied
// once in a round.
func (b *branch) restFor(m *Member) Rest {
	n := m.cursor.restOfFrame()
	if n == 0 {
		return Rest{}
	}
	c := m.cursor
	id := frameID{c.seg, c.frame}
	p := b.round.pins[id]
	if p == nil || p.frame == nil {
		p = b.fan.pins.add(b.room, c.copyOfFrame())
		if b.round.pins == nil {
			b.round.pins = map[frameID]*pin{}
		}
		b.round.pins[id] = p
	}
	return p.rest(n, m.voter().client)
}
