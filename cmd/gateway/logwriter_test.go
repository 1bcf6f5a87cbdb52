package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
)

// A stuckWriter writes nothing until it is freed.
type stuckWriter struct {
	bytes.Buffer
	free chan struct{}
}

func (w *stuckWriter) Write(p []byte) (int, error) {
	<-w.free
	return w.Buffer.Write(p)
}

func TestLogThatNobodyTakesHoldsNobody(t *testing.T) {
	to := &stuckWriter{free: make(chan struct{})}
	w := newLogWriter(to)
	const lines = 3 * logLinesMax
	for i := range lines {
		if n, err := fmt.Fprintf(w, "line %d\n", i); n == 0 || err != nil {
			t.Fatal(n, err)
		}
	}
	dropped := w.Dropped()
	if dropped < lines-logLinesMax-1 || dropped > lines-logLinesMax {
		t.Errorf("%d of %d lines dropped, with room for %d", dropped, lines, logLinesMax)
	}
	close(to.free)
	w.Close()
	if got := bytes.Count(to.Bytes(), []byte("\n")); got+int(dropped) != lines || !bytes.HasPrefix(to.Bytes(), []byte("line 0\nline 1\n")) {
		t.Errorf("%d lines written and %d dropped of %d", got, dropped, lines)
	}
	fmt.Fprintln(w, "too late") // Harmless.
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestD09_LinesThatCannotBeWrittenAreCounted(t *testing.T) {
	w := newLogWriter(brokenWriter{})
	_, _ = io.WriteString(w, "one\n")
	_, _ = io.WriteString(w, "two\n")
	w.Close()
	if n := w.Dropped(); n != 2 {
		t.Errorf("%d lines dropped, want 2", n)
	}
}
