package gateway

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor/reactortest"
)

// A million messages of one byte, as fast as they go, on the only loop: their sender is closed, and
// another room goes on meanwhile.
func TestF12_TooManyFramesAreClosedWith1008(t *testing.T) {
	cfg := testConfig()
	cfg.Loops = 1
	cfg.FrameRate = 1000
	s, addr := startGateway(t, cfg)
	others := wstest.Gather(t, addr, "/ws/quiet", 3, 100)
	start := time.Now()
	c := wstest.Join(t, addr, "/ws/r")
	stop := wstest.Pour(c, bytes.Repeat(wstest.MaskedText("x"), 1000), 1000)
	others.ExpectPrompt("while a neighbour sends frames")
	code, before := wstest.CloseCode(c)
	stop()
	// The burst, and the rate for as long as it took.
	if most := cfg.FrameRate + int(float64(cfg.FrameRate)*time.Since(start).Seconds()); code != 1008 || len(before) > most {
		t.Errorf("closed with %d behind %d messages, want at most %d", code, len(before), most)
	}
	expectClosed(t, s, ClosedFrameRate, 1)
}

func TestF21_OfManyPingsTheNewestIsAnsweredAndTooManyAreAbuse(t *testing.T) {
	cfg := testConfig()
	cfg.PingRate = 200
	s, addr := startGateway(t, cfg)
	c := wstest.Join(t, addr, "/ws")
	var pings []byte
	for i := range cfg.PingRate {
		pings = append(pings, wstest.Masked(ws.OpPing, true, fmt.Sprintf("%03d %s", i, strings.Repeat("p", 100)))...)
	}
	c.Send(pings)
	answered := 0
	for last := ""; last[:min(3, len(last))] != fmt.Sprint(cfg.PingRate-1); answered++ {
		f := c.Frame()
		if f.Header.OpCode != ws.OpPong || string(f.Payload) <= last {
			t.Fatalf("after %q came %s", wstest.Clip(last), wstest.Describe(f))
		}
		last = string(f.Payload)
	}
	t.Logf("%d of %d pings were answered", answered, cfg.PingRate)
	if answered == cfg.PingRate {
		t.Error("every one of them was answered")
	}
	stop := wstest.Pour(c, bytes.Repeat(wstest.Masked(ws.OpPing, true, ""), 1000), 100)
	if code, _ := wstest.CloseCode(c); code != 1008 {
		t.Errorf("closed with %d", code)
	}
	stop()
	expectClosed(t, s, ClosedPingRate, 1)
}

func TestF24_UnsolicitedPongsCountAsFrames(t *testing.T) {
	cfg := testConfig()
	cfg.FrameRate = 2000
	s, addr := startGateway(t, cfg)
	c := wstest.Join(t, addr, "/ws")
	pongs := bytes.Repeat(wstest.Masked(ws.OpPong, true, "nobody asked"), 1000)
	c.Send(pongs, wstest.MaskedText("ignored"))
	c.ExpectFrame(ws.OpText, "ignored")
	stop := wstest.Pour(c, pongs, 1000)
	if code, _ := wstest.CloseCode(c); code != 1008 {
		t.Errorf("closed with %d", code)
	}
	stop()
	expectClosed(t, s, ClosedFrameRate, 1)
}

// Empty fragments cost no memory and never end: neither the limit in bytes nor that in messages
// meets them.
func TestF17_EmptyFragmentsAreLimitedAndCountAsFrames(t *testing.T) {
	for reason, set := range map[CloseReason]func(*config){
		ClosedFragments: func(c *config) { c.MaxFragments = 5000 },
		ClosedFrameRate: func(c *config) { c.FrameRate = 5000 },
	} {
		t.Run(reason.String(), func(t *testing.T) {
			cfg := testConfig()
			set(cfg)
			s, addr := startGateway(t, cfg)
			c := wstest.Join(t, addr, "/ws")
			c.Send(wstest.Masked(ws.OpText, false, "a"), bytes.Repeat(wstest.Masked(ws.OpContinuation, false, ""), 4998), wstest.Masked(ws.OpContinuation, true, "z"))
			c.ExpectFrame(ws.OpText, "az")
			c.TrySend(wstest.Masked(ws.OpText, false, "a"))
			stop := wstest.Pour(c, bytes.Repeat(wstest.Masked(ws.OpContinuation, false, ""), 1000), 1000)
			c.ExpectClose(1008)
			stop()
			expectClosed(t, s, reason, 1)
		})
	}
}

