package gateway

import (
	"net/netip"

	"sluice/wsproto"
)

// holdInput makes the connection's decoder one of its own.
func (c *conn) holdInput() *inbound {
	if c.in == nil {
		c.in = &inbound{decoder: c.w.decoder}
		c.w.decoder = c.w.newDecoder()
	}
	return c.in
}

// keep holds on to a decoder in the middle of a message, and to the bytes behind it that have to
// wait.
func (c *conn) keep(d *wsproto.Decoder, stash []byte) {
	if !d.Partial() {
		_, _, _ = d.Next(nil) // Gives back the buffer of the message before; nothing can come of no bytes.
	}
	if d.Idle() && len(stash) == 0 && (c.in == nil || len(c.in.commands) == 0 && c.in.unsent == nil) {
		c.dropInput()
		return
	}
	c.holdInput()
	c.in.stash = append([]byte(nil), stash...)
	if c.pauses != 0 {
		c.stopClock()
	}
	if c.in.began == 0 && c.in.decoder.Partial() {
		c.in.began = c.w.loop.Now()
		c.setTimer() // Its deadline may be nearer than the one that stands.
	}
	c.countInput(c.in.size(c.w.cfg), c.in.decoder.Assembled()+len(c.in.stash)+c.in.ready())
}

// countInput makes the budget know that n bytes of memory are held, bytes of input in them, and
// closes who is to blame if that is too much.
func (c *conn) countInput(n, bytes int) {
	w, b, now := c.w, &c.w.inputBudget, c.w.loop.Now()
	b.hold(&c.in.portion, c.token, n, bytes, now, c.inputKey)
	for b.isBeyond() {
		source, _ := w.loop.Source(b.toBlame(now).of)
		source.(*conn).close(ClosedAssembly)
	}
}

// inputKey is whose input the connection's is: its address, of IPv6 the /64. The zero key is that
// of this machine and of trusted proxies, which connect for many.
func (c *conn) inputKey() netip.Addr {
	if key := c.key(); key.IsValid() {
		return key
	}
	from := c.address()
	if !c.w.server.admission.counts(from) {
		return netip.Addr{}
	}
	return addressKey(from)
}

// size is what it takes, in bytes.
func (in *inbound) size(cfg *config) int {
	n := in.decoder.Held() + len(in.stash) + cap(in.commands)
	if in.unsent != nil {
		n += len(in.unsent.Payload)
	}
	if in.decoder.Inflating() {
		n += int(cfg.inflaterSize)
	}
	return n
}

// ready is how many bytes it has of messages that are whole, and wait.
func (in *inbound) ready() int {
	if in.unsent != nil {
		return len(in.unsent.Payload)
	}
	return len(in.commands)
}

// dropInput forgets what was read and could not be finished with.
func (c *conn) dropInput() {
	if c.in == nil {
		return
	}
	if q := c.in.question; q != nil && q.desk != nil {
		q.desk.drop(q)
	}
	c.w.headBudget.drop(c)
	c.countInput(0, 0)
	c.in.decoder.Release()
	c.in = nil
}

// readLater leaves requests that have been read already for the connection's next turn, and reports
// whether to read on before that. q is nil, or what is known already of who makes the first of
// them.
func (c *conn) readLater(p []byte, q *question) bool {
	c.in = &inbound{head: append([]byte(nil), p...), question: q}
	c.w.headBudget.hold(c)
	if c.life != reading {
		return c.life != dead
	}
	c.standInLine()
	return false
}
