package hub

import (
	"sync/atomic"
	"time"
)

const (
	// slice is how long the flush phase of one tick may last, turn how much of it one room may take
	// while others wait: one room of 20,000 members, or thousands of rooms, must not hold up
	// everybody's events. A tick with nothing else to do costs a hundredth of it.
	slice = 250 * time.Microsecond
	turn  = slice / 4
	// littleBytes are what a room may have published since a round of its branch for that to be
	// served before those that have more.
	littleBytes = 4 << 10
	// watchEvery is how often a full room's members are counted anew while none of them catches up,
	// and for how long rounds may leave the blocked ones out.
	watchEvery = 10 * time.Millisecond
	// reclaimEvery is how often a fanout looks for idle rooms, to give back their memory.
	reclaimEvery = time.Second
	// reclaimBatch is how many of them one Flush looks at.
	reclaimBatch = 256
)

// A Fanout is one loop's part of the hub: the branches of rooms that have members on this loop. All
// methods belong to that loop.
type Fanout struct {
	hub       *Hub
	wake      func()
	transport Transport

	marks atomic.Pointer[branch] // marked by anybody, a linked list

	queue    queue[*branch] // to sweep, in turns
	busy     queue[*branch] // likewise: those that had much to send when their turn came; one may be in both
	sweeping *branch        // its round goes on at this moment, and so need not hear of its end
	swept    *branch        // the one that Flush is at
	isForOne bool           // nobody in that branch waits for the turns that are given, either
	ends     time.Duration  // when its slice does …
	left     time.Duration  // … and how long that is, when the clock was last looked at
	bundles  bundleQueue    // to serve behind the sweeps
	serving  *Bundle        // the one whose turn goes on at this moment
	trunks   [EncodingsMax]*branch
	owed     []*Fanout // to be woken by our next Flush: their branches were marked by us
	watched  []*branch
	tellings map[*branch]*telling // of branches with members that have yet to be told of a reset
	counted  time.Duration        // when the watched branches were last counted
	leased   []*branch            // with publishers to resume
	resumed  []Client             // of one of those, while they are resumed
	lines    []lineWatch          // of rooms whose publishers wait
	linesAt  time.Duration        // when they were last looked at
	pins     pins
	stats    Stats

	idle        []idleRoom
	reclaiming  int           // rooms at the front of idle that are still to be looked at
	reclaimedAt time.Duration // when the idle rooms were last looked through

	batch        *Batch        // being filled; nil: nothing is
	sent         *Batch        // the one that is with the transport's Send
	batches      queue[*Batch] // full, to be sent first
	spareBatches []*Batch
	widens       bool   // its transport wants wide batches
	ownSent      int    // bytes of their own that clients sent in turns since a look at the clock
	handings     uint32 // deliveries so far, to tell them apart
}

// NewFanout adds a loop to the hub. wake makes that loop call Flush soon; it is called from other
// goroutines.
func (h *Hub) NewFanout(wake func(), t Transport) *Fanout {
	f := &Fanout{hub: h, wake: wake, transport: t}
	f.pins.budget, f.pins.stats = &h.backlog, &f.stats
	return f
}

// WidenBatches has rounds that carry one message at most make wide batches, for a transport that
// makes many writes in one call, or has them no longer do so. They can only begin to before the
// first Flush: a batch of before has no room for so many.
func (f *Fanout) WidenBatches(widens bool) { f.widens = widens }

// putOff has b wait among the branches that have much to send.
func (f *Fanout) putOff(b *branch) {
	if !b.isBusy {
		b.isBusy = true
		f.busy.push(b)
	}
}

func (f *Fanout) hasQueued() bool { return f.queue.len()+f.busy.len() > 0 }

// owe remembers to wake another loop, once for all that this tick published.
func (f *Fanout) owe(other *Fanout) {
	for _, o := range f.owed {
		if o == other {
			return
		}
	}
	f.owed = append(f.owed, other)
}

func (f *Fanout) wakeOwed() {
	for i, o := range f.owed {
		o.wake()
		f.owed[i] = nil
	}
	f.owed = f.owed[:0]
}

// watch makes b be counted anew from time to time: its room is full, and nothing that its members
// do is sure to say so.
func (f *Fanout) watch(b *branch) {
	if !b.watched {
		b.watched = true
		f.watched = append(f.watched, b)
	}
}

// TakePolicies asks Options.PolicyOf anew for those of the rooms that have members on this loop.
// Members that are overrun meanwhile go on by the new one.
func (f *Fanout) TakePolicies(rooms []*Room) {
	for _, r := range rooms {
		policy := f.hub.policyOf(r.name)
		r.mu.Lock()
		for _, b := range r.branches {
			if b.fan == f {
				b.policy = policy
			}
		}
		r.mu.Unlock()
	}
}

// An idleRoom holds memory that it can do without once nothing is published any more.
type idleRoom struct {
	room *Room
	next uint64 // the number to come at the last look
}

// A lineWatch is a line that a loop watches, lest it wait for a lease for ever.
type lineWatch struct {
	room  *Room
	given uint32        // the line's at the last look …
	due   time.Duration // … and when those leases are late
}

// Stats returns the counters as they stand.
func (f *Fanout) Stats() Stats { return f.stats }
