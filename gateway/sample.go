package gateway

import (
	"sync/atomic"
	"time"

	"sluice/wsproto"
)

// sampleEvery is how often one kind of thing that clients bring about is worth a line in the log:
// whoever reads it shall see what goes on, and nobody shall fill a disk or busy the loops with it.
// All else is counted.
const sampleEvery = time.Second

// A sample is one kind of line. Any loop may use it.
type sample struct {
	next    atomic.Int64 // when the next line may be written, on the kernel's clock
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

// samples are what clients can have logged, each at most once a second.
type samples struct {
	refused    [wsproto.NumReasons]sample
	closed     [NumCloseReasons]sample
	cutShort   sample
	shortage   sample
	unarmed    sample
	unaccepted sample
	unwatched  sample
	untaken    sample
	panicked   sample
	handshake  [NumTLSFailures]sample
	proxied    sample
}
