package hub

import (
	"sync/atomic"
	"time"
)

// A branch is one room's members on one loop that read one track, and the sweep that visits them.
type branch struct {
	room  *Room
	track *track
	fan   *Fanout

	marks      atomic.Uint32 // reasons that other loops left; not zero: on the fanout's list of marks
	writable   atomic.Int32  // members that are writable
	nextMarked *branch       // of the loop that set the first mark, then of the one that takes the list

	// Owned by the fanout's loop.
	policy    Policy    // of its room, as this loop has taken it last
	isTrunks  bool      // its members are bundles' trunks, and nothing is published in its room
	isBundled bool      // its members are bundles' readers
	isBusy    bool      // on the fanout's queue of those that have much to send
	roundedTo uint16    // the number that was to come when its last round began, or it did: the low bits
	resets    uint16    // of the room's, those that it has noted: the low bits
	members   []*Member // a member keeps its place for life; nil is a hole
	bitmap    bitmap
	holes     []int32        // places to reuse
	ready     queue[*Member] // those that are ready; some may have left
	due       reasons        // why a round is due; none: none is
	isQueued  bool           // on the fanout's queue of branches to sweep
	isSpeaker bool           // its one member is one, and the room does not know it
	watched   bool           // on the fanout's list of branches to count anew while the room is full
	leased    bool           // on the fanout's list of branches with publishers to resume
	round     round
	blocked   blockedSet // members that not every round visits

	delivered atomic.Uint64 // messages that its members got: its loop counts, anybody reads

	// Guarded by the room's lock, reported at the end of each round.
	sweptTo  int64 // every writable member has been offered all bytes before this position
	ackedTo  int64 // base of the oldest segment that every blocked member has been held against
	lookedTo int64 // … of the oldest one that every cursor has been moved on to, but for those behind sweptTo
	reported tally // of all members: each has got all frames before reported.lowest
}

// A round is one pass, in slices, over the places there were when it began; a member that joins
// later is at a later tail, and so is one that was blocked until it caught up. Members met later in
// the round may be brought further than the earlier ones; the round vouches for the tail it began
// with.
type round struct {
	at          int32            // next place to look at
	places      int32            // how many to look at; zero between rounds
	open        int32            // members met whose turns have not ended
	withBlocked bool             // it visits the blocked members as well
	carriesOne  bool             // one message at most was published since the round before it began
	again       bool             // a member was refused in a dropped segment: the next round is to look
	end         int64            // the track's end when the round began
	oldest      *segment         // the oldest one retained then
	sweptTo     int64            // lowest position of a member behind that was met, at most end
	tally                        // of the members met that are not blocked
	pins        map[frameID]*pin // copies of frames that overrun members are in the middle of
}

// A tally says how members stood when they were met.
type tally struct {
	lowest        uint64 // lowest number that one has yet to get
	activeMembers int32  // those caught up, behind or progressing
	lateMembers   int32  // those of them beyond the publish window
}

func (t *tally) add(o tally) {
	t.lowest = min(t.lowest, o.lowest)
	t.activeMembers += o.activeMembers
	t.lateMembers += o.lateMembers
}

// frameID names one frame of a track.
type frameID struct {
	seg   *segment
	index uint32
}

// A blockedSet is what a branch knows of its blocked members. A message is not worth a look at
// thousands of clients that have stopped reading, so a round visits them only if something may have
// changed for them. What it counts otherwise is how they stood when a round last did, or were
// refused since.
type blockedSet struct {
	overrun    int32         // those that stand nowhere in the log
	hasChanged bool          // one of them was refused, rejoined, caught up or left
	at         time.Duration // when a round last took them in
	end        int64         // the track's end then
	oldest     int64         // base of the oldest segment retained then
	tally
}

// schedule is the only way to have a branch visited: by its loop's next Flush, in turns of
// branches. by is the fanout of the caller's loop; another than the branch's leaves a mark, which
// may not be lost and so needs no space anywhere, and owes that loop a wake.
func (b *branch) schedule(by *Fanout, why reason) {
	if by == b.fan {
		b.take(1 << why)
		return
	}
	if b.marks.Or(1<<why) != 0 {
		return
	}
	for {
		head := b.fan.marks.Load()
		b.nextMarked = head
		if b.fan.marks.CompareAndSwap(head, b) {
			break
		}
	}
	by.owe(b.fan)
}

