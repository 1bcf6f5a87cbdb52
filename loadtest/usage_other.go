//go:build !linux

package main

import (
	"runtime/metrics"
	"time"
)

// An observation is what a process and its descendants had used at one moment. Only Linux tells.
type observation struct {
	ok       bool
	cpu      time.Duration
	rss      int64
	switches int64
}

func observe([]int) observation { return observation{} }

// watcher would be what is observed again and again.
type watcher struct{ roots []int }

func (*watcher) observe() observation { return observation{} }

// ownCPU is what the Go runtime estimates of the processor time this process has used.
func ownCPU() time.Duration {
	sample := []metrics.Sample{{Name: "/cpu/classes/user:cpu-seconds"}}
	metrics.Read(sample)
	return time.Duration(sample[0].Value.Float64() * float64(time.Second))
}
