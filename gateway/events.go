package gateway

import (
	"math"
	"time"

	"sluice/hub"
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

// limitLife decides when a client that has just come has been there for long enough. Those that
// came together are not all asked to come back together.
func (c *conn) limitLife() {
	if most := c.w.cfg.MaxLifetime; most > 0 {
		c.metered().endsAt = c.w.loop.Now() + most - time.Duration(c.w.random.Int64N(int64(most/5)))
	}
}

// stallTimeout is how long the client may take none of what waits for it.
func (c *conn) stallTimeout() time.Duration {
	if c.reader.Policy() == hub.Disconnect {
		return c.w.cfg.StallTimeout
	}
	return c.w.cfg.SkipTimeout
}

// lastSign is when the client last sent bytes or took some.
func (c *conn) lastSign() time.Duration {
	if took := c.reader.Took(); took != 0 {
		return max(c.heard, took)
	}
	return c.heard
}

// pingDue is when the client is pinged if it stays silent until then. Thousands that were sent the
// same message fall silent together: each is pinged by a share of a quarter of the interval
// earlier, which its place in the loop decides.
func (c *conn) pingDue() time.Duration {
	const golden = 2654435769 // 2^32 divided by the golden ratio: multiples of it, cut to 32 bits, lie evenly
	interval := c.w.cfg.PingInterval
	share := uint32(c.token) * golden >> 16
	return c.lastSign() + interval - time.Duration(share)*(interval/4>>16)
}

func (c *conn) setTimer() {
	now, cfg := c.w.loop.Now(), c.w.cfg
	due := c.pingDue()
	if s := c.subscriber(); s != nil {
		due = s.clockDue()
	}
	if c.pinged != 0 {
		due = min(due, c.pinged+cfg.PongTimeout)
	}
	if c.reader.IsBlocked() {
		due = min(due, c.reader.StopsAt(c.stallTimeout()))
		if at, _ := c.reader.AskAt(); !c.reader.IsAsked() {
			due = min(due, at) // Or it would be known at the stall deadline only what to compare with.
		}
	}
	if at, ok := c.reader.SlowAt(now); ok {
		due = min(due, at)
	}
	if c.in != nil {
		due = min(due, c.in.dueBy(cfg.AssemblyTimeout))
	}
	if c.isThrottled() {
		due = min(due, c.meter.until)
	}
	if c.meter != nil && c.meter.expires != 0 {
		due = min(due, c.meter.expiresAt)
	}
	if c.meter != nil && c.meter.endsAt != 0 {
		due = min(due, c.meter.endsAt)
	}
	c.w.loop.SetTimer(c.token, max(due-now, 1))
}

// dueBy is when the message under way has to be finished, for ever if there is none or it is we who
// do not read on, or inflate it.
func (in *inbound) dueBy(timeout time.Duration) time.Duration {
	if in.began == 0 || in.stopped != 0 || in.decoder.Inflating() {
		return math.MaxInt64
	}
	return in.began + timeout
}

// startClocks begins what is timed of a client that has just been let into its room.
func (c *conn) startClocks() {
	if c.life == open {
		c.limitLife()
		c.heard = c.w.loop.Now() - c.w.jitter() // The first pings of clients that came together go out apart.
		c.setTimer()
	}
}
