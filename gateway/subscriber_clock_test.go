package gateway

import (
	"log/slog"
	"testing"
	"time"
)

// The time that a question has ends with its answer: a subscriber that has waited for one costs its
// loop nothing from then on.
func TestAnsweredSubscribersAreLeftAlone(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.Loops, cfg.HandshakeTimeout = 1, 10*time.Second
	cfg.Auth = &passes{wall: wallClock, isAsked: true}
	s, kernel := startStopped(t, cfg, slog.New(slog.DiscardHandler))
	p := dialPeer(t, s.Addrs()[0].String(), nil)
	p.say(`{"id":1,"connect":{"token":"sub:ann"}}`)
	p.next()
	p.say(`{"id":2,"subscribe":{"channel":"a","token":"sub:ann room:a"}}`)
	p.expect(`{"id":2,"subscribe":{}}`)
	kernel.Pass(2 * cfg.HandshakeTimeout)
	s.each(t, func(c *conn) {
		if left := c.w.loop.TimeLeft(c.token); left < cfg.PingInterval/2 {
			t.Errorf("it is looked at in %v, though nothing is due before its ping", left)
		}
	})
}
