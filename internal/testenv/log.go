package testenv

import (
	"io"
	"os"
	"runtime"
	"sync"
	"testing"
)

type logWriter struct{ t testing.TB }

// LogTo returns a writer to the test's log.
func LogTo(t testing.TB) io.Writer { return logWriter{t} }

func (w logWriter) Write(p []byte) (int, error) {
	w.t.Log(string(p))
	return len(p), nil
}

// RaiseProcessors gives goroutines of a test's own processors beside a gateway's loops, as its program
// does.
var RaiseProcessors = sync.OnceFunc(func() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2)
	}
})
