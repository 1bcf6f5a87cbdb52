package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/loadtest/internal/latency"
	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/server"
)

// A stall of the server must show in every message that was due meanwhile (no coordinated omission).
func TestPauseInOpenLoopShowsAtItsTrueSize(t *testing.T) {
	inOneRun(t, func() error { return runWithPause(t, 500*time.Millisecond) })
}

func runWithPause(t *testing.T, pause time.Duration) error {
	cfg := testLoad()
	cfg.Clients, cfg.Rate, cfg.Messages, cfg.LossTimeout = 10, 200, 300, 10*time.Second
	res := loadServer(t, cfg, startServer(t, &badServer{before: func(message int) {
		if message == 100 {
			time.Sleep(pause)
		}
	}}))
	if res.faulty() || !res.Sustained || res.Messages != 300 {
		t.Fatalf("faults %+v, sustained %v, %d sent", faultsOf(res), res.Sustained, res.Messages)
	}
	// A machine that is busy besides adds its own delays, but takes none away.
	low, high := 0.98*float64(pause.Microseconds()), 1.8*float64(pause.Microseconds())
	// 100 of 300 messages were due during the pause, evenly: one in ten waited for more than 350 ms.
	l := res.Latency
	if l.Max < low || l.P999 < low || l.P90 < 0.6*low {
		t.Fatalf("latency %+v: the messages due during the pause of %v do not show", l, pause)
	}
	if l.Max > high || l.P50 > low/2 {
		return fmt.Errorf("latency %+v: more shows than a pause of %v", l, pause)
	}
	return nil
}

func TestOpenLoopKeepsItsRate(t *testing.T) {
	inOneRun(t, func() error {
		cfg := testLoad()
		cfg.Publishers, cfg.Rate, cfg.Duration, cfg.LossTimeout = 3, 100, time.Second, 10*time.Second
		res := loadServer(t, cfg, startServer(t, &badServer{}))
		if res.Messages != 100 || res.faulty() || res.Seconds < 0.95 {
			t.Errorf("%d messages in %v s, faults %+v", res.Messages, res.Seconds, faultsOf(res))
		}
		if res.Seconds > 2 {
			return fmt.Errorf("100 messages, of 100 a second, took %v s", res.Seconds)
		}
		return nil
	})
}

func TestRateBeyondTheServerIsNotSustained(t *testing.T) {
	cfg := testLoad()
	cfg.Clients, cfg.Rate, cfg.Messages, cfg.LossTimeout, cfg.Drain = 5, 150, 300, 10*time.Second, time.Minute
	res := loadServer(t, cfg, startServer(t, &badServer{before: func(int) { time.Sleep(20 * time.Millisecond) }}))
	// Two seconds at 150 a second, of which the server does 50 at most.
	if res.Sustained || res.Backlog < 150 || res.Backlog >= 300 {
		t.Errorf("sustained %v with a backlog of %d", res.Sustained, res.Backlog)
	}
	if res.Lost > 0 || res.Delivered != res.Expected {
		t.Errorf("what came late is not lost: %+v, %d of %d", faultsOf(res), res.Delivered, res.Expected)
	}
}

func TestCrowdIsJudgedByWhatItReads(t *testing.T) {
	cfg := testLoad()
	cfg.Clients, cfg.Stalled, cfg.Slow, cfg.Churn, cfg.Rate, cfg.Duration = 30, 3, load.Slow{N: 2, Rate: 5000}, 10, 50, time.Second
	cfg.Storm = 20
	cfg.LossTimeout = 10 * time.Second
	res := loadServer(t, cfg, startServer(t, &badServer{}))
	if got := faultsOf(res); got != (seenFaults{}) {
		t.Errorf("faults %+v: %v", got, res.Explanations)
	}
	readers := 30 - 3 - 2 - res.Crowd.Guests
	if want := uint64(50 * readers); res.Expected != want || res.Delivered != want {
		t.Errorf("%d of %d delivered, want %d", res.Delivered, res.Expected, want)
	}
	c := res.Crowd
	// Some ten leave by and by and six at once, but a tool that waits for a processor lets a few of their times pass.
	if c.Stalled != 3 || c.Slow != 2 || c.Guests != 12 || c.Left < 6+3 || c.Returned != c.Left || c.StormSeconds <= 0 {
		t.Errorf("crowd %+v", c)
	}
	if c.SlowDelivered < 10 || c.GuestsHeard == 0 {
		t.Errorf("crowd heard too little: %+v", c)
	}
}

