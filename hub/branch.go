package hub

import (
	"sync/atomic"
	"time"
)

// clockEvery is how many members a sweep visits between two looks at the clock.
const clockEvery = 16

// A branch is one room's members on one loop, and the sweep that visits them.
type branch struct {
	room *Room
	fan  *Fanout

	isMarked   atomic.Bool // on the fanout's list of marks
	nextMarked *branch     // belongs to who set isMarked, then to who takes the list
	blocked    atomic.Int32

	// Owned by the fanout's loop.
	members  []*Member // a member keeps its place for life; nil is a hole
	holes    []int32   // places to reuse
	isQueued bool      // on the fanout's queue of branches to sweep
	watched  bool      // on the fanout's list of branches to count anew while the room is full
	waiters  []*Member // publishers that wait for the room
	turns    int       // how often the waiters were resumed
	round    round

	// Guarded by the room's lock, reported at the end of each round.
	swept      int64 // every member that is not blocked has been offered all bytes before this position
	answered   int64 // base of the oldest segment that every blocked member has been held against
	crowd      int   // members that were even, waiting or moving
	late       int   // those of them beyond the publish window
	hasWaiters bool
}

// A round is one pass, in slices, over the places there were when it began; who joins later is even with a later tail. Members
// met later in the round may be brought further than the earlier ones; the round vouches for the tail it began with.
type round struct {
	at     int      // next place to visit
	places int      // how many to visit; zero between rounds
	end    int64    // the log's end when the round began
	oldest *segment // the oldest one retained then
	swept  int64    // lowest position of a waiting member met, at most end
	crowd  int
	late   int
	rests  map[frameID][]byte // copies of frames that overtaken members are stuck in
}

// frameID names one frame of the log.
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

// sweep goes on with the round, or begins one, until it ends or the deadline is past. False means that members are still
// waiting: b must be swept again.
func (b *branch) sweep(clock func() time.Duration, deadline time.Duration) (done bool) {
	r := &b.round
	if r.places == 0 {
		b.begin()
	}
	now := clock()
	end := b.room.log.end.Load() // Later than the mark was cleared, so nothing published before it is missed.
	for r.at < r.places {
		m := b.members[r.at]
		r.at++
		if m != nil {
			b.visit(m, end, now)
		}
		if r.at%clockEvery == 0 {
			if now = clock(); now >= deadline && r.at < r.places {
				return false
			}
		}
	}
	return b.finish()
}

func (b *branch) begin() {
	b.compact()
	end := b.room.log.end.Load()
	b.round = round{places: len(b.members), end: end, swept: end, oldest: b.room.log.oldest.Load()}
}

// visit offers m what it has not sent, unless the kernel refused it, and counts how it stands.
func (b *branch) visit(m *Member, end int64, now time.Duration) {
	// pending comes first in any case: it moves a cursor off a segment that it has finished with, which may be dropped.
	hasMore := len(m.cursor.pending()) > 0
	if m.isBlocked && m.cursor.seg.base < b.round.oldest.base {
		b.overtake(m)
		return
	}
	if !m.isBlocked && hasMore {
		m.sink.Flush(end)
		if m.branch != b {
			return // It left, as whoever finds its peer gone does.
		}
	}
	if m.isStalled(now) {
		return
	}
	b.round.crowd++
	at := m.cursor.position()
	if end-at > b.room.hub.limits.Window {
		b.round.late++
	}
	if !m.isBlocked {
		b.round.swept = min(b.round.swept, at)
	}
}

func (b *branch) finish() (done bool) {
	r := b.round
	b.round = round{}
	b.room.report(b, &r)
	if b.room.IsFull() {
		b.fan.watch(b)
	} else {
		b.resumeWaiters()
	}
	// Not r.end: a mark that came in the middle of the round was taken then, and only those visited later were brought to
	// what it stood for.
	return r.swept >= b.room.log.end.Load()
}

// overtake makes a blocked member that stands before the oldest retained segment give up its place. What is left of a frame
// that several are stuck in is copied once, and the segment is let go.
func (b *branch) overtake(m *Member) {
	var rest []byte
	if n := m.cursor.restOfFrame(); n > 0 {
		c := m.cursor
		id := frameID{c.seg, c.frame}
		frame := b.round.rests[id]
		if frame == nil {
			frame = append([]byte(nil), c.seg.data[c.frameStart():c.seg.ends[c.frame]]...)
			if b.round.rests == nil {
				b.round.rests = map[frameID][]byte{}
			}
			b.round.rests[id] = frame
		}
		rest = frame[len(frame)-n:]
	}
	m.Leave()
	m.sink.Overtaken(rest)
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
