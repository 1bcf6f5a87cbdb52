package hub

import (
	"sync/atomic"
	"time"
)

// A sweep looks at the clock after clockEvery visits, or fewer that have written much: as many as stay well below a turn, and
// enough that looking costs nothing.
const (
	clockEvery    = 16
	bytesPerVisit = 4 << 10 // writing so much costs about as much again as a visit
)

// A branch is one room's members on one loop that read one track, and the sweep that visits them.
type branch struct {
	room  *Room
	track *track
	fan   *Fanout

	isMarked   atomic.Bool // on the fanout's list of marks
	nextMarked *branch     // belongs to who set isMarked, then to who takes the list
	blocked    atomic.Int32

	// Owned by the fanout's loop.
	members  []*Member      // a member keeps its place for life; nil is a hole
	holes    []int32        // places to reuse
	ready    queue[*Member] // those blocked whose client takes bytes again; some may have left
	isDue    bool           // for a round
	isQueued bool           // on the fanout's queue of branches to sweep
	watched  bool           // on the fanout's list of branches to count anew while the room is full
	waiters  []*Member      // publishers that wait for the room
	turns    int            // how often the waiters were resumed
	round    round

	// Guarded by the room's lock, reported at the end of each round.
	swept      int64  // every member that is not blocked has been offered all bytes before this position
	lowest     uint64 // every member has got all frames before this number
	answered   int64  // base of the oldest segment that every blocked member has been held against
	crowd      int    // members that were even, waiting or moving
	late       int    // those of them beyond the publish window
	hasWaiters bool
}

// A round is one pass, in slices, over the places there were when it began; who joins later is even with a later tail. Members
// met later in the round may be brought further than the earlier ones; the round vouches for the tail it began with.
type round struct {
	at     int      // next place to visit
	places int      // how many to visit; zero between rounds
	end    int64    // the track's end when the round began
	oldest *segment // the oldest one retained then
	swept  int64    // lowest position of a waiting member met, at most end
	lowest uint64   // lowest number that a member met has yet to get, at most the one to come when the round began
	crowd  int
	late   int
	again  bool             // a member was refused in a segment that is dropped: the next round deals with it
	pins   map[frameID]*pin // copies of frames that overtaken members are in the middle of
}

// frameID names one frame of a track.
type frameID struct {
	seg   *segment
	index uint32
}

func (b *branch) len() int { return len(b.members) - len(b.holes) }

// add gives m a place. A new member is even, so it does not matter whether a running round comes to its place.
func (b *branch) add(m *Member) {
	if n := len(b.holes); n > 0 {
		m.place = b.holes[n-1]
		b.holes = b.holes[:n-1]
		b.members[m.place] = m
		return
	}
	m.place = int32(len(b.members))
	b.members = append(b.members, m)
}

// remove leaves a hole, so that no neighbour moves to where a running sweep has been, or is yet to come.
func (b *branch) remove(m *Member) {
	b.members[m.place] = nil
	b.holes = append(b.holes, m.place)
}

// compact closes the holes when most places are holes. Only between rounds.
func (b *branch) compact() {
	if len(b.members) < 64 || len(b.holes) < len(b.members)/2 {
		return
	}
	members := make([]*Member, 0, b.len())
	for _, m := range b.members {
		if m != nil {
			m.place = int32(len(members))
			members = append(members, m)
		}
	}
	b.members, b.holes = members, nil
}

// mark puts b on its fanout's list, once. A mark may not be lost, so it is a flag and a link and needs no space anywhere.
func (b *branch) mark(by *Fanout) {
	if b.isMarked.Swap(true) {
		return
	}
	for {
		head := b.fan.marks.Load()
		b.nextMarked = head
		if b.fan.marks.CompareAndSwap(head, b) {
			break
		}
	}
	if by == nil {
		b.fan.wake()
	} else if by != b.fan {
		by.owe(b.fan)
	}
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
		m.catchUp()
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
		b.begin()
	}
	end := b.track.end.Load() // Later than the mark was cleared, so nothing published before it is missed.
	for r.at < r.places {
		if p.now >= p.deadline {
			return
		}
		m := b.members[r.at]
		r.at++
		var wrote int
		if m != nil {
			wrote = b.visit(m, end, p.now)
		}
		p.isOver(wrote)
	}
	b.isDue = !b.finish()
}

func (b *branch) begin() {
	b.compact()
	end := b.track.end.Load()
	// Who joins from here on, in a place that the round may not come to, begins at this number or a later one.
	next := b.room.next.Load()
	b.round = round{places: len(b.members), end: end, swept: end, lowest: next, oldest: b.track.oldest.Load()}
}

// visit offers m what it has not sent, unless the kernel refused it, and counts how it stands. It returns how many bytes went out.
func (b *branch) visit(m *Member, end int64, now time.Duration) (wrote int) {
	// pending comes first in any case: it moves a cursor off a segment that it has finished with, which may be dropped.
	hasMore := len(m.cursor.pending()) > 0
	switch {
	case m.isBlocked && m.cursor.seg.base < b.round.oldest.base:
		b.overtake(m)
	case m.isBlocked:
		m.Judge(now)
	case hasMore:
		wrote = m.sink.Flush(end)
	}
	// Who finds its peer gone has left.
	if m.branch != b {
		return wrote
	}
	b.round.lowest = min(b.round.lowest, m.cursor.seq())
	if m.isStalled(now) {
		return wrote
	}
	b.round.crowd++
	at := m.cursor.position()
	if end-at > b.room.hub.limits.Window || b.isInDanger(&m.cursor) {
		b.round.late++
	}
	switch {
	case !m.isBlocked:
		b.round.swept = min(b.round.swept, at)
	case m.cursor.seg.base < b.round.oldest.base:
		b.round.again = true // It was waiting until just now, so it has not been overtaken.
	}
	return wrote
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

// resumeWaiters tells the waiting publishers that the room has room again.
func (b *branch) resumeWaiters() {
	if len(b.waiters) == 0 {
		return
	}
	b.room.mu.Lock()
	b.hasWaiters = false
	b.room.mu.Unlock()
	waiters := b.waiters
	b.waiters = nil
	for _, m := range waiters {
		m.isWaiting = false
	}
	b.turns++ // The first may fill the room again before the others' turn: each is first at some time.
	for i := range waiters {
		waiters[(i+b.turns)%len(waiters)].sink.Resume()
	}
}

func (b *branch) dropWaiter(m *Member) {
	m.isWaiting = false
	for i, w := range b.waiters {
		if w == m {
			b.waiters = append(b.waiters[:i], b.waiters[i+1:]...)
			return
		}
	}
}
