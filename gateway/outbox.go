package gateway

import (
	"errors"
	"syscall"

	"sluice/hub"
	"sluice/reactor"
	"sluice/wsproto"
)

// outboxed is the outbox, made if need be.
func (c *conn) outboxed() *outbox {
	if c.own == nil {
		c.own = c.w.takeOutbox()
	}
	return c.own
}

// takeOutbox returns an empty outbox. Most are empty again in the same turn, so that one serves all
// of a loop's connections: ten thousand of them are pinged without any garbage.
func (w *worker) takeOutbox() *outbox {
	o := w.outbox
	if w.outbox = nil; o == nil {
		o = &outbox{pongAt: -1}
	}
	return o
}

// keepOutbox keeps o, of which all was sent, for the next that needs one.
func (w *worker) keepOutbox(o *outbox) {
	if cap(o.bytes) <= outboxKept {
		*o = outbox{bytes: o.bytes[:0], pongAt: -1}
		w.outbox = o
	}
}

// dropOutbox drops what is in the outbox, if there is one.
func (c *conn) dropOutbox() {
	if c.own != nil {
		c.own.rest.Release()
		c.w.replyBudget.release(c)
		c.own = nil
	}
}

// send writes p, a whole frame of the client's own, or leaves it in the outbox.
func (c *conn) send(p []byte) {
	o := c.outboxed()
	o.bytes = append(o.bytes, p...)
	c.flushOwn()
}

// pongsMax bounds the pongs of one turn, in bytes. Each ping of a few that come together is
// answered; of more, and of those that come while the kernel takes nothing, the newest, as RFC 6455
// §5.5.3 allows.
const pongsMax = 2 << 10

// pong leaves the answer to a ping in the outbox. It is sent when all that was read has been
// decoded, so that thousands of pings in one turn do not become thousands of writes.
func (c *conn) pong(body []byte) {
	o := c.outboxed()
	switch {
	case o.pongAt < 0:
		o.pongAt = len(o.bytes)
	case c.isArmed, c.lacksWrites(), len(o.bytes)-o.pongAt > pongsMax:
		o.bytes = o.bytes[:o.pongAt]
	}
	o.bytes = wsproto.AppendFrame(o.bytes, wsproto.OpPong, body)
}

// flushOwn sends the outbox now if the kernel takes anything and the reader is not inside a frame;
// at the next frame's end otherwise.
func (c *conn) flushOwn() {
	if c.own == nil {
		return
	}
	if !c.isArmed && !c.lacksWrites() && c.reader.CanSendOwn() {
		if _, isAll := c.SendOwn(c.w.cfg.writeBudget); isAll {
			return
		}
	}
	c.w.replyBudget.hold(c)
	if c.reader.IsIn() {
		c.reader.HoldOwn()
	}
}

// SendOwn implements hub.Client: it sends the outbox, of a dropped frame's rest at most limit
// bytes.
func (c *conn) SendOwn(limit int) (sent int, isAll bool) {
	o, interrupts := c.own, 0
	for o != nil && c.life != dead {
		next := o.rest.Bytes()
		isRest := len(next) > 0
		switch {
		case !isRest:
			next = o.bytes
		case sent >= limit:
			return sent, false
		default:
			next = next[:min(len(next), limit-sent)]
		}
		if len(next) == 0 {
			c.w.replyBudget.release(c)
			c.own = nil
			c.w.keepOutbox(o)
			break
		}
		n, err := c.transport().Write(int(c.fd), next)
		if n > 0 { // TLS may take some and be refused beside it.
			sent += n
			c.tookOwn(o, n, isRest)
		}
		if err != nil {
			if interrupts++; errors.Is(err, syscall.EINTR) && interrupts < interruptsMax {
				continue
			}
			c.refused(err)
			return sent, false
		}
	}
	return sent, true
}

// tookOwn notes that the transport has taken n bytes of the outbox.
func (c *conn) tookOwn(o *outbox, n int, isRest bool) {
	c.w.stats.OwnBytes += uint64(n)
	c.heard = c.w.loop.Now()
	if c.meter != nil {
		c.meter.writes.failures = 0
	}
	c.reader.TookOwn(n, c.heard)
	if isRest {
		o.rest.Sent(n)
		return
	}
	o.pongAt -= n // Below zero: begun or sent.
	if n == len(o.bytes) {
		o.bytes = o.bytes[:0] // From its array's beginning.
		return
	}
	o.bytes = o.bytes[n:]
}

// interruptsMax is how often signals may interrupt a write before it counts as refused.
const interruptsMax = 3

// refused deals with bytes of the connection's own that the kernel did not take. Where there is no
// room, or no memory, they are kept; anything else means that the peer is gone.
func (c *conn) refused(err error) {
	switch c.outcomeOf(err) {
	case hub.Failed:
		c.die(ClosedGone)
	case hub.Refused, hub.Deferred:
		c.w.stats.Refused++
		if c.reader.IsIn() {
			c.reader.Block(c.w.loop.Now())
		}
		c.arm()
	}
}

// outcomeOf tells the hub what a write's error means. For want of memory it is a refusal that no
// edge ends.
func (c *conn) outcomeOf(err error) hub.Outcome {
	switch {
	case err == nil:
		return hub.Taken
	case errors.Is(err, syscall.EAGAIN):
		return hub.Refused
	case errors.Is(err, syscall.EINTR):
		return hub.Deferred
	case isShortage(err):
		c.putOffWrites(err)
		return hub.Refused
	}
	return hub.Failed
}

// arm asks to be told when the socket takes bytes again. It asks anew if it has asked already: a
// short write leaves a socket that may take more, of which no edge tells, unless it is TCP's on
// Linux.
func (c *conn) arm() {
	if c.life == dead || c.lacksWrites() {
		return // It is tried again at its time.
	}
	wasArmed := c.isArmed
	c.rearm(reactor.Readable | reactor.Writable)
	if c.life == open && !wasArmed {
		c.setTimer() // The stall deadline may be nearer than the one that stands.
	}
}

func (c *conn) rearm(in reactor.Interest) {
	err := c.w.loop.Rearm(c.token, in)
	c.isArmed = err == nil && in&reactor.Writable != 0
	switch {
	case err == nil:
	case !isShortage(err):
		if skipped, ok := c.w.server.samples.unarmed.Take(c.w.kernel.Now()); ok {
			c.w.log.Error("cannot rearm", "error", err, "id", c.id(), "and_more", skipped)
		}
		c.die(ClosedGone)
	case in&reactor.Writable != 0:
		c.putOffWrites(err)
	default:
		// It goes on being told of room that it does not ask for, which harms nobody.
	}
}
