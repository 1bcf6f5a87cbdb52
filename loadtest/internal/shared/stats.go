// Package shared is what the loops of a run tell each other, in one process or in several: numbers
// in memory that all of them map, and for each process a pipe that wakes it.
package shared

import (
	"sync/atomic"
	"unsafe"
)

// A Layout says how much of everything the stats of a run have. All of its processes must agree on
// it.
type Layout struct {
	Rooms          int
	Streams        int // of all publishers
	SlotsPerStream int // a power of two
	Processes      int
}

// Stats are what the loops of a run tell each other. They hold numbers alone and no pointer, so
// that they can lie in memory which several processes map. Everything in them is atomic but a
// slot's sentAt, which only its publisher's loop uses.
type Stats struct {
	Totals *Totals
	Live   []atomic.Int64  // by room: clients that count as receivers
	Sent   []atomic.Uint32 // by stream: messages sent so far
	Cut    []atomic.Bool   // by stream: the rest was not waited for, although messages still came

	slots       []Slot // of all streams, one stream's after the other's
	perStream   int
	wakePending []atomic.Bool // by process: a byte that wakes it is on its way
}

// Totals are of all loops of all processes.
type Totals struct {
	NextConnect atomic.Int64 // when the ramp lets the next opening begin; ns on the run's clock
	Ended       atomic.Int64 // openings that ended, well or not
	Failed      atomic.Int64 // of those, the ones that did not end well
	Arrival     atomic.Int64 // when a message last arrived anywhere, about; ns on the run's clock
	Progress    atomic.Int64 // deliveries so far, about

	Unplaced atomic.Int64 // resumers that have been told no position before the measured phase

	Exhausted [3]atomic.Int64 // openings that failed for want of something here, by what it was
}

// Slots are those of one stream. They belong to messages by their number, modulo the count of
// slots.
func (s *Stats) Slots(stream int) []Slot {
	return s.slots[stream*s.perStream : (stream+1)*s.perStream]
}

// layOut makes stats in what c cuts.
func layOut(c *carver, l Layout) *Stats {
	totals := carve[Totals](c, 1)
	s := &Stats{
		Live:        carve[atomic.Int64](c, l.Rooms),
		Sent:        carve[atomic.Uint32](c, l.Streams),
		Cut:         carve[atomic.Bool](c, l.Streams),
		slots:       carve[Slot](c, l.Streams*l.SlotsPerStream),
		wakePending: carve[atomic.Bool](c, l.Processes),
		perStream:   l.SlotsPerStream,
	}
	if len(totals) > 0 {
		s.Totals = &totals[0]
	}
	return s
}

// size is how much memory stats of the layout take, in bytes.
func (l Layout) size() int {
	c := carver{isMeasuring: true}
	layOut(&c, l)
	return c.used
}

// A carver cuts arrays out of a piece of memory, which is zero.
type carver struct {
	mem         []byte // nil: each array gets its own
	isMeasuring bool   // there are no arrays, only their size counts
	used        int
}

// cacheLine keeps arrays that different loops write apart.
const cacheLine = 64

func carve[T any](c *carver, n int) []T {
	at := c.used
	c.used += (n*int(unsafe.Sizeof(*new(T))) + cacheLine - 1) &^ (cacheLine - 1)
	switch {
	case c.isMeasuring:
		return nil
	case c.mem == nil:
		return make([]T, n)
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&c.mem[at])), n)
}
