package gateway

import (
	"net/netip"

	"sluice/wsproto"
)

// heedForwarded makes a WebSocket count for the client that a trusted proxy has named in its
// request.
func (c *conn) heedForwarded(r *wsproto.Request) *wsproto.Refusal {
	if c.key().IsValid() {
		return nil // It counts for somebody already, so it is no proxy's.
	}
	return c.standFor(c.forwardedFor(r))
}

// forwardedFor is the client that a trusted proxy has named in a request; the zero Addr for none.
//
// Each proxy adds, at the right, whom it was connected to by. So what stands right of the first
// address that is no trusted proxy's was written by trusted ones, and that address is the client;
// what stands left of it may be anything. If all are trusted the leftmost is it.
func (c *conn) forwardedFor(r *wsproto.Request) (client netip.Addr) {
	s := c.w.server
	name := "X-Forwarded-For"
	switch s.config().ForwardedHeader {
	case Forwarded:
		name = "Forwarded"
	case NoForwarded:
		return client
	}
	if r.Header(name) == nil || !c.isFromProxy() {
		return client
	}
	for element := range r.ElementsBackwards(name) {
		if s.config().ForwardedHeader == Forwarded {
			element = forParameter(element)
		}
		from, ok := parseNode(element)
		if !ok {
			return client // A name that hides somebody, or nonsense: who wrote it is as far as is known.
		}
		client = from
		if !s.admission.isProxy(from) {
			return client
		}
	}
	return client
}

// isFromProxy reports whether whoever the connection stands for is a trusted proxy.
func (c *conn) isFromProxy() bool {
	if named := c.named(); named.IsValid() {
		return c.w.server.admission.isProxy(named)
	}
	return c.w.server.trusts(int(c.fd), c.w)
}

// trusts reports whether a connection is from a trusted proxy: by its network, or by a unix socket,
// whose mode says who may connect.
func (s *Server) trusts(fd int, w *worker) bool {
	peer, err := w.kernel.PeerAddress(fd)
	return err == nil && (!peer.IsValid() || s.admission.isProxy(peer))
}

// standFor makes the connection count for a client that a trusted proxy has named, and returns the
// refusal if a limit forbids that.
func (c *conn) standFor(client netip.Addr) *wsproto.Refusal {
	if !client.IsValid() {
		return nil
	}
	m, a := c.metered(), c.w.server.admission
	m.from = client
	if !a.asks() || !a.counts(client) || m.key.IsValid() {
		return nil
	}
	key := addressKey(client)
	if reason := a.enter(key, c.w.kernel.Now()); reason != 0 {
		return wsproto.Refuse(reason).RetryAfter(1 + c.w.random.IntN(retryMax))
	}
	m.key = key
	return nil
}

// named is the client that the connection's proxy has named for all of it.
func (c *conn) named() (from netip.Addr) {
	if c.meter != nil {
		from = c.meter.from
	}
	return from
}
