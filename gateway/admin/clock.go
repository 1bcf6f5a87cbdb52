package admin

import (
	"sync/atomic"
	"time"
)

// A clock counts from when it was made, and by nobody's setting.
type clock struct{ now func() time.Duration }

func newClock() clock {
	start := time.Now()
	return clock{now: func() time.Duration { return time.Since(start) }}
}

// sampleEvery is how often one kind of thing that clients bring about is worth a line in the log.
const sampleEvery = time.Second

// A sample is one kind of line.
type sample struct {
	next    atomic.Int64
	skipped atomic.Uint64
}

// take reports whether a line is due, and how many were not written since the last one.
func (s *sample) take(now time.Duration) (skipped uint64, ok bool) {
	next := s.next.Load()
	if int64(now) < next || !s.next.CompareAndSwap(next, int64(now+sampleEvery)) {
		s.skipped.Add(1)
		return 0, false
	}
	return s.skipped.Swap(0), true
}
