package gateway

import (
	"sluice/gateway/sse"
	"sluice/wsproto"
)

// What is different of a connection that listens: its client is not pinged, because it could not
// answer; what it sends is not looked at; and the last that it gets is no Close frame.

var heartbeat = []byte(sse.Heartbeat)

// beat sends a comment to a client that has got nothing for a while, so that no proxy takes the
// connection for dead, and reports whether it is still open. That the client is gone its kernel
// says, or does not say for as long as --stall-timeout.
func (c *conn) beat() bool {
	c.send(heartbeat)
	c.heard = c.w.loop.Now() // Also where the comment has to wait: one at a time is enough.
	return c.life == open
}

// overhear drops n bytes that the client has sent behind its request, and reports whether to read
// on. Nothing is to come there but a request or two of a client that means to reuse the connection.
func (c *conn) overhear(n int) bool {
	m := c.metered()
	if m.unread += n; m.unread > int(c.w.cfg.MaxHead) {
		c.close(ClosedUnread)
	}
	return c.life == open
}

// After how many milliseconds a client whose stream has ended comes back. Each is told another
// time, so that those who were cut off together do not come back together.
const (
	comeBackLeast = 1000
	cutSpread     = 2000            // … unless it is told otherwise
	drainSpread   = 1000 * retryMax // when it is asked to leave: somebody has to start first
)

func (w *worker) comeBack(spread int) int { return comeBackLeast + w.random.IntN(spread) }

// appendFarewell appends the stream's last event.
func (c *conn) appendFarewell(dst []byte) []byte {
	if c.end.code == wsproto.CodeGoingAway {
		dst = sse.AppendRetry(dst, c.w.comeBack(drainSpread))
	}
	return sse.AppendFarewell(dst, sse.Farewell{Code: int(c.end.code), Reason: c.end.text})
}
