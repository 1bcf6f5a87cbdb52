package main

import (
	"sync/atomic"
	"unsafe"

	"sluice/loadtest/internal/load"
)

// stats are what the loops of a run tell each other. They hold numbers alone and no pointer, so that they can lie in memory
// which several processes map (processes.go). Everything in them is atomic but a slot's sentAt, which only its publisher's loop uses.
type stats struct {
	totals      *totals
	live        []atomic.Int64  // by room: clients that count as receivers
	sent        []atomic.Uint32 // by stream: messages sent so far
	slots       []slot          // of all streams, one stream's after the other's
	wakePending []atomic.Bool   // by process: a byte that wakes it is on its way
	size        int             // in memory, bytes
}

// totals are of all loops of all processes.
type totals struct {
	connects atomic.Int64 // openings begun, for the ramp
	ended    atomic.Int64 // openings that ended, well or not
	failed   atomic.Int64
	arrival  atomic.Int64 // about when a message last arrived anywhere
	progress atomic.Int64 // deliveries so far, about
}

// newStats lays the stats out in mem, which is zero, or in memory of its own if mem is nil.
func newStats(cfg *load.Load, rooms, processes int, mem []byte) *stats {
	c := carver{mem: mem}
	s := &stats{
		totals:      &carve[totals](&c, 1)[0],
		live:        carve[atomic.Int64](&c, rooms),
		sent:        carve[atomic.Uint32](&c, cfg.Publishers),
		slots:       carve[slot](&c, cfg.Publishers*cfg.SlotsPerStream()),
		wakePending: carve[atomic.Bool](&c, processes),
	}
	s.size = c.used
	return s
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
