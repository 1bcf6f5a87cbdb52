package gateway

import (
	"os"
	"runtime"
	"sync"
	"testing"
)

// testWriter sends what the gateway logs to the test.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(string(p))
	return len(p), nil
}

// raised gives the tests' own goroutines processors beside the loops, as main does.
var raised = sync.OnceFunc(func() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2)
	}
})
