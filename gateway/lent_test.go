package gateway

import (
	"runtime"
	"testing"
)

func TestLentConnectionsLeaveNothingBehind(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	were := runtime.NumGoroutine()
	for i := range 100 {
		c := connect(t, addr)
		c.send(plainGet("/livez"))
		c.response()
		if i%3 == 1 {
			c.send(upgradeHead("/ws"))
			c.expectUpgrade()
		}
		if i%2 == 0 {
			c.reset()
		} else {
			c.Close()
		}
	}
	eventually(t, "all are gone", func() bool { return s.Open() == 0 && s.lent.Load() == 0 })
	expectGoroutines(t, were)
}
