package gateway

import (
	"runtime"
	"testing"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

func TestLentConnectionsLeaveNothingBehind(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	were := runtime.NumGoroutine()
	for i := range 100 {
		c := wstest.Connect(t, addr)
		c.Send(wstest.PlainGet("/"))
		c.Response()
		if i%3 == 1 {
			c.Send(wstest.UpgradeHead("/ws"))
			c.ExpectUpgrade()
		}
		if i%2 == 0 {
			c.Reset()
		} else {
			c.Close()
		}
	}
	testenv.Eventually(t, "all are gone", func() bool { return s.Open() == 0 && s.lent.Load() == 0 })
	testenv.ExpectGoroutines(t, were)
}
