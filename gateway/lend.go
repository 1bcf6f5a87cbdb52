package gateway

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"sluice/wsproto"
)

// Limits of ordinary HTTP. A lent connection costs a goroutine and buffers, so their number is
// bounded too.
const (
	httpReadTimeout  = 30 * time.Second // of a body
	httpWriteTimeout = 30 * time.Second
)

// emptyLine may precede a request (RFC 9112 §2.2), but not one that net/http reads.
var emptyLine = []byte("\r\n")

// lend gives a connection to net/http for one request that does not ask for a WebSocket. p begins
// with that request's head, of n bytes, which has been parsed. What came behind the request comes
// back with the connection.
func (c *conn) lend(p []byte, n int) bool {
	s, head := c.w.server, p[:n]
	body, refusal := c.w.request.BodyLength()
	if refusal == nil {
		refusal = s.judgeHost(&c.w.request)
	}
	if refusal != nil {
		return c.refuse(refusal, head)
	}
	if s.lent.Add(1) > int64(s.config().MaxHTTPConnections) {
		s.lent.Add(-1)
		return c.refuse(wsproto.Refuse(wsproto.ReasonUnavailable), head)
	}
	fd, err := c.w.loop.Detach(c.token)
	if err != nil {
		s.lent.Add(-1)
		return c.refuse(wsproto.Refuse(wsproto.ReasonUnavailable), head)
	}
	key := c.key()
	lent := &lentConn{key: key, server: s, named: c.named(), from: c.forwardedFor(&c.w.request), secured: c.secured()}
	if !lent.from.IsValid() {
		lent.from = lent.named
	}
	c.other = nil // Or letGo would end it.
	s.stay(key)   // letGo counts it out; it is still here.
	c.letGo()
	c.w.stats.Lent++
	end := n + int(min(body, int64(len(p)-n)))
	lent.request, lent.left = bytes.TrimPrefix(append([]byte(nil), p[:end]...), emptyLine), body-int64(end-n)
	lent.behind = append([]byte(nil), p[end:]...)
	s.lending.take(fd, lent)
	return false
}

// A lending is the net.Listener that lent connections come from.
type lending struct {
	server  *Server
	conns   chan net.Conn
	done    chan struct{}
	closing sync.Once
}

func newLending(s *Server) *lending {
	// Room for all that may be lent at a time, so that a loop never waits to lend.
	return &lending{server: s, conns: make(chan net.Conn, s.config().MaxHTTPConnections), done: make(chan struct{})}
}

