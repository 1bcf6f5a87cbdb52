package gateway

import (
	"sluice/reactor"
	"sluice/wsproto"
)

// OnEvent implements reactor.Source.
func (c *conn) OnEvent(_ *reactor.Loop, ev reactor.Event) {
	if ev.Timeout() {
		c.onTimer()
	}
	if ev.Error() && c.life != dead {
		c.read(ev) // First: a reset leaves what was said before it, and writing would find the peer gone.
	}
	if ev.Writable() && c.life != dead && !c.lacksWrites() {
		c.writable()
	}
	if ev.Readable() && !ev.Error() && c.life != dead && !c.lacksReads() {
		switch {
		case ev.Again():
			c.resumeReading(pauseTurn)
			c.read(ev)
		case c.isCostly():
			c.standInLine()
		default:
			c.read(ev)
		}
	}
}

// onTimer looks at the deadline of the present state.
func (c *conn) onTimer() {
	switch c.life {
	case reading:
		if t := c.secured(); t != nil && t.phase == shaking {
			t.fail(TLSTimeout)
			return
		}
		if c.in == nil { // Not one byte: there is nobody to explain it to.
			c.die(c.silence(ClosedSilent))
			return
		}
		late := wsproto.ReasonTimeout
		if c.waitsForHistory() {
			late = wsproto.ReasonHistory // Its client has said all.
		}
		c.refuse(wsproto.Refuse(late), c.in.head)
	case open:
		c.checkLife()
	case finishing, parting:
		c.overdue()
	case lingering:
		c.linger()
	}
}

// checkLife closes a client that has stopped taking bytes or answering pings, or does not finish a
// message, pings a silent one, reads on where a rate allows it again, and sets the timer to the
// nearest of its deadlines. Messages do not move the timer: it looks again when it fires.
func (c *conn) checkLife() {
	now, cfg := c.w.loop.Now(), c.w.cfg
	if c.isExpired(now) {
		c.expire()
		return
	}
	c.reader.Ask(now)
	if c.reader.IsBlocked() && c.reader.HasStopped(now, c.stallTimeout()) {
		if c.speaks() {
			c.doesNotRead()
		} else {
			c.abort(ClosedStalled)
		}
		return
	}
	if c.in != nil && c.in.dueBy(cfg.AssemblyTimeout) <= now {
		c.close(ClosedAssemblyTimeout)
		return
	}
	if c.meter != nil && c.meter.endsAt != 0 && c.meter.endsAt <= now {
		c.close(ClosedLifetime)
		return
	}
	c.reader.JudgeLag(now)
	c.unthrottle(now)
	if c.pauses != 0 || c.reader.IsBlocked() {
		c.heard = now // We do not listen, or a ping would only wait behind what it does not take.
	}
	if c.lastSign() > c.pinged && c.past != subscribes { // Equal when the kernel took the ping itself, which says nothing of the client.
		c.pinged = 0
	}
	switch {
	case c.past == listens:
		if now >= c.pingDue() && !c.beat() {
			return
		}
	case c.past == subscribes:
		if !c.subscriber().checkClock(now) {
			return
		}
	case c.pinged != 0 && now-c.pinged >= cfg.PongTimeout:
		c.close(ClosedNoPong)
		return
	case c.pinged == 0 && now >= c.pingDue():
		c.pinged = now
		c.send(c.w.ping)
		if c.life != open {
			return
		}
	}
	c.setTimer()
}

// speaks reports whether the client has published since its kernel last refused what it has to get.
func (c *conn) speaks() bool {
	if s := c.subscriber(); s != nil {
		return s.hasSpoken
	}
	return c.past == hasSpoken
}
