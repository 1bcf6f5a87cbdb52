package natsbroker

import (
	"net"
	"sync"
)

// A dialer makes connections for nats.go, which has one at a time. It forgets, open, one whose
// handshake failed when it tries again, and one that is made while its Conn is being closed: they
// are closed here.
type dialer struct {
	mu       sync.Mutex
	last     net.Conn // nil: none yet
	isClosed bool
}

// Dial implements nats.CustomDialer.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	c, err := net.DialTimeout(network, address, dialTimeout)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.isClosed {
		c.Close()
		return nil, net.ErrClosed
	}
	if d.last != nil {
		d.last.Close()
	}
	d.last = c
	return c, nil
}

func (d *dialer) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.isClosed = true
	if d.last != nil {
		d.last.Close()
	}
}
