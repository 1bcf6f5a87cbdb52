package hub

import (
	"container/list"
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
	resumed  []*Member            // of one of those, while they are resumed
	lines    []lineWatch          // of rooms whose publishers wait
	linesAt  time.Duration        // when they were last looked at
	pins     list.List            // of *pin, the one that has been there for longest in front
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

// Stats count what befell the members of one loop since it began.
type Stats struct {
	Account

	Bytes    uint64              // of the log that the kernel took
	Writes   uint64              // deliveries that transports answered for
	Refused  uint64              // … that the kernel did not take whole
	Blocked  uint64              // times a member was refused that was not blocked
	Slow     uint64              // times a member was beyond half of the backlog for ten seconds
	CaughtUp uint64              // times a slow member had caught up again
	Overrun  [numPolicies]uint64 // times the log had dropped what a member needed, by its policy
	Unpinned uint64              // members given up because dropped frames took too much memory
	Joined   [NumAnswers]uint64  // members that joined, by how
	Reset    uint64              // times a member was told that its room has begun anew
}

// Add adds what another loop counted.
func (s *Stats) Add(o *Stats) {
	s.Account.add(&o.Account)
	s.Bytes += o.Bytes
	s.Writes += o.Writes
	s.Refused += o.Refused
	s.Blocked += o.Blocked
	s.Slow += o.Slow
	s.CaughtUp += o.CaughtUp
	for i := range o.Overrun {
		s.Overrun[i] += o.Overrun[i]
	}
	s.Unpinned += o.Unpinned
	s.Reset += o.Reset
	for i := range o.Joined {
		s.Joined[i] += o.Joined[i]
	}
}

// Stats returns the counters as they stand.
func (f *Fanout) Stats() Stats { return f.stats }

// An idleRoom holds memory that it can do without once nothing is published any more.
type idleRoom struct {
	room *Room
	next uint64 // the number to come at the last look
}

// NewFanout adds a loop to the hub. wake makes that loop call Flush soon; it is called from other
// goroutines.
func (h *Hub) NewFanout(wake func(), t Transport) *Fanout {
	return &Fanout{hub: h, wake: wake, transport: t}
}

// WidenBatches has rounds that carry one message at most make wide batches, for a transport that
// makes many writes in one call, or has them no longer do so. They can only begin to before the
// first Flush: a batch of before has no room for so many.
func (f *Fanout) WidenBatches(widens bool) { f.widens = widens }

// Join makes m a member of the named room, which is made if need be, and a reader of one of its
// encodings. The first frame m gets is the first one published after Join. m must not be in a room.
// The errors are those of JoinAt.
func (f *Fanout) Join(name string, e Encoding, m *Member, client Client) error {
	_, err := f.JoinAt(0, name, e, Start{}, m, client)
	return err
}

// Flush sweeps the marked rooms: each member that is not blocked gets what it has not been sent, in
// turns of rooms, for at most a slice of time. It returns how long the loop may sleep: zero with
// sweeps unfinished, negative without bound. It is called at the end of every tick.
func (f *Fanout) Flush(clock func() time.Duration) time.Duration {
	f.takeMarks()
	f.resumeLeased()
	f.wakeOwed() // Of those that have just got leases, too: a loop that is marked nobody else wakes.
	if !f.hasQueued() && f.bundles.len() == 0 && len(f.watched) == 0 && len(f.idle) == 0 && len(f.lines) == 0 && !f.hasUnsent() {
		return -1
	}
	now := clock()
	// The clock falls back behind these when a pause of the whole process ended within a Flush.
	f.counted, f.reclaimedAt = min(f.counted, now), min(f.reclaimedAt, now)
	f.countWatched(now)
	f.watchLines(now)
	deadline := now + slice
	f.ends = deadline
	p := pace{clock: clock, now: now, deadline: deadline}
	f.sendAll(&p) // Of turns that went on when the transport answered late, or for which there was no time.
	half := p.now + (deadline-p.now)/2
	for isServed := false; f.hasQueued() && p.now < deadline; {
		if p.now >= half && !isServed { // Sweeps keep bundles waiting for half of the time at most.
			isServed = true
			f.serveBundles(&p)
			continue
		}
		b, isForLittle := f.next(p.now < half)
		p.deadline = deadline
		if f.hasQueued() || f.bundles.len() > 0 {
			p.deadline = min(deadline, p.now+turn)
		}
		f.swept = b
		switch {
		case b.room.isSpoiled.Load():
			if len(b.members) > 0 {
				b.schedule(f, becauseUnfinished) // Before it, or a panic would leave the others in.
				b.disband(&p)
			}
		case b.len() > 0 && b.mustTell():
			b.tellReset(&p)
			b.schedule(f, becauseUnfinished)
		case b.len() > 0 && !b.sweep(&p, isForLittle):
			b.schedule(f, becauseUnfinished)
		}
		p.deadline = deadline
		f.sendAll(&p) // In the time of whom it is for.
		f.swept = nil
		p.visit()
	}
	p.deadline = deadline
	f.serveBundles(&p)
	f.wakeOwed() // A sweep that lifts the brake marks publishers on other loops.
	f.reclaim(p.now)
	f.takeMarks() // Publishers that were let go on meanwhile need not wait for the next Flush.
	f.resumeLeased()
	return f.sleep(p.now)
}

// next takes the branch whose turn it is. In one half of the time those that have little to send
// come first, in the other those that have much: a quiet room's message waits for no flooded room,
// however many there are, and neither sort keeps the other from going on. A branch whose ready
// members have much waits among the latter for their sake, and may come among the former meanwhile.
func (f *Fanout) next(isQuietFirst bool) (b *branch, isForLittle bool) {
	for isQuietFirst && f.queue.len() > 0 {
		b = f.queue.pop()
		b.isQueued = false
		if !b.mayTakeLong() {
			return b, true
		}
		f.putOff(b)
	}
	if f.busy.len() > 0 {
		b = f.busy.pop()
		b.isBusy = false
		return b, false
	}
	b = f.queue.pop()
	b.isQueued = false
	return b, false
}

// putOff has b wait among the branches that have much to send.
func (f *Fanout) putOff(b *branch) {
	if !b.isBusy {
		b.isBusy = true
		f.busy.push(b)
	}
}

func (f *Fanout) hasQueued() bool { return f.queue.len()+f.busy.len() > 0 }

func (f *Fanout) sleep(now time.Duration) time.Duration {
	switch {
	case f.hasQueued() || f.bundles.len() > 0 || f.hasUnsent() || f.reclaiming > 0 || len(f.leased) > 0 || f.marks.Load() != nil:
		return 0
	case len(f.watched) > 0 && len(f.lines) > 0:
		return max(0, min(f.counted, f.linesAt)+watchEvery-now)
	case len(f.watched) > 0:
		return max(0, f.counted+watchEvery-now)
	case len(f.lines) > 0:
		return max(0, f.linesAt+watchEvery-now)
	case len(f.idle) > 0:
		return max(0, f.reclaimedAt+reclaimEvery-now)
	}
	return -1
}

// takeMarks moves the marked branches to the queue. A mark is cleared before its branch's log is
// read, so that a frame published in between marks it again.
func (f *Fanout) takeMarks() {
	for b := f.marks.Swap(nil); b != nil; {
		next := b.nextMarked
		b.nextMarked = nil
		b.take(reasons(b.marks.Swap(0)))
		b = next
	}
}

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

func (f *Fanout) countWatched(now time.Duration) {
	if len(f.watched) == 0 || now-f.counted < watchEvery {
		return
	}
	f.counted = now
	for _, b := range f.watched {
		b.watched = false
		b.schedule(f, becauseRecount) // Its sweep watches it again while the room is still full.
	}
	f.watched = f.watched[:0]
}

// reclaim gives back the memory of rooms that were idle since the last look, some at a time.
func (f *Fanout) reclaim(now time.Duration) {
	if f.reclaiming == 0 && now-f.reclaimedAt >= reclaimEvery {
		f.reclaimedAt, f.reclaiming = now, len(f.idle)
	}
	n := min(f.reclaiming, reclaimBatch)
	if n == 0 {
		return
	}
	f.reclaiming -= n
	batch := append([]idleRoom(nil), f.idle[:n]...)
	f.idle = append(f.idle[:0], f.idle[n:]...)
	for _, i := range batch {
		if done, next := i.room.reclaim(i.next, f); !done {
			f.idle = append(f.idle, idleRoom{room: i.room, next: next})
		}
	}
	f.wakeOwed()
}
