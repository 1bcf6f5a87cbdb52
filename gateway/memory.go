package gateway

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// A memorySource tells what the runtime knows; tests have their own.
type memorySource struct {
	limit   int64 // bytes; math.MaxInt64: no limit
	read    func() liveMemory
	collect func()
	free    func() // collects, and gives the system back what is free
}

// liveMemory is what the last collection of garbage left, with what the runtime takes for itself.
type liveMemory struct {
	bytes  int64
	cycles uint64 // collections so far
}

// runtimeMemory is the memorySource of this process.
func runtimeMemory() memorySource {
	samples := []metrics.Sample{
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
		{Name: "/memory/classes/os-stacks:bytes"},
		{Name: "/memory/classes/metadata/mcache/free:bytes"},
		{Name: "/memory/classes/metadata/mcache/inuse:bytes"},
		{Name: "/memory/classes/metadata/mspan/free:bytes"},
		{Name: "/memory/classes/metadata/mspan/inuse:bytes"},
		{Name: "/memory/classes/metadata/other:bytes"},
		{Name: "/memory/classes/profiling/buckets:bytes"},
		{Name: "/memory/classes/other:bytes"},
	}
	read := func() (now liveMemory) {
		metrics.Read(samples)
		now.cycles = samples[0].Value.Uint64()
		for _, s := range samples[1:] {
			now.bytes += int64(s.Value.Uint64())
		}
		return now
	}
	return memorySource{limit: debug.SetMemoryLimit(-1), read: read, collect: runtime.GC, free: debug.FreeOSMemory}
}

func (m *memorySource) isLimited() bool { return m.limit < math.MaxInt64 }
