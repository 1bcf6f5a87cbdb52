package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"sluice/reactor"
	"sluice/wsproto"
)

// Limits of ordinary HTTP. A lent connection costs a goroutine and buffers, so their number is bounded too.
const (
	httpHeaderTimeout = 10 * time.Second
	httpReadTimeout   = 30 * time.Second
	httpWriteTimeout  = 30 * time.Second
	httpIdleTimeout   = 60 * time.Second
)

// lend gives a connection that does not ask for a WebSocket to net/http, with all the bytes read so far.
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
	s.handover.take(arrival{fd, key}, append([]byte(nil), read...))
}

// A handover is the net.Listener that lent connections come from, and the handler by which those that want an upgrade
// after all go back to a loop: a proxy that keeps connections alive sends GET / and later the upgrade on one of them.
type handover struct {
	server  *Server
	conns   chan net.Conn
	done    chan struct{}
	closing sync.Once
}

func newHandover(s *Server) *handover {
	// Room for all that may be lent at a time, so that a loop never waits to lend.
	return &handover{server: s, conns: make(chan net.Conn, s.cfg.MaxHTTPConnections), done: make(chan struct{})}
}

// take makes a net.Conn of a connection, which it owns from here on.
func (h *handover) take(a arrival, read []byte) {
	f := os.NewFile(uintptr(a.fd), "lent")
	inner, err := net.FileConn(f) // duplicates
	f.Close()
	if err != nil {
		h.server.log.Error("cannot lend a connection", "error", err)
		h.server.returned(a.key)
		return
	}
	h.conns <- &lentConn{Conn: inner, key: a.key, read: read, server: h.server}
	select {
	case <-h.done: // Nobody accepts any more, and Close may have looked before.
		h.Close()
	default:
	}
}

// Accept implements net.Listener.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections that wait to be accepted are closed.
func (h *handover) Close() error {
	h.closing.Do(func() { close(h.done) })
	for {
		select {
		case c := <-h.conns:
			c.Close()
		default:
			return nil
		}
	}
}

// Addr implements net.Listener.
func (h *handover) Addr() net.Addr { return &net.UnixAddr{Name: "handover", Net: "unix"} }

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

// socketHandler answers requests for /ws that came to net/http on a connection it already had: the connection goes back to
// a loop, which sees the request as though it had just been read.
func (s *Server) socketHandler(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
		w.Header().Set("Connection", "close")
		http.Error(w, wsproto.Refuse(wsproto.ReasonBody).Text, http.StatusBadRequest)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.log.Error("cannot take a connection back", "error", err)
		return
	}
	defer conn.Close()
	fd, err := release(conn)
	if err != nil {
		s.log.Error("cannot take a connection back", "error", err)
		return
	}
	read := appendRequest(nil, r)
	read = appendBuffered(read, buffered.Reader)
	lent := conn.(*lentConn)
	read = append(read, lent.read...) // More than net/http's buffer takes may have come behind the request.
	s.stay(lent.key)                  // conn.Close counts the lent one out.
	worker := s.workers[s.turn.Add(1)%uint64(len(s.workers))]
	if !worker.loop.Post(func(*reactor.Loop) { worker.takeBack(arrival{fd, lent.key}, read) }) {
		s.leave(lent.key)
		_ = worker.kernel.Close(fd)
	}
}

// release duplicates a lent connection's descriptor; the original closes with conn.
func release(conn net.Conn) (fd int, err error) {
	lent, ok := conn.(*lentConn)
	if !ok {
		return -1, fmt.Errorf("hijacked a %T", conn)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return -1, err
	}
	inner, ok := lent.Conn.(syscall.Conn)
	if !ok {
		return -1, errors.New("lent connection has no descriptor")
	}
	raw, err := inner.SyscallConn()
	if err != nil {
		return -1, err
	}
	if cerr := raw.Control(func(orig uintptr) { fd, err = reactor.Duplicate(int(orig)) }); cerr != nil {
		return -1, cerr
	}
	return fd, err
}

// takeBack makes a conn of a connection that comes from net/http, and reads what was read there.
func (w *worker) takeBack(a arrival, read []byte) {
	c := w.newConn(a)
	if c == nil {
		return
	}
	w.stats.Returned++
	w.cfg.setOptions(w.kernel, a.fd) // Package net has set keep-alive times of its own.
	c.wasLent = true
	w.loop.SetTimer(c.token, w.cfg.HandshakeTimeout)
	if c.consume(read) {
		w.loop.Requeue(c.token, reactor.Readable) // Bytes may have come while nobody watched.
	}
	c.answer()
}

// appendRequest writes the head of r as it stood on the wire, near enough: names in canonical case and order changed, every
// value kept.
func appendRequest(dst []byte, r *http.Request) []byte {
	dst = fmt.Appendf(dst, "%s %s HTTP/%d.%d\r\nHost: %s\r\n", r.Method, r.RequestURI, r.ProtoMajor, r.ProtoMinor, r.Host)
	for name, values := range r.Header {
		for _, v := range values {
			dst = fmt.Appendf(dst, "%s: %s\r\n", name, v)
		}
	}
	return append(dst, "\r\n"...)
}

func appendBuffered(dst []byte, r *bufio.Reader) []byte {
	p, _ := r.Peek(r.Buffered()) // Peeking at what is buffered cannot fail.
	return append(dst, p...)
}
