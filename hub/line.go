package hub

import (
	"fmt"
	"slices"
	"time"
)

const (
	// leaseBytes is what a publisher that has waited may publish before others have their turn.
	leaseBytes = 16 << 10
	// leaseTime is how long the others wait for one that has a lease and does not end it: its loop
	// is busy, or it stands in another line there.
	leaseTime = 50 * time.Millisecond
	// leasesMax is how many get their leases together, a publish window's worth of them.
	leasesMax = 64
)

// A line is the publishers of one room that wait, of all loops, in the order in which they asked.
// Those in front get their leases together, so that no loop waits for another's every turn, and the
// next ones when all of these have ended.
//
// While anybody is in it nobody publishes who is not: a loop that is quick, or that lifts the brake
// itself, is not ahead of the others. The room's lock guards it, and its members' states in it.
type line struct {
	waiting []*Member // queued
	leased  []*Member // due or publishing
	late    int       // how many of those, in front, nobody waits for any more
	given   uint32    // how often leases were given
	watcher *Fanout   // the loop that looks whether they are late; nil: there are none
}

// isFree reports whether nobody has to be waited for.
func (l *line) isFree() bool { return l == nil || len(l.waiting) == 0 && len(l.leased) == l.late }

// isEmpty reports whether nobody is in it.
func (l *line) isEmpty() bool { return l == nil || len(l.waiting)+len(l.leased) == 0 }

// lessees are those that have a lease.
func (l *line) lessees() []*Member {
	if l == nil {
		return nil
	}
	return l.leased
}

// setLineState is the one place where a place in line changes. The caller holds the room's lock.
func (m *Member) setLineState(to lineState) {
	if lineMoves[m.lineState]&(1<<to) == 0 {
		m.branch.room.hub.broken(fmt.Sprintf("a publisher that is %v in line becomes %v", m.lineState, to))
	}
	m.lineState = to
}

// drop takes m out of the line.
func (l *line) drop(m *Member) {
	switch m.lineState {
	case queued:
		i := slices.Index(l.waiting, m)
		l.waiting = slices.Delete(l.waiting, i, i+1)
	case due, publishing:
		i := slices.Index(l.leased, m)
		l.leased = slices.Delete(l.leased, i, i+1)
		if i < l.late {
			l.late--
		}
	}
	m.setLineState(absent)
	m.spent = 0
}

// stops reports whether publishers have to wait, for the brake or because somebody holds them.
func (r *Room) stops() bool { return r.isFull.Load() || r.holds.Load() != 0 }

// ask reports whether m has to wait before it publishes.
func (r *Room) ask(m *Member) (waits bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.isSpoiled.Load():
		return false
	case m.lineState.mustWait():
	case m.lineState == absent || m.spent >= leaseBytes:
		r.stand(m)
	case r.stops():
		m.setLineState(due)
	}
	return m.lineState.mustWait()
}

// endTurn ends m's lease with its client's turn, and reports whether m has to wait before the next.
func (r *Room) endTurn(m *Member, hasMore bool) (waits bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.isSpoiled.Load():
		return false
	case m.lineState.mustWait():
	case hasMore:
		r.stand(m)
	default:
		r.quit(m)
	}
	return m.lineState.mustWait()
}

// quitLine takes m, which publishes no more, out of the line.
func (m *Member) quitLine() {
	if r := m.branch.room; r.mustAsk.Load() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.quit(m)
	}
}

// stand puts m behind all that wait, unless it need not wait for anybody. The caller holds the
// lock.
func (r *Room) stand(m *Member) {
	r.line.drop(m)
	if r.stops() || !r.line.isFree() {
		m.setLineState(queued)
		if r.line == nil {
			r.line = &line{}
		}
		r.line.waiting = append(r.line.waiting, m)
	}
	if r.giveLeases(m.branch.fan); m.lineState == due { // All others have ended: its turn has come.
		m.setLineState(publishing)
	}
}

// quit takes m out of the line. The caller holds the lock.
func (r *Room) quit(m *Member) {
	r.line.drop(m)
	r.giveLeases(m.branch.fan)
}

