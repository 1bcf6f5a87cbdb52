package gateway

import (
	"bytes"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor/reactortest"
	"sluice/wsproto"
)

// A byte comes every two seconds and there are ten to go, on a clock that stands while the test has
// work to do.
func TestH07_DribblersAreCutAtAnAbsoluteDeadline(t *testing.T) {
	t.Parallel()
	const dribblers, pause = 500, 2 * time.Second
	cfg := testConfig()
	cfg.HandshakeTimeout = 10 * time.Second
	kernel := reactortest.New()
	kernel.StopClock()
	s, addr := startGatewayOn(t, cfg, kernel)
	all := make([]*wstest.Client, dribblers)
	for i := range all {
		all[i] = wstest.Connect(t, addr)
	}
	head, served := wstest.UpgradeHead("/ws"), 0
	for ; s.Open() > 0 && served < 10; served++ {
		for _, c := range all {
			c.TrySend(head[served : served+1])
		}
		wstest.Dial(t, addr, "/ws").CloseNow()
		kernel.Pass(pause)
	}
	// All are refused after five pauses, and forgotten within --close-timeout: what they go on
	// sending is dropped until then.
	if served < 5 || served > 9 {
		t.Errorf("%d new clients were served, one every %v, while dribblers were there", served, pause)
	}
	for _, c := range all {
		// A byte that came after the close made the kernel reset the connection, which may have
		// eaten the answer.
		if p, _ := c.Rest(); len(p) > 0 && !bytes.HasPrefix(p, []byte("HTTP/1.1 408 ")) {
			t.Fatalf("answered with %q", p)
		}
	}
	if st := testenv.StatsOf(t, s); st.Refusals[wsproto.ReasonTimeout] != dribblers {
		t.Errorf("%d timeouts counted, want %d", st.Refusals[wsproto.ReasonTimeout], dribblers)
	}
}

// A client that was pinged and has yet to answer is looked at when something is due, and not in
// every tick until then.
func TestPingedClientIsLeftAlone(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.Loops, cfg.PingInterval, cfg.PongTimeout = 1, 10*time.Second, time.Hour
	kernel := reactortest.New()
	kernel.StopClock()
	s, addr := startGatewayOn(t, cfg, kernel)
	c := wstest.Join(t, addr, "/ws/silent")
	isPinged := false
	for passed := 0; !isPinged && passed < 20; passed++ {
		kernel.Pass(time.Second)
		s.each(t, func(c *conn) { isPinged = c.pinged != 0 })
	}
	if f := c.Frame(); f.Header.OpCode != ws.OpPing {
		t.Fatalf("it gets %s", wstest.Describe(f))
	}
	kernel.Pass(cfg.PingInterval + time.Second)
	s.each(t, func(c *conn) {
		if left := c.w.loop.TimeLeft(c.token); left < cfg.PingInterval/2 {
			t.Errorf("it is looked at in %v", left)
		}
	})
	c.Send(wstest.MaskedPong(""))
	for range 2 {
		kernel.Pass(cfg.PingInterval)
	}
	if f := c.Frame(); f.Header.OpCode != ws.OpPing {
		t.Errorf("behind its answer it gets %s", wstest.Describe(f))
	}
}
