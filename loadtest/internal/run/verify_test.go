package run

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/payload"
	"sluice/loadtest/internal/process"
	"sluice/loadtest/internal/progress"
	"sluice/loadtest/internal/server"
	"sluice/loadtest/internal/servertest"
)

func TestGoodServerHasNoFaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		turn func(*load.Load)
	}{
		{"one publisher, one at a time", func(c *load.Load) { c.Window = 1 }},
		{"sixteen in flight", func(*load.Load) {}},
		{"several publishers", func(c *load.Load) { c.Publishers, c.Messages = 5, 201 }},
		{"all publish", func(c *load.Load) { c.Publishers, c.Window = 20, 2 }},
		{"smallest message", func(c *load.Load) { c.Size = load.FixedSize(payload.SizeMin) }},
		{"large binary messages", func(c *load.Load) { c.Size, c.Binary, c.Messages = load.FixedSize(200_000), true, 20 }},
		{"one loop, with warm-up", func(c *load.Load) { c.Loops, c.Warmup = 1, 10 }},
		{"for a while", func(c *load.Load) { c.Duration = 200 * time.Millisecond }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := testLoad()
			cfg.LossTimeout = 10 * time.Second
			test.turn(cfg)
			res := loadServer(t, cfg, servertest.Start(t, &servertest.Server{}))
			if got := faultsOf(res); got != (seenFaults{}) || res.Faulty() || res.Timeouts > 0 || res.Orders != 1 {
				t.Errorf("faults %+v, %d orders, %d timeouts: %v", got, res.Orders, res.Timeouts, res.Explanations)
			}
			if want := uint64(cfg.Messages * cfg.Clients); cfg.Duration == 0 && (res.Expected != want || res.Delivered != want) {
				t.Errorf("%d of %d delivered, want %d", res.Delivered, res.Expected, want)
			}
			if res.Delivered == 0 || res.Delivered != res.Expected || res.Reach != 1 {
				t.Errorf("%d of %d delivered, reach %v", res.Delivered, res.Expected, res.Reach)
			}
			if l := res.Latency; l.P50 <= 0 || l.P50 > l.P99 || l.P99 > l.Max || l.Max > 60e6 {
				t.Errorf("latency %+v", l)
			}
		})
	}
}

// Publishers speak at one server of a room, and all others read at another.
func TestPublishersConnectElsewhere(t *testing.T) {
	t.Parallel()
	cfg, s := testLoad(), &servertest.Server{}
	cfg.Publishers, cfg.LossTimeout = 3, 10*time.Second
	url := servertest.Start(t, s)
	var came *atomic.Int64
	cfg.PublishAt, came = s.StartAnother(t)
	res := loadServer(t, cfg, url)
	if got := faultsOf(res); got != (seenFaults{}) || res.Delivered != uint64(cfg.Messages*cfg.Clients) || came.Load() != 3 {
		t.Errorf("faults %+v, %d delivered, %d clients connected elsewhere: %v", got, res.Delivered, came.Load(), res.Explanations)
	}
}

