package gateway

import (
	"testing"
)

// N84: memory is given back once after much was let go of, some looks later, and not before.
// Relatives: what comes back meanwhile; what is let go of slowly, or bit by bit; little; what is
// still in use.
func TestN84_MemoryIsGivenBackOnceAfterMuchWasLetGoOf(t *testing.T) {
	const mib = 1 << 20
	var needed int64
	given := 0
	h := &housekeeper{needed: func() int64 { return needed }, open: nobody, give: func() { given++ }}
	looks := func(n int, now int64) int {
		before := given
		needed = now
		for range n {
			h.look()
		}
		return given - before
	}
	for i, step := range []struct {
		looks int
		now   int64
		want  int
	}{
		{100, 420 * mib, 0},             // It is in use.
		{giveBackAfter - 1, 2 * mib, 0}, // Maybe they come back.
		{1, 400 * mib, 0},
		{giveBackAfter - 1, 2 * mib, 0},
		{1, 2 * mib, 1},
		{1000, 2 * mib, 0}, // Once.
		{100, 2*mib + givenUpMin - 1, 0},
		{100, 0, 1}, // Of what was needed since.
		{100, 900 * mib, 0},
		{100, 700 * mib, 0}, // Less than a third.
		{100, 600 * mib, 1},
		{100, 390 * mib, 1},
	} {
		if got := looks(step.looks, step.now); got != step.want {
			t.Errorf("step %d: given back %d times, want %d", i, got, step.want)
		}
	}
	given = 0
	for now := int64(400 * mib); now >= 0; now -= mib { // Slowly.
		looks(1, now)
	}
	looks(giveBackAfter, 0)
	if given < 2 || given > 12 {
		t.Errorf("given back %d times while 400 MiB went one by one", given)
	}
	(&housekeeper{needed: h.needed, open: nobody}).look() // Nothing to give.
}

func nobody() int64 { return 0 }

// N84: memory is given back once after a crowd has come, when hardly anybody comes any more, and
// not before. Relatives: few; who comes by and by; who leaves and comes back.
func TestN84_MemoryIsGivenBackOnceACrowdHasCome(t *testing.T) {
	var open int64
	given := 0
	h := &housekeeper{needed: func() int64 { return 0 }, open: func() int64 { return open }, give: func() { given++ }}
	for i, step := range []struct {
		looks     int
		from, by  int64 // connections at the first look, and how many come before each of the others
		want      int
		whatItWas string
	}{
		{100, cameMin - 1, 0, 0, "few"},
		{calmAfter, 5000, 0, 0, "they may not be all"},
		{50, 6000, 300, 0, "they are not"},
		{calmAfter, 20_700, 0, 1, "a crowd"},
		{1000, 20_700, 1, 0, "few more"},
		{1000, 27_000, 10, 2, "a quarter more, twice, by and by"},
		{100, 500, 0, 0, "nearly everybody leaves"},
		{100, 1400, 0, 0, "few come back"},
		{100, 27_000, 0, 1, "the others, too"},
	} {
		before := given
		for n := range step.looks {
			open = step.from + int64(n)*step.by
			h.look()
		}
		if got := given - before; got != step.want {
			t.Errorf("step %d, %s: given back %d times, want %d", i, step.whatItWas, got, step.want)
		}
	}
}

// What the gateway knows that it needs is what rooms, unfinished messages, replies that are not
// read, connections and their places in rooms take.
func TestN84_NeededIsWhatIsCounted(t *testing.T) {
	cfg := testConfig()
	cfg.History = []HistoryRule{{Pattern: "room", Messages: 1}}
	s := makeServer(t, cfg, nil, nil)
	defer s.Close()
	s.workers[0].inputBudget.shown.Store(1000)
	s.workers[1].replyBudget.shown.Store(100_000)
	s.workers[1].subscribed.Store(5)
	s.open.Store(3)
	defer s.open.Store(0)
	if err := s.hub.Make("room"); err != nil {
		t.Fatal(err)
	}
	if got := s.needed(); got != 1000+100_000+3*idleConnection+emptyRoom+5*idleSubscription {
		t.Errorf("%d bytes are needed", got)
	}
}
