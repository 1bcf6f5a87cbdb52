package reactor

import "time"

// TickBounds are the upper bounds of TickTimes.Counts; what lasts longer than the last of them is
// counted behind it.
var TickBounds = [...]time.Duration{
	50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond,
	time.Second,
}

// TickTimes say for how long a loop was busy: from the end of a wait to the beginning of the next.
// The time of a tick is known when the next one begins.
type TickTimes struct {
	Counts [len(TickBounds) + 1]uint64 // of ticks, each in the first place whose bound it does not exceed
	Sum    time.Duration
}

func (t *TickTimes) add(took time.Duration) {
	t.Sum += took
	i := 0
	for i < len(TickBounds) && took > TickBounds[i] { // Most are below the first.
		i++
	}
	t.Counts[i]++
}

// Add adds what another loop counted.
func (t *TickTimes) Add(o *TickTimes) {
	t.Sum += o.Sum
	for i := range t.Counts {
		t.Counts[i] += o.Counts[i]
	}
}
