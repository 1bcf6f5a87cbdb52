package shared

import (
	"math"
	"sync/atomic"
	"time"
)

// A Slot follows one message through the room. The loops report to it in batches, at the end of
// their ticks.
type Slot struct {
	seq       atomic.Uint32
	remaining atomic.Int64 // receivers that have neither got it nor been given up
	first     atomic.Int64 // when the first client had it, nanoseconds on the run's clock
	last      atomic.Int64
	sentAt    time.Duration // only for the publisher's loop
}

// Begin gives the slot to message seq, which receivers clients are to get, and which was sent now.
// Only the publisher's loop may call it, and must let nobody know of seq before.
func (s *Slot) Begin(seq uint32, receivers int64, now time.Duration) {
	s.seq.Store(seq)
	s.first.Store(math.MaxInt64)
	s.last.Store(0)
	s.sentAt = now
	s.remaining.Store(receivers)
}

// IsWaitedFor reports whether some receiver has neither got the message nor been given up.
func (s *Slot) IsWaitedFor() bool { return s.remaining.Load() > 0 }

// Skew is the time between the first and the last arrival so far; hasArrived is false if there was
// none.
func (s *Slot) Skew() (skew time.Duration, hasArrived bool) {
	first, last := s.first.Load(), s.last.Load()
	return time.Duration(last - first), last > 0
}

// LastArrival is when the message last arrived somewhere; zero if it has not.
func (s *Slot) LastArrival() time.Duration { return time.Duration(s.last.Load()) }

// SentAt is when the message was sent. Only the publisher's loop may ask.
func (s *Slot) SentAt() time.Duration { return s.sentAt }

// A Tally is what one loop saw of a message in the present tick.
type Tally struct {
	Seq   uint32
	Count int64 // receivers that got it, or that are given up
	First int64 // arrival, nanoseconds on the run's clock; math.MaxInt64 if there was none
	Last  int64 // arrival; 0 if there was none
}

// Report adds what one loop saw of a message. True means that nobody waits for it any more. A tally
// of a message that had the slot before changes nothing. Any loop may call it.
func (s *Slot) Report(t *Tally) bool {
	if s.seq.Load() != t.Seq {
		return false
	}
	for old := s.first.Load(); t.First < old && !s.first.CompareAndSwap(old, t.First); old = s.first.Load() {
	}
	for old := s.last.Load(); t.Last > old && !s.last.CompareAndSwap(old, t.Last); old = s.last.Load() {
	}
	return s.remaining.Add(-t.Count) == 0
}
