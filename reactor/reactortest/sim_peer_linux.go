package reactortest

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Peer is the far end of a connection to a listening descriptor: a client, whose own kernel never
// fails. Its methods are system calls on a non-blocking socket.
type Peer struct {
	sim *Sim
	end *socket
}

// Dial connects to the listening descriptor fd. The connection is made when its place in the queue
// is; nobody need have accepted it. ECONNREFUSED says that nobody listens, EAGAIN that the queue is
// full.
func (s *Sim) Dial(fd int) (*Peer, error) {
	l, ok := s.file(fd).(*listening)
	if !ok {
		return nil, syscall.ECONNREFUSED
	}
	if len(l.queue) >= l.backlog {
		return nil, syscall.EAGAIN
	}
	c := s.newLink()
	s.note("dialled", c.no, 0)
	l.queue = append(l.queue, c)
	for _, w := range l.watched {
		w.wake(unix.EPOLLIN)
	}
	return &Peer{s, c.client}, nil
}

// No is the connection's number in traces.
func (p *Peer) No() int { return p.end.link.no }

// Read takes what has arrived.
func (p *Peer) Read(b []byte) (int, error) {
	n, err := p.end.read(b)
	p.sim.settle(p.end.link)
	return n, err
}

// Write sends as much as its buffer holds.
func (p *Peer) Write(b []byte) (int, error) {
	n, err := p.end.write(b)
	p.sim.note("client sends", p.No(), n)
	p.sim.settle(p.end.link)
	return n, err
}

// CloseWrite ends the stream to the server.
func (p *Peer) CloseWrite() error {
	p.sim.note("client ends its stream", p.No(), 0)
	err := p.end.shutdown()
	p.sim.settle(p.end.link)
	return err
}

// Close is close(2): with unread bytes it resets the connection.
func (p *Peer) Close() {
	p.sim.note("client closes", p.No(), 0)
	p.end.release()
	p.sim.settle(p.end.link)
}

// Reset closes with SO_LINGER zero.
func (p *Peer) Reset() {
	p.end.aborts = true
	p.Close()
}

// Activity is when the server last took bytes of the client's, and when it last gave its kernel
// some for the client.
func (p *Peer) Activity() (read, wrote time.Duration) { return p.end.link.readAt, p.end.link.wroteAt }

// Acknowledged is when the server last learned that some of what it wrote had arrived.
func (p *Peer) Acknowledged() time.Duration { return p.end.link.ackedAt }

// IsDoomed reports whether a fault struck that may end the connection.
func (p *Peer) IsDoomed() bool { return p.end.link.doomed }
