package main

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"

	"sluice/wsproto"
)

// Hundreds of clients on two loops ask for rooms of their own at once: as many get one as there may be, and the others are told.
func TestRoomsOverTheLimitAreRefused(t *testing.T) {
	const most, clients = 7, 200
	cfg := testConfig()
	cfg.MaxRooms = most
	s, addr := startGateway(t, cfg)
	var all []*rawClient
	for range clients {
		all = append(all, connect(t, addr))
	}
	var joined, refused atomic.Int64
	in := make([]*rawClient, clients)
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() {
			c.trySend(upgradeHead(fmt.Sprintf("/ws/room.%d", i)))
			r, err := http.ReadResponse(c.in, &http.Request{Method: http.MethodGet})
			if err != nil {
				t.Error(err)
				return
			}
			switch {
			case r.StatusCode == http.StatusSwitchingProtocols:
				joined.Add(1)
				in[i] = c
			case r.StatusCode == http.StatusServiceUnavailable && r.Header.Get("Retry-After") != "":
				refused.Add(1)
			default:
				t.Errorf("%s", r.Status)
			}
		})
	}
	wg.Wait()
	if joined.Load() != most || refused.Load() != clients-most || s.hub.Rooms() != most {
		t.Fatalf("%d joined, %d refused, %d rooms; want %d, %d, %d", joined.Load(), refused.Load(), s.hub.Rooms(), most, clients-most, most)
	}
	if st := statsOf(t, s); st.Refusals[wsproto.ReasonRooms] != clients-most || st.Upgrades != most {
		t.Errorf("%d refusals and %d upgrades counted", st.Refusals[wsproto.ReasonRooms], st.Upgrades)
	}
	for i, c := range in {
		if c == nil {
			continue
		}
		path := fmt.Sprintf("/ws/room.%d", i)
		join(t, addr, path, maskedText("one that exists may be joined")).expectFrame(ws.OpText, "one that exists may be joined")
		c.expectFrame(ws.OpText, "one that exists may be joined")
	}
}
