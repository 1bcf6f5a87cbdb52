// Package sample keeps the log short whatever clients do: whoever reads it shall see what goes on,
// and nobody shall fill a disk or busy the loops with it. All that is not logged is counted.
package sample

import (
	"sync/atomic"
	"time"
)

// Every is how often one kind of thing that clients bring about is worth a line in the log.
const Every = time.Second

// A Sample is one kind of line; the zero one has written none. It may be used from any goroutine.
type Sample struct {
	next    atomic.Int64 // when the next line may be written, on the clock of those who ask
	skipped atomic.Uint64
}

// Take reports whether a line is due at this time, which is that of a monotonic clock, the same one
// each time; and how many were not written since the last one.
func (s *Sample) Take(now time.Duration) (skipped uint64, ok bool) {
	next := s.next.Load()
	if int64(now) < next || !s.next.CompareAndSwap(next, int64(now+Every)) {
		s.skipped.Add(1)
		return 0, false
	}
	return s.skipped.Swap(0), true
}
