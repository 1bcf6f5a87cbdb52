package main

import (
	"io"
	"runtime"
	"sync/atomic"
	"time"
)

const (
	// logLinesMax is how many lines may wait for whoever reads the log. Beyond it lines are dropped
	// and counted: a pipe that nobody empties must not hold a loop and all its clients.
	logLinesMax = 1024
	// logFlushTime is how long the end of the program waits for the last lines to go out.
	logFlushTime = time.Second
)

// A logWriter takes lines without ever blocking, and writes them to another writer from a goroutine
// of its own. It is safe for concurrent use.
type logWriter struct {
	lines   chan []byte
	quit    chan struct{}
	done    chan struct{}
	dropped atomic.Uint64
}

func newLogWriter(to io.Writer) *logWriter {
	w := &logWriter{lines: make(chan []byte, logLinesMax), quit: make(chan struct{}), done: make(chan struct{})}
	go w.run(to)
	return w
}

// Write implements io.Writer. It takes p whole, or drops it whole, and never fails.
func (w *logWriter) Write(p []byte) (int, error) {
	select {
	case w.lines <- append([]byte(nil), p...):
	default:
		w.dropped.Add(1)
	}
	return len(p), nil
}

// Dropped is how many lines were not written: there were too many, or writing failed (a full disk,
// a reader that is gone).
func (w *logWriter) Dropped() uint64 { return w.dropped.Load() }

func (w *logWriter) run(to io.Writer) {
	defer close(w.done)
	for {
		select {
		case line := <-w.lines:
			w.put(to, line)
		case <-w.quit:
			for len(w.lines) > 0 {
				w.put(to, <-w.lines)
			}
			return
		}
	}
}

func (w *logWriter) put(to io.Writer, line []byte) {
	if _, err := to.Write(line); err != nil {
		w.dropped.Add(1)
	}
}

// Close writes what waits, for a moment. It is called once; what is written after it goes nowhere.
//
// It waits without a timer: for one the runtime opens its own poller, and a program that could not
// open its poller is to say so.
func (w *logWriter) Close() {
	close(w.quit)
	for end := time.Now().Add(logFlushTime); time.Now().Before(end); runtime.Gosched() {
		select {
		case <-w.done:
			return
		default:
		}
	}
}
