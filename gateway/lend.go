package gateway

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"sluice/wsproto"
)

// Limits of ordinary HTTP. A lent connection costs a goroutine and buffers, so their number is
// bounded too.
const (
	httpHeaderTimeout = 10 * time.Second
	httpReadTimeout   = 30 * time.Second
	httpWriteTimeout  = 30 * time.Second
	httpIdleTimeout   = 60 * time.Second
)

// lend gives a connection that does not ask for a WebSocket to net/http, with all the bytes read so
// far.
func (c *conn) lend(read []byte) {
	s := c.w.server
	if s.lent.Add(1) > int64(s.cfg.MaxHTTPConnections) {
		s.lent.Add(-1)
		c.refuse(wsproto.Refuse(wsproto.ReasonUnavailable), read)
		return
	}
	fd, err := c.w.loop.Detach(c.token)
	if err != nil {
		s.lent.Add(-1)
		c.w.log.Error("cannot lend a connection", "error", err)
		c.die(ClosedGone)
		return
	}
	key := c.key()
	s.stay(key) // forget counts it out; it is still here.
	c.forget(ClosedLent)
	c.w.stats.Lent++
	s.lending.take(arrival{fd, key}, append([]byte(nil), read...))
}

// A lending is the net.Listener that lent connections come from. Those that want an upgrade after
// all go back to a loop by Server.takeOver: a proxy that keeps connections alive sends GET / and
// later the upgrade on one of them.
type lending struct {
	server  *Server
	conns   chan net.Conn
	done    chan struct{}
	closing sync.Once
}

func newLending(s *Server) *lending {
	// Room for all that may be lent at a time, so that a loop never waits to lend.
	return &lending{server: s, conns: make(chan net.Conn, s.cfg.MaxHTTPConnections), done: make(chan struct{})}
}

// take makes a net.Conn of a connection, which it owns from here on.
func (l *lending) take(a arrival, read []byte) {
	f := os.NewFile(uintptr(a.fd), "lent")
	inner, err := net.FileConn(f) // duplicates
	f.Close()
	if err != nil {
		l.server.log.Error("cannot lend a connection", "error", err)
		l.server.returned(a.key)
		return
	}
	l.conns <- &lentConn{Conn: inner, key: a.key, read: read, server: l.server}
	select {
	case <-l.done: // Nobody accepts any more, and Close may have looked before.
		l.Close()
	default:
	}
}

// Accept implements net.Listener.
func (l *lending) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections that wait to be accepted are closed.
func (l *lending) Close() error {
	l.closing.Do(func() { close(l.done) })
	for {
		select {
		case c := <-l.conns:
			c.Close()
		default:
			return nil
		}
	}
}

// Addr implements net.Listener.
func (l *lending) Addr() net.Addr { return &net.UnixAddr{Name: "lending", Net: "unix"} }

// A lentConn is a connection in net/http's hands. Reads begin with what the loop had read.
type lentConn struct {
	net.Conn
	key    netip.Addr // whom it counts for
	read   []byte
	server *Server
	once   sync.Once
}

func (c *lentConn) Read(p []byte) (int, error) {
	if len(c.read) > 0 {
		n := copy(p, c.read)
		c.read = c.read[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

func (c *lentConn) Close() error {
	c.once.Do(func() { c.server.returned(c.key) })
	return c.Conn.Close()
}

// returned counts a lent connection out.
func (s *Server) returned(key netip.Addr) {
	s.lent.Add(-1)
	s.leave(key)
}
