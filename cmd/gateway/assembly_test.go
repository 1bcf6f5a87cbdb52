package main

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/reactor"
	"sluice/reactor/reactortest"
)

// each calls look for every connection, on its loop.
func (s *Server) each(t testing.TB, look func(c *conn)) {
	t.Helper()
	for _, w := range s.workers {
		done := make(chan struct{})
		err := post(t.Context(), w.loop, func(l *reactor.Loop) {
			defer close(done)
			for _, source := range l.Sources {
				if c, ok := source.(*conn); ok {
					look(c)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		<-done
	}
}

// FAULTS.md has thirty seconds: here it is one. Two hundred clients send messages that never end, a byte at a time, of which no
// limit on sizes hears.
func TestF17_MessageThatNeverEndsIsClosedAtAnAbsoluteDeadline(t *testing.T) {
	const clients = 200
	cfg := testConfig()
	cfg.MaxMessage = 64 << 10
	cfg.AssemblyTimeout = time.Second
	s, addr := startGateway(t, cfg)
	witness := join(t, addr, "/ws/r")
	var all []*rawClient
	for range clients {
		all = append(all, join(t, addr, "/ws/r"))
	}
	before := liveHeap()
	start := time.Now()
	for _, c := range all {
		c.send(masked(ws.OpText, false, "a"))
	}
	part, grew := masked(ws.OpContinuation, false, "b"), int64(0)
	for s.Open() > 1 && time.Since(start) < patience {
		for _, c := range all {
			c.trySend(part)
		}
		grew = max(grew, liveHeap()-before)
	}
	for _, c := range all {
		c.expectClose(1008)
		c.Close()
	}
	if took := time.Since(start); took < cfg.AssemblyTimeout {
		t.Errorf("they were closed after %v already", took)
	}
	expectClosed(t, s, closedAssemblyTimeout, clients)
	t.Logf("live heap grew by %d bytes for each", grew/clients)
	if grew/clients > 2*int64(cfg.MaxMessage) {
		t.Errorf("live heap grew by %d bytes for each", grew/clients)
	}
	witness.send(maskedText("nothing of them was published"))
	witness.expectFrame(ws.OpText, "nothing of them was published")
}

// The deadline is one of each message, and of one that comes in pieces: who sends many, each in time, meets none.
func TestEachMessageHasAnAssemblyTimeOfItsOwn(t *testing.T) {
	cfg := testConfig()
	cfg.AssemblyTimeout = 10 * time.Second
	kernel := reactortest.New()
	kernel.StopClock()
	s, addr := startGatewayOn(t, cfg, kernel)
	c := join(t, addr, "/ws/r")
	c.send(masked(ws.OpText, false, "0"))
	for i := range 8 {
		eventually(t, "it is unfinished", func() bool { return unfinished(t, s) == 1 })
		kernel.Pass(cfg.AssemblyTimeout * 2 / 5)
		// The end of one message and the beginning of the next come together: something is always unfinished.
		c.send(masked(ws.OpContinuation, true, "!"), masked(ws.OpText, false, fmt.Sprint(i+1)), masked(ws.OpPing, true, "p"))
		expectBoth(c, fmt.Sprint(i, "!"), "p")
	}
	c.send(masked(ws.OpContinuation, true, "!"))
	c.expectFrame(ws.OpText, "8!")
	// Pings in between do not begin it anew, and half of a header is a beginning too.
	for _, begun := range [][]byte{masked(ws.OpText, false, "never"), {0x81}, {0x89, 0x80 | 5, 1, 2}} {
		c := join(t, addr, "/ws/r")
		c.send(begun)
		eventually(t, "it is unfinished", func() bool { return unfinished(t, s) == 1 })
		for range 3 {
			kernel.Pass(cfg.AssemblyTimeout * 3 / 10)
			if begun[0] == 0x01 {
				c.send(masked(ws.OpPing, true, "p"))
				c.expectFrame(ws.OpPong, "p")
			}
		}
		if n := unfinished(t, s); n != 1 {
			t.Error("closed early")
		}
		kernel.Pass(cfg.AssemblyTimeout * 2 / 10)
		c.expectClose(1008)
		c.Close()
	}
	expectClosed(t, s, closedAssemblyTimeout, 3)
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

// The whole process stands still for longer than any deadline, as under SIGSTOP: nobody is closed for what we did not hear.
func TestE09_UnfinishedMessageOutlivesAPauseOfTheProcess(t *testing.T) {
	cfg := testConfig()
	cfg.Loops = 1
	cfg.AssemblyTimeout = 5 * time.Second
	cfg.MessageRate = 1
	kernel := reactortest.New()
	kernel.StopClock()
	s, addr := startGatewayOn(t, cfg, kernel)
	c, held := join(t, addr, "/ws/r"), join(t, addr, "/ws/r")
	c.send(masked(ws.OpText, false, "be"))
	held.send(maskedText("one"), maskedText("two"), maskedText("three"))
	held.expectFrame(ws.OpText, "one")
	held.expectFrame(ws.OpText, "two")
	eventually(t, "one is unfinished, the other held", func() bool {
		n := 0
		s.each(t, func(c *conn) {
			if c.isThrottled() || c.in != nil && c.in.began > 0 {
				n++
			}
		})
		return n == 2
	})
	kernel.Advance(10 * time.Second)
	eventually(t, "the loop has noticed", func() bool { return statsOf(t, s).Loop.Pauses == 1 })
	c.send(masked(ws.OpContinuation, true, "gun"))
	c.expectFrame(ws.OpText, "one")
	c.expectFrame(ws.OpText, "two")
	kernel.Pass(2 * time.Second)
	held.send(maskedText("four"))
	kernel.Pass(2 * time.Second)
	want := map[string]bool{"begun": true, "three": true, "four": true}
	for range 3 {
		f := held.frame()
		if !want[string(f.Payload)] {
			t.Fatalf("got %s", describe(f))
		}
		delete(want, string(f.Payload))
	}
	if st := statsOf(t, s); st.Closed != [closeReasons]uint64{} {
		t.Fatalf("somebody was closed: %v", st.Closed)
	}
	c.send(masked(ws.OpText, false, "never"))
	eventually(t, "it is unfinished", func() bool { return unfinished(t, s) == 1 })
	kernel.Pass(cfg.AssemblyTimeout + time.Second)
	if code, _ := closeCode(c); code != 1008 {
		t.Errorf("closed with %d", code)
	}
	c.Close()
	expectClosed(t, s, closedAssemblyTimeout, 1)
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
	c := join(t, addr, "/ws/r")
	// Two who do not read are the majority. As long as they count as moving, which is for a second, the room is full.
	join(t, addr, "/ws/r").narrow()
	join(t, addr, "/ws/r").narrow()
	c.send(masked(ws.OpText, false, "be"))
	var isFull atomic.Bool
	stop := make(chan struct{})
	flooder := join(t, addr, "/ws/r").narrow()
	go func() {
		defer close(stop)
		p := masked(ws.OpBinary, true, strings.Repeat("f", 60<<10))
		for !isFull.Load() {
			if _, err := flooder.Write(p); err != nil {
				return
			}
		}
	}()
	eventually(t, "the room is full", func() bool { return statsOf(t, s).Paused > 0 })
	isFull.Store(true)
	c.send(masked(ws.OpContinuation, true, "gun"))
	eventually(t, "its end waits", func() bool {
		waits := false
		s.each(t, func(c *conn) { waits = waits || c.in != nil && c.in.began > 0 && c.in.stopped > 0 })
		return waits
	})
	kernel.Advance(2 * cfg.AssemblyTimeout)
	time.Sleep(20 * time.Millisecond)
	if st := statsOf(t, s); st.Closed[closedAssemblyTimeout] != 0 {
		t.Error("it was closed, although it is its room that is late")
	}
	kernel.Pass(2 * time.Second) // Now they are stalled, and count no longer.
	for {
		if f := c.frame(); f.Header.OpCode == ws.OpText {
			if string(f.Payload) != "begun" {
				t.Errorf("got %s", describe(f))
			}
			break
		}
	}
	flooder.Close()
	<-stop
}

// A client whose room is full has said more than was decoded, and resets the connection. What of it is heard is heard in order and
// whole: bytes that were read because of the error do not overtake those that waited, nor take their place.
func TestK05_ResetWhileTheRoomIsFull(t *testing.T) {
	cfg := testConfig()
	cfg.Loops = 1
	cfg.PublishWindow = 64 << 10
	kernel := reactortest.New()
	kernel.StopClock()
	s, addr := startGatewayOn(t, cfg, kernel)
	witness := join(t, addr, "/ws/r")
	join(t, addr, "/ws/r").narrow()
	join(t, addr, "/ws/r").narrow()
	c := join(t, addr, "/ws/r")
	const size = 4 << 10
	sent := uint64(0)
	for statsOf(t, s).Paused == 0 {
		c.send(masked(ws.OpBinary, true, string(message(sent, size))))
		sent++
	}
	for range 10 { // Some are stashed, some wait in the kernel.
		c.send(masked(ws.OpBinary, true, string(message(sent, size))))
		sent++
	}
	c.reset()
	time.Sleep(50 * time.Millisecond) // The gateway sees the reset while the room is full.
	kernel.Pass(2 * time.Second)      // Now those who do not read are stalled, and count no longer.
	eventually(t, "it is gone", func() bool { return statsOf(t, s).Closed[closedGone] == 1 })
	heard := statsOf(t, s).Messages
	witness.expectMessages(0, int(heard), size)
	t.Logf("of %d messages %d were heard", sent, heard)
	witness.send(maskedText("the end"))
	witness.expectFrame(ws.OpText, "the end")
}
