package gateway

import (
	"context"
	"fmt"
	"testing"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// Members are counted once, wherever they are: more of them than a loop looks at in a tick.
func TestStateTellsHowMembersStand(t *testing.T) {
	t.Parallel()
	clients := 40
	if testenv.IsWholeSize(t) {
		clients = 3000
	}
	cfg := testConfig()
	s, addr := startGateway(t, cfg)
	var all []*wstest.Client
	for i := range clients {
		all = append(all, wstest.Join(t, addr, fmt.Sprintf("/ws/r%d", i%7)))
	}
	narrow := wstest.Join(t, addr, "/ws/stage").Narrow()
	others := wstest.Gather(t, addr, "/ws/stage", 2, 10<<10)
	for range 50 {
		others.Publish(10)
		others.HearAll()
	}
	testenv.Eventually(t, "one is behind", func() bool { return stateOf(t, s).Blocked == 1 })
	is := stateOf(t, s)
	sum, held := uint64(0), 0
	for _, n := range is.Lags {
		sum += n
	}
	for _, l := range is.Loops {
		held += l.Connections
	}
	want := clients + 1 + 2
	if is.Members != want || sum != uint64(want) || is.Connections != want || held != want+1 || is.Rooms != 8 || len(is.Loops) != cfg.Loops {
		t.Errorf("%d clients are there: %+v", want, is)
	}
	if is.Lags[0] != uint64(want-1) || is.LagSum < 1<<20 || is.LagSum > 6<<20 || is.RoomLogs < is.LagSum || is.RoomLogsMax != cfg.BacklogMemory {
		t.Errorf("one is megabytes behind: %+v", is)
	}
	for _, c := range append(all, narrow) {
		c.Reset()
	}
	testenv.Eventually(t, "they are gone", func() bool {
		is := stateOf(t, s)
		return is.Members == 2 && is.Blocked == 0 && is.LagSum == 0 && is.Rooms == 1
	})
}

// stateOf is how a server stands.
func stateOf(t *testing.T, s *Server) State {
	t.Helper()
	is, err := s.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return is
}

// Nobody waits for loops that do not run.
func TestStateOfAServerThatDoesNotServe(t *testing.T) {
	cfg := testConfig()
	s := makeServer(t, cfg, nil, nil)
	defer s.Close()
	if is, err := s.State(context.Background()); err != nil || is.Members != 0 || len(is.Loops) != cfg.Loops || s.Ready() == nil {
		t.Errorf("before: %+v, %v, ready: %v", is, err, s.Ready())
	}
	s.Close()
	if is, err := s.State(context.Background()); err != nil || is.Connections != 0 || s.Ready() == nil {
		t.Errorf("after: %+v, %v, ready: %v", is, err, s.Ready())
	}
}
