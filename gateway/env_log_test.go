package gateway

import (
	"os"
	"runtime"
	"sync"
	"testing"
)

// logWriter sends what the gateway logs to the test.
type logWriter struct{ t testing.TB }

func (w logWriter) Write(p []byte) (int, error) {
	w.t.Log(string(p))
	return len(p), nil
}

// RaiseProcessors gives the tests' own goroutines processors beside the loops, as main does.
var RaiseProcessors = sync.OnceFunc(func() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2)
	}
})
