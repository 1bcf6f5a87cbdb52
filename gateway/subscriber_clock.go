package gateway

import (
	"math"
	"time"
)

// A subscriber is pinged with a message of its protocol in each interval, whatever it sends: its
// client ends a connection on which nothing came for an interval and a while, and does not see
// frames of the WebSocket's own.

// startPings begins with the pings of a client that has connected. Those of clients that came
// together go out apart.
func (s *subscriber) startPings() {
	s.pingAt = s.w.loop.Now() + s.w.cfg.PingInterval - s.w.jitter()
	s.setTimer()
}

// checkClock does what is due at the time now, and reports whether the connection is still open.
func (s *subscriber) checkClock(now time.Duration) bool {
	if s.pinged != 0 && (s.pauses != 0 || s.reader.IsBlocked() || s.isAssembling()) {
		s.pinged = now // We do not listen, it has not got the ping, or has to finish what it says first.
	}
	if s.isConnected && !s.isParked() {
		s.due = 0 // Its question was answered, or given up.
	}
	switch {
	case s.due != 0 && now >= s.due && s.isParked():
		s.due = now + s.w.cfg.HandshakeTimeout // To connect, if it has not.
		s.giveUp()
	case s.due != 0 && now >= s.due && !s.isConnected:
		s.close(ClosedStale)
	case s.pinged != 0 && now-s.pinged >= s.w.cfg.PongTimeout:
		s.close(ClosedNoPong)
	case s.pingAt != 0 && now >= s.pingAt:
		s.pingAt = now + s.w.cfg.PingInterval
		s.ping(now)
	}
	if s.termsEnd != 0 && s.life == open {
		s.endTerms(now)
	}
	return s.life == open
}

// ping sends a ping, unless the client has yet to take what it was sent before: then it says by
// that whether it is there.
func (s *subscriber) ping(now time.Duration) {
	if s.reader.IsBlocked() {
		return
	}
	if s.pinged == 0 {
		s.pinged = now
	}
	s.pongsDue = min(s.pongsDue, math.MaxUint8-1) + 1
	s.sendMessage(s.format.AppendPing(nil))
}

// ponged takes the answer to a ping.
func (s *subscriber) ponged() orderStep {
	if s.pongsDue == 0 {
		return s.malformed("it answers a ping that it was not sent")
	}
	if s.pongsDue--; s.pongsDue == 0 {
		s.pinged = 0
	}
	return stepDone
}

// isAssembling reports whether a message of the client's is on its way.
func (s *subscriber) isAssembling() bool { return s.in != nil && s.in.began != 0 }
