package run

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/report"
	"sluice/loadtest/internal/servertest"
)

var scheduled = map[string]func(*testing.T){
	"a pause shows at its true size": testPauseInOpenLoop,
	"an open loop keeps its rate":    testRateOfOpenLoop,
	"a crowd is judged by its reads": testCrowd,
	"a slow client shows":            testSlowClient,
}

// What goes by a schedule hardly works, so that these do not disturb each other; all else would.
func TestScheduled(t *testing.T) {
	for name, test := range scheduled {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// A stall of the server must show in every message that was due meanwhile (no coordinated
// omission).
func testPauseInOpenLoop(t *testing.T) {
	inOneRun(t, func() error { return runWithPause(t, 500*time.Millisecond) })
}

func runWithPause(t *testing.T, pause time.Duration) error {
	cfg := testLoad()
	cfg.Clients, cfg.Rate, cfg.Messages, cfg.LossTimeout = 10, 200, 300, 10*time.Second
	res := loadServer(t, cfg, servertest.Start(t, &servertest.Server{Before: func(message int) {
		if message == 100 {
			time.Sleep(pause)
		}
	}}))
	if res.Faulty() || res.Messages != 300 {
		t.Fatalf("faults %+v, %d sent", faultsOf(res), res.Messages)
	}
	if !res.Sustained {
		return fmt.Errorf("a backlog of %d", res.Backlog)
	}
	// A machine that is busy besides adds its own delays, but takes none away.
	low, high := 0.98*float64(pause.Microseconds()), 1.8*float64(pause.Microseconds())
	// 100 of 300 messages were due during the pause, evenly: one in ten waited for more than 350
	// ms.
	l := res.Latency
	if l.Max < low || l.P999 < low || l.P90 < 0.6*low {
		t.Fatalf("latency %+v: the messages due during the pause of %v do not show", l, pause)
	}
	if l.Max > high || l.P50 > low/2 {
		return fmt.Errorf("latency %+v: more shows than a pause of %v", l, pause)
	}
	return nil
}

func testRateOfOpenLoop(t *testing.T) {
	inOneRun(t, func() error {
		cfg := testLoad()
		cfg.Publishers, cfg.Rate, cfg.Duration, cfg.LossTimeout = 3, 100, time.Second, 10*time.Second
		res := loadServer(t, cfg, servertest.Start(t, &servertest.Server{}))
		if res.Messages != 100 || res.Faulty() || res.Seconds < 0.95 {
			t.Errorf("%d messages in %v s, faults %+v", res.Messages, res.Seconds, faultsOf(res))
		}
		if res.Seconds > 2 {
			return fmt.Errorf("100 messages, of 100 a second, took %v s", res.Seconds)
		}
		return nil
	})
}

func TestRateBeyondTheServerIsNotSustained(t *testing.T) {
	t.Parallel()
	cfg := testLoad()
	cfg.Clients, cfg.Rate, cfg.Messages, cfg.LossTimeout, cfg.Drain = 5, 150, 300, 10*time.Second, time.Minute
	// Two seconds at 150 a second, of which the server does 50 at most, until it gets over the
	// rest.
	res := loadServer(t, cfg, servertest.Start(t, &servertest.Server{Before: func(message int) {
		if message < 100 {
			time.Sleep(20 * time.Millisecond)
		}
	}}))
	if res.Sustained || res.Backlog < 150 || res.Backlog >= 300 {
		t.Errorf("sustained %v with a backlog of %d", res.Sustained, res.Backlog)
	}
	if res.Lost > 0 || res.Delivered != res.Expected {
		t.Errorf("what came late is not lost: %+v, %d of %d", faultsOf(res), res.Delivered, res.Expected)
	}
}

func testCrowd(t *testing.T) {
	cfg := testLoad()
	cfg.Clients, cfg.Stalled, cfg.Slow, cfg.Churn, cfg.Rate, cfg.Duration = 30, 3, load.Slow{N: 2, Rate: 5000}, 10, 50, time.Second
	cfg.Storm = 20
	cfg.LossTimeout = 10 * time.Second
	res := loadServer(t, cfg, servertest.Start(t, &servertest.Server{}))
	if got := faultsOf(res); got != (seenFaults{}) {
		t.Errorf("faults %+v: %v", got, res.Explanations)
	}
	readers := 30 - 3 - 2 - res.Crowd.Guests
	if want := uint64(50 * readers); res.Expected != want || res.Delivered != want {
		t.Errorf("%d of %d delivered, want %d", res.Delivered, res.Expected, want)
	}
	c := res.Crowd
	// Some ten leave by and by and six at once, but a tool that waits for a processor lets a few of
	// their times pass.
	if c.Stalled != 3 || c.Slow != 2 || c.Guests != 12 || c.Left < 6+3 || c.Returned != c.Left || c.StormSeconds <= 0 {
		t.Errorf("crowd %+v", c)
	}
	if c.SlowDelivered < 10 || c.GuestsHeard == 0 {
		t.Errorf("crowd heard too little: %+v", c)
	}
}

// A ramp is a rate, not a debt: those who return do not make up for the time in which nobody
// connected.
func TestRampHoldsForThoseWhoReturn(t *testing.T) {
	t.Parallel()
	cfg := testLoad()
	cfg.Clients, cfg.Storm, cfg.Ramp, cfg.Rate, cfg.Duration, cfg.LossTimeout = 30, 80, 100, 50, 2*time.Second, 10*time.Second
	res := loadServer(t, cfg, servertest.Start(t, &servertest.Server{}))
	if res.Faulty() || res.Crowd.Returned != 24 || res.Crowd.StormSeconds < 0.2 || res.Connect.Seconds < 0.25 {
		t.Errorf("faults %+v, %v s for 30 to connect, and for 24 to return %+v", faultsOf(res), res.Connect.Seconds, res.Crowd)
	}
}

func TestGuestsMissNothingDuringAStay(t *testing.T) {
	t.Parallel()
	cfg := testLoad()
	cfg.Storm, cfg.Messages, cfg.LossTimeout = 50, 400, 10*time.Second
	s := &servertest.Server{Mangle: func(conn, message int, p []byte) [][]byte {
		if conn >= 20 && message == 390 { // Numbers from 20 on are clients that came back.
			return [][]byte{}
		}
		return nil
	}}
	s.Before = func(message int) {
		if message == 300 {
			// The storm was at 200. They come back in their time, and the messages go fast.
			s.AwaitRequests(t, 20+10)
		}
	}
	res := loadServer(t, cfg, servertest.Start(t, s))
	if res.Crowd.Returned != 10 || res.Lost != 10 {
		t.Errorf("%d returned and %d lost, want 10 and 10", res.Crowd.Returned, res.Lost)
	}
}

func TestServersThatDifferAreUnderstood(t *testing.T) {
	t.Parallel()
	noEcho := &servertest.Server{}
	noEcho.Mangle = func(conn, _ int, p []byte) [][]byte {
		if conn == noEcho.Sender {
			return [][]byte{}
		}
		return nil
	}
	envelope := &servertest.Server{Greeting: `{"hello":true}`, Wrap: func(conn int, p []byte) []byte {
		return fmt.Appendf(nil, `{"to":%d,"data":%q,"more":"data behind it"}`, conn, p)
	}}
	for _, test := range []struct {
		name   string
		server *servertest.Server
		turn   func(*load.Load)
		want   seenFaults
		each   int
	}{
		{"no echo", noEcho, func(c *load.Load) { c.NoEcho = true }, seenFaults{}, 19},
		{"no echo, several publishers", noEcho, func(c *load.Load) { c.NoEcho, c.Publishers = true, 4 }, seenFaults{}, 19},
		{"envelope", envelope, func(c *load.Load) { c.Contains = true }, seenFaults{foreign: 20}, 20},
		{"envelope, sizes that vary", envelope, func(c *load.Load) { c.Contains = true; _ = c.Size.UnmarshalText([]byte("40..3000")) }, seenFaults{foreign: 20}, 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := testLoad()
			cfg.LossTimeout = 10 * time.Second
			test.turn(cfg)
			test.server.Reset()
			res := loadServer(t, cfg, servertest.Start(t, test.server))
			if got := faultsOf(res); got != test.want || res.Timeouts > 0 {
				t.Errorf("faults %+v, %d timeouts, want %+v", got, res.Timeouts, test.want)
			}
			if want := uint64(200 * test.each); res.Delivered != want || res.Expected != want {
				t.Errorf("%d of %d delivered, want %d", res.Delivered, res.Expected, want)
			}
		})
	}
}

func TestDamageInsideAnEnvelopeIsSeen(t *testing.T) {
	t.Parallel()
	cfg := testLoad()
	cfg.Contains, cfg.LossTimeout = true, 10*time.Second
	res := loadServer(t, cfg, servertest.Start(t, &servertest.Server{
		Mangle: flipper(func(conn, message int) bool { return conn == 3 && message == 50 }, 45),
		Wrap:   func(_ int, p []byte) []byte { return fmt.Appendf(nil, `{"data":%q}`, p) },
	}))
	if got, want := faultsOf(res), (seenFaults{corrupted: 1}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

func TestRoomsAreKeptApart(t *testing.T) {
	t.Parallel()
	load := func(rooms ...*servertest.Server) *report.Result {
		byPath := make(map[string]*servertest.Server)
		for i, r := range rooms {
			byPath[fmt.Sprintf("/ws/room-%d", i)] = r
		}
		s := httptest.NewServer(&servertest.Rooms{ByPath: byPath})
		defer s.Close()
		cfg := testLoad()
		cfg.Rooms, cfg.Clients, cfg.Publishers, cfg.Messages, cfg.LossTimeout = len(rooms), 31, 5, 100, 10*time.Second
		return loadServer(t, cfg, "ws"+strings.TrimPrefix(s.URL, "http")+"/ws/{room}")
	}
	// Publishers 0 and 3 are in the room of 11 clients, 1 and 4, and 2, in rooms of 10; each sends
	// 20.
	res := load(&servertest.Server{}, &servertest.Server{}, &servertest.Server{})
	if want := uint64(20 * (2*11 + 2*10 + 10)); res.Faulty() || res.Foreign > 0 || res.Delivered != want {
		t.Errorf("%d delivered, want %d; faults %+v", res.Delivered, want, faultsOf(res))
	}
	mixed := &servertest.Server{}
	res = load(mixed, mixed, &servertest.Server{})
	if want := uint64(20 * (2*10 + 2*11)); res.Faulty() || res.Foreign != want {
		t.Errorf("a server that mixes two rooms: %+v, want %d foreign", faultsOf(res), want)
	}
}

func TestFragmentedMessagesArrive(t *testing.T) {
	t.Parallel()
	cfg := testLoad()
	cfg.Fragmented, cfg.LossTimeout = true, 10*time.Second
	if res := loadServer(t, cfg, servertest.Start(t, &servertest.Server{})); res.Faulty() || res.Delivered != 4000 {
		t.Errorf("%d delivered, faults %+v", res.Delivered, faultsOf(res))
	}
}
