package gateway

import (
	"container/list"
	"context"
	"errors"
	"sync"

	"sluice/gateway/centrifuge"
	"sluice/hub"
	"sluice/reactor"
)

// A question is what a request waits for while its connection is parked: an Authenticator that says
// who its client is, a room's history that is made in another encoding or has yet to come from the
// cluster, or who is in a room on other nodes. What it is about and the place where the answer goes
// do not change; the rest is its desk's. One without a desk is answered by having the connection on
// another loop.
type question struct {
	c         *conn // not to be touched but on its loop, by its token
	desk      *desk
	handshake *Handshake   // whom the Authenticator is asked about …
	room      string       // … or the room …
	encoding  hub.Encoding // … and the encoding that it lacks …
	since     hub.Position // … or the position up to which it has yet to come
	home      *worker      // the loop where its room is at home; nil: it is about something else
	answer    verdict      // written before the loop is told

	place  *list.Element // among those that wait; nil: it does not
	cancel context.CancelFunc
}

// A desk answers questions, on goroutines that are there while there are some. A client that comes
// when all are busy waits in line, and leaves it with its connection, for which there are a
// handshake timeout and a head budget.
type desk struct {
	server *Server
	hands  func(*config) int                            // how many goroutines at a time
	answer func(ctx context.Context, q *question) error // sets q.answer.who, if it is about that
	of     string                                       // whom a panic there is of, for the log

	mu      sync.Mutex
	waiting list.List // of questions
	running int
}

// ask has a question answered.
func (d *desk) ask(q *question) {
	d.mu.Lock()
	defer d.mu.Unlock()
	q.place = d.waiting.PushBack(q)
	if d.running < d.hands(d.server.config()) {
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

// work answers one question after the other until there is none.
func (d *desk) work() {
	for {
		q, ctx := d.next()
		if q == nil {
			return
		}
		if err := d.put(ctx, q); !q.answer.wasJudged() { // Of a history that could not be made it asks again, and is refused.
			q.answer.err = err
		}
		q.cancel()
		w, t := q.c.w, q.c.token
		_ = post(d.server.life, w.loop, func(*reactor.Loop) { w.answered(t, q) }) // It fails when all is over.
	}
}

var errPanicked = errors.New("gateway: who was asked panicked")

// put asks, and makes of a panic there, which is that request's alone, an answer that refuses.
func (d *desk) put(ctx context.Context, q *question) (err error) {
	if d.server.config().survives() {
		defer func() {
			if value := recover(); value != nil {
				p := reactor.RecoveredPanic(value, "")
				d.server.notePanic(&p, "of", d.of)
				err = errPanicked
			}
		}()
	}
	return d.answer(ctx, q)
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

// A verdict is what came of a question.
type verdict struct {
	who     Principal
	isBuilt bool              // what its room keeps was made in the encoding that it wants, or that was tried
	isTried bool              // it has waited for what its room keeps to come from the cluster …
	isLate  bool              // … which it did not
	isEven  bool              // it has waited until the room has come as far as its client, who was elsewhere before, or for long enough
	infos   []centrifuge.Info // of who is in the room
	moves   int               // how often it was moved to the room's home
	err     error
}

// wasJudged reports whether it is known already who asks: the question was about the room.
func (v *verdict) wasJudged() bool { return v != nil && (v.isBuilt || v.isTried || v.isEven) }

// answered goes on with a connection that was parked, in a turn of its own: its head is judged once
// more, with the answer.
func (w *worker) answered(t reactor.Token, q *question) {
	source, ok := w.loop.Source(t)
	if !ok {
		return
	}
	if c, ok := source.(*conn); ok && c.isParked() && c.in != nil && c.in.question == q {
		c.resumeReading(pauseParked)
	}
}

// isParked reports whether the connection waits for an answer.
func (c *conn) isParked() bool { return c.life <= open && c.pauses&pauseParked != 0 }

// takeAnswer returns what came of the question for which the connection was parked, nil if it was
// not.
func (c *conn) takeAnswer() *verdict {
	if c.in == nil || c.in.question == nil {
		return nil
	}
	q := c.in.question
	c.in.question = nil
	return &q.answer
}