// A client over a rate waits, and loses nothing by it: what it sends comes through at the rate, its
// pings are answered, and what others say reaches it. Nobody else is held.
func TestSenderOverARateIsHeldToItAndLosesNothing(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		set      func(*config)
		messages int
		size     int
		least    time.Duration // that it takes
	}{
		"messages": {func(c *config) { c.MessageRate = 100 }, 250, 100, 1400 * time.Millisecond},
		"bytes":    {func(c *config) { c.ByteRate = 1 << 20 }, 40, 64 << 10, 1400 * time.Millisecond},
		"both":     {func(c *config) { c.MessageRate, c.ByteRate = 200, 256<<10 }, 500, 1 << 10, 1400 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig()
			cfg.Loops = 1
			tc.set(cfg)
			s, addr := startGateway(t, cfg)
			others := wstest.Gather(t, addr, "/ws/quiet", 3, 100)
			c, witness := wstest.Join(t, addr, "/ws/r"), wstest.Join(t, addr, "/ws/r")
			start := time.Now()
			var all []byte
			for i := range tc.messages {
				all = append(all, wstest.Masked(ws.OpBinary, true, string(wstest.Message(uint64(i), tc.size)))...)
			}
			go c.TrySend(append(all, wstest.Masked(ws.OpPing, true, "behind them all")...))
			testenv.Eventually(t, "it is held", func() bool { return testenv.StatsOf(t, s).Throttled > 0 })
			expectPromptAt(others, 50*time.Millisecond) // within the rates, which are theirs as well
			expectInOrder(witness, tc.messages, tc.size, 0)
			expectInOrder(c, tc.messages, tc.size, 1)
			if took := time.Since(start); took < tc.least {
				t.Errorf("it took %v, which is more than the rate", took)
			}
			if st := testenv.StatsOf(t, s); st.Closed != [NumCloseReasons]uint64{} {
				t.Errorf("somebody was closed: %v", st.Closed)
			}
		})
	}
}

// expectInOrder reads numbered messages, and pongs anywhere among them: these are the client's own
// and do not wait for the room.
func expectInOrder(c *wstest.Client, messages, size, pongs int) {
	c.T.Helper()
	for seq := uint64(0); seq < uint64(messages) || pongs > 0; {
		switch f := c.Frame(); {
		case f.Header.OpCode == ws.OpPong && pongs > 0:
			pongs--
		case f.Header.OpCode == ws.OpBinary && wstest.IsMessage(f.Payload, seq, size):
			seq++
		default:
			c.T.Fatalf("message %d is %s", seq, wstest.Describe(f))
		}
	}
}

// expectPromptAt publishes a few messages, one each so often, and fails if the crowd hears none of
// them soon.
func expectPromptAt(c *wstest.Crowd, every time.Duration) {
	c.T.Helper()
	late := 0
	for range 11 {
		time.Sleep(every)
		start := time.Now()
		c.Publish(1)
		c.HearAll()
		if time.Since(start) > 250*time.Millisecond {
			late++
		}
	}
	if late == 11 {
		c.T.Error("all messages were heard late")
	}
}

// While a client is held it gets what others say.
func TestThrottledClientGoesOnHearing(t *testing.T) {
	cfg := testConfig()
	cfg.MessageRate = 1
	kernel := reactortest.New()
	kernel.StopClock()
	_, addr := startGatewayOn(t, cfg, kernel)
	c, other := wstest.Join(t, addr, "/ws/r"), wstest.Join(t, addr, "/ws/r")
	c.Send(wstest.MaskedText("one"), wstest.MaskedText("two"), wstest.MaskedText("three"), wstest.MaskedText("four"))
	c.ExpectFrame(ws.OpText, "one")
	c.ExpectFrame(ws.OpText, "two") // It overshoots by one, and is held for a second.
	other.Send(wstest.MaskedText("meanwhile"))
	c.ExpectFrame(ws.OpText, "meanwhile")
	kernel.Pass(5 * time.Second)
	c.ExpectFrame(ws.OpText, "three")
	c.ExpectFrame(ws.OpText, "four")
}

