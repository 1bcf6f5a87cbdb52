package gateway

import (
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor/reactortest"
)

// Clients that all came together, as after a restart, or all fell silent behind the same message,
// are not all pinged together.
func TestPingsOfManyClientsAreSpread(t *testing.T) {
	t.Parallel()
	t.Run("came together", func(t *testing.T) { expectSpread(t, 0) })
	t.Run("heard the same", func(t *testing.T) { expectSpread(t, 1) })
}

// expectSpread lets many clients connect, and counts in which second each of them is pinged when
// nothing happens after so many messages.
func expectSpread(t *testing.T, messages int) {
	clients := 300
	if testenv.IsWholeSize(t) {
		clients = 2000
	}
	kernel := reactortest.New()
	kernel.StopClock()
	cfg := testConfig()
	cfg.PingInterval, cfg.PongTimeout = 30*time.Second, time.Hour // Nobody answers.
	s, addr := startGatewayOn(t, cfg, kernel)
	var all []*wstest.Client
	for range clients {
		all = append(all, wstest.Join(t, addr, "/ws/r"))
	}
	for range messages {
		all[0].Send(wstest.MaskedText("silence, please"))
	}
	testenv.Eventually(t, "all have got them", func() bool { return testenv.StatsOf(t, s).Deliveries == uint64(messages*clients) })
	most, sent := 0, 0
	pinged := func() (n int) {
		s.each(t, func(c *conn) {
			if c.pinged != 0 {
				n++
			}
		})
		return n
	}
	// A timer may come a step of its wheel late, and pings are counted before the timers of the
	// same tick.
	for range int(cfg.PingInterval/time.Second) + 3 {
		kernel.Pass(time.Second)
		n := pinged()
		most, sent = max(most, n-sent), n
		if n == clients {
			break
		}
		if n > 0 && n < sent {
			t.Fatal("a ping was taken back")
		}
	}
	// They are spread over half of the interval or a quarter: of 30 s, one in eight is due in each
	// second on average, or fewer.
	t.Logf("of %d pings %d were sent in the fullest second", sent, most)
	if sent < clients || most > clients/4 {
		t.Errorf("%d pings were sent to %d clients, %d of them in one second", sent, clients, most)
	}
	for _, c := range all[:10] {
		for range messages {
			c.ExpectFrame(ws.OpText, "silence, please")
		}
		c.ExpectFrame(ws.OpPing, "")
	}
}
