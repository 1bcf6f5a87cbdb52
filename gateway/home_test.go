package gateway

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor/reactortest"
)

// homelyConfig is one of which small rooms are at home on one loop.
func homelyConfig() *config {
	cfg := testConfig()
	cfg.homeMax = homeMax
	return cfg
}

// loopsOf tells on which loops the members of each room are, and how many connections each loop
// has.
func (s *Server) loopsOf(t testing.TB) (rooms map[string]map[int]int, conns []int) {
	rooms, conns = map[string]map[int]int{}, make([]int, len(s.workers))
	s.each(t, func(c *conn) {
		conns[c.w.no]++
		if c.life != open {
			return
		}
		name := c.reader.Room().Name()
		if rooms[name] == nil {
			rooms[name] = map[int]int{}
		}
		rooms[name][c.w.no]++
	})
	return rooms, conns
}

// expectEven fails if a loop has 10 % more connections than another, or less.
func expectEven(t *testing.T, conns []int) {
	t.Helper()
	least, most := conns[0], conns[0]
	for _, n := range conns {
		least, most = min(least, n), max(most, n)
	}
	t.Logf("connections by loop: %v", conns)
	if 10*most > 11*least+20 {
		t.Errorf("loops have %v connections, which is not even within 10 %%", conns)
	}
}

// Clients of thousands of rooms of two are on one loop with each other, and spread evenly over the
// loops, whichever of them comes first and in whatever order.
func TestRoomsOfTwoAreAtHome(t *testing.T) {
	t.Parallel()
	rooms := 301 // An odd number, or the second of each comes to the first one's loop by itself.
	if testenv.IsWholeSize(t) {
		rooms = 1501
	}
	for _, tc := range []struct {
		name string
		room func(i int) int
	}{
		{"one after the other", func(i int) int { return i % rooms }},
		{"both at once", func(i int) int { return i / 2 }},
		{"the last first", func(i int) int { return min(i, 2*rooms-1-i) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, addr := startGateway(t, homelyConfig())
			for i := range 2 * rooms {
				wstest.Join(t, addr, fmt.Sprintf("/ws/r%d", tc.room(i)))
			}
			where, conns := s.loopsOf(t)
			expectEven(t, conns)
			for name, loops := range where {
				if len(loops) != 1 || len(where) != rooms {
					t.Fatalf("of %d rooms %s has members on loops %v", len(where), name, loops)
				}
			}
			st := testenv.StatsOf(t, s)
			t.Logf("%d of %d connections moved", st.Moved, st.Accepted)
			if st.Accepted != uint64(2*rooms) {
				t.Errorf("%d connections were accepted, %d came", st.Accepted, 2*rooms)
			}
		})
	}
}

// One large room is spread over all loops as if it had never had a home.
func TestLargeRoomIsSpread(t *testing.T) {
	t.Parallel()
	clients := 500
	if testenv.IsWholeSize(t) {
		clients = 3000
	}
	cfg := homelyConfig()
	cfg.Loops = 3
	s, addr := startGateway(t, cfg)
	var first *wstest.Client
	for i := range clients {
		if c := wstest.Join(t, addr, "/ws/one"); i == 0 {
			first = c
		}
	}
	where, conns := s.loopsOf(t)
	expectEven(t, conns)
	if len(where["one"]) != cfg.Loops {
		t.Errorf("its members are on loops %v", where["one"])
	}
	first.Send(wstest.MaskedText("hello"))
	testenv.Eventually(t, "all have got a message", func() bool { return testenv.StatsOf(t, s).Deliveries == uint64(clients) })
}

// A message of a small room costs no wake of another loop. Without homes it does, in the same test.
func TestSmallRoomWakesNoOtherLoop(t *testing.T) {
	const messages = 200
	for _, tc := range []struct {
		name    string
		homeMax int
		most    int
	}{{"at home", homeMax, messages / 20}, {"on two loops", -1, messages}} { // Something else of the process may wake one.
		t.Run(tc.name, func(t *testing.T) {
			kernel, cfg := reactortest.New(), testConfig()
			cfg.homeMax = tc.homeMax
			s, addr := startGatewayOn(t, cfg, kernel)
			a, b := wstest.Join(t, addr, "/ws/r"), wstest.Join(t, addr, "/ws/r")
			if where, _ := s.loopsOf(t); (len(where["r"]) == 1) != (tc.homeMax > 0) {
				t.Fatalf("the room is on loops %v", where["r"])
			}
			before := kernel.Count(reactortest.Wake)
			for i := range messages {
				text := fmt.Sprint(i)
				a.Send(wstest.MaskedText(text))
				a.ExpectFrame(ws.OpText, text)
				b.ExpectFrame(ws.OpText, text)
			}
			woken := kernel.Count(reactortest.Wake) - before
			t.Logf("%d messages woke a loop %d times", messages, woken)
			if woken > tc.most || tc.homeMax < 0 && woken < messages/10 {
				t.Errorf("%d messages woke a loop %d times, want at most %d", messages, woken, tc.most)
			}
		})
	}
}

// Whatever way a client comes, it goes to its room's home: readers of events, those who only
// publish, those over TLS, those behind an answer on the same connection.
func TestAllWaysLeadHome(t *testing.T) {
	g := startTLS(t, homelyConfig())
	first := wstest.Join(t, g.plain, "/ws/r")
	var events []*wstest.Client
	var secured []net.Conn
	for range 4 { // Some of each come to the other loop.
		c := wstest.Connect(t, g.plain)
		c.Send(wstest.RequestHead("GET /sse/r HTTP/1.1", "Host: sluice.test"))
		if head, err := c.In.ReadString('\n'); err != nil || !strings.HasPrefix(head, "HTTP/1.1 200") {
			t.Fatalf("events are answered %q, %v", head, err)
		}
		events = append(events, c)
		wstest.Join(t, g.plain, "/ws/r?echo=0")
		secured = append(secured, g.join(t, g.trusting, "/ws/r"))
		kept := wstest.Connect(t, g.plain)
		kept.Send(wstest.RequestHead("GET /livez HTTP/1.1", "Host: sluice.test"))
		if r, _ := kept.Response(); r.StatusCode != 200 {
			t.Fatal(r.Status)
		}
		kept.Send(wstest.UpgradeHead("/ws/r"), wstest.MaskedPing("p"))
		kept.ExpectUpgrade()
		kept.ExpectFrame(ws.OpPong, "p")
	}
	if where, _ := g.loopsOf(t); len(where["r"]) != 1 {
		t.Errorf("the room is on loops %v", where["r"])
	}
	if n := testenv.StatsOf(t, g.Server).Moved; n < 4 {
		t.Errorf("%d connections moved", n)
	}
	first.Send(wstest.MaskedText("hello"))
	first.ExpectFrame(ws.OpText, "hello")
	for _, c := range secured {
		if _, p, err := readFrame(c); err != nil || string(p) != "hello" {
			t.Errorf("over TLS came %q, %v", p, err)
		}
		if _, err := c.Write(wstest.MaskedPing("q")); err != nil {
			t.Error(err)
		}
		if h, p, err := readFrame(c); err != nil || h.OpCode != ws.OpPong || string(p) != "q" {
			t.Errorf("over TLS a ping is answered %v %q, %v", h, p, err)
		}
	}
	for _, c := range events {
		for line := ""; line != "data: hello\n"; {
			var err error
			if line, err = c.In.ReadString('\n'); err != nil {
				t.Fatalf("events end with %q, %v", line, err)
			}
		}
	}
}
