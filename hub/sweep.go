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
		at := b.bitmap.next(r.at, r.withBlocked)
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

// nextHasMuch reports whether the first of the ready members, of which there is one, has more than
// a little to get.
func (b *branch) nextHasMuch() bool {
	m := b.ready.first()
	return m.branch == b && m.state == ready && (m.cursor.isOverrun() || b.track.end.Load()-m.cursor.position() > littleBytes)
}

// report takes the outcome of a branch's finished round. The caller is the branch's loop.
func (r *Room) report(b *branch, done *round) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.sweptTo, b.reported = done.sweptTo, done.tally
	b.lookedTo = done.oldest.base
	b.ackedTo = max(b.ackedTo, b.lookedTo) // More may have been trimmed meanwhile.
	if b.blocked.overrun > 0 && b.policy == Skip {
		b.reported.lowest = min(b.reported.lowest, done.oldest.first) // They go on there.
	}
	if r.hub.isLowMemory.Load() {
		r.trim(b.fan)
	}
	if r.forget() {
		r.noteMoved()
	}
	r.release(b.fan)
	if !r.isIdling && r.log.history == nil && r.retains() { // Expire sees to those with history.
		r.isIdling = true
		b.fan.idle = append(b.fan.idle, idleRoom{room: r})
	}
}