// take puts the branch on its fanout's queue, for a round unless only turns are due. Publishers are
// resumed without a visit.
func (b *branch) take(why reasons) {
	if why&(1<<becauseLeased) != 0 {
		if !b.leased {
			b.leased = true
			b.fan.leased = append(b.fan.leased, b)
		}
		if why &^= 1 << becauseLeased; why == 0 {
			return
		}
	}
	b.due |= why &^ ofTurns
	if !b.isQueued {
		b.isQueued = true
		b.fan.queue.push(b)
	}
}

// isConcerned reports whether a message that was just published, and nothing else, is a reason to
// visit b. If all of its members are blocked none of them can take it, and only now and then it
// changes what they count for in the brake. A member that catches up meanwhile schedules b itself.
// The caller holds the room's lock.
func (b *branch) isConcerned() bool {
	return b.writable.Load() > 0 || b.track.end.Load()-b.sweptTo >= b.room.hub.limits.Window/4
}

// hasMuch reports whether more than a little was published since its last round. Its loop asks,
// which alone changes sweptTo.
func (b *branch) hasMuch() bool { return b.track.end.Load()-b.sweptTo > littleBytes }

func (b *branch) len() int { return len(b.members) - len(b.holes) }

// countDelivered counts messages that the kernel has taken whole.
func (b *branch) countDelivered(n int) {
	b.delivered.Add(uint64(n))
	b.fan.stats.Delivered += uint64(n)
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

// closeTurn counts down the turns that a round waits for. With the last one it can end.
func (b *branch) closeTurn() {
	if b.round.open--; b.round.open == 0 && b.round.at >= b.round.places && b.fan.sweeping != b {
		b.schedule(b.fan, becauseAnswered)
	}
}

// add gives m a place. A new member that is writable is at the tail, so it does not matter whether
// a running round comes to its place.
func (b *branch) add(m *Member) {
	if !m.IsBlocked() {
		b.writable.Add(1)
	}
	if n := len(b.holes); n > 0 {
		m.place = b.holes[n-1]
		b.holes = b.holes[:n-1]
		b.members[m.place] = m
		b.setVisit(m)
	} else {
		b.addPlace(m)
	}
	b.fan.tellings[b].drop(m.place)
}

func (b *branch) addPlace(m *Member) {
	m.place = int32(len(b.members))
	b.members = append(b.members, m)
	if len(b.members) > 64*len(b.bitmap) {
		b.bitmap = append(b.bitmap, places{})
	}
	b.setVisit(m)
}

// setVisit says to rounds that have not come to m whether it is blocked, and that it may be
// visited.
func (b *branch) setVisit(m *Member) {
	b.bitmap.set(m.place, !m.IsBlocked())
}

// remove takes m out and leaves a hole, so that no neighbour moves to where a running sweep has
// been, or is yet to come.
func (b *branch) remove(m *Member) {
	if m.IsBlocked() {
		b.blocked.hasChanged = true
	} else {
		b.writable.Add(-1)
	}
	if m.cursor.isOverrun() {
		b.blocked.overrun--
	}
	b.members[m.place] = nil
	b.bitmap.clear(m.place)
	b.holes = append(b.holes, m.place)
}

// compact closes the holes when most places are holes. Only between rounds, and not while members
// have yet to be told of a reset, who are known by their places.
func (b *branch) compact() {
	if b.fan.tellings[b] != nil || len(b.members) < 64 || len(b.holes) < len(b.members)/2 {
		return
	}
	members := b.members
	b.members, b.bitmap, b.holes = make([]*Member, 0, b.len()), nil, nil
	for _, m := range members {
		if m != nil {
			b.addPlace(m)
		}
	}
}

// enterLog notes that m, which is blocked, stands in the log, however far the running round is.
func (b *branch) enterLog(m *Member) {
	b.blocked.hasChanged = true
	b.blocked.lowest = min(b.blocked.lowest, m.cursor.seq())
	b.setVisit(m)
	if m.cursor.seg.base < b.track.oldest.Load().base {
		// A running round may have passed it. Without one the drop's mark brings the next.
		b.round.again = true
	}
}
