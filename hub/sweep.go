package hub

import "time"

// sweep gives the ready members their turns, and goes on with the round if one is due, until both
// end or the pace's deadline is past. In a visit that isForLittle, ready members from the first one
// on that has much to get wait for one that is not. False means that there is more to do: b must be
// swept again.
func (b *branch) sweep(p *pace, isForLittle bool) (done bool) {
	done = true
	if b.due != 0 {
		deadline := p.deadline
		p.deadline = p.now + (deadline-p.now)/2 // Neither may keep the other from going on.
		b.fan.isForOne = false                  // A long turn would.
		b.serveReady(p, isForLittle)
		p.deadline = deadline
		b.fan.sweeping = b
		b.fan.isForOne, b.fan.left = true, b.fan.ends-p.now
		done = b.goRound(p)
		b.fan.sweeping = nil
	}
	b.fan.isForOne, b.fan.left = true, b.fan.ends-p.now
	b.serveReady(p, isForLittle)
	return done && (b.ready.len() == 0 || b.isBusy)
}

// serveReady gives each of the ready members a turn, or those before the first one that has much to
// get. One that becomes ready again meanwhile, because its turn's budget was spent, has had its
// turn.
func (b *branch) serveReady(p *pace, isForLittle bool) {
	end := b.track.end.Load()
	if b.mustTell() {
		return
	}
	for n := b.ready.len(); n > 0 && p.now < p.deadline; n-- {
		if isForLittle && b.nextHasMuch() {
			b.fan.putOff(b)
			break
		}
		m := b.ready.pop()
		if m.branch != b || m.state != ready {
			continue
		}
		m.setState(blocked)
		m.goOn(end, b.room.hub.limits.Turn, p.now)
		b.fan.afterVisit(p)
	}
	b.fan.sendAll(p)
}

// goRound goes on with the round, or begins one. It returns true when nothing is to be done at
// present: no round is due, or one that is waits for the transport alone.
func (b *branch) goRound(p *pace) (done bool) {
	r := &b.round
	if r.places == 0 {
		if b.len() == 0 { // The last one left when it had its turn just now, and its track closed behind it.
			b.due = 0
			return true
		}
		b.begin(p.now)
	}
	end := b.track.end.Load() // Later than the mark was cleared, so nothing published before it is missed.
	if b.mustTell() {
		return false
	}
	for r.at < r.places {
		if p.now >= p.deadline {
			return false
		}
		at := b.nextPlace(r.at, r.withBlocked)
		if r.at = at + 1; at < r.places {
			b.visit(b.members[at], end, p.now)
			b.fan.afterVisit(p)
		}
	}
	b.fan.sendAll(p)
	return r.open > 0 || b.endRound()
}

func (b *branch) begin(now time.Duration) {
	b.compact()
	end := b.track.end.Load()
	// A member that joins from here on, in a place that the round may not come to, begins at this
	// number or later.
	next := b.room.next.Load()
	b.round = round{places: int32(len(b.members)), end: end, sweptTo: end, tally: tally{lowest: next}, oldest: b.track.oldest.Load()}
	b.round.carriesOne = uint16(next)-b.roundedTo <= 1
	b.roundedTo = uint16(next)
	if b.needsSweep(now) {
		b.round.withBlocked = true
		b.blocked = blockedSet{overrun: b.blocked.overrun, at: now, end: end, oldest: b.round.oldest.base, tally: tally{lowest: next}}
	}
}

// visit gives m a turn if it has something to get and may take it, and counts how it stands then.
func (b *branch) visit(m *Member, end int64, now time.Duration) {
	if m.handed == 0 {
		// settle comes first in any case: it moves a cursor off a segment that it has finished
		// with, which may be dropped.
		var pending []byte
		if !m.cursor.isOverrun() {
			pending = m.cursor.settle()
		}
		if len(pending) == 0 || m.state != writable {
			b.meet(m, now)
			return
		}
		m.isMet = true
		b.round.open++
		switch budget := b.room.hub.limits.Turn; {
		case b.isBundled:
			readerOf(m).await(now)
		case m.hasOwn:
			m.goOn(end, budget, now)
		default:
			m.goOnWith(pending, end, budget, now)
		}
		return
	}
	m.isMet = true // Its turn began before the round came to it.
	b.round.open++
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
		b.clearVisit(m)
		return
	}
	if !m.isWaitedFor() {
		return
	}
	b.blocked.activeMembers++
	b.blocked.lateMembers++
}

// isWaitedFor reports whether m has a say in the brake while it is not stalled: neither one that
// catches up nor one that is to Finish has, as what is published now is nothing to them.
func (m *Member) isWaitedFor() bool { return !m.IsCatchingUp() && m.owedTo == withoutEnd }

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

// isNearOverrun reports whether what is retained behind a member, of all tracks, is more than half
// of what the log may come to hold. Tracks drop together, by number: in a thin track that may be
// far fewer bytes than half of the backlog, or than the publish window; and a track that was just
// opened has next to nothing behind anybody.
func (b *branch) isNearOverrun(c *cursor) bool {
	r, next := b.room, b.room.next.Load()
	behind := float64(b.track.end.Load() - c.position())
	if all := r.several.Load(); all != nil {
		for _, t := range *all {
			if oldest := t.oldest.Load(); t != b.track && oldest != nil { // It may just have closed.
				behind += share(int64(next-c.seq()), int64(next-oldest.first)) * float64(t.end.Load()-oldest.base)
			}
		}
	}
	return behind > float64(r.capacity.Load())/2
}

// endRound reports what the round has found, and schedules the next one if more is to be found.
func (b *branch) endRound() (done bool) {
	r := b.round
	b.round = round{}
	b.due = 0
	r.add(b.blocked.tally)
	b.room.report(b, &r)
	if b.room.IsFull() {
		b.fan.watch(b)
	}
	if b.len() == 0 {
		return true // The last one left in this round, and its track may be closed.
	}
	// Not r.end: a mark that came in the middle of the round was taken then, and only those visited
	// later were brought to what it stood for; likewise what was dropped meanwhile.
	if r.sweptTo < b.track.end.Load() || r.oldest != b.track.oldest.Load() || r.again {
		b.schedule(b.fan, becauseBehind)
	}
	return true
}
