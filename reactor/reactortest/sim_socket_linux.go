package reactortest

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A link is one TCP connection: two sockets, and a flow each way.
type link struct {
	no     int
	server *socket // the side that accepts it
	client *socket
	// doomed says that a fault struck which may end the connection.
	doomed bool
	// lackedIn and lackedOut are how often in a row there was no memory for the server to read, and
	// to write or be watched.
	lackedIn, lackedOut int
	// readAt and wroteAt are when the server last took and gave bytes, ackedAt when it last learned
	// that some had arrived.
	readAt, wroteAt, ackedAt time.Duration
}

// A socket is one end of a link. Its fields follow Linux's struct sock where a rule depends on
// them.
type socket struct {
	sim     *Sim
	link    *link
	out, in *flow
	watched []*watch

	err        syscall.Errno // pending, taken by the next call
	sendShut   bool          // we said that we send no more, or a reset said it for us
	recvShut   bool          // the peer's end of stream has arrived, or a reset
	sawEnd     bool          // the peer's end of stream has arrived
	isReset    bool          // or both streams have ended: TCP_CLOSE
	isReleased bool          // the process has closed it
	wantsRoom  bool          // a write was refused or poll asked: SOCK_NOSPACE
	aborts     bool          // SO_LINGER with zero seconds
	isSending  bool          // a ring's send to it has begun and not ended
}

func (s *Sim) newLink() *link {
	s.linkNo++
	l := &link{no: s.linkNo}
	l.server, l.client = &socket{sim: s, link: l}, &socket{sim: s, link: l}
	down := &flow{from: l.server, to: l.client, sendMax: s.buffers.Send, recvMax: s.buffers.PeerReceive, unsentMax: s.buffers.Unsent}
	up := &flow{from: l.client, to: l.server, sendMax: s.buffers.PeerSend, recvMax: s.buffers.Receive}
	l.server.out, l.server.in, l.client.out, l.client.in = down, up, up, down
	s.links = append(s.links, l)
	return l
}

func (c *socket) watchers() *[]*watch { return &c.watched }

// poll is tcp_poll.
func (c *socket) poll() uint32 {
	var mask uint32
	if c.isReset || c.sendShut && c.recvShut {
		mask |= unix.EPOLLHUP
	}
	if c.recvShut {
		mask |= unix.EPOLLIN | unix.EPOLLRDHUP
	}
	if len(c.in.arrived) > 0 {
		mask |= unix.EPOLLIN
	}
	if c.isWritable() {
		mask |= unix.EPOLLOUT
	} else {
		c.wantsRoom = true
	}
	if c.err != 0 {
		mask |= unix.EPOLLERR
	}
	return mask
}

func (c *socket) isReadable() bool { return len(c.in.arrived) > 0 || c.recvShut || c.err != 0 }

// isWritable has the kernel's hysteresis, sk_stream_is_writeable: a third of the buffer must be
// free, though a write takes the last byte, and half of what may be unsent.
func (c *socket) isWritable() bool {
	f := c.out
	return c.sendShut || !f.squeezed && 3*f.queued() <= 2*f.sendMax && (f.unsentMax == 0 || 2*len(f.unsent) < f.unsentMax)
}

func (c *socket) takeError() syscall.Errno {
	err := c.err
	c.err = 0
	return err
}

func (c *socket) wake(key uint32) {
	for _, w := range c.watched {
		w.wake(key)
	}
}

// write is tcp_sendmsg on a non-blocking socket.
func (c *socket) write(p []byte) (int, error) {
	if c.err != 0 {
		return 0, c.takeError()
	}
	if c.sendShut {
		return 0, syscall.EPIPE
	}
	room := c.out.sendMax - c.out.queued()
	if c.out.unsentMax > 0 {
		room = min(room, max(0, c.out.unsentMax-len(c.out.unsent)))
	}
	if c.out.squeezed {
		room = min(room, c.out.allowance)
	}
	n := min(len(p), room)
	if n < len(p) {
		c.wantsRoom = true
	}
	if n == 0 && len(p) > 0 {
		return 0, syscall.EAGAIN
	}
	c.out.unsent = append(c.out.unsent, p[:n]...)
	c.out.allowance -= n
	return n, nil
}

// read is tcp_recvmsg: bytes first, then the end of the stream, then an error, once.
func (c *socket) read(p []byte) (int, error) {
	switch {
	case len(c.in.arrived) > 0:
		n := copy(p, c.in.arrived)
		c.in.arrived = c.in.arrived[n:]
		return n, nil
	case c.sawEnd:
		return 0, nil
	case c.err != 0:
		return 0, c.takeError()
	case c.recvShut:
		return 0, nil
	}
	return 0, syscall.EAGAIN
}

// shutdown is inet_shutdown with SHUT_WR.
func (c *socket) shutdown() error {
	if c.isReset {
		return syscall.ENOTCONN
	}
	if !c.sendShut {
		c.sendShut, c.out.hasEnd = true, true
	}
	c.wake(0)
	return nil
}

// release is close(2): with unread bytes, or by SO_LINGER, it resets the connection, and drops what
// has not arrived.
func (c *socket) release() {
	c.isReleased = true
	if c.aborts || len(c.in.arrived) > 0 {
		c.sendReset()
	} else if !c.isReset {
		c.sendShut, c.out.hasEnd = true, true
	}
	c.in.arrived = nil
	c.sim.forgetFinished()
}

func (c *socket) sendReset() {
	if !c.isReset {
		c.out.unsent, c.out.unacked, c.out.hasEnd, c.out.hasReset, c.isReset = nil, 0, false, true, true
	}
}

// gotReset is tcp_reset. What has arrived can still be read.
func (c *socket) gotReset() {
	if c.isReset {
		return
	}
	c.err = syscall.ECONNRESET
	if c.sawEnd && !c.sendShut {
		c.err = syscall.EPIPE // CLOSE_WAIT
	}
	c.out.unsent, c.out.unacked, c.out.hasEnd = nil, 0, false
	c.isReset, c.sendShut, c.recvShut = true, true, true
	c.wake(unix.EPOLLERR)
	c.wake(0)
}

// roomCame is sk_stream_write_space: an edge, but only for a socket that was refused or has asked.
func (c *socket) roomCame() {
	if c.wantsRoom && c.isWritable() {
		c.wantsRoom = false
		c.wake(unix.EPOLLOUT)
	}
}
