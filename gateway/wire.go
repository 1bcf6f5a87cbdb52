package gateway

import (
	"errors"
	"io"
	"net"
	"syscall"
	"time"
)

// A wire is the net.Conn below a secured connection's tls.Conn.
type wire secured

// Read implements net.Conn.
func (c *wire) Read(p []byte) (n int, err error) {
	switch {
	case c.hand != nil:
		return c.hand.read(p)
	case len(c.in) > 0:
		n = copy(p, c.in)
		if c.in = c.in[n:]; len(c.in) == 0 {
			c.in = nil
		}
		c.came += n
		return n, nil
	case c.lent != nil:
		return c.lent.Read(p)
	}
	n, err = c.kernel.Read(c.fd, p)
	c.came += n
	switch {
	case err == nil && n > 0:
		return n, nil
	case err == nil:
		c.isEnded = true
		return 0, io.EOF
	}
	c.cause = err
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR) || isShortage(err) {
		return 0, errNotNow
	}
	return 0, err
}

// Write implements net.Conn. It takes all: a record is never sealed twice.
func (c *wire) Write(p []byte) (int, error) {
	switch {
	case c.hand != nil:
		return c.hand.write(p)
	case c.lent != nil:
		if len(c.out) > 0 {
			_, err := c.lent.Write(c.out)
			if c.out = nil; err != nil {
				return 0, err
			}
		}
		return c.lent.Write(p)
	}
	c.extra += int64(len(p))
	n := 0
	if len(c.out) == 0 {
		var err error
		if n, err = c.kernel.Write(c.fd, p); err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR) {
			c.cause = err
		}
	}
	if len(c.out)+len(p)-n > sealedMax {
		c.isFull = true // crypto/tls does not mind.
		return 0, syscall.EPIPE
	}
	if n < len(p) {
		c.out = append(c.out, p[n:]...)
	}
	return len(p), nil
}

// Close implements net.Conn, for net/http: the loop closes its own descriptors.
func (c *wire) Close() error {
	if c.lent != nil {
		return c.lent.Close()
	}
	return nil
}

// LocalAddr implements net.Conn.
func (c *wire) LocalAddr() net.Addr { return noAddress{} }

// RemoteAddr implements net.Conn: what a tls.Config's functions are told.
func (c *wire) RemoteAddr() net.Addr {
	if c.hand != nil {
		return c.hand.from
	}
	return noAddress{}
}

type noAddress struct{}

func (noAddress) Network() string { return "tcp" }
func (noAddress) String() string  { return "" }

// SetDeadline implements net.Conn. Nothing on a loop waits; lent, net/http sets its own on the
// socket.
func (c *wire) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (c *wire) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn: crypto/tls bounds its last words so.
func (c *wire) SetWriteDeadline(t time.Time) error {
	if c.lent != nil {
		return c.lent.SetWriteDeadline(t)
	}
	return nil
}
