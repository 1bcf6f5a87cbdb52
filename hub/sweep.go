package hub

import "time"

// A sweep looks at the clock after clockEvery visits, or fewer that have written much: as many as stay well below a turn, and
// enough that looking costs nothing.
const (
	clockEvery    = 16
	bytesPerVisit = 4 << 10 // writing so much costs about as much again as a visit
)

// A round is one pass, in slices, over the places there were when it began; who joins later is even with a later tail, and so is a
// member that was blocked until it became even. Members met later in the round may be brought further than the earlier ones; the
// round vouches for the tail it began with.
type round struct {
	at          int32            // next place to look at
	places      int32            // how many to look at; zero between rounds
	withBlocked bool             // it visits the blocked members as well
	again       bool             // a member was refused in a segment that was dropped: the next round deals with it
	end         int64            // the track's end when the round began
	oldest      *segment         // the oldest one retained then
	swept       int64            // lowest position of a waiting member met, at most end
	tally                        // of the members met that are not blocked
	pins        map[frameID]*pin // copies of frames that overtaken members are in the middle of
}

// A tally says how members stood when they were met.
type tally struct {
	lowest uint64 // lowest number that one has yet to get
	crowd  int32  // those even, waiting or moving
	late   int32  // those of the crowd beyond the publish window
}

// frameID names one frame of a track.
type frameID struct {
	seg   *segment
	index uint32
}

// A pace tells when a sweep's time is over.
type pace struct {
	clock    func() time.Duration
	now      time.Duration
	deadline time.Duration
	work     int // since the clock was looked at
}

// isOver notes a visit that wrote so many bytes, and reports whether the time is over.
func (p *pace) isOver(wrote int) bool {
	if p.work += 1 + wrote/bytesPerVisit; p.work >= clockEvery {
		p.work, p.now = 0, p.clock()
	}
	return p.now >= p.deadline
}

// sweep serves the members whose clients take bytes again, and goes on with the round if one is due, until both end or the deadline
// is past. False means that members are still waiting: b must be swept again.
func (b *branch) sweep(clock func() time.Duration, deadline time.Duration) (done bool) {
	p := pace{clock: clock, now: clock(), deadline: deadline}
	if b.isDue {
		p.deadline = p.now + (deadline-p.now)/2 // Neither may keep the other from going on.
		b.serveReady(&p)
		p.deadline = deadline
		b.goRound(&p)
	}
	b.serveReady(&p)
	return !b.isDue && b.ready.len() == 0
}

// serveReady lets each of the ready members write. Who becomes ready again meanwhile, because its turn's budget was spent, has had
// its turn.
func (b *branch) serveReady(p *pace) {
	end := b.track.end.Load()
	for n := b.ready.len(); n > 0 && p.now < p.deadline; n-- {
		m := b.ready.pop()
		if m.branch != b || !m.isReady {
			continue
		}
		m.isReady = false
		p.isOver(m.sink.Flush(end))
	}
}

// goRound goes on with the round, or begins one.
func (b *branch) goRound(p *pace) {
	r := &b.round
	if r.places == 0 {
		if b.len() == 0 { // The last one left when it was served just now, and its track closed behind it.
			b.isDue = false
			return
		}
		b.begin(p.now)
	}
	end := b.track.end.Load() // Later than the mark was cleared, so nothing published before it is missed.
	for r.at < r.places {
		if p.now >= p.deadline {
			return
		}
		at := b.nextPlace(r.at, r.withBlocked)
		if r.at = at + 1; at < r.places {
			p.isOver(b.visit(b.members[at], end, p.now))
		}
	}
	b.isDue = !b.finish()
}

func (b *branch) begin(now time.Duration) {
	b.compact()
	end := b.track.end.Load()
	// Who joins from here on, in a place that the round may not come to, begins at this number or a later one.
	next := b.room.next.Load()
	b.round = round{places: int32(len(b.members)), end: end, swept: end, tally: tally{lowest: next}, oldest: b.track.oldest.Load()}
	if b.isStale(now) {
		b.round.withBlocked = true
		b.aside = aside{adrift: b.aside.adrift, at: now, end: end, oldest: b.round.oldest.base, tally: tally{lowest: next}}
	}
}

// visit offers m what it has not sent, unless the kernel refused it, and counts how it stands. It returns how many bytes went out.
func (b *branch) visit(m *Member, end int64, now time.Duration) (wrote int) {
	if m.cursor.isAdrift() {
		b.countAdrift(m, now)
		return 0
	}
	// pending comes first in any case: it moves a cursor off a segment that it has finished with, which may be dropped.
	hasMore := len(m.cursor.pending()) > 0
	switch {
	case m.isBlocked && m.cursor.seg.base < b.round.oldest.base:
		b.overtake(m, now)
	case m.isBlocked:
		m.Judge(now)
	case hasMore:
		wrote = m.sink.Flush(end)
	}
	switch {
	case m.branch != b: // It found its peer gone, or was made to leave.
	case m.cursor.isAdrift():
		b.countAdrift(m, now)
	default:
		b.count(m, now)
	}
	return wrote
}

// countAdrift counts m as late while it takes the rest of its frame. Once it is stalled no round need visit it.
func (b *branch) countAdrift(m *Member, now time.Duration) {
	if m.isStalled(now) {
		b.pass(m)
		return
	}
	b.aside.crowd++
	b.aside.late++
}

// count adds m to the tally of those that stand like it.
func (b *branch) count(m *Member, now time.Duration) {
	at, t := m.cursor.position(), &b.round.tally
	if m.isBlocked {
		t = &b.aside.tally
	} else {
		b.round.swept = min(b.round.swept, at)
	}
	t.lowest = min(t.lowest, m.cursor.seq())
	if m.isStalled(now) {
		return
	}
	t.crowd++
	if b.track.end.Load()-at > b.room.hub.limits.Window || b.isInDanger(&m.cursor) {
		t.late++
	}
}

// isInDanger reports whether what is retained behind a member, of all tracks, is more than half of what the log may come to hold.
// Tracks drop together, by number, and frame ends count too: in a thin track, or with tiny frames, that may be far fewer bytes than
// half of the backlog, or than the publish window. A thin track's segments reach further back than the others'; so in number, too, the
// member may not be in the older half of what every track retains.
func (b *branch) isInDanger(c *cursor) bool {
	r, end, next := b.room, b.track.end.Load(), b.room.next.Load()
	bytes := share(end-c.position(), end-b.track.oldest.Load().base)
	frames := share(int64(next-c.seq()), int64(next-r.oldest.Load()))
	if r.uses.Load()&(r.uses.Load()-1) == 0 { // One track: its bytes say all.
		frames = 0
	}
	return max(bytes, frames)*float64(r.held.Load()) > float64(r.brim.Load())/2
}

func share(part, whole int64) float64 { return float64(part) / float64(max(1, whole)) }

func (b *branch) finish() (done bool) {
	r := b.round
	b.round = round{}
	r.add(b.aside.tally)
	b.room.report(b, &r)
	if b.room.IsFull() {
		b.fan.watch(b)
	} else {
		b.resumeWaiters()
	}
	if b.len() == 0 {
		return true // The last one left in this round, and its track may be closed.
	}
	// Not r.end: a mark that came in the middle of the round was taken then, and only those visited later were brought to
	// what it stood for; likewise what was dropped meanwhile.
	return r.swept >= b.track.end.Load() && r.oldest == b.track.oldest.Load() && !r.again
}

func (t *tally) add(o tally) {
	t.lowest = min(t.lowest, o.lowest)
	t.crowd += o.crowd
	t.late += o.late
}
