package main

import (
	"net/netip"
	"time"
)

// What a client may have us inflate: what text and data honestly deflated come to is free, a stream that is made to be inflated is
// not. One kilobyte can become a megabyte, which costs a millisecond or two.
const (
	inflateFree  = 32       // bytes for each byte that the client sends
	inflateRate  = 4 << 20  // bytes a second beside those
	inflateBurst = 32 << 20 // bytes beyond which, and beyond two of the largest messages, the client is closed
)

// A meter is what limits have to know of one client. It exists only for a client of which one of them wants to know something.
type meter struct {
	key   netip.Addr // whom it counts for, see admission; zero: nobody
	level int        // a leaky bucket of bytes that were inflated …
	at    time.Duration

	frames, pings, messages, bytes bucket

	isCostly bool // its last turn took long

	isThrottled bool          // not read on before …
	until       time.Duration // … this time; when it last was so, if it is not now
	over        time.Duration // since when it has been throttled again and again
}

// metered is the connection's meter.
func (c *conn) metered() *meter {
	if c.meter == nil {
		c.meter = &meter{}
	}
	return c.meter
}

// key is whom the connection counts for.
func (c *conn) key() (key netip.Addr) {
	if c.meter != nil {
		key = c.meter.key
	}
	return key
}

// read notes that the client sent n bytes.
func (m *meter) read(n int) { m.level = max(0, m.level-inflateFree*n) }

// mayInflate notes that n bytes were inflated, and reports whether that is within what a client may cost.
func (c *conn) mayInflate(n int) bool {
	return c.metered().inflate(n, c.w.loop.Now()) <= inflateBurst+2*int(c.w.cfg.MaxMessage)
}

// inflate notes that n bytes were inflated at the time now, and returns the level.
func (m *meter) inflate(n int, now time.Duration) int {
	leaked := int(min(now-m.at, time.Minute).Seconds() * inflateRate)
	m.level, m.at = max(0, m.level-leaked)+n, now
	return m.level
}