func TestGuestsMissNothingDuringAStay(t *testing.T) {
	cfg := testLoad()
	cfg.Storm, cfg.Messages, cfg.LossTimeout = 50, 400, 10*time.Second
	s := &badServer{mangle: func(conn, message int, p []byte) [][]byte {
		if conn >= 20 && message == 390 { // Numbers from 20 on are those who came back.
			return [][]byte{}
		}
		return nil
	}}
	s.before = func(message int) {
		if message == 300 {
			s.awaitRequests(t, 20+10) // The storm was at 200. They come back in their time, and the messages go fast.
		}
	}
	res := loadServer(t, cfg, startServer(t, s))
	if res.Crowd.Returned != 10 || res.Lost != 10 {
		t.Errorf("%d returned and %d lost, want 10 and 10", res.Crowd.Returned, res.Lost)
	}
}

// awaitRequests holds the message that is about to be broadcast until so many requests have come.
func (s *badServer) awaitRequests(t *testing.T, n int) {
	for end := time.Now().Add(20 * time.Second); s.requests < n; {
		s.mu.Unlock()
		time.Sleep(time.Millisecond)
		s.mu.Lock()
		if time.Now().After(end) {
			t.Errorf("%d requests came, want %d", s.requests, n)
			return
		}
	}
}

