package hub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// big is a message of some 1,000 bytes.
func big(i int) *note { return say(fmt.Sprintf("%d%s", i, strings.Repeat("x", 1000))) }

func (k *keeper) room(name string) *Room {
	k.Helper()
	r, ok := k.hub.Room(name)
	if !ok {
		k.Fatal("there is no room ", name)
	}
	return r
}

// A room outlives its members for as long as it keeps something, then it ends, and the next one of
// its name has another epoch, in which no older position means anything. Empty it stays for a
// while, for who is back soon.
func TestRoomWithHistoryLivesForItsAge(t *testing.T) {
	k := newKeeper(t, keeping(), History{Age: time.Minute})
	c, j := k.begin(0, "r", lines, Start{})
	if j.Epoch != "epoch001" {
		t.Fatal(j)
	}
	k.offer("r", say("1"))
	k.flush()
	c.Leave()
	k.now += 30 * time.Second
	k.offer("r", say("2"))
	for _, step := range []struct {
		wait time.Duration
		kept uint64
	}{{0, 2}, {29 * time.Second, 2}, {time.Second, 1}, {29 * time.Second, 1}} {
		k.now += step.wait
		k.hub.Expire(k.now)
		if s := k.room("r").Stats(); s.Kept != step.kept || s.Position != (Position{"epoch001", 2}) {
			t.Fatalf("%v later: %+v", step.wait, s)
		}
	}
	k.now += time.Second
	k.hub.Expire(k.now)
	k.now += graceTime
	if k.hub.Expire(k.now); k.hub.Rooms() != 0 || k.hub.Retained() != 0 {
		t.Fatalf("%d rooms and %d bytes are left", k.hub.Rooms(), k.hub.Retained())
	}
	if p := k.offer("r", say("1")); p.Position != (Position{"epoch002", 1}) {
		t.Error(p)
	}
	if _, j := k.begin(0, "r", lines, Start{Since: Position{"epoch001", 1}}); j != (Joined{Position{"epoch002", 1}, WrongEpoch, 0}) {
		t.Errorf("%+v", j)
	}
}

// A room in which somebody is keeps its epoch when all that it kept has gone: who has everything
// missed nothing.
func TestEpochGoesOnWhileSomebodyIsThere(t *testing.T) {
	for name, forget := range map[string]func(k *keeper){
		"aged":    func(k *keeper) { k.now += time.Minute; k.hub.Expire(k.now) },
		"cleared": func(k *keeper) { k.room("r").Clear() },
	} {
		k := newKeeper(t, keeping(), History{Age: time.Minute})
		k.begin(0, "r", lines, Start{})
		for i := range 5 {
			k.offer("r", big(i))
		}
		k.flush()
		forget(k)
		k.flush()
		k.hub.Expire(k.now)
		k.flush()
		if s := k.room("r").Stats(); s.Kept != 0 || s.Memory != 0 || s.KeptBytes != 0 {
			t.Errorf("%s: %+v", name, s)
		}
		for since, want := range map[uint64]Answer{4: TooOld, 5: Recovered, 6: BeyondEnd} {
			if _, j := k.begin(1, "r", lines, Start{Since: Position{"epoch001", since}}); j != (Joined{Position{"epoch001", 5}, want, 0}) {
				t.Errorf("%s, since %d: %+v", name, since, j)
			}
		}
	}
}

// A client that is away for a moment from a room that has nothing to keep misses nothing of what is
// said meanwhile.
func TestEmptyRoomOutlivesItsMembers(t *testing.T) {
	k := newKeeper(t, keeping(), History{Messages: 100})
	c, j := k.begin(0, "r", asIs, Start{})
	c.Leave()
	k.hub.Expire(k.now)
	k.now += graceTime - time.Second
	k.hub.Expire(k.now)
	k.offer("r", say("missed"))
	if _, j = k.begin(0, "r", asIs, Start{Since: j.Position}); j.Answer != Recovered || j.Messages != 1 {
		t.Errorf("%+v", j)
	}
}

// A member that does not read saves no more of its room's history than a backlog from giving first.
func TestWhoDoesNotReadKeepsNoHistoryFromGiving(t *testing.T) {
	l := keeping()
	l.Backlog, l.History = 64<<10, 1<<20
	k := newKeeper(t, l, History{Bytes: 10 << 20})
	for range 300 {
		k.offer("honest", some())
	}
	for range 200 {
		k.offer("other", big(0))
	}
	k.begin(0, "other", asIs, Start{Earliest: true, IsHeld: true})
	for range 1000 {
		k.room("other").Publish(k.fans[0], k.now, big(0))
		k.flush()
	}
	if n := k.room("honest").Stats().Kept; n != 300 {
		t.Errorf("%d messages are kept of 300", n)
	}
}

