//go:build linux

package gateway

import (
	"context"
	"iter"
)

// A simBuilder is the goroutine that makes histories in other encodings, as a coroutine: it hands
// over wherever a build lets others have the processor, and so between opening a track, encoding
// what is to come before it, and joining both.
type simBuilder struct {
	desk   *desk
	resume func() (struct{}, bool)
	stop   func()
	yield  func(struct{}) bool
	isBusy bool
	isOver bool
	err    error
}

// newSimBuilder takes the place of the server's own builder.
func newSimBuilder(s *Server) *simBuilder {
	b := &simBuilder{desk: &s.builder}
	b.desk.hands = func(*config) int { return 0 } // None of its own.
	b.desk.answer = func(ctx context.Context, q *question) error {
		s.hub.Build(buildContext{ctx, b}, q.room, q.encoding)
		return nil
	}
	b.resume, b.stop = iter.Pull(func(yield func(struct{}) bool) {
		b.yield = yield
		defer func() {
			if p := recover(); p != nil {
				b.err = panicked(p)
			}
		}()
		for !b.isOver {
			if b.desk.waiting.Len() > 0 {
				b.isBusy = true
				b.desk.running++
				b.desk.work()
				b.isBusy = false
			}
			b.handOver()
		}
	})
	b.resume()
	return b
}

func (b *simBuilder) handOver() { b.isOver = b.isOver || !b.yield(struct{}{}) }

// hasWork says whether a connection waits for a build.
func (b *simBuilder) hasWork() bool { return b.isBusy || b.desk.waiting.Len() > 0 }

// step goes on with a build, if there is one.
func (w *world) stepBuilder() bool {
	b := w.builder
	if b == nil || !b.hasWork() {
		return false
	}
	b.resume()
	if b.err != nil {
		w.Fail("the builder ended: %w", b.err)
	}
	return true
}

// A buildContext hands over whenever a build asks whether somebody still waits for it.
type buildContext struct {
	context.Context
	b *simBuilder
}

func (c buildContext) Err() error {
	if c.b.handOver(); c.b.isOver {
		return context.Canceled
	}
	return c.Context.Err()
}