// giveLeases gives those in front of the line their leases, if it is time, and notes whether
// publishers have to ask. The caller holds the lock, and by is its loop's.
func (r *Room) giveLeases(by *Fanout) {
	l := r.line
	if l == nil {
		r.mustAsk.Store(r.stops())
		return
	}
	if n := min(len(l.waiting), leasesMax); n > 0 && len(l.leased) == l.late && !r.stops() {
		for _, m := range l.waiting[:n] {
			m.setLineState(due)
			m.branch.schedule(by, becauseLeased)
		}
		l.leased = append(l.leased, l.waiting[:n]...)
		l.waiting = slices.Delete(l.waiting, 0, n)
		l.given++
		if l.watcher == nil {
			l.watcher = by
			by.lines = append(by.lines, lineWatch{room: r})
		}
	}
	r.mustAsk.Store(r.stops() || !l.isEmpty())
}

// release lifts the brake if its reason is gone, and lets waiting publishers go on. The caller
// holds the lock.
func (r *Room) release(by *Fanout) {
	if !r.isFull.Load() || r.mustWait() {
		return
	}
	r.isFull.Store(false)
	r.goOn(by)
}

// goOn lets those go on that the brake has stopped in their turns, or the next ones. The caller
// holds the lock.
func (r *Room) goOn(by *Fanout) {
	r.scheduleDue(by)
	r.giveLeases(by)
}

// scheduleDue has those resumed that have a lease and were stopped in their turns. The caller holds
// the lock.
func (r *Room) scheduleDue(by *Fanout) {
	for _, m := range r.line.lessees() {
		if m.lineState == due {
			m.branch.schedule(by, becauseLeased)
		}
	}
}

// resumeLeased resumes the branch's members whose turn it is.
func (b *branch) resumeLeased() {
	r, f := b.room, b.fan
	r.mu.Lock()
	r.giveLeases(f) // Whoever has held them, see Hold, has no loop.
	for _, m := range r.line.lessees() {
		if m.branch == b && m.lineState == due && !r.stops() {
			m.setLineState(publishing)
			f.resumed = append(f.resumed, m.client)
		}
	}
	r.mu.Unlock()
	for _, c := range f.resumed {
		c.Resume()
	}
	clear(f.resumed)
	f.resumed = f.resumed[:0]
}

// resumeLeased resumes the publishers of all branches that were scheduled for it before.
func (f *Fanout) resumeLeased() {
	n := len(f.leased)
	for _, b := range f.leased[:n] {
		b.leased = false
		b.resumeLeased()
	}
	f.leased = slices.Delete(f.leased, 0, n)
}

// look gives the next leases if the present ones are late, and reports whether to look again.
func (w *lineWatch) look(by *Fanout, now time.Duration) (again bool) {
	r := w.room
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.line
	w.due = min(w.due, now+leaseTime) // The clock falls back behind a pause of the whole process.
	switch {
	case l.isFree():
		if l.watcher = nil; len(l.leased) == 0 {
			r.line = nil
		}
		return false
	case w.given != l.given || r.stops():
		w.given, w.due = l.given, now+leaseTime
	case now >= w.due:
		l.late = len(l.leased)
		r.giveLeases(by)
	}
	return true
}

// watchLines looks at the lines that the loop watches.
func (f *Fanout) watchLines(now time.Duration) {
	f.linesAt = min(f.linesAt, now)
	if len(f.lines) == 0 || now-f.linesAt < watchEvery {
		return
	}
	f.linesAt = now
	left := f.lines[:0]
	for _, w := range f.lines {
		if w.look(f, now) {
			left = append(left, w)
		}
	}
	clear(f.lines[len(left):])
	f.lines = left
}

// AwaitRoom asks for leave to publish a message. False means that m may. True means that its room
// is full or that others are before it: its client's Resume is called when its turn has come.
func (m *Member) AwaitRoom() bool {
	r := m.branch.room
	return r.mustAsk.Load() && r.ask(m)
}

// EndTurn says that m's client publishes nothing more at present, and whether it has more to
// publish in its next turn. True means that others are before it then: its Resume is called.
func (m *Member) EndTurn(hasMore bool) bool {
	r := m.branch.room
	return r.mustAsk.Load() && r.endTurn(m, hasMore)
}
