package main

import (
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// A board is what the loops of a run tell each other. It holds numbers alone and no pointer, so that it can lie in memory
// which several processes map (crew.go). Everything on it is atomic but a slot's sentAt, which only its publisher's loop uses.
type board struct {
	totals *totals
	live   []atomic.Int64  // by room: clients that count as receivers
	sent   []atomic.Uint32 // by lane: messages sent so far
	slots  []slot          // of all lanes, one lane's after the other's
	poked  []atomic.Bool   // by process: a byte that wakes it is on its way
	size   int             // in memory, bytes
}

// totals are of all loops of all processes.
type totals struct {
	connects atomic.Int64 // openings begun, for the ramp
	ended    atomic.Int64 // openings that ended, well or not
	failed   atomic.Int64
	arrival  atomic.Int64 // about when a message last arrived anywhere
	progress atomic.Int64 // deliveries so far, about
}

// openSlots is how many messages of an open loop, of all publishers, can be followed on their way.
const openSlots = 1 << 14

// slotsPerLane is how many messages of one publisher can be followed: a power of two.
func (c *Load) slotsPerLane() int {
	window := uint(c.Window)
	if c.Rate > 0 {
		window = max(window, openSlots/uint(c.Publishers))
	}
	return 1 << bits.Len(window)
}

// newBoard lays a board out in mem, which is zero, or in memory of its own if mem is nil.
func newBoard(cfg *Load, rooms, processes int, mem []byte) *board {
	c := carver{mem: mem}
	b := &board{
		totals: &carve[totals](&c, 1)[0],
		live:   carve[atomic.Int64](&c, rooms),
		sent:   carve[atomic.Uint32](&c, cfg.Publishers),
		slots:  carve[slot](&c, cfg.Publishers*cfg.slotsPerLane()),
		poked:  carve[atomic.Bool](&c, processes),
	}
	b.size = c.used
	return b
}

// A carver cuts arrays out of a piece of memory.
type carver struct {
	mem  []byte // nil: each array gets its own
	used int
}

// cacheLine keeps arrays that different loops write apart.
const cacheLine = 64

func carve[T any](c *carver, n int) []T {
	at := c.used
	c.used += (n*int(unsafe.Sizeof(*new(T))) + cacheLine - 1) &^ (cacheLine - 1)
	if c.mem == nil {
		return make([]T, n)
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&c.mem[at])), n)
}
