package gateway

import (
	"math"
	"time"
)

// A token says by the wall clock when it expires, and nothing else here goes by that clock. A
// connection ends when the wall clock says so, which counts while the process or the machine stood
// still, too, and at the latest when as much time has passed as the token had left: a clock that is
// set back prolongs nothing.

// wallClock is the time since 1970 by the wall clock, in milliseconds.
func wallClock() int64 { return time.Now().UnixMilli() }

// expireWith has the connection end when what is known of its client does.
func (c *conn) expireWith(who *Principal) {
	if who.Expires == 0 {
		return
	}
	m := c.metered()
	m.expires, m.expiresAt = who.Expires, math.MaxInt64
	if left := 1000*who.Expires - c.w.cfg.wallClock(); left < timeoutMax.Milliseconds() {
		m.expiresAt = c.w.loop.Now() + time.Duration(left)*time.Millisecond
	}
}

// isExpired reports whether the connection's time is over.
func (c *conn) isExpired(now time.Duration) bool {
	m := c.meter
	return m != nil && m.expires != 0 && (now >= m.expiresAt || c.w.cfg.wallClock() >= 1000*m.expires)
}

// expire ends the connection: its client gets the rest of the frame that it is in, and nothing of
// the room behind that.
func (c *conn) expire() {
	code, text := c.wordsFor(ClosedExpired)
	c.closeUpTo(math.MinInt64, ClosedExpired, code, text)
}
