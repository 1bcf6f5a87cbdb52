package gateway

import (
	"bytes"
	"testing"
	"time"

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
