package gateway

import (
	"bytes"
	"testing"
	"time"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor/reactortest"
)

func TestHeldTimeIsOfAllTogether(t *testing.T) {
	var h holding
	h.begin(pauseRoom, 10)
	h.begin(pauseRoom|pauseRate|pauseTurn, 20)
	h.end(pauseRoom, 50)
	if got := h.byRoom.until(100); got != 40+30+50-0 || h.byRoom.senders != 1 {
		t.Errorf("held for %d, %d are", got, h.byRoom.senders)
	}
	h.end(pauseRoom|pauseRate, 100)
	h.end(pauseTurn, 110)
	if h.byRoom.until(500) != 120 || h.byRate.until(500) != 80 || h.byRoom.senders+h.byRate.senders != 0 {
		t.Errorf("%+v", h)
	}
}

// Relatives: one that is held and leaves.
func TestSenderOverARateIsHeldForAWhile(t *testing.T) {
	cfg := testConfig()
	cfg.MessageRate = 10
	kernel := reactortest.New()
	kernel.StopClock()
	s, addr := startGatewayOn(t, cfg, kernel)
	a, b := wstest.Join(t, addr, "/ws/a"), wstest.Join(t, addr, "/ws/b")
	for _, c := range []*wstest.Client{a, b} {
		c.Send(bytes.Repeat(wstest.MaskedText("x"), 15))
	}
	testenv.Eventually(t, "two are held", func() bool { return testenv.StatsOf(t, s).Throttled == 2 })
	kernel.Pass(50 * time.Millisecond)
	b.Reset() // Which is heard of when it is read on.
	kernel.Pass(10 * time.Second)
	testenv.Eventually(t, "one is gone", func() bool { return s.Open() == 1 })
	testenv.Eventually(t, "the other is read on", func() bool { return testenv.StatsOf(t, s).Messages >= 15 })
	st := testenv.StatsOf(t, s)
	if st.HeldByRate < 100*time.Millisecond || st.HeldByRate > 10*time.Second || st.HeldByRoom != 0 {
		t.Errorf("held for %v and %v, %d times", st.HeldByRate, st.HeldByRoom, st.Throttled)
	}
	kernel.Pass(time.Second)
	if again := testenv.StatsOf(t, s).HeldByRate; again != st.HeldByRate {
		t.Errorf("held for %v, and for %v when nobody is", st.HeldByRate, again)
	}
}

// A room waits for the readers that it has for as long as they have a vote, and its sender is held
// for so long.
func TestSenderOfAFullRoomIsHeldForAWhile(t *testing.T) {
	cfg := testConfig()
	cfg.PublishWindow = 64 << 10
	kernel := reactortest.New()
	kernel.StopClock()
	s, addr := startGatewayOn(t, cfg, kernel)
	wstest.Join(t, addr, "/ws/r").Narrow()
	wstest.Join(t, addr, "/ws/r").Narrow()
	sender := wstest.Join(t, addr, "/ws/r?echo=0")
	stop := wstest.Pour(sender, bytes.Repeat(wstest.MaskedBinary(string(make([]byte, 1000))), 1000), 2)
	testenv.Eventually(t, "the sender is held", func() bool { return testenv.StatsOf(t, s).Paused > 0 })
	before := testenv.StatsOf(t, s)
	kernel.Pass(3 * time.Second)
	held := testenv.StatsOf(t, s).HeldByRoom - before.HeldByRoom
	if held < 2*time.Second || held > 3*time.Second {
		t.Errorf("held for %v of three seconds", held)
	}
	kernel.Pass(30 * time.Second) // Nobody has a vote any more.
	testenv.Eventually(t, "all is published", func() bool { return testenv.StatsOf(t, s).Messages == 2000 })
	stop()
	before = testenv.StatsOf(t, s)
	kernel.Pass(time.Second)
	if held := testenv.StatsOf(t, s).HeldByRoom - before.HeldByRoom; held != 0 {
		t.Errorf("nobody is held, for %v", held)
	}
}