// Thousands that lose their connections and come back find their encoding as they left it.
func TestNothingIsEncodedAnewForWhoComesBack(t *testing.T) {
	k := newKeeper(t, keeping(), History{Messages: 1000})
	var all []*client
	for i := range 200 {
		c, _ := k.begin(i%2, "r", lines, Start{})
		all = append(all, c)
	}
	for i := 1; i <= 100; i++ {
		k.offer("r", say(fmt.Sprint(i)))
	}
	k.flush()
	for _, c := range all {
		c.Leave()
	}
	for i := 101; i <= 150; i++ {
		k.offer("r", say(fmt.Sprint(i)))
	}
	k.hub.Expire(k.now)
	k.now += graceTime - time.Second
	k.hub.Expire(k.now)
	for i := range all {
		c, j := k.begin(i%2, "r", lines, Start{Since: Position{"epoch001", 100}})
		if j.Answer != Recovered || j.Messages != 50 {
			t.Fatalf("%+v", j)
		}
		all[i] = c
	}
	k.flush()
	for _, c := range all {
		if string(c.got) != text("epoch001", 101, 150) {
			t.Fatalf("it got %q", c.got)
		}
		c.Leave()
	}
	if s := k.hub.Histories(); s.Built != 0 {
		t.Errorf("%+v", s)
	}
	// Nobody has come back for long: the next one has it built.
	k.hub.Expire(k.now)
	k.now += graceTime
	k.hub.Expire(k.now)
	if _, j := k.begin(0, "r", lines, Start{Since: Position{"epoch001", 140}}); j.Messages != 10 {
		t.Errorf("%+v", j)
	}
	if s := k.hub.Histories(); s.Built != 1 || s.BuiltFrames != 150 {
		t.Errorf("%+v", s)
	}
	if s := k.fans[0].Stats(); s.Joined[Live] != 100 || s.Joined[Recovered] != 101 {
		t.Errorf("%v", s.Joined)
	}
}

// An encoder that panics leaves the room as it was, and the next build starts from the beginning.
func TestPanicInABuildLeavesTheRoomWhole(t *testing.T) {
	k := newKeeper(t, keeping(), History{Messages: 1000})
	for i := 1; i <= 2000; i++ {
		k.offer("r", say(fmt.Sprint(i)))
	}
	restore, n := k.hub.restore, 0
	k.hub.restore = func(room string, r *Record) Encoder {
		if n++; n == 500 {
			panic("a fault")
		}
		return restore(room, r)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("nobody hears of it")
			}
		}()
		k.hub.Build(context.Background(), "r", lines)
	}()
	before := k.hub.Histories()
	if memory, _ := k.room("r").log.memory(); before.Memory != memory || before.Built != 0 {
		t.Errorf("%+v, the room takes %d", before, memory)
	}
	c, j := k.begin(0, "r", lines, Start{Earliest: true})
	if k.flush(); j.Messages != 1000 || string(c.got) != text("epoch001", 1001, 2000) {
		t.Errorf("%+v, %d bytes", j, len(c.got))
	}
}

// A member that the log overran is told how many messages it has missed and where it goes on,
// before the next one.
func TestWhoIsOverrunIsToldWhereItGoesOn(t *testing.T) {
	for _, policy := range []Policy{Skip, Latest} {
		l := limits(64<<10, 1<<20)
		l.History = 1 << 30
		k := newKeeper(t, l, History{Messages: 20})
		k.policy = policy
		slow := &listening{client: client{now: &k.now, room: -1}}
		if _, err := k.fans[0].Join(k.now, "r", lines, Start{}, &slow.Member, slow); err != nil {
			t.Fatal(err)
		}
		slow.room = 500
		k.begin(0, "r", lines, Start{})
		k.begin(1, "r", lines, Start{})
		const all = 200
		for i := 1; i <= all; i++ {
			k.offer("r", big(i))
			k.flush()
		}
		slow.open(-1)
		k.flush()
		slow.open(-1)
		k.flush()
		got := string(slow.got)
		first := strings.Index(got, "]\n") + 2
		want := fmt.Sprintf("<missed %d, epoch001:%06d>", slow.missed, 1+slow.missed)
		if slow.missed == 0 || !strings.HasPrefix(got[first:], want+fmt.Sprintf("[epoch001:%06d ", 2+slow.missed)) {
			t.Errorf("%v: behind its first message it got %.60q, want %q", policy, got[first:], want)
		}
		if !strings.Contains(got, fmt.Sprintf("[epoch001:%06d ", all)) || slow.IsBlocked() {
			t.Errorf("%v: it has not come to the end", policy)
		}
		if policy == Latest && slow.missed != all-2 {
			t.Errorf("it missed %d", slow.missed)
		}
	}
}

// A listening client tells its reader what it has missed.
type listening struct {
	client
	missed uint64
	note   string
}

