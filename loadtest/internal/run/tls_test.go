package run

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/proctest"
	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/progress"
	"sluice/loadtest/internal/servertest"
)

func secureLoad() *load.Load {
	cfg := testLoad()
	cfg.Insecure, cfg.LossTimeout = true, 10*time.Second
	return cfg
}

func TestSecureServerIsHeldToTheSame(t *testing.T) {
	t.Parallel()
	isHit := func(conn, message int) bool { return conn == 7 && message%100 == 50 }
	for _, test := range []struct {
		name   string
		turn   func(*load.Load)
		server *servertest.Server
		want   seenFaults
	}{
		{"good", func(*load.Load) {}, &servertest.Server{}, seenFaults{}},
		{"one at a time, fragmented", func(c *load.Load) { c.Window, c.Fragmented = 1, true }, &servertest.Server{}, seenFaults{}},
		{"messages of many records", func(c *load.Load) { c.Size, c.Messages = load.FixedSize(300_000), 20 }, &servertest.Server{}, seenFaults{}},
		{"greeting", func(*load.Load) {}, &servertest.Server{Greeting: "welcome"}, seenFaults{foreign: 20}},
		{"corrupted", func(*load.Load) {}, &servertest.Server{Mangle: flipper(isHit, 40)}, seenFaults{corrupted: 2}},
		{"duplicated", func(*load.Load) {}, &servertest.Server{Mangle: doubler(isHit)}, seenFaults{duplicated: 2}},
		{"closed", func(*load.Load) {}, hangUpAt(150, 7), seenFaults{lost: 50, closed: 1}},
		{"refused", func(*load.Load) {}, &servertest.Server{Refuse: func(request int) bool { return request%10 == 9 }}, seenFaults{failed: 2}},
		{"a crowd", func(c *load.Load) { c.Slow, c.Storm = load.Slow{N: 2, Rate: 5000}, 20 }, &servertest.Server{}, seenFaults{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := secureLoad()
			test.turn(cfg)
			res := loadServer(t, cfg, servertest.StartSecure(t, test.server))
			if got := faultsOf(res); got != test.want || res.Delivered+res.Lost+res.Corrupted != res.Expected || res.Delivered == 0 {
				t.Errorf("counted %+v, want %+v; %d delivered of %d\n%v", got, test.want, res.Delivered, res.Expected, res.Explanations)
			}
		})
	}
}

// Only a handshake has a goroutine.
func TestSecureClientsHaveNoGoroutines(t *testing.T) {
	if !proctest.Alone(t) {
		return
	}
	var most atomic.Int64
	s := &servertest.Server{Before: func(int) { most.Store(max(most.Load(), int64(runtime.NumGoroutine()))) }}
	cfg := secureLoad()
	cfg.Clients, cfg.Messages = 200, 5
	before := runtime.NumGoroutine()
	res := loadServer(t, cfg, servertest.StartSecure(t, s))
	// The server, in this process, has one for each connection.
	if got := int(most.Load()) - before - cfg.Clients; res.Faulty() || got > 50 {
		t.Errorf("%d goroutines beside the server's, faults %+v", got, faultsOf(res))
	}
}

func TestServerThatEndsTLSInTheHandshakeIsCounted(t *testing.T) {
	t.Parallel()
	cfg := secureLoad()
	cfg.ConnectTimeout = 2 * time.Second
	plain := servertest.Start(t, &servertest.Server{})
	if err := cfg.Prepare(); err != nil {
		t.Fatal(err)
	}
	targets, err := cfg.Aim([]string{"wss" + strings.TrimPrefix(plain, "ws")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = measure(t.Context(), cfg, targets, nil, &progress.Display{})
	if err == nil || !strings.Contains(fmt.Sprint(err), "could not be reached") {
		t.Errorf("error %v", err)
	}
}
