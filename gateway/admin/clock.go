package admin

import "time"

// A clock counts from when it was made, and by nobody's setting.
type clock struct{ now func() time.Duration }

func newClock() clock {
	start := time.Now()
	return clock{now: func() time.Duration { return time.Since(start) }}
}
