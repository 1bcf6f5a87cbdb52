package hub

import (
	"math/bits"
	"sync/atomic"
)

// A branch is one room's members on one loop that read one track, and the sweep that visits them.
type branch struct {
	room  *Room
	track *track
	fan   *Fanout

	isMarked   atomic.Bool  // on the fanout's list of marks
	nextMarked *branch      // belongs to who set isMarked, then to who takes the list
	free       atomic.Int32 // members that are not blocked

	// Owned by the fanout's loop.
	members  []*Member      // a member keeps its place for life; nil is a hole
	blocks   []block        // of 64 places each
	holes    []int32        // places to reuse
	ready    queue[*Member] // those blocked whose client takes bytes again; some may have left
	isDue    bool           // for a round
	isQueued bool           // on the fanout's queue of branches to sweep
	watched  bool           // on the fanout's list of branches to count anew while the room is full
	waiters  []*Member      // publishers that wait for the room
	turns    int            // how often the waiters were resumed
	round    round
	aside    aside // the blocked members, whom not every round visits

	// Guarded by the room's lock, reported at the end of each round.
	swept      int64 // every member that is not blocked has been offered all bytes before this position
	answered   int64 // base of the oldest segment that every blocked member has been held against
	told       tally // of all members: each has got all frames before told.lowest
	hasWaiters bool
}

// A block is what rounds have to know of 64 places before they look at a member: a bit for each.
type block struct {
	free uint64 // its member is not blocked
	all  uint64 // a round that takes the blocked members in visits its member: any but those adrift that do not move
}

func (b *branch) len() int { return len(b.members) - len(b.holes) }

// add gives m a place. A new member is even, so it does not matter whether a running round comes to its place.
func (b *branch) add(m *Member) {
	b.free.Add(1)
	if n := len(b.holes); n > 0 {
		m.place = b.holes[n-1]
		b.holes = b.holes[:n-1]
		b.members[m.place] = m
		b.note(m)
		return
	}
	b.addPlace(m)
}

func (b *branch) addPlace(m *Member) {
	m.place = int32(len(b.members))
	b.members = append(b.members, m)
	if len(b.members) > 64*len(b.blocks) {
		b.blocks = append(b.blocks, block{})
	}
	b.note(m)
}

// note says to rounds that have not come to m whether it is blocked, and that it may be visited.
func (b *branch) note(m *Member) {
	k, bit := &b.blocks[m.place/64], uint64(1)<<(m.place%64)
	k.free &^= bit
	k.all |= bit
	if !m.isBlocked {
		k.free |= bit
	}
}

// pass says to rounds that m need not be visited.
func (b *branch) pass(m *Member) {
	k, bit := &b.blocks[m.place/64], uint64(1)<<(m.place%64)
	k.free &^= bit
	k.all &^= bit
}

// nextPlace is the first place from at on that a round has to visit, the blocked members' included or not; one behind them all says
// that there is none.
func (b *branch) nextPlace(at int32, withBlocked bool) int32 {
	from := ^uint64(0) << (at % 64)
	for i := at / 64; int(i) < len(b.blocks); i++ {
		set := b.blocks[i].free
		if withBlocked {
			set = b.blocks[i].all
		}
		if set &= from; set != 0 {
			return 64*i + int32(bits.TrailingZeros64(set))
		}
		from = ^uint64(0)
	}
	return int32(64 * len(b.blocks))
}

// remove takes m, which is not blocked, out and leaves a hole, so that no neighbour moves to where a running sweep has been, or is yet to come.
func (b *branch) remove(m *Member) {
	b.free.Add(-1)
	b.members[m.place] = nil
	b.pass(m)
	b.holes = append(b.holes, m.place)
}

// compact closes the holes when most places are holes. Only between rounds.
func (b *branch) compact() {
	if len(b.members) < 64 || len(b.holes) < len(b.members)/2 {
		return
	}
	members := b.members
	b.members, b.blocks, b.holes = make([]*Member, 0, b.len()), nil, nil
	for _, m := range members {
		if m != nil {
			b.addPlace(m)
		}
	}
}

// minds reports whether a message that was just published, and nothing else, is a reason to call b. If all of its members are blocked
// none of them can take it, and only now and then it changes what they count for in the brake. A member that becomes even meanwhile
// calls b itself. The caller holds the room's lock.
func (b *branch) minds() bool {
	return b.free.Load() > 0 || b.track.end.Load()-b.swept >= b.room.hub.limits.Window/4
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
