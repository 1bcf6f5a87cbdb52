package gateway

import (
	"sluice/gateway/centrifuge"
	"sluice/wsproto"
)

// answerSubscriber answers a request for the protocol's path. Who its client is it says later, by a
// command.
func (c *conn) answerSubscriber() *wsproto.Refusal {
	r := &c.w.request
	if refusal := r.CheckUpgrade(); refusal != nil {
		return refusal
	}
	extensions, refusal := r.CheckDeflate()
	if refusal != nil {
		return refusal
	}
	if refusal := c.heedForwarded(r); refusal != nil {
		return refusal
	}
	if refusal := c.w.server.judgePage(r.Header("Origin"), r.Host); refusal != nil {
		return refusal
	}
	s := &subscriber{conn: c, due: c.w.loop.Now() + c.w.cfg.HandshakeTimeout}
	if c.w.cfg.Auth != nil {
		if s.handshake, refusal = c.handshake(""); refusal != nil {
			return refusal
		}
	}
	subprotocol, format := c.w.cfg.protocolOf(r)
	if c.w.cfg.NoCompression {
		extensions = ""
	}
	s.format, s.inflates = format, extensions != ""
	c.w.fan.JoinBundle(&s.bundle, &c.reader, s.encoding(), s, (*readers)(s))
	c.setLife(open)
	c.past = subscribes
	c.w.stats.Upgrades++
	c.w.stats.Subscribers++
	c.logJoined("", s.encoding())
	c.w.header = wsproto.AppendSwitchingProtocols(c.w.header[:0], r.Key, subprotocol, extensions)
	c.send(c.w.header)
	c.startClocks()
	return nil
}

// protocolOf is the subprotocol to answer a subscriber with, and how it writes: the first of the
// protocol's own that it offers, or what a client of a room would get. A browser whose offer is
// answered with none fails.
func (c *config) protocolOf(r *wsproto.Request) (subprotocol string, format centrifuge.Format) {
	for offered := range r.Subprotocols {
		if format, ok := centrifuge.FormatOf(string(offered)); ok && len(offered) > 0 {
			return string(offered), format
		}
	}
	return c.subprotocol(r), centrifuge.JSON
}
