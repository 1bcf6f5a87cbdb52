package gateway

import (
	"net/netip"

	"sluice/reactor"
)

// An arrival is a connection that was admitted and belongs to nobody yet.
type arrival struct {
	fd      int
	key     netip.Addr    // whom it counts for, see admission
	from    netip.Addr    // the client that its proxy has named; zero: none
	speaks  ListenOptions // what is to come in front of HTTP
	secured *secured      // the TLS of one that comes back from net/http
}

// adopt makes conns of freshly accepted connections.
func (w *worker) adopt(taken []arrival) {
	for _, a := range taken {
		if c := w.newConn(a); c != nil {
			w.stats.Accepted++
			w.loop.SetTimer(c.token, w.cfg.HandshakeTimeout)
		}
	}
}

// newConn watches a new connection. If the kernel will not, the descriptor is closed and the others
// go on.
func (w *worker) newConn(a arrival) *conn {
	c := &conn{w: w, fd: int32(a.fd)}
	t, err := w.loop.Register(a.fd, reactor.Readable, reactor.Edge, c)
	if err != nil {
		if skipped, ok := w.server.samples.unwatched.Take(w.kernel.Now()); ok {
			w.log.Error("cannot watch a connection", "error", err, "and_more", skipped)
		}
		w.stats.RegisterFailed++
		w.conns.Add(-1)
		_ = w.kernel.Close(a.fd)
		w.server.leave(a.key)
		return nil
	}
	if a.key.IsValid() || a.from.IsValid() {
		c.meter = &meter{key: a.key, from: a.from}
	}
	switch {
	case a.secured != nil:
		a.secured.attach(c)
	case a.speaks.ProxyProtocol:
		c.awaitProxy(a.speaks.TLS)
	case a.speaks.TLS:
		c.secure()
	}
	c.token = t
	if w.drain != nil {
		w.drain.leavers = append(w.drain.leavers, leaver{token: t})
	}
	return c
}
