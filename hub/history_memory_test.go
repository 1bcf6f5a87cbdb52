package hub

import (
	"math"
	"strings"
	"testing"
	"time"
)

// Memory that neither the history nor a member needs is given back, and what is kept is there all
// the same.
func TestMemoryBehindAHistoryIsGivenBack(t *testing.T) {
	l := limits(2<<20, 2<<20)
	l.History = 1 << 30
	k := newKeeper(t, l, History{Messages: 10})
	stalled, _ := k.begin(0, "r", asIs, Start{})
	stalled.room = 0
	k.begin(1, "r", lines, Start{})
	for i := range 600 {
		k.offer("r", big(i))
		k.flush()
	}
	r := k.room("r")
	k.hub.Expire(k.now)
	k.flush()
	if held := r.Stats().Held; held < 1<<20 {
		t.Fatalf("%d bytes are held for who has yet to get them", held)
	}
	stalled.open(-1)
	k.flush()
	k.hub.Expire(k.now)
	k.flush()
	// Of each track the segment in which the history begins, and the newest one.
	if s, most := r.Stats(), int64(len(keptEncodings)+1)*2*int64(r.log.largest); s.Kept != 10 || s.Held > most || s.Memory > 2*most {
		t.Errorf("%d messages are kept in %d bytes, which take %d; want at most %d", s.Kept, s.Held, s.Memory, most)
	}
	if d := k.fans[0].Flush(func() time.Duration { return k.now }); d >= 0 {
		t.Errorf("a loop wants to look again in %v", d)
	}
	late, j := k.begin(0, "r", asIs, Start{Earliest: true})
	if k.flush(); j.Messages != 10 || !strings.HasPrefix(string(late.got), "590x") {
		t.Errorf("%+v, and it got %.10q", j, late.got)
	}
}

// What is beyond --history-memory the room gives that keeps most of what no member waits for, which
// is counted, and rooms without history lose nothing for it.
func TestRoomThatKeepsMostGivesFirst(t *testing.T) {
	l := keeping()
	l.History = 1 << 20
	k := newKeeper(t, l, History{Messages: 1000})
	k.limits["needed"] = History{Messages: 1000}
	stalled, _ := k.begin(0, "needed", asIs, Start{})
	stalled.room = 0
	other := k.join(0, "no")
	other.room = 0
	for i := range 100 {
		k.offer("needed", big(i))
		k.offer("small", big(i))
		k.offer("no", big(i))
		k.flush()
	}
	for i := range 700 {
		k.offer("large", big(i))
	}
	s := k.hub.Histories()
	if s.Drops == 0 || s.Memory > l.History || s.Limit != l.History || s.Rooms != 3 {
		t.Errorf("%+v", s)
	}
	if n := k.hub.Drops(); n != 0 {
		t.Errorf("rooms without history dropped something %d times", n)
	}
	for name, all := range map[string]uint64{"needed": 100, "small": 100} {
		if n := k.room(name).Stats().Kept; n != all {
			t.Errorf("room %s keeps %d messages", name, n)
		}
	}
	if n := k.room("large").Stats().Kept; n > 699 || n < 100 {
		t.Errorf("the large room keeps %d messages", n)
	}
	if k.hub.Tighten(0); k.hub.Histories().Messages != 0 || k.hub.Limit() != 0 {
		t.Errorf("%+v", k.hub.Histories())
	}
	if k.hub.Tighten(1 << 62); k.hub.Limit() != l.Total+l.History {
		t.Errorf("all rooms may have %d bytes", k.hub.Limit())
	}
}

// Rooms that may have as much as there is have what there is.
func TestMemoryWithoutLimits(t *testing.T) {
	l := keeping()
	l.Total, l.History = math.MaxInt64, math.MaxInt64
	k := newKeeper(t, l, History{Messages: 10})
	for _, most := range []int64{1 << 30, math.MaxInt64} {
		k.hub.Tighten(most)
		if limit := k.hub.Limit(); limit < 1<<30-1 || limit > most {
			t.Errorf("of %d bytes all rooms may have %d", most, limit)
		}
		if k.offer("r", say("hello")); k.hub.Histories().Messages == 0 {
			t.Error("nothing is kept")
		}
	}
}

// Rooms that save memory let go of nothing that they are to keep.
func TestLowMemoryEmptiesNoHistory(t *testing.T) {
	k := newKeeper(t, keeping(), History{Messages: 300})
	k.hub.SaveMemory(true)
	k.begin(0, "r", lines, Start{})
	for i := range 900 {
		k.offer("r", big(i))
		k.flush()
	}
	if s := k.room("r").Stats(); s.Kept != 300 || s.KeptBytes > 500*1100 {
		t.Errorf("%+v", s)
	}
}
