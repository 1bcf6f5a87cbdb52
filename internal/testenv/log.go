package testenv

import (
	"io"
	"os"
	"runtime"
	"sync"
	"testing"
)

// A logWriter writes to a test's log while there is one.
type logWriter struct {
	mu sync.Mutex
	t  testing.TB // nil when the test has ended
}

// LogTo returns a writer to the test's log. What is written when the test has ended goes nowhere:
// requests in net/http's hands may outlive the server that was closed, and a test's log must not be
// written to any more.
func LogTo(t testing.TB) io.Writer {
	w := &logWriter{t: t}
	t.Cleanup(w.end)
	return w
}

func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t != nil {
		w.t.Log(string(p))
	}
	return len(p), nil
}

func (w *logWriter) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t = nil
}

// RaiseProcessors gives goroutines of a test's own processors beside a gateway's loops, as its
// program does.
var RaiseProcessors = sync.OnceFunc(func() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2)
	}
})
