package testenv

import "runtime"

// LiveHeap is what the heap holds after a collection, in bytes.
func LiveHeap() int64 {
	runtime.GC()
	runtime.GC() // The first moves what sync.Pools hold aside, the second frees it.
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
