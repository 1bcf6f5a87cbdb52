package gateway

import (
	"math/rand/v2"
	"net"
	"syscall"

	"sluice/reactor"
	"sluice/wsproto"
)

// handOver gives a connection that is counted in to a loop, on which adopt makes something of it.
// conn is to be closed afterwards: the loop has a descriptor of its own.
func (s *Server) handOver(conn net.Conn, adopt func(w *worker, fd int)) *wsproto.Refusal {
	if lent, ok := conn.(interface{ socket() net.Conn }); ok {
		conn = lent.socket()
	}
	fd, err := duplicate(conn)
	if err != nil {
		if skipped, ok := s.samples.untaken.Take(s.workers[0].kernel.Now()); ok {
			s.log.Error("cannot take a connection over", "error", err, "and_more", skipped)
		}
		return wsproto.Refuse(wsproto.ReasonUnavailable)
	}
	if fd < 0 {
		return refusedConn
	}
	for range s.workers { // One whose mailbox is full is overloaded: another may not be.
		w := s.workers[s.turn.Add(1)%uint64(len(s.workers))]
		w.conns.Add(1)
		if w.loop.Post(func(*reactor.Loop) { adopt(w, fd) }) {
			return nil
		}
		w.conns.Add(-1)
	}
	_ = s.workers[0].kernel.Close(fd)
	s.refusals.rejected.Add(1)
	return wsproto.Refuse(wsproto.ReasonUnavailable).RetryAfter(1 + rand.IntN(retryMax))
}

// duplicate returns a second descriptor of a connection, -1 if the connection is not a plain one.
// What only has a plain one inside may hold bytes of it, or change them.
func duplicate(conn net.Conn) (fd int, err error) {
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return -1, nil
	}
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return -1, err
	}
	if cerr := raw.Control(func(orig uintptr) { fd, err = reactor.Duplicate(int(orig)) }); cerr != nil {
		return -1, cerr
	}
	return fd, err
}

// takeOver makes a conn of a connection that comes from net/http, and reads what was read there.
func (w *worker) takeOver(a arrival, read []byte, isLent bool) {
	c := w.newConn(a)
	if c == nil {
		return
	}
	if isLent {
		w.stats.Returned++
	} else {
		w.stats.Accepted++
		w.stats.TakenOver++
	}
	c.past = wasHanded
	w.loop.SetTimer(c.token, w.cfg.HandshakeTimeout)
	c.goOn(read)
}

// goOn makes a connection read on that comes from net/http, where this was read of it. That is an
// event of its own, like any other input: a fault in it is this connection's.
func (c *conn) goOn(read []byte) {
	c.w.cfg.setOptions(c.w.kernel, int(c.fd)) // Package net has set keep-alive times of its own.
	if len(read) > 0 {
		c.readLater(read, nil)
	} else {
		c.w.loop.Requeue(c.token, reactor.Readable) // Bytes may have come while nobody watched.
	}
}
