//go:build !linux

package usage

import (
	"runtime/metrics"
	"time"
)

// An Observation is what a process and its descendants had used at one moment. Only Linux tells.
type Observation struct {
	OK       bool
	CPU      time.Duration
	RSS      int64
	Switches int64
}

// Observe is never OK: only Linux tells.
func Observe([]int) Observation { return Observation{} }

// Watcher would observe processes again and again.
type Watcher struct{}

// Watch makes no watcher.
func Watch([]int) *Watcher { return nil }

// Observe is never OK.
func (*Watcher) Observe() Observation { return Observation{} }

// OwnWaiting is zero: only Linux tells.
func OwnWaiting() time.Duration { return 0 }

// OwnCPU is what the Go runtime estimates of the processor time this process has used.
func OwnCPU() time.Duration {
	sample := []metrics.Sample{{Name: "/cpu/classes/user:cpu-seconds"}}
	metrics.Read(sample)
	return time.Duration(sample[0].Value.Float64() * float64(time.Second))
}
