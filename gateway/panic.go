package gateway

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"sluice/hub"
	"sluice/reactor"
)

// A panic is a fault of the gateway's own. What it ends is what it may have left in doubt:
//
//	where it came from                                what ends
//	one connection's input: head, frames, inflating,  that connection, with 1011
//	its message's encoding, timers, its outbox
//	a listener                                        nothing: it accepts again after a moment
//	a request that net/http handles                   that request
//	a message's encoding, in Server.Publish           that call, with ErrFault
//	a room: its log, members, branches, a sweep       all connections in the room, with 1011; whoever
//	                                                  comes later gets a new room
//	a loop's poller, slab, timers, mailbox, hooks;    the process, as with Options.ExitOnPanic all do
//	the directory of rooms, the backlog of all
//	rooms, what connections share of limits
//
// It is told from the functions that the panic passed. Go's runtime ends the process by itself
// where it cannot go on: out of memory, a stack too deep, a map written by two, a deadlock.
type extent uint8

const (
	ofConnection extent = iota
	ofRoom
	ofProcess
)

// extents are judged in this order. A panic that passed none of them is its connection's.
var extents = []struct {
	passed string
	extent extent
}{
	{"sluice/reactor", ofProcess},
	{"sluice/hub.(*backlog)", ofProcess},
	{"sluice/hub.(*roomHeap)", ofProcess},
	{"sluice/hub.roomHeap", ofProcess},
	{"sluice/hub.(*Hub)", ofProcess},
	{"sluice/gateway.(*inputBudget)", ofProcess},
	{"sluice/gateway.(*headBudget)", ofProcess},
	{"sluice/gateway.(*replyBudget)", ofProcess},
	{"sluice/gateway.outboxHeap", ofProcess},
	{"sluice/gateway.(*outboxHeap)", ofProcess},
	{"sluice/gateway.(*admission)", ofProcess},
	{"sluice/hub.(*Room).append", ofRoom},
	{"sluice/hub.(*draft)", ofConnection}, // A message's encoding, before it comes to the room.
	{"sluice/hub", ofRoom},
}

func extentOf(p *reactor.Panic) extent {
	for _, e := range extents {
		if p.Passed(e.passed) {
			return e.extent
		}
	}
	return ofConnection
}

// survives reports whether a panic ends what it left in doubt, and not the process.
func (c *config) survives() bool { return !c.ExitOnPanic && !c.panics }

// panicked hears of a panic in a source's event: reactor.Options.OnPanic.
func (w *worker) panicked(s reactor.Source, p reactor.Panic) {
	e := extentOf(&p)
	if e == ofProcess {
		panic(p.Value)
	}
	switch s := s.(type) {
	case *conn:
		w.server.notePanic(&p, "id", s.id(), "from", s.from())
		w.decoder = w.newDecoder() // It is shared, and may have been in the middle of a frame.
		s.fault(e)
	case *listener:
		w.server.notePanic(&p, "of", "a listener")
		s.rest(fmt.Errorf("panic: %v", p.Value), acceptRetry)
	default:
		panic(p.Value)
	}
}

// fault ends the connection whose handling panicked.
func (c *conn) fault(e extent) {
	offering := c.w.offering
	c.w.offering = ""
	var rooms []*hub.Room
	switch {
	case e != ofRoom:
	case offering != "": // Its own rooms have nothing to do with it.
		c.w.server.spoil(offering)
		e = ofConnection
	case c.reader.IsIn():
		rooms = c.reader.InDoubt()
	}
	switch {
	case len(rooms) > 0:
		for _, r := range rooms {
			r.Spoil() // This connection is closed as the others are, by Spoiled.
		}
	case c.life == open && e == ofConnection:
		c.close(ClosedFault)
	default:
		c.die(ClosedFault)
	}
}

// spoil ends the room of this name, which a publisher that is not in it has left in doubt.
func (s *Server) spoil(room string) {
	if r, _ := s.hub.Find(room); r != nil {
		r.Spoil()
	}
}

// Spoiled implements hub.Client: a panic left the state of the client's room in doubt.
func (c *conn) Spoiled(isWhole bool) {
	switch {
	case !isWhole:
		c.abort(ClosedFault)
	case c.life == finishing: // It was to get everything published before its end, which nobody can give it any more.
		c.part()
	default:
		c.close(ClosedFault)
	}
}

const flushName = "sluice/gateway.(*worker).flush"

// flush runs the hub's part of a tick.
func (w *worker) flush() (sleep time.Duration) {
	if w.cfg.survives() {
		defer w.recoverFlush(&sleep)
	}
	w.encoder.done()
	w.spent = 0
	return w.fan.Flush(w.loop.Elapsed)
}

func (w *worker) recoverFlush(sleep *time.Duration) {
	value := recover()
	if value == nil {
		return
	}
	p, rooms := reactor.RecoveredPanic(value, flushName), w.fan.InDoubt()
	if len(rooms) == 0 || extentOf(&p) == ofProcess {
		panic(value)
	}
	w.server.notePanic(&p, "room", rooms[0].Name())
	for _, r := range rooms {
		r.Spoil()
	}
	*sleep = 0
}

// notePanic counts a panic and logs it, with the stack that it came from, at most once a second.
func (s *Server) notePanic(p *reactor.Panic, whose ...any) {
	s.panics.Add(1)
	if skipped, ok := s.samples.panicked.Take(s.workers[0].kernel.Now()); ok {
		s.log.Error("a panic, which is a fault of the gateway: please report it", append(whose,
			"panic", fmt.Sprint(p.Value), "and_more", skipped, "stack", string(debug.Stack()))...)
	}
}

// guard has a panic of a handler end its request alone, as net/http would by itself, and be
// counted.
func (s *Server) guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if state, ok := r.Context().Value(lentTLS{}).(*tls.ConnectionState); ok {
			r.TLS = state
		}
		defer func() {
			value := recover()
			if value == nil || value == http.ErrAbortHandler {
				return
			}
			p := reactor.RecoveredPanic(value, "")
			s.notePanic(&p, "of", "a request")
			if !s.config().survives() {
				select { // net/http would recover it: Serve ends with it instead.
				case s.failed <- fmt.Errorf("panic in a request: %v", value):
				default:
				}
			}
			panic(http.ErrAbortHandler)
		}()
		h.ServeHTTP(w, r)
	})
}
