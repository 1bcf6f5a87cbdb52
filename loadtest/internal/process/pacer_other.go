//go:build !linux

package process

import (
	"time"

	"sluice/reactor"
)

// A pacer wakes a loop at an instant, to the millisecond.
type pacer struct{}

func newPacer(*reactor.Loop) (*pacer, error) { return &pacer{}, nil }

// wakeAfter returns how long the loop's wait may be.
func (*pacer) wakeAfter(d time.Duration) time.Duration { return d }
