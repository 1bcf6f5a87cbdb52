package gateway

import (
	"container/list"
	"context"
	"errors"
	"sync"

	"sluice/reactor"
)

// A question is one request that an Authenticator is asked about, while its connection is parked.
// What it asks about and the place where the answer goes do not change; the rest is the desk's.
type question struct {
	c         *conn // not to be touched but on its loop, by its token
	handshake *Handshake
	answer    verdict // written before the loop is told

	place  *list.Element // among those that wait; nil: it does not
	cancel context.CancelFunc
}

// A desk asks Options.Auth, on goroutines that are there while there is something to ask, at most
// Options.AuthRequests of them. Who comes when all are busy waits in line, and leaves it with its
// connection, for which there are a handshake timeout and a head budget.
type desk struct {
	server *Server

	mu      sync.Mutex
	waiting list.List // of questions
	running int
}

// ask has a question asked.
func (d *desk) ask(q *question) {
	d.mu.Lock()
	defer d.mu.Unlock()
	q.place = d.waiting.PushBack(q)
	if d.running < d.server.config().AuthRequests {
		d.running++
		d.server.loops.Go(d.work)
	}
}

// drop forgets a question whose connection has gone or been refused.
func (d *desk) drop(q *question) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if q.place != nil {
		d.waiting.Remove(q.place)
		q.place = nil
	}
	if q.cancel != nil {
		q.cancel()
	}
}

// work asks one question after the other until there is none.
func (d *desk) work() {
	for {
		q, ctx := d.next()
		if q == nil {
			return
		}
		q.answer = d.put(ctx, q)
		q.cancel()
		w, t := q.c.w, q.c.token
		_ = post(d.server.life, w.loop, func(*reactor.Loop) { w.answered(t, q) }) // It fails when all is over.
	}
}

var errPanicked = errors.New("gateway: the authenticator panicked")

// put asks, and makes of a panic there, which is that request's alone, an answer that refuses.
func (d *desk) put(ctx context.Context, q *question) (v verdict) {
	if d.server.config().survives() {
		defer func() {
			if value := recover(); value != nil {
				p := reactor.RecoveredPanic(value, "")
				d.server.notePanic(&p, "of", "an authenticator")
				v = verdict{err: errPanicked}
			}
		}()
	}
	v.who, v.err = d.server.config().Auth.Ask(ctx, q.handshake)
	return v
}

// next takes the first question in line; nil if there is none, and then the goroutine is counted
// out.
func (d *desk) next() (*question, context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	first := d.waiting.Front()
	if first == nil || d.server.life.Err() != nil {
		d.running--
		return nil, nil
	}
	q := d.waiting.Remove(first).(*question)
	q.place = nil
	var ctx context.Context
	ctx, q.cancel = context.WithCancel(d.server.life)
	return q, ctx
}