// take makes a net.Conn of a descriptor, which it owns from here on, and c of that. The descriptor
// is duplicated meanwhile: where there is none left, the client is told so.
func (l *lending) take(fd int, c *lentConn) {
	f := os.NewFile(uintptr(fd), "lent")
	defer f.Close()
	inner, err := net.FileConn(f)
	if err != nil {
		refusal := wsproto.Refuse(wsproto.ReasonUnavailable)
		if c.secured == nil {
			_, _ = l.server.workers[0].kernel.Write(fd, refusal.AppendResponse(nil)) // As to those who are not admitted.
		}
		l.server.noteRefusal(refusal, "", c.request, []any{"error", err})
		c.count()
		return
	}
	c.Conn = inner
	if c.secured != nil {
		c.secured.lent = inner
	}
	l.conns <- c
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

// A lentConn is a connection in net/http's hands, for one request. It reads as that request's head
// and body, as the loop has measured them, and nothing behind: the next head is for the loop to
// judge, to which the connection goes back when the answer has been sent. So net/http can be of no
// other opinion about where a request begins, and a client between two requests holds no goroutine.
//
// A handler may take the connection for good instead, by http.Hijacker.
type lentConn struct {
	net.Conn
	key      netip.Addr // whom it counts for
	named    netip.Addr // the client that a PROXY header has named
	from     netip.Addr // the client of this request, if a trusted proxy has named it
	secured  *secured   // its TLS; Conn is the socket below
	server   *Server
	request  []byte // what the loop had read of the request, and net/http has not
	left     int64  // bytes of its body that have yet to come
	behind   []byte // what came behind it
	isTaken  bool   // by a handler
	isBack   bool   // this request is done
	counting sync.Once

	mu       sync.Mutex // net/http closes what is idle from other goroutines
	isClosed bool       // guarded by mu
	isGiven  bool       // to a loop, TLS and all; guarded by mu
}

// Read implements net.Conn.
func (c *lentConn) Read(p []byte) (n int, err error) {
	switch {
	case len(c.request) > 0:
		n = copy(p, c.request)
		c.request = c.request[n:]
		return n, nil
	case c.left > 0:
		n, err = c.stream().Read(p[:min(int64(len(p)), c.left)])
		c.left -= int64(n)
		return n, err
	case c.isBack:
		return 0, io.EOF
	case !c.isTaken:
		return 0, c.awaitEnd()
	case len(c.behind) > 0:
		n = copy(p, c.behind)
		c.behind = c.behind[n:]
		return n, nil
	}
	return c.stream().Read(p)
}

// Write implements net.Conn.
func (c *lentConn) Write(p []byte) (int, error) { return c.stream().Write(p) }

// stream is what the request's bytes go through: the socket, or TLS over it.
func (c *lentConn) stream() net.Conn {
	if c.secured != nil {
		return c.secured.conn
	}
	return c.Conn
}

// socket is what is below TLS, if there is any.
func (c *lentConn) socket() net.Conn { return c.Conn }

// RemoteAddr implements net.Conn: handlers see the client that a trusted proxy speaks for.
func (c *lentConn) RemoteAddr() net.Addr {
	if c.from.IsValid() {
		return &net.TCPAddr{IP: c.from.AsSlice()}
	}
	return c.Conn.RemoteAddr()
}

// lentTLS is the key that a request's context has the state of TLS under.
type lentTLS struct{}

func (c *lentConn) context(ctx context.Context) context.Context {
	if c.secured == nil {
		return ctx
	}
	state := c.secured.conn.ConnectionState()
	return context.WithValue(ctx, lentTLS{}, &state)
}

// awaitEnd returns when the client is gone, which net/http wants to know while a handler runs, or
// at the deadline that it sets to have done with that. A client that has sent more is there.
func (c *lentConn) awaitEnd() error {
	if len(c.behind) == 0 {
		var next [1]byte
		if _, err := c.stream().Read(next[:]); err != nil {
			return err
		}
		c.behind = append(c.behind, next[0])
	}
	raw, err := c.Conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(func(uintptr) bool { return false })
}

// changed hears from net/http what becomes of the connection.
func (c *lentConn) changed(state http.ConnState) {
	switch state {
	case http.StateHijacked:
		c.isTaken = true
	case http.StateIdle:
		c.isBack = true
		if len(c.request) == 0 && c.left == 0 { // Or it has not read what we took for the request, and closes.
			c.giveBack()
		}
	}
}

// giveBack returns the connection to a loop. net/http closes what it has of it.
func (c *lentConn) giveBack() {
	s := c.server
	s.stay(c.key)
	c.count() // Before its next request can come, which finds the place free.
	a, behind := arrival{key: c.key, from: c.named, secured: c.secured}, c.behind
	wasClosed, refusal := c.give(a, behind)
	if refusal == nil && !wasClosed {
		return
	}
	s.leave(a.key)
	if wasClosed {
		return
	}
	if len(behind) > 0 { // There is somebody to tell.
		s.noteRefusal(refusal, addressText(parseAddr(c.RemoteAddr().String())), behind, nil)
		dismiss(c, refusal)
	}
}

// give gives the connection to a loop, unless net/http has closed it: it does so when it shuts
// down, with connections that have answered.
func (c *lentConn) give(a arrival, behind []byte) (wasClosed bool, refusal *wsproto.Refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isClosed {
		return true, nil
	}
	refusal = c.server.handOver(c, func(w *worker, fd int) { a.fd = fd; w.takeBack(a, behind) })
	c.isGiven = refusal == nil
	return false, refusal
}

// Close implements net.Conn.
func (c *lentConn) Close() error {
	c.count()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isClosed = true
	if c.isGiven {
		return c.Conn.Close() // The loop has a descriptor of its own, and TLS goes on there.
	}
	return c.stream().Close()
}

// count counts the connection out of those that are lent, once.
func (c *lentConn) count() {
	c.counting.Do(func() {
		c.server.lent.Add(-1)
		c.server.leave(c.key)
	})
}

// takeBack makes a conn of a connection whose request net/http has answered. behind is what its
// client has sent since.
func (w *worker) takeBack(a arrival, behind []byte) {
	c := w.newConn(a)
	if c == nil {
		return
	}
	w.stats.Returned++
	c.keepAlive()
	c.goOn(behind)
}
