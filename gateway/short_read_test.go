package gateway

import (
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor/reactortest"
)

// In a room of two every call of the kernel's is half a delivery. A message that came whole is read
// by one: nothing asks again whether there is more.
func TestMessageIsReadByOneCall(t *testing.T) {
	const messages = 100
	kernel := reactortest.New()
	s, addr := startGatewayOn(t, testConfig(), kernel)
	a, b := wstest.Join(t, addr, "/ws/two"), wstest.Join(t, addr, "/ws/two")
	before := kernel.Count(reactortest.Read)
	for range messages {
		a.Send(wstest.MaskedText("hello"))
		a.ExpectFrame(ws.OpText, "hello")
		b.ExpectFrame(ws.OpText, "hello")
	}
	testenv.Eventually(t, "all is delivered", func() bool { return testenv.StatsOf(t, s).Deliveries == 2*messages })
	// An event that comes in two halves, or spuriously, costs one more.
	if n := kernel.Count(reactortest.Read) - before; n < messages || n > messages*5/4 {
		t.Errorf("%d reads for %d messages", n, messages)
	}
}