func TestEachFaultIsCountedOnceAndUnderItsName(t *testing.T) {
	t.Parallel()
	// The victim misses every hundredth of 200 messages, or gets it otherwise.
	const victim = 7
	isHit := func(conn, message int) bool { return conn == victim && message%100 == 50 }
	for _, test := range []struct {
		name   string
		server *servertest.Server
		want   seenFaults
	}{
		{"lost", &servertest.Server{Mangle: loser(isHit)}, seenFaults{lost: 2}},
		{"duplicated", &servertest.Server{Mangle: doubler(isHit)}, seenFaults{duplicated: 2}},
		{"reordered", &servertest.Server{Mangle: swapper(isHit)}, seenFaults{reordered: 2}},
		{"corrupted in the filler", &servertest.Server{Mangle: flipper(isHit, 40)}, seenFaults{corrupted: 2}},
		{"corrupted in the tag", &servertest.Server{Mangle: flipper(isHit, 3)}, seenFaults{corrupted: 2}},
		{"corrupted in the number", &servertest.Server{Mangle: flipper(isHit, 15)}, seenFaults{corrupted: 2}},
		{"corrupted in the publisher", &servertest.Server{Mangle: flipper(isHit, 19)}, seenFaults{corrupted: 2}},
		{"corrupted in the due time", &servertest.Server{Mangle: flipper(isHit, 31)}, seenFaults{corrupted: 2}},
		{"corrupted in the checksum", &servertest.Server{Mangle: flipper(isHit, 63)}, seenFaults{corrupted: 2}},
		{"cut", &servertest.Server{Mangle: func(conn, message int, p []byte) [][]byte {
			if isHit(conn, message) {
				return [][]byte{p[:len(p)-1]}
			}
			return nil
		}}, seenFaults{corrupted: 2}},
		{"foreign", &servertest.Server{Greeting: "welcome", Mangle: func(conn, message int, p []byte) [][]byte {
			if isHit(conn, message) {
				return [][]byte{[]byte(`{"event":"somebody joined","name":"a rather long one, longer than any header"}`), p}
			}
			return nil
		}}, seenFaults{foreign: 20 + 2}},
		{"refused", &servertest.Server{Refuse: func(request int) bool { return request%10 == 9 }}, seenFaults{failed: 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := testLoad()
			if test.want.lost == 0 { // Or it is waited for.
				cfg.LossTimeout = 10 * time.Second
			}
			res := loadServer(t, cfg, servertest.Start(t, test.server))
			if got := faultsOf(res); got != test.want {
				t.Errorf("counted %+v, want %+v\n%v", got, test.want, res.Explanations)
			}
			clients := uint64(testLoad().Clients - res.Connect.Failed)
			if res.Expected != 200*clients || res.Delivered+res.Lost+res.Corrupted != res.Expected {
				t.Errorf("%d delivered + %d lost + %d corrupted of %d", res.Delivered, res.Lost, res.Corrupted, res.Expected)
			}
			if isBad := test.name != "foreign"; res.Faulty() != isBad {
				t.Errorf("the server is judged faulty: %v", res.Faulty())
			}
		})
	}
}

// swapper holds back what isHit names until the next message was delivered.
func swapper(isHit func(conn, message int) bool) func(int, int, []byte) [][]byte {
	var held []byte
	return func(conn, message int, p []byte) [][]byte {
		if isHit(conn, message) {
			held = slices.Clone(p)
			return [][]byte{}
		}
		if isHit(conn, message-1) {
			return [][]byte{p, held}
		}
		return nil
	}
}

// loser makes a message not come.
func loser(isHit func(conn, message int) bool) func(int, int, []byte) [][]byte {
	return func(conn, message int, _ []byte) [][]byte {
		if isHit(conn, message) {
			return [][]byte{}
		}
		return nil
	}
}

// doubler makes a message come twice.
func doubler(isHit func(conn, message int) bool) func(int, int, []byte) [][]byte {
	return func(conn, message int, p []byte) [][]byte {
		if isHit(conn, message) {
			return [][]byte{p, p}
		}
		return nil
	}
}

// flipper changes one letter to another, so that text stays text.
func flipper(isHit func(conn, message int) bool, at int) func(int, int, []byte) [][]byte {
	return func(conn, message int, p []byte) [][]byte {
		if !isHit(conn, message) {
			return nil
		}
		p = slices.Clone(p)
		p[at] ^= 1
		return [][]byte{p}
	}
}

// hangUpAt is a server that ends connections instead of delivering a message: those that are so far
// behind the publisher's in the order of twenty. The publisher, which need not have come first, is
// spared: without it nobody would broadcast what it has sent.
func hangUpAt(message int, behind ...int) *servertest.Server {
	s := &servertest.Server{}
	s.HangUp = func(conn, m int) bool {
		return m == message && slices.Contains(behind, (conn-s.Sender+20)%20)
	}
	return s
}

