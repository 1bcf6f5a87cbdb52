package gateway

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"sluice/reactor"
)

// walkPart is how many sources a walk looks at before it asks for the time.
const walkPart = 64

// A walk visits the connections of all loops.
type walk struct {
	ctx  context.Context
	done chan error
	left atomic.Int32 // loops that have yet to be done
	end  func()       // called by the last one
}

// A walker is a walk on one loop.
type walker struct {
	*walk
	w     *worker
	visit func(*conn)
	at    reactor.Token // the last one looked at
}

// walk visits every connection on its loop, some in each tick, with what visitor returns for the
// loop. There is one walk at a time; others wait for it. After an error some may still go on: what
// they write is not to be read.
func (s *Server) walk(ctx context.Context, visitor func(*worker) func(*conn)) error {
	ctx, cancel := s.whileRunning(ctx)
	defer cancel() // Those that go on end with their next step.
	select {
	case s.walking <- struct{}{}:
	case <-ctx.Done():
		return late(ctx)
	}
	k := &walk{ctx: ctx, done: make(chan error, len(s.workers)), end: func() { <-s.walking }}
	k.left.Store(int32(len(s.workers)))
	for i, w := range s.workers {
		one := &walker{walk: k, w: w, visit: visitor(w)}
		if err := s.postRunning(ctx, w, one.step); err != nil {
			for range s.workers[i:] {
				k.report(err)
			}
			break
		}
	}
	for range s.workers {
		select {
		case err := <-k.done:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return late(ctx)
		}
	}
	return nil
}

// report says that one loop is done.
func (k *walk) report(err error) {
	k.done <- err
	if k.left.Add(-1) == 0 {
		k.end()
	}
}

// step visits some and goes on in the next tick.
func (k *walker) step(l *reactor.Loop) {
	if k.ctx.Err() != nil {
		k.report(late(k.ctx))
		return
	}
	until, n := l.Elapsed()+k.w.cfg.walkTime, 0
	for t, source := range l.SourcesAfter(k.at) {
		k.at = t
		if c, ok := source.(*conn); ok {
			k.visit(c)
		}
		if n++; n%walkPart == 0 && l.Elapsed() >= until {
			if !l.Post(k.step) {
				k.report(ErrBusy)
			}
			return
		}
	}
	k.report(nil)
}

// late says why there was no answer.
func late(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), ErrClosed) {
		return ErrClosed
	}
	return ErrBusy
}

// postRunning posts to a loop that runs; before Serve there is nobody to ask.
func (s *Server) postRunning(ctx context.Context, w *worker, task func(*reactor.Loop)) error {
	select {
	case <-s.started:
	default:
		return ErrBusy
	}
	if err := post(ctx, w.loop, task); err != nil {
		return late(ctx)
	}
	return nil
}

// Errors of what is asked of loops.
var (
	ErrNoConnection = errors.New("there is no such connection: it is gone, or never was")
	ErrOutboxFull   = errors.New("the client has yet to take what it was sent before")
	ErrBusy         = errors.New("the gateway is busy: there was no answer in time")
)

// askConn returns what ask does for one connection, on its loop.
func askConn[T any](ctx context.Context, s *Server, id string, ask func(*conn) (T, error)) (answer T, err error) {
	w, t, ok := s.parseID(id)
	if !ok {
		return answer, ErrNoConnection
	}
	ctx, cancel := s.whileRunning(ctx)
	defer cancel()
	type told struct {
		answer T
		err    error
	}
	done := make(chan told, 1) // Nobody may read it any more.
	err = s.postRunning(ctx, w, func(l *reactor.Loop) {
		now := told{err: ErrNoConnection}
		source, _ := l.Source(t)
		if c, ok := source.(*conn); ok && c.isIn("") {
			now.answer, now.err = ask(c)
		}
		done <- now
	})
	if err != nil {
		return answer, err
	}
	select {
	case now := <-done:
		return now.answer, now.err
	case <-ctx.Done():
		return answer, late(ctx)
	}
}

// parseID is conn.id taken apart, or conn.clientID, if that is of this run.
func (s *Server) parseID(id string) (w *worker, t reactor.Token, ok bool) {
	id, run, isClient := strings.Cut(id, "-")
	if isClient && run != fmt.Sprintf("%08x", s.run) {
		return nil, 0, false
	}
	loop, token, _ := strings.Cut(id, ".")
	no, err := strconv.ParseUint(loop, 10, 16)
	n, err2 := strconv.ParseUint(token, 16, 64)
	if err != nil || err2 != nil || no >= uint64(len(s.workers)) {
		return nil, 0, false
	}
	return s.workers[no], reactor.Token(n), true
}

// isIn reports whether the connection is open, and in this room if one is named.
func (c *conn) isIn(room string) bool {
	if c.life != open || !c.reader.IsIn() {
		return false
	}
	if s := c.subscriber(); s != nil {
		return room == "" || s.find(room) != nil
	}
	return room == "" || c.reader.Room().Name() == room
}
