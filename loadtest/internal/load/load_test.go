package load

import "testing"

func TestSizesStayInTheirRanges(t *testing.T) {
	for _, text := range []string{"64", "40..50", "chat", "ticker", "state"} {
		var s Sizes
		if err := s.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		low, high := s.Largest(), s.smallest()
		for seq := range uint32(100_000) {
			n := s.Of(3, seq)
			low, high = min(low, n), max(high, n)
		}
		if low < s.smallest() || high > s.Largest() || low > s.smallest()+8 || high < s.Largest()*9/10 {
			t.Errorf("%s: sizes from %d to %d, want %d to %d", text, low, high, s.smallest(), s.Largest())
		}
	}
	for _, text := range []string{"", "x", "1..", "..2", "9..8", "64KiB"} {
		if err := new(Sizes).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestCalmLoadIsItsReadersAlone(t *testing.T) {
	load := Load{Clients: 1000, Publishers: 2, Stalled: 100, Slow: Slow{N: 50, Rate: 1000}, Storm: 10, Messages: 7}
	calm := load.Calm()
	if want := (&Load{Clients: 750, Publishers: 2, Messages: 7}); calm.Clients != want.Clients || calm.CrowdSizes() != want.CrowdSizes() || calm.Messages != 7 {
		t.Errorf("calm is %+v", calm)
	}
	if load.Stalled != 100 {
		t.Error("the load itself has changed")
	}
}

// What the sizes say of a crowd is what its clients are, one by one; and publishers are readers by
// WebSocket.
func TestEveryClientIsOfOneKind(t *testing.T) {
	base := Load{Clients: 1000, Publishers: 3}
	for _, turn := range []func(*Load){
		func(*Load) {},
		func(c *Load) { c.Stalled, c.Slow, c.Churn = 100, Slow{N: 50, Rate: 1}, 7 },
		func(c *Load) { c.Storm = 30 },
		func(c *Load) { c.SSE = 400 },
		func(c *Load) { c.SSE, c.Storm = 400, 30 },
		func(c *Load) { c.SSE, c.Storm, c.Resume = 400, 30, true },
		func(c *Load) { c.SSE, c.Storm, c.Resume = 997, 100, true },
		func(c *Load) { c.Protocol, c.Storm, c.Resume = Centrifuge, 30, true },
		func(c *Load) {
			c.Protocol, c.Storm, c.Resume, c.Stalled, c.Slow, c.Churn = Centrifuge, 30, true, 100, Slow{N: 50, Rate: 1}, 7
		},
		func(c *Load) { c.Protocol, c.SSE, c.Storm, c.Resume = Centrifuge, 300, 50, true },
		func(c *Load) {
			c.SSE, c.Storm, c.Resume, c.Stalled, c.Slow, c.Churn = 300, 50, true, 100, Slow{N: 50, Rate: 1}, 7
		},
		func(c *Load) { c.SSE, c.Storm, c.Stalled, c.Slow, c.Churn = 300, 50, 100, Slow{N: 50, Rate: 1}, 7 },
	} {
		c := base
		turn(&c)
		var n [kinds]int
		events, storm := 0, 0
		for i := range c.Clients {
			kind := c.KindOf(i)
			n[kind]++
			if c.HearsEvents(i) {
				events++
			}
			if i < c.Publishers && (kind != KindReader || c.HearsEvents(i)) {
				t.Errorf("%+v: publisher %d is of kind %d", c, i, kind)
			}
			if i >= c.Clients-c.StormSize() && (kind == KindGuest || kind == KindResumer) {
				storm++
			}
		}
		if n != c.CrowdSizes() || events != c.SSE || storm != c.StormSize() {
			t.Errorf("%+v: kinds %v, want %v; %d read events; a storm takes %d of %d", c, n, c.CrowdSizes(), events, storm, c.StormSize())
		}
		if c.Resume && n[KindResumer] != c.StormSize() {
			t.Errorf("%+v: %d resume", c, n[KindResumer])
		}
	}
}

func TestEventsAreWhereTheGatewayHasThem(t *testing.T) {
	for _, test := range []struct{ url, given, want string }{
		{"ws://127.0.0.1/ws", "", "/sse"},
		{"ws://127.0.0.1/ws/{room}", "", "/sse/room-0"},
		{"ws://127.0.0.1/chat/ws/{room}?token=a/ws", "", "/chat/sse/room-0?token=a/ws"},
		{"ws://127.0.0.1/news", "/events?of={room}", "/events?of=room-0"},
	} {
		load := Load{Rooms: 1, SSE: 1, SSEPath: test.given}
		target, err := load.ParseTarget(test.url)
		if err != nil || target.EventPaths[0] != test.want {
			t.Errorf("%s with --sse-path %q: %+v, %v; want %s", test.url, test.given, target, err, test.want)
		}
	}
}
