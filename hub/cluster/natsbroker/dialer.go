package natsbroker

import (
	"net"
	"sync"
)

// A dialer makes connections for nats.go. One that is made while its Conn is being closed nats.go
// forgets, open: so the last one is closed here.
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
