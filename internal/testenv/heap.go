package testenv

import (
	"os"
	"runtime"
	"testing"
)

// LiveHeap is what the heap holds after a collection, in bytes.
func LiveHeap() int64 {
	runtime.GC()
	runtime.GC() // The first moves what sync.Pools hold aside, the second frees it.
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// IsWholeSize reports, and says, whether a test of size is to run at the size that its figures are of, as it does in CI. Small it
// holds the gateway to the same rules.
func IsWholeSize(t testing.TB) bool {
	t.Helper()
	isWhole := os.Getenv("SLUICE_CI") == "1"
	if isWhole {
		t.Log("whole size")
	} else {
		t.Log("small size; whole with SLUICE_CI=1")
	}
	return isWhole
}
