package process

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"

	"sluice/loadtest/internal/dial"
	"sluice/loadtest/internal/load"
	"sluice/reactor"
)

// A session is TLS over a socket that a loop owns: crypto/tls reads and writes memory, which the
// loop fills and empties. Only the handshake cannot be done so, because one that meets a
// would-block is broken for good: it has a goroutine and a blocking socket, of which there are
// openingMax on a loop at most.
type session struct {
	conn *tls.Conn
	wire wire
}

// recordMax is how much is sealed at a time: one record, RFC 8446 §5.1. What was sealed cannot be
// taken back.
const recordMax = 16 << 10

// openTLS begins to connect. Whatever comes of it is told to secured.
func (c *client) openTLS() {
	w := c.w
	w.process.dials.Go(func() {
		s, fd, err := dialTLS(w.process.dialing, c.target(), c)
		isPosted := w.loop.Post(func(*reactor.Loop) { c.secured(s, fd, err) })
		if !isPosted && err == nil {
			_ = w.kernel.Close(fd)
		}
	})
}

// dialTLS connects and shakes hands, and returns the session with the descriptor of its socket.
func dialTLS(ctx context.Context, to *load.Target, c *client) (s *session, fd int, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.w.process.cfg.ConnectTimeout)
	defer cancel()
	dialer := net.Dialer{Control: dial.Control(c.source())}
	conn, err := dialer.DialContext(ctx, "tcp", to.Addr.String())
	if err != nil {
		return nil, -1, err
	}
	defer conn.Close() // We go on with a duplicate.
	s = &session{wire: wire{Conn: conn}}
	s.conn = tls.Client(&s.wire, to.TLS)
	if err := s.conn.HandshakeContext(ctx); err != nil {
		return nil, -1, err
	}
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return nil, -1, err
	}
	controlled := raw.Control(func(p uintptr) { fd, err = reactor.Duplicate(int(p)) })
	s.wire = wire{Conn: conn, isMemory: true}
	return s, fd, errors.Join(controlled, err)
}

// secured goes on, on the loop, where the handshake ended.
func (c *client) secured(s *session, fd int, err error) {
	if err != nil {
		c.noteExhaustion(err)
		c.end(FaultConnect, reason(err))
		return
	}
	if c.token, err = c.w.loop.Register(fd, reactor.Readable|reactor.Writable, reactor.Edge, c); err != nil {
		_ = c.w.kernel.Close(fd)
		c.end(FaultConnect, err.Error())
		return
	}
	c.fd, c.session = int32(fd), s
	c.w.loop.SetTimer(c.token, c.w.process.cfg.ConnectTimeout)
	c.request()
}

// reason is an error without the addresses, which would make each one different.
func reason(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	return err.Error()
}

// unseal takes messages out of what came from the socket, and reports whether the client is still
// there.
func (c *client) unseal(p []byte) bool {
	s := c.session
	s.wire.in = p
	for {
		n, err := s.conn.Read(c.w.plain)
		if n > 0 && !c.consume(c.w.plain[:n]) {
			return false
		}
		switch {
		case err == nil:
		case errors.Is(err, errNoMore):
			if len(s.wire.out) > 0 { // An answer to a change of keys.
				c.flush()
			}
			return c.state != gone
		case errors.Is(err, io.EOF):
			c.end(FaultClosed, "the server ended TLS without a Close frame")
			return false
		default:
			c.end(FaultClosed, err.Error())
			return false
		}
	}
}

// seal makes one record of the beginning of out, if the last one has left, and returns what remains
// of out.
func (s *session) seal(out []byte) []byte {
	if len(s.wire.out) > 0 || len(out) == 0 {
		return out
	}
	n := min(len(out), recordMax)
	_, _ = s.conn.Write(out[:n]) // Into memory: it cannot fail.
	return out[:copy(out, out[n:])]
}

// A wire is what crypto/tls takes for the connection: the socket during the handshake, memory after
// it.
type wire struct {
	net.Conn
	isMemory bool
	in       []byte // came from the socket
	out      []byte // is to go there
}

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	if !w.isMemory {
		return w.Conn.Read(p)
	}
	if len(w.in) == 0 {
		return 0, errNoMore
	}
	n := copy(p, w.in)
	w.in = w.in[n:]
	return n, nil
}

// Write implements net.Conn.
func (w *wire) Write(p []byte) (int, error) {
	if !w.isMemory {
		return w.Conn.Write(p)
	}
	w.out = append(w.out, p...)
	return len(p), nil
}

// errNoMore says that the socket has to be read first. A temporary net.Error leaves a tls.Conn as
// it was.
var errNoMore net.Error = noMore{}

type noMore struct{}

// Error implements error.
func (noMore) Error() string { return "no more bytes yet" }

// Timeout implements net.Error.
func (noMore) Timeout() bool { return true }

// Temporary implements net.Error.
func (noMore) Temporary() bool { return true }
