package gateway

import (
	"errors"
	"math"
	"time"
)

// expireWith makes the connection end when what is known of its client does.
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

// endOf is when what a token gives ends, by the loop's clock.
func (s *subscriber) endOf(expires int64) time.Duration {
	left := time.Duration(min(1000*expires-s.w.cfg.wallClock(), timeoutMax.Milliseconds())) * time.Millisecond
	return max(1, s.w.loop.Now()+left+s.w.cfg.expiryGrace)
}

// expireBehind makes the connection end a while behind what is known of its client.
func (s *subscriber) expireBehind(who *Principal) {
	if m := s.meter; m != nil {
		m.expires, m.expiresAt = 0, 0
	}
	if who.Expires != 0 {
		s.expireWith(&Principal{Expires: who.Expires + int64((s.w.cfg.expiryGrace+time.Second-1)/time.Second)})
	}
	s.setTimer()
}

// isExpired reports whether a token was refused for nothing but its time.
func isExpired(err error) bool {
	denied := new(AuthError)
	return errors.As(err, &denied) && denied.IsExpired
}

// ttl is how long a token is good for that expires, in seconds for a client; never none.
func (s *subscriber) ttl(expires int64) uint32 {
	return uint32(min(max(1, expires-s.w.cfg.wallClock()/1000), math.MaxInt32))
}