func (c *listening) Rejoined(missed uint64, at Position) {
	c.missed += missed
	c.note = fmt.Sprintf("<missed %d, %v>", missed, fmt.Sprintf("%s:%06d", at.Epoch, at.Offset))
	c.HoldOwn()
}

func (c *listening) SendOwn(limit int) (int, bool) {
	if len(c.rest.Bytes()) > 0 {
		return c.client.SendOwn(limit)
	}
	c.got = append(c.got, c.note...)
	c.note = ""
	return 0, true
}

func TestOffsetsThatDoNotGrowAreRefused(t *testing.T) {
	k := newKeeper(t, keeping(), History{Messages: 10})
	at := func(offset uint64, isAbsent bool) *note {
		return &note{Source{Payload: []byte("x"), Offset: offset, HasNoOffset: isAbsent}}
	}
	for _, step := range []struct {
		n    *note
		want uint64
	}{{at(0, false), 1}, {at(7, false), 7}, {at(7, false), 0}, {at(3, false), 0}, {at(3, true), 7}, {at(0, false), 8}, {at(1<<40, false), 1 << 40}} {
		p, err := Offer(k.hub, "r", k.now, step.n)
		if step.want == 0 && !errors.Is(err, ErrOffset) || step.want > 0 && (err != nil || p.Offset != step.want) {
			t.Errorf("%+v: %+v, %v", step.n.source, p, err)
		}
	}
	if s := k.room("r").Stats(); s.Next != 6 || s.Kept != 5 || s.Position.Offset != 1<<40 {
		t.Errorf("%+v", s)
	}
	c, j := k.begin(0, "r", lines, Start{Since: Position{"epoch001", 7}})
	if k.flush(); j.Messages != 3 || !strings.HasPrefix(string(c.got), "[epoch001:000007 x]\n[epoch001:000008 x]\n") {
		t.Errorf("%+v, %q", j, c.got)
	}
}

func TestPositionsAreReadAsTheyAreWritten(t *testing.T) {
	for text, want := range map[string]Position{
		"abcd:7": {"abcd", 7}, "abcd:00000000000000000007": {"abcd", 7}, "a:18446744073709551615": {"a", 1<<64 - 1}, "a:0": {"a", 0},
		"": {}, ":": {}, "a": {}, "a:": {}, ":7": {}, "a:x": {}, "a:-1": {}, "a:+1": {}, "a:18446744073709551616": {}, "a:1:2": {}, "a: 1": {},
	} {
		p, ok := ParsePosition(text)
		if p != want || ok != (want.Epoch != "") {
			t.Errorf("%q: %+v, %v", text, p, ok)
		}
		if again, _ := ParsePosition(p.String()); ok && again != p {
			t.Errorf("%q: %v", text, again)
		}
	}
}

// Other limits hold from the next message on; a room without history gets one when it is made anew.
func TestHistoriesTakeNewLimits(t *testing.T) {
	k := newKeeper(t, keeping(), History{Messages: 10})
	k.begin(0, "no", lines, Start{})
	for i := range 30 {
		k.offer("r", big(i))
		k.offer("no", big(i))
	}
	k.limits["r"], k.limits["no"] = History{Messages: 3}, History{Messages: 3}
	k.hub.TakeHistories()
	if s := k.room("r").Stats(); s.Kept != 3 {
		t.Errorf("%+v", s)
	}
	if p := k.offer("no", big(0)); p.Epoch != "" || k.room("no").Epoch() != "" {
		t.Errorf("%+v", p)
	}
	k.limits["r"] = History{}
	k.hub.TakeHistories()
	if k.hub.Expire(k.now); k.hub.Rooms() != 1 {
		t.Error("a room is kept for nothing")
	}
}

func TestHubRefusesHistoriesThatItCannotServe(t *testing.T) {
	kept := func(string) History { return History{Messages: 1} }
	restore := func(string, *Record) Encoder { return nil }
	for name, test := range map[string]struct {
		change func(o *Options)
		ok     bool
	}{
		"none":                 {func(o *Options) {}, true},
		"one":                  {func(o *Options) { o.HistoryOf, o.Restore, o.Limits.History = kept, restore, 1 }, true},
		"without a limit":      {func(o *Options) { o.HistoryOf, o.Restore = kept, restore }, false},
		"that nobody restores": {func(o *Options) { o.HistoryOf, o.Limits.History = kept, 1 }, false},
		"a place that nobody fills": {func(o *Options) {
			o.Encodings = []EncodingInfo{{Name: "a", PositionWidth: 3}}
		}, false},
		"another place than the substitute's": {func(o *Options) {
			o.Encodings = []EncodingInfo{{Name: "a", PositionWidth: 3, PutPosition: putPosition}, {Name: "b", HasSubstitute: true}}
		}, false},
	} {
		o := Options{Limits: wide, Encodings: keptEncodings}
		test.change(&o)
		if _, err := New(o); (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
