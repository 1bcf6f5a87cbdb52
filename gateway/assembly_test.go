package gateway

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor/reactortest"
)

// By default it is thirty seconds: here it is less. Many clients send messages that never end, a
// byte at a time, of which no limit on sizes hears. The live heap is that of a process.
func TestF17_MessageThatNeverEndsIsClosedAtAnAbsoluteDeadline(t *testing.T) {
	if !proctest.Alone(t) {
		return
	}
	clients := 60
	cfg := testConfig()
	cfg.MaxMessage = 64 << 10
	cfg.AssemblyTimeout = 300 * time.Millisecond
	if testenv.IsWholeSize(t) {
		clients, cfg.AssemblyTimeout = 200, time.Second
	}
	cfg.CloseTimeout = cfg.AssemblyTimeout // They go on as if they had not been closed.
	s, addr := startGateway(t, cfg)
	witness := wstest.Join(t, addr, "/ws/r")
	var all []*wstest.Client
	for range clients {
		all = append(all, wstest.Join(t, addr, "/ws/r"))
	}
	before := testenv.LiveHeap()
	start := time.Now()
	for _, c := range all {
		c.Send(wstest.Masked(ws.OpText, false, "a"))
	}
	part, grew := wstest.Masked(ws.OpContinuation, false, "b"), int64(0)
	for s.Open() > 1 && time.Since(start) < testenv.Patience {
		for _, c := range all {
			c.TrySend(part)
		}
		grew = max(grew, testenv.LiveHeap()-before)
	}
	for _, c := range all {
		c.ExpectClose(1008)
		c.Close()
	}
	if took := time.Since(start); took < cfg.AssemblyTimeout {
		t.Errorf("they were closed after %v already", took)
	}
	expectClosed(t, s, ClosedAssemblyTimeout, uint64(clients))
	t.Logf("live heap grew by %d bytes for each", grew/int64(clients))
	if grew/int64(clients) > 2*int64(cfg.MaxMessage) {
		t.Errorf("live heap grew by %d bytes for each", grew/int64(clients))
	}
	witness.Send(wstest.MaskedText("nothing of them was published"))
	witness.ExpectFrame(ws.OpText, "nothing of them was published")
}

// The deadline is one of each message, and of one that comes in pieces: who sends many, each in
// time, meets none.
func TestEachMessageHasAnAssemblyTimeOfItsOwn(t *testing.T) {
	cfg := testConfig()
	cfg.AssemblyTimeout = 10 * time.Second
	kernel := reactortest.New()
	kernel.StopClock()
	s, addr := startGatewayOn(t, cfg, kernel)
	c := wstest.Join(t, addr, "/ws/r")
	c.Send(wstest.Masked(ws.OpText, false, "0"))
	for i := range 8 {
		testenv.Eventually(t, "it is unfinished", func() bool { return unfinished(t, s) == 1 })
		kernel.Pass(cfg.AssemblyTimeout * 2 / 5)
		// The end of one message and the beginning of the next come together: something is always
		// unfinished.
		c.Send(wstest.Masked(ws.OpContinuation, true, "!"), wstest.Masked(ws.OpText, false, fmt.Sprint(i+1)), wstest.Masked(ws.OpPing, true, "p"))
		wstest.ExpectBoth(c, fmt.Sprint(i, "!"), "p")
	}
	c.Send(wstest.Masked(ws.OpContinuation, true, "!"))
	c.ExpectFrame(ws.OpText, "8!")
	// Pings in between do not begin it anew, and half of a header is a beginning too.
	for _, begun := range [][]byte{wstest.Masked(ws.OpText, false, "never"), {0x81}, {0x89, 0x80 | 5, 1, 2}} {
		c := wstest.Join(t, addr, "/ws/r")
		c.Send(begun)
		testenv.Eventually(t, "it is unfinished", func() bool { return unfinished(t, s) == 1 })
		for range 3 {
			kernel.Pass(cfg.AssemblyTimeout * 3 / 10)
			if begun[0] == 0x01 {
				c.Send(wstest.Masked(ws.OpPing, true, "p"))
				c.ExpectFrame(ws.OpPong, "p")
			}
		}
		if n := unfinished(t, s); n != 1 {
			t.Error("closed early")
		}
		kernel.Pass(cfg.AssemblyTimeout * 2 / 10)
		c.ExpectClose(1008)
		c.Close()
	}
	expectClosed(t, s, ClosedAssemblyTimeout, 3)
}

// unfinished is how many clients are in the middle of a message.
func unfinished(t *testing.T, s *Server) (n int) {
	t.Helper()
	s.each(t, func(c *conn) {
		if c.in != nil && c.in.began > 0 {
			n++
		}
	})
	return n
}

