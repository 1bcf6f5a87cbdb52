package gateway

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	"sluice/hub"
	"sluice/reactor"
)

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

// flushName is worker.flush in a stack.
const flushName = "sluice/gateway.(*worker).flush"

// recoverFlush ends the rooms that a panic in flush has left in doubt.
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

// guard makes a panic of a handler end its request alone, as net/http would by itself, and be
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
