package hub

import (
	"slices"

	"pgregory.net/rapid"
)

// The model's line is a list for each room: who has to wait goes behind, and is taken off when it
// is resumed. A lease is what a publisher may say from then on, until it asks for more than that or
// ends its turn.

// mustWait asks for leave to publish.
func (l *listener) mustWait() bool {
	l.m.lookAtTurns()
	r, was := l.Room(), l.lineState
	queue := slices.Contains(l.story.line, l)
	others := !r.line.isFree()
	isLetGo := r.line != nil && len(r.line.waiting) > 0 && isToResume(r.line.waiting[0]) // Whoever comes may have a lease with it.
	waits := l.AwaitRoom()
	switch {
	case r.stops() && !waits:
		l.m.t.Fatal("a publisher may go on although the room is full")
	case queue && !waits:
		l.m.t.Fatal("a publisher goes on that waits for its Resume")
	case !r.stops() && was == absent && waits != others && !isLetGo:
		l.m.t.Fatalf("others are in line: %v; a publisher that comes has to wait: %v", others, waits)
	}
	switch {
	case waits && !queue && was == publishing && l.said < leaseBytes: // The brake stops it in its turn.
		l.story.line = slices.Insert(l.story.line, 0, l)
	case waits && !queue:
		l.story.line = append(l.story.line, l)
		l.said = 0
	}
	return waits
}

// said holds what the member publishes to its lease.
func (m *model) said(l *listener, size int) {
	before := 0
	if line := l.Room().line; line != nil {
		before = len(line.waiting)
	}
	if l.lineState != publishing && (before > 0 || l.lineState != absent) {
		m.t.Fatalf("a publisher that is %d in line goes ahead of %d", l.lineState, before)
	}
	if l.said += size; l.lineState == publishing && l.said-size >= leaseBytes {
		m.t.Fatalf("a publisher says %d bytes with one lease", l.said)
	}
}

// takeTurn lets a member publish, in its turn or unasked, and end its turn, or forget to.
func (m *model) takeTurn(t *rapid.T) {
	m.lookAtTurns()
	in := slices.DeleteFunc(slices.Clone(m.all), func(l *listener) bool { return !l.IsIn() || l.lineState != publishing })
	l := m.pick()
	if len(in) > 0 && rapid.IntRange(0, 3).Draw(t, "leased") > 0 {
		l = rapid.SampledFrom(in).Draw(t, "publisher")
	}
	if l == nil {
		return
	}
	for range rapid.IntRange(0, 40).Draw(t, "times") {
		m.publish(l.story.room.name, l, rapid.SampledFrom([]int{10, 100, 500}).Draw(t, "size"), false)
	}
	if end := rapid.IntRange(0, 3).Draw(t, "end"); end > 0 {
		l.endTurn(end > 1)
	}
}

func (l *listener) endTurn(hasMore bool) {
	queue := slices.Contains(l.story.line, l)
	waits := l.EndTurn(hasMore)
	if queue && !waits || !queue && !hasMore && waits {
		l.m.t.Fatalf("in line %v, more to say %v, waits %v", queue, hasMore, waits)
	}
	if waits && !queue {
		l.story.line = append(l.story.line, l)
	}
	l.said = 0
}

func (l *listener) leaveLine() {
	l.story.line = slices.DeleteFunc(l.story.line, func(o *listener) bool { return o == l })
}

// lookAtTurns takes those off their lines that were resumed since the last look: they had come to
// the front.
func (m *model) lookAtTurns() {
	for _, l := range m.all {
		if !l.IsIn() {
			l.turns = l.resumed
			l.leaveLine()
		}
		if l.resumed == l.turns {
			continue
		}
		i := slices.Index(l.story.line, l)
		if i < 0 || l.resumed != l.turns+1 {
			m.t.Fatalf("a publisher that does not wait was resumed, %d times since the last look", l.resumed-l.turns)
		}
		for _, before := range l.story.line[:i] {
			if before.lineState == queued {
				m.t.Fatalf("a publisher was resumed before one that had asked earlier, of %d", i)
			}
		}
		l.turns++
		l.said = 0
		l.leaveLine()
	}
}

// checkLines holds rooms' lines to the model's.
func (m *model) checkLines() {
	m.lookAtTurns()
	for name, s := range m.rooms {
		r, l := s.room, s.room.line
		if l == nil {
			l = &line{}
		}
		var waiting []*Member
		for _, one := range s.line {
			switch one.lineState {
			case queued:
				waiting = append(waiting, one.Member)
			case due:
			default:
				m.t.Fatalf("a publisher that is %d in line waits in room %s", one.lineState, name)
			}
		}
		if !slices.Equal(waiting, l.waiting) {
			m.t.Fatalf("%d publishers wait in room %s, or in another order; the room knows of %d", len(waiting), name, len(l.waiting))
		}
		for _, one := range l.leased {
			switch {
			case one.branch == nil || one.branch.room != r || one.lineState != due && one.lineState != publishing:
				m.t.Fatalf("room %s has given a lease to one that is %d in line, in it %v", name, one.lineState, one.branch != nil)
			case one.lineState == due && !r.stops() && !isToResume(one):
				m.t.Fatalf("nobody resumes a publisher of room %s whose turn it is", name)
			}
		}
		out := len(l.leased) - l.late
		switch {
		case out < 0 || out > leasesMax:
			m.t.Fatalf("%d leases are out in room %s", out, name)
		case len(l.waiting) > 0 && out == 0 && !r.stops() && !isToResume(l.waiting[0]):
			m.t.Fatalf("%d publishers of room %s wait for nobody", len(l.waiting), name)
		case out > 0 && (l.watcher == nil || !slices.ContainsFunc(l.watcher.lines, func(w lineWatch) bool { return w.room == r })):
			m.t.Fatalf("nobody looks whether the leases of room %s are late", name)
		case r.mustAsk.Load() != (r.stops() || len(l.waiting)+len(l.leased) > 0):
			m.t.Fatalf("publishers of room %s have to ask: %v", name, r.mustAsk.Load())
		}
	}
}

// isToResume reports whether a publisher's branch is to be visited for its publishers' sake.
func isToResume(p *Member) bool {
	return p.branch.leased || p.branch.marks.Load()&(1<<becauseLeased) != 0
}

// hold makes the publishers of a room wait, or no longer.
func (m *model) hold(t *rapid.T) {
	if l := m.pick(); l != nil {
		l.Room().Hold(rapid.Bool().Draw(t, "held"))
	}
}

// endLines lets time pass until nobody waits, though every other one that has a lease forgets it.
func (m *model) endLines() {
	for range 4 * leaseTime / watchEvery {
		for i, l := range m.all {
			if l.IsIn() && l.lineState == publishing && i%2 == 0 {
				l.endTurn(false)
			}
		}
		m.now += watchEvery
		m.flush()
		m.lookAtTurns()
	}
}
