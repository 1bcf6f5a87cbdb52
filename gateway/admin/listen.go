package admin

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"sluice/wsproto"
)

const (
	headTimeout  = 10 * time.Second
	readTimeout  = 30 * time.Second // of a request, its body included
	writeTimeout = 30 * time.Second
	idleTimeout  = 2 * time.Minute // for the next request
	headMax      = 16 << 10
)

// ConnectionsMax is how many connections there may be at a time, on all listeners together. More
// wait to be accepted, until one has been answered or has said nothing for a while.
const ConnectionsMax = 128

// A Server serves a Handler on listeners that are not the gateway's, on goroutines of its own: what
// befalls clients does not befall it.
type Server struct {
	http   *http.Server
	places *places
}

// NewServer returns a server that has no listener yet. A nil log is none.
func NewServer(h http.Handler, log *slog.Logger) *Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{places: newPlaces(ConnectionsMax)}
	s.http = &http.Server{
		Handler: h, ReadHeaderTimeout: headTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: headMax, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnState:   func(c net.Conn, state http.ConnState) { s.places.changed(c, state) },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connContext{}, c) },
	}
	return s
}

type connContext struct{}

// giveWay makes the connection that a request came by make room, as if it had none.
func giveWay(r *http.Request) {
	if c, ok := r.Context().Value(connContext{}).(*judged); ok { // Another server's have no places.
		c.places.giveWay(c.guest)
	}
}

// Serve answers on a listener, which it closes, until Shutdown or Close: then the error is
// http.ErrServerClosed. It may be called for several.
func (s *Server) Serve(l net.Listener) error {
	return s.http.Serve(&listener{Listener: l, places: s.places, closed: make(chan struct{})})
}

// Shutdown stops accepting and returns when the requests under way are answered, or ctx ends.
func (s *Server) Shutdown(ctx context.Context) error { return s.http.Shutdown(ctx) }

// Close cuts all connections.
func (s *Server) Close() error { return s.http.Close() }

// A listener accepts as many connections as there are places, and judges the heads that come on
// them.
type listener struct {
	net.Listener
	places  *places
	closed  chan struct{}
	closing sync.Once
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	if !l.places.take(l.closed) {
		return nil, net.ErrClosed
	}
	inner, err := l.Listener.Accept()
	if err != nil {
		<-l.places.taken
		return nil, err
	}
	c := &judged{Conn: inner, places: l.places, guest: new(guest)}
	c.guest.conn = c
	l.places.enter(c.guest)
	return c, nil
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.closing.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// A judged connection reads as its client sent it, up to a head that two readers could take for
// different requests, or of different lengths (RFC 9112 §6.3): net/http takes some of those, and
// goes on behind them. In such a head's place it reads noRequest, which net/http answers with 400
// and the end.
//
// Bodies in chunks are taken; ServeHTTP closes the connection behind them, so nothing there is
// judged.
type judged struct {
	net.Conn
	places  *places
	guest   *guest // itself, in its place
	request wsproto.Request
	head    []byte // of the next request, not whole
	scanned int    // how much of it has been searched for its end
	body    int64  // bytes of the present body that have yet to come
	isLast  bool   // no head is judged any more
	instead []byte // what is read in place of what came
	isOver  bool
}

var noRequest = []byte("\x00\r\n\r\n")

// Read implements net.Conn.
func (c *judged) Read(p []byte) (n int, err error) {
	if c.isOver {
		return c.readInstead(p)
	}
	n, err = c.Conn.Read(p)
	if good := c.judge(p[:n]); good < n {
		c.isOver, c.instead = true, noRequest
		if good == 0 {
			return c.readInstead(p)
		}
		return good, nil
	}
	return n, err
}

// readInstead never ends: net/http closes when it has read what no request begins with.
func (c *judged) readInstead(p []byte) (int, error) {
	n := copy(p, c.instead)
	c.instead = append(c.instead[n:len(c.instead):len(c.instead)], p[:n]...)
	return n, nil
}

// judge returns how many of the bytes that came are before a head that is refused.
func (c *judged) judge(p []byte) (good int) {
	for good < len(p) && !c.isLast {
		if c.body > 0 {
			n := min(c.body, int64(len(p)-good))
			c.body -= n
			good += int(n)
			continue
		}
		before := len(c.head)
		c.head = append(c.head, p[good:]...)
		end := wsproto.HeadEnd(c.head, c.scanned)
		if end == 0 {
			if len(c.head) > 2*headMax {
				c.isLast = true // net/http has refused it by now.
			}
			c.scanned = len(c.head)
			return len(p)
		}
		if !c.judgeHead(c.head[:end]) {
			return good
		}
		c.places.ask(c.guest)
		good += end - before
		c.head, c.scanned = c.head[:0], 0
	}
	return len(p)
}

// judgeHead reports whether a head is clear, and takes what it says of the body.
func (c *judged) judgeHead(head []byte) bool {
	if c.request.Parse(head) != nil {
		return false
	}
	n, refusal := c.request.BodyLength()
	switch {
	case refusal == nil:
		c.body = n
	case refusal.Reason == wsproto.ReasonLength: // In chunks, and nothing else.
		c.isLast = true
	default:
		return false
	}
	return true
}

// CloseWrite ends our half: net/http waits a little behind it, lest a reset overtake the last
// answer.
func (c *judged) CloseWrite() error {
	c.places.serve(c.guest) // It has been answered for the last time.
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close implements net.Conn.
func (c *judged) Close() error {
	defer c.places.leave(c.guest)
	return c.Conn.Close()
}