func TestServersThatDifferAreUnderstood(t *testing.T) {
	noEcho := &badServer{}
	noEcho.mangle = func(conn, _ int, p []byte) [][]byte {
		if conn == noEcho.sender {
			return [][]byte{}
		}
		return nil
	}
	envelope := &badServer{greeting: `{"hello":true}`, wrap: func(conn int, p []byte) []byte {
		return fmt.Appendf(nil, `{"to":%d,"data":%q,"more":"data behind it"}`, conn, p)
	}}
	for _, test := range []struct {
		name   string
		server *badServer
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
			test.server.conns, test.server.requests, test.server.messages = nil, 0, 0
			res := loadServer(t, cfg, startServer(t, test.server))
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
	cfg := testLoad()
	cfg.Contains = true
	res := loadServer(t, cfg, startServer(t, &badServer{
		mangle: flipper(func(conn, message int) bool { return conn == 3 && message == 50 }, 45),
		wrap:   func(_ int, p []byte) []byte { return fmt.Appendf(nil, `{"data":%q}`, p) },
	}))
	if got, want := faultsOf(res), (seenFaults{corrupted: 1}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

func TestRoomsAreKeptApart(t *testing.T) {
	load := func(rooms ...*badServer) *Result {
		byPath := make(map[string]*badServer)
		for i, r := range rooms {
			byPath[fmt.Sprintf("/ws/room-%d", i)] = r
		}
		s := httptest.NewServer(&roomServer{byPath})
		defer s.Close()
		cfg := testLoad()
		cfg.Rooms, cfg.Clients, cfg.Publishers, cfg.Messages, cfg.LossTimeout = len(rooms), 31, 5, 100, 10*time.Second
		return loadServer(t, cfg, "ws"+strings.TrimPrefix(s.URL, "http")+"/ws/{room}")
	}
	// Publishers 0 and 3 are in the room of 11 clients, 1 and 4, and 2, in rooms of 10; each sends 20.
	res := load(&badServer{}, &badServer{}, &badServer{})
	if want := uint64(20 * (2*11 + 2*10 + 10)); res.faulty() || res.Foreign > 0 || res.Delivered != want {
		t.Errorf("%d delivered, want %d; faults %+v", res.Delivered, want, faultsOf(res))
	}
	mixed := &badServer{}
	res = load(mixed, mixed, &badServer{})
	if want := uint64(20 * (2*10 + 2*11)); res.faulty() || res.Foreign != want {
		t.Errorf("a server that mixes two rooms: %+v, want %d foreign", faultsOf(res), want)
	}
}

func TestFragmentedMessagesArrive(t *testing.T) {
	cfg := testLoad()
	cfg.Fragmented, cfg.LossTimeout = true, 10*time.Second
	if res := loadServer(t, cfg, startServer(t, &badServer{})); res.faulty() || res.Delivered != 4000 {
		t.Errorf("%d delivered, faults %+v", res.Delivered, faultsOf(res))
	}
}

func TestGates(t *testing.T) {
	res := &Result{Lost: 3, Latency: latency.Quantiles{P99: 50_000}, Reach: 0.5}
	for text, holds := range map[string]bool{
		"lost>0": true, "lost > 3": false, "lost>=3": true, "lost==3": true, "lost!=3": false, "p99>50ms": false,
		"p99>=50ms": true, "p99>49.9ms": true, "p99 < 1s": true, "p99<=50000": true, "reach<1": true, "reach<0.5": false,
		"cpu>1000": true, "cpu<1": true, // Nobody measured it.
	} {
		var g Gate
		if err := g.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		} else if g.holds(res) != holds {
			t.Errorf("%s: holds is %v", text, !holds)
		}
	}
	for _, text := range []string{"", "lost", "lost>", "lost>x", "nothing>1", "lost=>1", "lost>1ms2", ">1"} {
		if err := new(Gate).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestExitStatusTellsWhoseFaultItWas(t *testing.T) {
	good := startServer(t, &badServer{})
	bad := startServer(t, &badServer{mangle: func(_, message int, p []byte) [][]byte {
		if message == 10 {
			return [][]byte{}
		}
		return nil
	}})
	port, err := server.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(t.TempDir(), "report.json")
	small := []string{"--clients=5", "--messages=20", "--warmup=0", "--loss-timeout=20s", "--settle=0s", "--connect-timeout=20s"}
	for _, test := range []struct {
		args   []string
		status int
		says   string
	}{
		{append(small, good, "--json", report), exitOK, "100 of 100"},
		{append(small, bad, "--loss-timeout=2s"), exitFaulty, "5 lost"},
		{append(small, good, "--fail-if", "max>1ns"), exitFaulty, `failed by --fail-if "max>1ns"`},
		{append(small, fmt.Sprintf("ws://127.0.0.1:%d/", port)), exitUnreachable, "could not be reached: connection refused"},
		{append(small, "--spawn", "echo no such luck; exit 7"), exitUnreachable, "no such luck"},
		{[]string{"--size", "39"}, exitUsage, "--size 39: a message needs 40 bytes"},
		{[]string{"--size", "much"}, exitUsage, "is not a size"},
		{[]string{"--clients", "0"}, exitUsage, "--clients 0"},
		{[]string{"--stalled", "1000"}, exitUsage, "--clients 1000: too few"},
		{[]string{"--fail-if", "luck<1"}, exitUsage, "is not a figure"},
		{[]string{"--rooms", "2", good}, exitUsage, "{room}"},
		{[]string{"http://127.0.0.1/"}, exitUsage, "write ws://"},
		{[]string{"--spawn", "true", good, good}, exitUsage, "one URL is enough"},
		{[]string{"--processes", "65"}, exitUsage, "--processes 65: must be 0 to 64"},
		{[]string{"--clients", "6", "--rooms", "4", good + "/{room}", good + "/{room}"}, exitUsage, "there are 8 rooms for them"},
		{[]string{"--nonsense"}, exitUsage, "unknown flag --nonsense"},
		{[]string{"--help"}, exitOK, "Examples:"},
	} {
		var said strings.Builder
		if status := runMain(t.Context(), test.args, &said, &said); status != test.status || !strings.Contains(said.String(), test.says) {
			t.Errorf("%v: exit status %d, want %d with %q\n%s", test.args, status, test.status, test.says, said.String())
		}
	}
	b, err := os.ReadFile(report)
	var res map[string]any
	if err := errors.Join(err, json.Unmarshal(b, &res)); err != nil {
		t.Fatal(err)
	}
	for _, key := range strings.Fields("clients publishers size seconds expected delivered lost duplicated reordered corrupted foreign reach deliveries_per_second latency_us skew_us connect client") {
		if _, ok := res[key]; !ok {
			t.Errorf("the report lacks %s", key)
		}
	}
}