// The whole process stands still for longer than any deadline, as under SIGSTOP: nobody is closed
// for what we did not hear.
func TestE09_UnfinishedMessageOutlivesAPauseOfTheProcess(t *testing.T) {
	cfg := testConfig()
	cfg.Loops = 1
	cfg.AssemblyTimeout = 5 * time.Second
	cfg.MessageRate = 1
	kernel := reactortest.New()
	kernel.StopClock()
	s, addr := startGatewayOn(t, cfg, kernel)
	c, held := wstest.Join(t, addr, "/ws/r"), wstest.Join(t, addr, "/ws/r")
	c.Send(wstest.Masked(ws.OpText, false, "be"))
	held.Send(wstest.MaskedText("one"), wstest.MaskedText("two"), wstest.MaskedText("three"))
	held.ExpectFrame(ws.OpText, "one")
	held.ExpectFrame(ws.OpText, "two")
	testenv.Eventually(t, "one is unfinished, the other held", func() bool {
		n := 0
		s.each(t, func(c *conn) {
			if c.isThrottled() || c.in != nil && c.in.began > 0 {
				n++
			}
		})
		return n == 2
	})
	kernel.Advance(10 * time.Second)
	testenv.Eventually(t, "the loop has noticed", func() bool { return testenv.StatsOf(t, s).Loop.Pauses == 1 })
	c.Send(wstest.Masked(ws.OpContinuation, true, "gun"))
	c.ExpectFrame(ws.OpText, "one")
	c.ExpectFrame(ws.OpText, "two")
	kernel.Pass(2 * time.Second)
	held.Send(wstest.MaskedText("four"))
	kernel.Pass(2 * time.Second)
	want := map[string]bool{"begun": true, "three": true, "four": true}
	for range 3 {
		f := held.Frame()
		if !want[string(f.Payload)] {
			t.Fatalf("got %s", wstest.Describe(f))
		}
		delete(want, string(f.Payload))
	}
	if st := testenv.StatsOf(t, s); st.Closed != [NumCloseReasons]uint64{} {
		t.Fatalf("somebody was closed: %v", st.Closed)
	}
	c.Send(wstest.Masked(ws.OpText, false, "never"))
	testenv.Eventually(t, "it is unfinished", func() bool { return unfinished(t, s) == 1 })
	kernel.Pass(cfg.AssemblyTimeout + time.Second)
	if code, _ := wstest.CloseCode(c); code != 1008 {
		t.Errorf("closed with %d", code)
	}
	c.Close()
	expectClosed(t, s, ClosedAssemblyTimeout, 1)
}

// A message whose room is full cannot be finished by its sender: it does not count as its delay.
func TestMessageThatWaitsForItsRoomIsNotLate(t *testing.T) {
	cfg := testConfig()
	cfg.Loops = 1
	cfg.AssemblyTimeout = 300 * time.Millisecond
	cfg.PublishWindow = 64 << 10
	kernel := reactortest.New()
	kernel.StopClock()
	s, addr := startGatewayOn(t, cfg, kernel)
	c := wstest.Join(t, addr, "/ws/r")
	// Two who do not read are the majority. As long as they count as progressing, which is for some
	// seconds, the room is full.
	wstest.Join(t, addr, "/ws/r").Narrow()
	wstest.Join(t, addr, "/ws/r").Narrow()
	c.Send(wstest.Masked(ws.OpText, false, "be"))
	var isFull atomic.Bool
	stop := make(chan struct{})
	flooder := wstest.Join(t, addr, "/ws/r").Narrow()
	go func() {
		defer close(stop)
		p := wstest.Masked(ws.OpBinary, true, strings.Repeat("f", 60<<10))
		for !isFull.Load() {
			if _, err := flooder.Write(p); err != nil {
				return
			}
		}
	}()
	testenv.Eventually(t, "the room is full", func() bool { return testenv.StatsOf(t, s).Paused > 0 })
	isFull.Store(true)
	c.Send(wstest.Masked(ws.OpContinuation, true, "gun"))
	testenv.Eventually(t, "its end waits", func() bool {
		waits := false
		s.each(t, func(c *conn) { waits = waits || c.in != nil && c.in.began > 0 && c.in.stopped > 0 })
		return waits
	})
	kernel.Advance(2 * cfg.AssemblyTimeout)
	time.Sleep(20 * time.Millisecond)
	if st := testenv.StatsOf(t, s); st.Closed[ClosedAssemblyTimeout] != 0 {
		t.Error("it was closed, although it is its room that is late")
	}
	kernel.Pass(20 * time.Second) // Now they are stalled, and count no longer.
	for {
		if f := c.Frame(); f.Header.OpCode == ws.OpText {
			if string(f.Payload) != "begun" {
				t.Errorf("got %s", wstest.Describe(f))
			}
			break
		}
	}
	flooder.Close()
	<-stop
}

// A client whose room is full has said more than was decoded, and resets the connection. What of it
// is heard is heard in order and whole: bytes that were read because of the error do not overtake
// those that waited, nor take their place.
func TestK05_ResetWhileTheRoomIsFull(t *testing.T) {
	cfg := testConfig()
	cfg.Loops = 1
	cfg.PublishWindow = 64 << 10
	kernel := reactortest.New()
	kernel.StopClock()
	s, addr := startGatewayOn(t, cfg, kernel)
	witness := wstest.Join(t, addr, "/ws/r")
	wstest.Join(t, addr, "/ws/r").Narrow()
	wstest.Join(t, addr, "/ws/r").Narrow()
	c := wstest.Join(t, addr, "/ws/r")
	const size = 4 << 10
	sent := uint64(0)
	for testenv.StatsOf(t, s).Paused == 0 {
		c.Send(wstest.Masked(ws.OpBinary, true, string(wstest.Message(sent, size))))
		sent++
	}
	for range 10 { // Some are stashed, some wait in the kernel.
		c.Send(wstest.Masked(ws.OpBinary, true, string(wstest.Message(sent, size))))
		sent++
	}
	c.Reset()
	time.Sleep(50 * time.Millisecond) // The gateway sees the reset while the room is full.
	kernel.Pass(20 * time.Second)     // Now those who do not read are stalled, and count no longer.
	testenv.Eventually(t, "it is gone", func() bool { return testenv.StatsOf(t, s).Closed[ClosedGone] == 1 })
	heard := testenv.StatsOf(t, s).Messages
	witness.ExpectMessages(0, int(heard), size)
	t.Logf("of %d messages %d were heard", sent, heard)
	witness.Send(wstest.MaskedText("the end"))
	witness.ExpectFrame(ws.OpText, "the end")
}
