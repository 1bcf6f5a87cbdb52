package gateway

import (
	"math"

	"sluice/reactor"
)

// overdue deals with a client that has not taken its last bytes in time. In a drain it is cut to
// the end of the frame that it is in first.
func (c *conn) overdue() {
	now := c.w.loop.Now()
	switch {
	case c.end.reason == ClosedDoesNotRead:
		c.abort(ClosedDoesNotRead)
	case c.end.reason != ClosedDrain:
		c.abort(ClosedCloseTimeout)
	case now >= c.end.due:
		c.abort(ClosedCut)
	default:
		c.w.loop.SetTimer(c.token, c.end.due-now)
		c.cutToFrame()
	}
}

// doesNotRead closes a client that has published although it takes nothing. It cannot hear of that
// before it reads, but then it does.
func (c *conn) doesNotRead() {
	code, text := c.wordsFor(ClosedDoesNotRead)
	if c.closeUpTo(math.MinInt64, ClosedDoesNotRead, code, text); c.life < lingering {
		c.cutToFrame()
	}
}

// cutToFrame lets the client have no more than the rest of the frame that it is in, and the Close
// frame. Nothing bounds any more what may wait in the kernel for it, so both go out as soon as
// there is room, whether it reads or not.
func (c *conn) cutToFrame() {
	_ = c.w.kernel.SetOption(int(c.fd), reactor.NotSentLowat, math.MaxInt32) // A system without it has no such bound.
	if c.life == finishing {
		c.reader.Finish(math.MinInt64)
	}
	if c.life == finishing || c.life == parting {
		c.writable()
	}
}

// linger waits on if the client has sent anything of late.
func (c *conn) linger() {
	now, silentAt := c.w.loop.Now(), c.heard+lingerTime
	if now >= silentAt && now < c.end.due && c.mayBeReading() {
		silentAt = now + lingerTime
	}
	switch {
	case now >= silentAt:
		c.die(c.end.reason)
	case now >= c.end.due:
		c.cutShort()
	default:
		c.w.loop.SetTimer(c.token, min(silentAt, c.end.due)-now)
	}
}

// mayBeReading reports whether a drain has told the client all and its kernel has not taken that
// yet: were the descriptor closed, what it sends next would be answered with a reset, and the rest
// be lost.
func (c *conn) mayBeReading() bool {
	if c.end.reason != ClosedDrain {
		return false
	}
	queued, err := c.w.kernel.Queued(int(c.fd))
	return err == nil && queued > 0
}

// lingerMax is how much of a closed client's input is read and dropped, in bytes.
func (c *config) lingerMax() int64 { return max(lingerBytes, 4*c.MaxMessage) }

// discard drops what a client sends that we no longer listen to, and reports whether to read on.
func (c *conn) discard(n int) bool {
	c.end.dropped += int64(n)
	if c.life == lingering && c.end.reason != ClosedDrain && c.end.dropped > c.w.cfg.lingerMax() {
		c.cutShort()
		return false
	}
	return true
}

// cutShort ends a connection whose client still sends. It may not come to know why.
func (c *conn) cutShort() {
	c.w.stats.CutShort++
	if skipped, ok := c.w.server.samples.cutShort.Take(c.w.kernel.Now()); ok {
		c.w.log.Info("cut while its client was sending", "reason", c.end.reason.String(), "dropped_bytes", c.end.dropped,
			"id", c.id(), "from", c.from(), "and_more", skipped)
	}
	c.die(c.end.reason)
}