func TestConnectionsThatTheServerEndsAreCounted(t *testing.T) {
	t.Parallel()
	s := hangUpAt(150, 7, 8)
	cfg := testLoad()
	cfg.LossTimeout = 10 * time.Second
	res := loadServer(t, cfg, servertest.Start(t, s))
	if got, want := faultsOf(res), (seenFaults{lost: 100, closed: 2}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
	if res.Timeouts > 0 {
		t.Errorf("%d messages were waited for although nobody was left to get them", res.Timeouts)
	}
}

// With one message at a time nothing behind the lost one can tell of the loss: only the clock does.
func TestLostMessageDoesNotHangClosedLoop(t *testing.T) {
	t.Parallel() // It waits more than it works.
	inOneRun(t, func() error {
		cfg := testLoad()
		cfg.Window, cfg.Messages, cfg.LossTimeout = 1, 60, time.Second
		res := loadServer(t, cfg, servertest.Start(t, &servertest.Server{Mangle: func(conn, message int, p []byte) [][]byte {
			if conn == 7 && message%30 == 10 {
				return [][]byte{}
			}
			return nil
		}}))
		if got, want := faultsOf(res), (seenFaults{lost: 2}); got != want || res.Messages != 60 || res.Timeouts < 2 {
			t.Errorf("counted %+v, want %+v; %d messages sent, %d timeouts, want 60 and 2", got, want, res.Messages, res.Timeouts)
		}
		if res.Timeouts > 2 { // A machine that stands still for a second gives up what comes after all: not each time.
			return fmt.Errorf("%d timeouts, want 2", res.Timeouts)
		}
		return nil
	})
}

func TestServerThatStopsDeliveringIsGivenUp(t *testing.T) {
	t.Parallel() // It waits more than it works.
	cfg := testLoad()
	cfg.Window, cfg.Messages, cfg.LossTimeout = 1, 100_000, 300*time.Millisecond
	res := loadServer(t, cfg, servertest.Start(t, &servertest.Server{Mangle: func(conn, message int, p []byte) [][]byte {
		if message >= 50 {
			return [][]byte{}
		}
		return nil
	}}))
	// One that came, but came late, may be the first to be given up.
	if n := res.Messages - 50; n > process.GiveUpsMax || n < process.GiveUpsMax-1 || res.Lost != uint64(20*n) {
		t.Errorf("%d sent, %d lost; want %d and %d", res.Messages, res.Lost, 50+process.GiveUpsMax, 20*process.GiveUpsMax)
	}
}

func testSlowClient(t *testing.T) {
	const pause = 80 * time.Millisecond
	inOneRun(t, func() error {
		cfg := testLoad()
		cfg.Window, cfg.Messages, cfg.LossTimeout = 1, 10, 10*time.Second
		res := loadServer(t, cfg, servertest.Start(t, &servertest.Server{Mangle: func(conn, message int, p []byte) [][]byte {
			if conn == 19 { // The last to be served: the others are not held up.
				time.Sleep(pause)
			}
			return nil
		}}))
		low, high := float64(pause.Microseconds()), float64(2*pause.Microseconds())
		if res.Latency.Max < low {
			t.Errorf("latency %+v; want one client %v behind", res.Latency, pause)
		}
		if res.Skew.P50 < low || res.Skew.P50 > high || res.Latency.P50 > low/2 {
			return fmt.Errorf("skew %+v, latency %+v; want one client %v behind", res.Skew, res.Latency, pause)
		}
		return nil
	})
}

func TestUnreachableServerIsSaidSo(t *testing.T) {
	t.Parallel()
	cfg := testLoad()
	if err := cfg.Prepare(); err != nil {
		t.Fatal(err)
	}
	port, err := server.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	targets, err := cfg.Aim([]string{fmt.Sprintf("ws://127.0.0.1:%d/ws", port)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = measure(t.Context(), cfg, targets, nil, &progress.Display{})
	if !errors.Is(err, server.ErrUnreachable) {
		t.Errorf("error %v", err)
	}
}

// A server of another library compresses what it sends; one that was not asked to does not.
func TestCompressedMessagesAreInflatedAndCheckedLikeOthers(t *testing.T) {
	t.Parallel()
	s := &servertest.Server{Compress: true}
	url := servertest.Start(t, s)
	bytesEach := func(compress bool) float64 {
		cfg := testLoad()
		cfg.Compress, cfg.Size = compress, load.FixedSize(1000)
		res := loadServer(t, cfg, url)
		if res.Faulty() || res.Reach != 1 {
			t.Errorf("compress %v: reach %v, faults %+v", compress, res.Reach, faultsOf(res))
		}
		return res.BytesPerDelivery
	}
	if plain, compressed := bytesEach(false), bytesEach(true); plain < 1000 || plain > 1100 || compressed > 400 {
		t.Errorf("%v bytes a delivery plain, %v compressed", plain, compressed)
	}
}
