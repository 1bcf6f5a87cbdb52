package gateway

import (
	"fmt"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/hub"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor/reactortest"
)

// N82 over sockets: one client publishes, another stopped reading. It is closed with 4008 when it
// is a backlog behind what the kernel took for it, within a tenth, whatever the messages are.
func TestN82_StalledClientIsClosedOneBacklogBehind(t *testing.T) {
	t.Parallel()
	sizes := []int{65_536, 131_080, 262_140}
	if testenv.IsWholeSize(t) {
		sizes = []int{1000, 20_000, 65_536, 100_000, 131_072, 131_080, 200_000, 262_140}
	}
	for _, size := range sizes {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			cfg := testConfig()
			cfg.Loops, cfg.RoomBacklog = 1, 8<<20
			cfg.StallTimeout, cfg.CloseTimeout, cfg.PingInterval = time.Hour, time.Hour, time.Hour
			kernel := reactortest.New()
			kernel.StopClock()
			s, addr := startGatewayOn(t, cfg, kernel)
			stalled, publisher := wstest.Join(t, addr, "/ws/r").Narrow(), wstest.Join(t, addr, "/ws/r")
			message := wstest.MaskedBinary(string(make([]byte, size)))
			overrun := func() bool { return testenv.StatsOf(t, s).Hub.Overrun[hub.Disconnect] > 0 }
			published, frame := 0, len(message)-4 // A server's frame has no mask.
			for !overrun() {
				for range max(1, 1<<16/size) {
					publisher.Send(message)
					published += frame
				}
				for range max(1, 1<<16/size) {
					for { // Its room may wait for the other for some seconds.
						if _, err := publisher.Peek(20 * time.Millisecond); err == nil {
							break
						}
						kernel.Pass(time.Second)
					}
					if f := publisher.Frame(); f.Header.OpCode != ws.OpBinary || len(f.Payload) != size {
						t.Fatalf("got %s", wstest.Describe(f))
					}
				}
				if published > 4*int(cfg.RoomBacklog) {
					t.Fatalf("not closed after %d bytes", published)
				}
			}
			took := 0 // With the rest of the frame that it was in.
			for {
				f := stalled.Frame()
				if f.Header.OpCode == ws.OpClose {
					if code := ws.StatusCode(uint16(f.Payload[0])<<8 | uint16(f.Payload[1])); code != 4008 {
						t.Errorf("closed with %d", code)
					}
					break
				}
				took += frame
			}
			behind := float64(published-took+frame/2) / float64(cfg.RoomBacklog)
			t.Logf("messages of %d bytes: overrun %.3f of the backlog behind the %d bytes that the kernel took", size, behind, took)
			if behind < 0.9 || behind > 1.1 {
				t.Errorf("messages of %d bytes: overrun %.3f of the backlog behind", size, behind)
			}
		})
	}
}
