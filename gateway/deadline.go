package gateway

import (
	"math"
	"time"

	"sluice/hub"
)

// setTimer has checkLife look again at the nearest of an open connection's deadlines.
func (c *conn) setTimer() {
	now, cfg := c.w.loop.Now(), c.w.cfg
	due := c.pingDue()
	if s := c.subscriber(); s != nil {
		due = s.clockDue()
	} else if c.pinged != 0 { // It is pinged no more before it has answered, which does not move the timer.
		due = now + cfg.PingInterval
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

// pingDue is when the client is pinged if it stays silent until then. Thousands that were sent the
// same message fall silent together: each is pinged by a share of a quarter of the interval
// earlier, which its place in the loop decides.
func (c *conn) pingDue() time.Duration {
	const golden = 2654435769 // 2^32 divided by the golden ratio: multiples of it, cut to 32 bits, lie evenly
	interval := c.w.cfg.PingInterval
	share := uint32(c.token) * golden >> 16
	return c.lastSign() + interval - time.Duration(share)*(interval/4>>16)
}

// lastSign is when the client last sent bytes or took some.
func (c *conn) lastSign() time.Duration {
	if took := c.reader.Took(); took != 0 {
		return max(c.heard, took)
	}
	return c.heard
}

// stallTimeout is how long the client may take none of what waits for it.
func (c *conn) stallTimeout() time.Duration {
	if c.reader.Policy() == hub.Disconnect {
		return c.w.cfg.StallTimeout
	}
	return c.w.cfg.SkipTimeout
}

// dueBy is when the message under way has to be finished, for ever if there is none or it is we who
// do not read on, or inflate it.
func (in *inbound) dueBy(timeout time.Duration) time.Duration {
	if in.began == 0 || in.stopped != 0 || in.decoder.Inflating() {
		return math.MaxInt64
	}
	return in.began + timeout
}

// limitLife decides when a client that has just come has been there for long enough. Those that
// came together are not all asked to come back together.
func (c *conn) limitLife() {
	if most := c.w.cfg.MaxLifetime; most > 0 {
		c.metered().endsAt = c.w.loop.Now() + most - time.Duration(c.w.random.Int64N(int64(most/5)))
	}
}

// startClocks begins what is timed of a client that has just been let into its room.
func (c *conn) startClocks() {
	if c.life == open {
		c.limitLife()
		c.heard = c.w.loop.Now() - c.w.jitter() // The first pings of clients that came together go out apart.
		c.setTimer()
	}
}

// clockDue is when checkClock is to be called.
func (s *subscriber) clockDue() time.Duration {
	due := time.Duration(math.MaxInt64)
	if s.due != 0 {
		due = s.due
	}
	if s.pingAt != 0 {
		due = min(due, s.pingAt)
	}
	if s.termsEnd != 0 {
		due = min(due, s.termsEnd)
	}
	return due
}
