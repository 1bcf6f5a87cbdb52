package hub

import (
	"container/list"
	"sync/atomic"
	"time"
)

const (
	// slice is how long the flush phase of one tick may last, turn how much of it one room may take while others wait:
	// one room of 20,000 members, or thousands of rooms, must not hold up everybody's events.
	slice = time.Millisecond
	turn  = slice / 4
	// watchEvery is how often a full room's members are counted anew while none of them becomes even, and for how long rounds may
	// leave the blocked ones out.
	watchEvery = 10 * time.Millisecond
	// coolEvery is how often a fanout looks for quiet rooms, to give back their memory.
	coolEvery = time.Second
	// coolBatch is how many of them one Flush looks at.
	coolBatch = 256
)

// A Fanout is one loop's part of the hub: the branches of rooms that have members on this loop. All methods belong to that
// loop.
type Fanout struct {
	hub  *Hub
	wake func()

	marks atomic.Pointer[branch] // marked by anybody, a linked list

	queue   queue[*branch] // to sweep, in turns
	owed    []*Fanout      // to be woken by our next Flush: their branches were marked by us
	watched []*branch
	warm    []warmRoom
	cooling int           // rooms at the front of warm that are still to be looked at
	cooled  time.Duration // when the warm rooms were last looked through
	counted time.Duration // when the watched branches were last counted
	pins    list.List     // of *pin, the one that has been there for longest in front
	stats   Stats
}

// Stats count what befell the members of one loop since it began.
type Stats struct {
	Blocked   uint64              // times the kernel refused a member's bytes
	Slow      uint64              // times a member was further behind than half of the backlog for ten seconds
	Recovered uint64              // times a slow member was even again
	Overtaken [numPolicies]uint64 // times the log had dropped what a member still had to send, by what became of it
	Missed    uint64              // messages that members did not get under Skip and Latest
	Unpinned  uint64              // members given up because dropped frames took too much memory
}

// Add adds what another loop counted.
func (s *Stats) Add(o *Stats) {
	s.Blocked += o.Blocked
	s.Slow += o.Slow
	s.Recovered += o.Recovered
	for i := range o.Overtaken {
		s.Overtaken[i] += o.Overtaken[i]
	}
	s.Missed += o.Missed
	s.Unpinned += o.Unpinned
}

// Stats returns the counters as they stand.
func (f *Fanout) Stats() Stats { return f.stats }

// A warmRoom holds memory that it can do without once it is quiet.
type warmRoom struct {
	room *Room
	next uint64 // the number to come at the last look
}

// NewFanout adds a loop to the hub. wake makes that loop call Flush soon; it is called from other goroutines.
func (h *Hub) NewFanout(wake func()) *Fanout {
	return &Fanout{hub: h, wake: wake}
}

// Join makes m a member of the named room, which is made if need be, and a reader of one of its tracks. The first frame m
// gets is the first one published after Join. m must not be in a room. The errors are ErrTooManyRooms and ErrNoNewRooms.
func (f *Fanout) Join(name string, t Track, m *Member, sink Sink) error {
	m.sink = sink
	for {
		r, err := f.hub.roomOrNew(name)
		if err != nil {
			return err
		}
		if r.join(f, t, m) {
			return nil
		}
	}
}

// Flush sweeps the marked rooms: each member that is not blocked gets what it has not been sent, in turns of rooms, for at
// most a slice of time. It returns how long the loop may sleep: zero with sweeps unfinished, negative without bound. It is
// called at the end of every tick.
func (f *Fanout) Flush(clock func() time.Duration) time.Duration {
	f.wakeOwed()
	f.takeMarks()
	if f.queue.len() == 0 && len(f.watched) == 0 && len(f.warm) == 0 {
		return -1
	}
	now := clock()
	// The clock falls back behind these when a pause of the whole process ended within a Flush.
	f.counted, f.cooled = min(f.counted, now), min(f.cooled, now)
	f.countWatched(now)
	deadline := now + slice
	for f.queue.len() > 0 && now < deadline {
		b := f.dequeue()
		until := deadline
		if f.queue.len() > 0 {
			until = min(deadline, now+turn)
		}
		if b.len() > 0 && !b.sweep(clock, until) {
			f.enqueue(b)
		}
		now = clock()
	}
	f.wakeOwed() // A sweep that lifts the brake marks publishers on other loops.
	f.cool(now)
	return f.sleep(now)
}

func (f *Fanout) sleep(now time.Duration) time.Duration {
	switch {
	case f.queue.len() > 0 || f.cooling > 0 || f.marks.Load() != nil:
		return 0
	case len(f.watched) > 0:
		return max(0, f.counted+watchEvery-now)
	case len(f.warm) > 0:
		return max(0, f.cooled+coolEvery-now)
	}
	return -1
}

// takeMarks moves the marked branches to the queue. A mark is cleared before its branch's log is read, so that a frame
// published in between marks it again.
func (f *Fanout) takeMarks() {
	for b := f.marks.Swap(nil); b != nil; {
		next := b.nextMarked
		b.nextMarked = nil
		b.isMarked.Store(false)
		f.call(b)
		b = next
	}
}

// call puts b on the queue for a round.
func (f *Fanout) call(b *branch) {
	b.isDue = true
	f.enqueue(b)
}

func (f *Fanout) enqueue(b *branch) {
	if !b.isQueued {
		b.isQueued = true
		f.queue.push(b)
	}
}

func (f *Fanout) dequeue() *branch {
	b := f.queue.pop()
	b.isQueued = false
	return b
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

// watch has b counted anew from time to time: its room is full, and nothing that its members do is sure to say so.
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
		f.call(b) // Its sweep watches it again while the room is still full.
	}
	f.watched = f.watched[:0]
}

// cool gives back the memory of rooms that were quiet since the last look, some at a time.
func (f *Fanout) cool(now time.Duration) {
	if f.cooling == 0 && now-f.cooled >= coolEvery {
		f.cooled, f.cooling = now, len(f.warm)
	}
	n := min(f.cooling, coolBatch)
	if n == 0 {
		return
	}
	f.cooling -= n
	batch := append([]warmRoom(nil), f.warm[:n]...)
	f.warm = append(f.warm[:0], f.warm[n:]...)
	for _, w := range batch {
		if done, next := w.room.cool(w.next, f); !done {
			f.warm = append(f.warm, warmRoom{room: w.room, next: next})
		}
	}
	f.wakeOwed()
}
