package cluster

import "time"

// monotonic returns a clock that begins now, and that nobody sets.
func monotonic() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}
