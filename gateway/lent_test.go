package gateway

import (
	"runtime"
	"testing"
)

func TestLentConnectionsLeaveNothingBehind(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	were := runtime.NumGoroutine()
	for i := range 100 {
		c := Connect(t, addr)
		c.Send(PlainGet("/livez"))
		c.Response()
		if i%3 == 1 {
			c.Send(UpgradeHead("/ws"))
			c.ExpectUpgrade()
		}
		if i%2 == 0 {
			c.Reset()
		} else {
			c.Close()
		}
	}
	Eventually(t, "all are gone", func() bool { return s.Open() == 0 && s.lent.Load() == 0 })
	ExpectGoroutines(t, were)
}
