package gateway

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

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

// A desk answers questions, on goroutines that are there while there are some. Who comes when all
// are busy waits in line, and leaves it with its connection, for which there are a handshake
// timeout and a head budget.
type desk struct {
	server *Server
	hands  func(*config) int                            // how many goroutines at a time
	answer func(ctx context.Context, q *question) error // sets q.answer.who, if it is about that
	of     string                                       // whom a panic there is of, for the log

	mu      sync.Mutex
	waiting list.List // of questions
	running int
}

// surveyorsMax is how many questions of clients to all nodes wait for answers at a time.
const surveyorsMax = 32

// fillersMax is how many at a time wait for the cluster to fill a room: those that are filled
// already are not to wait for others.
const fillersMax = 64

const (
	// chasersMax is how many at a time wait for a room to come as far as their clients, who were on
	// another node.
	chasersMax = 256
	// chaseTime is how much further behind than another a node is taken to be at most. A client
	// that makes up positions waits for as long, and is told that there are none.
	chaseTime = 2 * time.Second
	// chaseEvery is how often it is looked whether the room has.
	chaseEvery = 2 * time.Millisecond
)

// openDesks makes all: who asks Options.Auth, at most Options.AuthRequests at a time; who makes
// histories, one after the other: that takes a processor and not time; who asks Options.Nodes; and
// who waits for the cluster.
func (s *Server) openDesks() {
	s.desk.server, s.builder.server, s.surveyors.server, s.filler.server = s, s, s, s
	s.chaser.server = s
	s.desk.hands = func(cfg *config) int { return cfg.AuthRequests }
	s.desk.of = "an authenticator"
	s.desk.answer = func(ctx context.Context, q *question) (err error) {
		q.answer.who, err = s.config().Auth.Ask(ctx, q.handshake)
		return err
	}
	s.builder.hands = func(*config) int { return 1 }
	s.builder.of = "the builder of histories"
	s.builder.answer = func(ctx context.Context, q *question) error {
		s.hub.Build(ctx, q.room, q.encoding)
		s.restored.done()
		return nil
	}
	s.surveyors.hands = func(*config) int { return surveyorsMax }
	s.surveyors.of = "who asks other nodes"
	s.surveyors.answer = func(ctx context.Context, q *question) (err error) {
		q.answer.infos, err = s.attendees(ctx, q.room)
		return err
	}
	s.filler.hands = func(*config) int { return fillersMax }
	s.filler.of = "who waits for the cluster"
	s.filler.answer = func(ctx context.Context, q *question) error {
		ctx, cancel := context.WithTimeout(ctx, s.config().HandshakeTimeout/2)
		defer cancel()
		q.answer.isLate = s.opener.await(ctx, q.room) != nil
		return nil
	}
	s.chaser.hands = func(*config) int { return chasersMax }
	s.chaser.of = "who waits for other nodes' messages"
	s.chaser.answer = func(ctx context.Context, q *question) error {
		s.chase(ctx, q.room, q.since)
		return nil
	}
}

// chase waits until what comes of a room has come as far as a position, or for long enough.
func (s *Server) chase(ctx context.Context, room string, at hub.Position) {
	ctx, cancel := context.WithTimeout(ctx, chaseTime)
	defer cancel()
	looks := time.NewTicker(chaseEvery)
	defer looks.Stop()
	for {
		if r, isThere := s.hub.Room(room); !isThere || !r.IsAhead(at) {
			return
		}
		select {
		case <-looks.C:
		case <-ctx.Done():
			return
		}
	}
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
