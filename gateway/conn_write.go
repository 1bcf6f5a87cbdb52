package gateway

import (
	"errors"
	"syscall"

	"sluice/hub"
	"sluice/reactor"
	"sluice/wsproto"
)

// An outbox holds bytes that belong to one client alone: the handshake's answer, pongs, pings, the Close frame. It exists
// only while there are such. At most one of outbox and log is inside a frame: the outbox goes out at the log's frame
// boundaries. Its bound is what one client can have due at a time: an answer, a ping, pongs up to pongsMax, a Close.
type outbox struct {
	rest   hub.Rest // of the log's frame that was partly sent when the log dropped it; goes first
	bytes  []byte
	pongAt int // where in bytes a pong that has not begun stands, or -1
}

// Flush implements hub.Sink.
func (c *conn) Flush(upto int64) (wrote int) { return c.writeUpTo(upto) }

// writable goes on after a refused write. What waits for the room's bytes is left to the sweeps, which take rooms in turns: a
// thousand members that become writable at once must not hold up everybody else.
func (c *conn) writable() {
	if c.member.IsIn() && c.member.IsBlocked() {
		c.member.Ready()
		return
	}
	c.write()
}

// write sends whatever waits, up to the room's end at this moment.
func (c *conn) write() {
	upto := int64(0)
	if c.member.IsIn() {
		upto = c.member.End()
	}
	c.writeUpTo(upto)
}

// writeUpTo sends the outbox and the log up to the given position, in as few writes as there are contiguous stretches. It
// stops when the kernel refuses, which arms Writable, or the turn's budget is spent: its room's sweeps then come to it again. It
// returns how many bytes went out.
func (c *conn) writeUpTo(upto int64) (wrote int) {
	if c.state == ending && c.member.IsIn() {
		upto = min(upto, c.end.at)
	}
	for budget := c.w.cfg.writeBudget; ; {
		if c.out != nil && c.member.RestOfFrame() == 0 {
			n, ok := c.writeOut(budget - wrote)
			if wrote += n; !ok {
				return wrote
			}
		}
		if c.member.Land(); !c.member.IsIn() || c.member.Position() >= upto {
			break
		}
		if wrote >= budget {
			c.comeAgain()
			return wrote
		}
		n, ok := c.writeLog(min(budget-wrote, int(upto-c.member.Position())))
		if wrote += n; !ok {
			return wrote
		}
	}
	c.caughtUp()
	return wrote
}

// comeAgain has a connection whose turn's budget is spent visited again. A member that is not blocked is its room's sweep's anyway.
func (c *conn) comeAgain() {
	switch {
	case !c.member.IsIn():
		c.w.loop.Requeue(c.token, reactor.Writable)
	case c.member.IsBlocked():
		c.member.Ready()
	}
}

// writeLog makes one write of at most limit bytes from the cursor. False means that it is not to be continued.
func (c *conn) writeLog(limit int) (n int, ok bool) {
	p := c.member.Pending()
	if c.out != nil {
		p = p[:c.member.RestOfFrame()] // The outbox waits for this frame's end.
	}
	p = p[:min(len(p), limit)]
	n, err := c.t.Write(int(c.fd), p)
	c.w.stats.Writes++
	if err != nil && !errors.Is(err, syscall.EINTR) {
		c.refused(err)
		return 0, false
	}
	now := c.w.loop.Now()
	c.w.stats.Deliveries += uint64(c.member.Sent(n, now))
	c.w.stats.Bytes += uint64(n)
	c.heard = now
	if n < len(p) && err == nil {
		c.refused(syscall.EAGAIN) // A short write is a refusal: asking a second time would say so.
		return n, false
	}
	return n, true
}

// writeOut sends the outbox, at most limit bytes of it, which is much only where a rest is in it. It returns how many went out and
// whether it is empty now.
func (c *conn) writeOut(limit int) (wrote int, isEmpty bool) {
	o := c.out
	for {
		next := o.rest.Bytes()
		isRest := len(next) > 0
		if !isRest {
			next = o.bytes
		}
		if len(next) == 0 {
			c.out = nil
			return wrote, true
		}
		if wrote >= limit && isRest {
			c.comeAgain()
			return wrote, false
		}
		if isRest {
			next = next[:min(len(next), limit-wrote)]
		}
		n, err := c.t.Write(int(c.fd), next)
		if err != nil {
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			c.refused(err)
			return wrote, false
		}
		wrote += n
		c.heard = c.w.loop.Now()
		c.member.Moved(c.heard)
		if isRest {
			o.rest.Sent(n)
			continue
		}
		o.pongAt -= n // Below zero: begun or sent.
		o.bytes = o.bytes[n:]
	}
}

// refused handles a write that the kernel did not take whole. EAGAIN keeps the cursor and asks to be told when there is
// room; anything else means that the peer is gone.
func (c *conn) refused(err error) {
	if !errors.Is(err, syscall.EAGAIN) {
		c.die(closedGone)
		return
	}
	c.w.stats.Refused++
	if c.member.IsIn() {
		c.member.Refused(c.w.loop.Now())
	}
	if !c.isArmed {
		c.rearm(reactor.Readable | reactor.Writable)
		if c.state == open {
			c.setTimer() // The stall deadline may be nearer than the one that stands.
		}
	}
}

func (c *conn) rearm(in reactor.Interest) {
	if err := c.w.loop.Rearm(c.token, in); err != nil {
		c.w.log.Error("cannot rearm", "error", err)
		c.die(closedGone)
		return
	}
	c.isArmed = in&reactor.Writable != 0
}

// caughtUp is reached when nothing waits for the kernel.
func (c *conn) caughtUp() {
	if c.member.IsBlocked() {
		c.member.Sent(0, c.w.loop.Now()) // Nothing of the log was pending: what was refused was the outbox.
	}
	switch {
	case c.state == ending:
		c.sayFarewell()
	case c.member.IsBlocked():
		// Another loop has published since the room's end was looked at. No sweep visits a blocked member, and no edge comes
		// for a socket that refused nothing.
		c.member.Ready()
	case c.isArmed:
		c.rearm(reactor.Readable)
	}
}

// send writes p, a whole frame of the client's own, or leaves it in the outbox.
func (c *conn) send(p []byte) {
	if c.out == nil {
		c.out = &outbox{pongAt: -1}
	}
	c.out.bytes = append(c.out.bytes, p...)
	if !c.isArmed {
		c.write()
	}
}

// pongsMax bounds the pongs of one turn, in bytes. Each ping of a few that come together is answered; of more, and of those
// that come while the kernel takes nothing, the newest, as RFC 6455 §5.5.3 allows.
const pongsMax = 2 << 10

// pong leaves the answer to a ping in the outbox. It is sent when all that was read has been decoded, so that thousands of
// pings in one turn do not become thousands of writes.
func (c *conn) pong(body []byte) {
	if c.out == nil {
		c.out = &outbox{pongAt: -1}
	}
	switch o := c.out; {
	case o.pongAt < 0:
		o.pongAt = len(o.bytes)
	case c.isArmed, len(o.bytes)-o.pongAt > pongsMax:
		o.bytes = o.bytes[:o.pongAt]
	}
	c.out.bytes = wsproto.AppendFrame(c.out.bytes, wsproto.OpPong, body)
}

// answer sends what reading has left in the outbox.
func (c *conn) answer() {
	if c.state == open && c.out != nil && !c.isArmed {
		c.write()
	}
}