// The ten seconds of being over a rate are one here. What was within the rate is delivered before
// the Close frame.
func TestWhoStaysOverARateIsClosedWith1008(t *testing.T) {
	t.Parallel()
	for reason, set := range map[CloseReason]func(*config){
		ClosedMessageRate: func(c *config) { c.MessageRate = 500 },
		ClosedByteRate:    func(c *config) { c.ByteRate = 512 << 10 },
	} {
		t.Run(reason.String(), func(t *testing.T) {
			t.Parallel()
			cfg := testConfig()
			cfg.overTime = time.Second
			set(cfg)
			s, addr := startGateway(t, cfg)
			c := wstest.Join(t, addr, "/ws/r")
			start := time.Now()
			stop := wstest.Pour(c, wstest.Masked(ws.OpBinary, true, string(make([]byte, 1<<10))), 100_000)
			code, before := wstest.CloseCode(c)
			took := time.Since(start)
			stop()
			if code != 1008 || took < cfg.overTime {
				t.Errorf("closed with %d after %v", code, took)
			}
			// The burst, and the rate for as long as it took.
			if most := 520 + int(520*took.Seconds()); len(before) < 500 || len(before) > most {
				t.Errorf("%d messages came through in %v, want 500 to %d", len(before), took, most)
			}
			expectClosed(t, s, reason, 1)
		})
	}
}

// A client that sends in bursts, each over the rate for a moment, but less than the rate in the
// long run, may do so for ever.
func TestBurstsWithinTheRateAreNotAbuse(t *testing.T) {
	cfg := testConfig()
	cfg.overTime = 3 * time.Second // Less than all of it takes.
	cfg.MessageRate = 50
	kernel := reactortest.New()
	kernel.StopClock()
	s, addr := startGatewayOn(t, cfg, kernel)
	c := wstest.Join(t, addr, "/ws/r")
	for burst := range uint64(5) {
		c.Send(bytes.Repeat(wstest.MaskedText("x"), 60))
		testenv.Eventually(t, "it is held", func() bool { return testenv.StatsOf(t, s).Throttled > burst })
		for range 8 {
			kernel.Pass(cfg.overTime / 16)
		}
		for range 60 {
			c.ExpectFrame(ws.OpText, "x")
		}
	}
	if st := testenv.StatsOf(t, s); st.Throttled == 0 || st.Closed != [NumCloseReasons]uint64{} {
		t.Errorf("throttled %d times; closed: %v", st.Throttled, st.Closed)
	}
}

// A client that is not read on cannot be heard to answer a ping. It is not dead for that.
func TestThrottledClientIsNotTakenForDead(t *testing.T) {
	cfg := testConfig()
	cfg.PingInterval, cfg.PongTimeout = 150*time.Millisecond, 500*time.Millisecond // Together less than it is held each time.
	cfg.MessageRate = 1
	kernel := reactortest.New()
	kernel.StopClock()
	s, addr := startGatewayOn(t, cfg, kernel)
	c := wstest.Join(t, addr, "/ws/r")
	for i := range 5 {
		c.Send(wstest.MaskedText(fmt.Sprint(i)))
	}
	for i := range 5 {
		if i > 1 { // It overshoots by one.
			for range 22 { // In steps that are shorter than the ping interval.
				kernel.Pass(50 * time.Millisecond)
			}
		}
		c.ExpectFrame(ws.OpText, fmt.Sprint(i))
	}
	if st := testenv.StatsOf(t, s); st.Throttled == 0 || st.Closed != [NumCloseReasons]uint64{} {
		t.Errorf("throttled %d times; closed: %v", st.Throttled, st.Closed)
	}
}

// A reset while a client is held is noticed, and what it costs is given back.
func TestThrottledClientMayVanish(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.MessageRate = 1
	s, addr := startGateway(t, cfg)
	for range 10 {
		c := wstest.Join(t, addr, "/ws/r")
		c.Send(bytes.Repeat(wstest.MaskedText("x"), 3))
		c.ExpectFrame(ws.OpText, "x")
		c.Reset()
	}
	testenv.Eventually(t, "all are gone", func() bool { return s.Open() == 0 && s.hub.Rooms() == 0 })
}
