package gateway

import (
	"time"

	"sluice/wsproto"
)

// overGap is how long a client has to keep to its rates for its time over them to begin anew: one
// that waits to be read again is throttled again at once.
const overGap = time.Second

// chargeFrames notes that frames began and what they have come to, zero for nothing yet, and
// reports whether to go on. Frames and pings over their rate are abuse and end the connection: each
// costs us work, and nobody needs so many. Messages only have to wait.
func (c *conn) chargeFrames(frames int, op wsproto.Opcode) bool {
	cfg := c.w.cfg
	if !cfg.hasRates {
		return true
	}
	m, now := c.metered(), c.w.loop.Now()
	if cfg.FrameRate > 0 && m.frames.take(frames, int64(cfg.FrameRate), now) > 0 {
		c.close(ClosedFrameRate)
		return false
	}
	switch op {
	case wsproto.OpPing:
		if cfg.PingRate > 0 && m.pings.take(1, int64(cfg.PingRate), now) > 0 {
			c.close(ClosedPingRate)
		}
	case wsproto.OpText, wsproto.OpBinary:
		if cfg.MessageRate > 0 && c.past != subscribes { // Whose commands count, not their frames.
			c.throttle(m.messages.take(1, int64(cfg.MessageRate), now), ClosedMessageRate)
		}
	}
	return c.life == open
}

// chargeBytes notes that n bytes were read and decoded, and reports whether to go on.
func (c *conn) chargeBytes(n int) bool {
	rate := int64(c.w.cfg.ByteRate)
	if rate == 0 || c.life != open {
		return true
	}
	c.throttle(c.metered().bytes.take(n, rate, c.w.loop.Now()), ClosedByteRate)
	return c.life == open && !c.isThrottled()
}

// throttle keeps the connection from being read for as long as its bucket lacks something, which
// holds its sender by TCP's own means. Sending to the client goes on. One that has been throttled
// over and over for overTime is closed with r.
func (c *conn) throttle(lacks time.Duration, r CloseReason) {
	if lacks <= 0 {
		return
	}
	m, now := c.meter, c.w.loop.Now()
	if now-m.until > overGap {
		m.over = now
	}
	if now-m.over >= c.w.cfg.overTime {
		c.close(r)
		return
	}
	c.w.stats.Throttled++
	m.until = max(m.until, now+lacks)
	c.pauseReading(pauseRate)
	c.setTimer()
}

// unthrottle reads on if the time for it has come.
func (c *conn) unthrottle(now time.Duration) {
	if c.isThrottled() && now >= c.meter.until {
		c.resumeReading(pauseRate)
	}
}

// chargeInflated notes that n bytes were inflated, and reports whether that is within what a client
// may cost.
func (c *conn) chargeInflated(n int) bool {
	rate := c.w.cfg.InflateRate
	if rate == 0 {
		return true
	}
	return int64(c.metered().inflate(n, rate, c.w.loop.Now())) <= inflateBurst*rate+2*c.w.cfg.MaxMessage
}
