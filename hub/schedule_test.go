package hub

import (
	"strings"
	"testing"
	"time"
)

// Every reason to visit a branch comes about, and each is a line of the table: a branch that it
// lies idle with is visited by its loop's next Flush, be the reason found on that loop or on
// another.
func TestEveryReasonComesAbout(t *testing.T) {
	seen := reasons(0)
	// due collects what both branches of a room are due to be visited for.
	due := func(f *fixture, r *Room) reasons {
		all := reasons(0)
		for _, b := range r.branches {
			all |= b.due | reasons(b.marks.Load())
		}
		seen |= all
		return all
	}
	want := func(f *fixture, r *Room, why reason) {
		t.Helper()
		if got := due(f, r); got&(1<<why) == 0 {
			t.Errorf("%q does not come about, but %q", reasons(1<<why), got)
		}
	}
	clock := func(f *fixture) func() time.Duration { return func() time.Duration { return f.now } }

	f := newFixture(t, limits(64<<10, 1000))
	a, b := f.join(0, "r"), f.join(1, "r")
	r := a.Room()
	a.say(nil, []byte("x"))
	want(f, r, becauseSegment) // The first one.
	f.flush()
	a.say(nil, []byte("x"))
	want(f, r, becausePublished)
	f.flush()
	a.say(nil, make([]byte, 400))
	a.say(nil, make([]byte, 700))
	want(f, r, becauseFilled)
	f.join(0, "r")
	want(f, r, becauseJoined)
	b.AwaitRoom()
	f.fans[1].Flush(clock(f))
	f.fans[0].Flush(clock(f)) // It was what the publisher on the other loop waited for.
	want(f, r, becauseLeased)
	f.flush()

	b.room = 0
	a.say(nil, []byte("x"))
	f.flush()
	b.Ready()
	if b.state != ready || !b.branch.isQueued {
		t.Error("a ready member's branch is not visited")
	}
	seen |= 1 << becauseReady
	b.room = -1
	b.branch.serveReady(&pace{clock: clock(f), now: f.now, deadline: 1 << 62}, false)
	want(f, r, becauseCaughtUp)
	f.flush()

	// A full room counts anew from time to time, and when one that is blocked leaves.
	crowd := []*client{f.join(1, "r"), f.join(1, "r"), f.join(1, "r"), f.join(1, "r"), f.join(1, "r")}
	for _, c := range crowd {
		c.room = 0
	}
	for range 5 {
		a.say(nil, make([]byte, 500))
		f.flush()
	}
	if !r.IsFull() {
		t.Fatal("the room does not wait for five of eight")
	}
	f.fans[1].counted = f.now - watchEvery
	f.fans[1].countWatched(f.now)
	want(f, r, becauseRecount)
	f.flush()
	crowd[0].Leave()
	want(f, r, becauseLeft)
	for _, c := range crowd[1:] {
		c.Leave()
	}
	f.flush()

	f.quiet(r)
	a.say(nil, []byte("x"))
	f.flush()
	for range 4 {
		f.now += reclaimEvery
		if f.fans[0].Flush(clock(f)); due(f, r)&(1<<becauseReclaimed) != 0 {
			break
		}
		f.fans[1].Flush(clock(f))
		due(f, r)
	}
	want(f, r, becauseReclaimed)
	f.flush()

	// A branch that ends before its round leaves the room's memory to another.
	c := f.join(1, "s")
	gone := f.join(0, "s")
	gone.say(nil, []byte("x"))
	gone.Leave()
	want(f, c.Room(), becauseToReclaim)
	f.flush()

	// A message in the middle of a round, and a round in the middle of which the time is up.
	for range 40 {
		f.join(0, "t")
	}
	d := f.join(1, "t")
	d.say(nil, []byte("x"))
	f.fans[0].Flush(func() time.Duration { f.now += slice / 2; return f.now })
	if bt := d.Room().branches[0]; bt.round.places == 0 || !bt.isQueued {
		t.Error("a branch in the middle of a round is not visited again")
	}
	seen |= 1 << becauseUnfinished
	d.say(nil, []byte("y"))
	f.fans[1].Flush(clock(f))
	isBehind := false
	for range 40 {
		f.fans[0].Flush(func() time.Duration { f.now += slice / 2; return f.now })
		if isBehind = due(f, d.Room())&(1<<becauseBehind) != 0; isBehind {
			break
		}
	}
	if f.flush(); !isBehind {
		t.Error("nobody goes on with what was published in the middle of a round")
	}

	f.transport.isLate = true
	a.say(nil, []byte("x"))
	f.fans[0].Flush(clock(f))
	if a.branch.isQueued || a.branch.round.open == 0 {
		t.Fatal("the round does not wait for the transport")
	}
	f.transport.answerAll()
	if !a.branch.isQueued {
		t.Error("nobody ends a round that has its answers")
	}
	seen |= 1 << becauseAnswered
	f.flush()

	k := newFollower(t, History{Messages: 10})
	if _, _, err := k.tell(0, "r", lines, Start{IsUnfilled: true}); err != nil {
		t.Fatal(err)
	}
	k.fill("r", "epoch001", 0)
	want(k.fixture, k.room("r"), becauseReset)

	spoiled := f.join(0, "s").Room()
	spoiled.Spoil()
	want(f, spoiled, becauseSpoiled)
	f.flush()

	if all := reasons(1<<reasonCount - 1); seen != all {
		t.Errorf("never seen: %v", all&^seen)
	}
	for why := range reasonCount {
		if reasonNames[why] == "" || strings.Count(all(reasonNames[:]), "|"+reasonNames[why]+"|") != 1 {
			t.Errorf("reason %d is called %q", why, reasonNames[why])
		}
		for _, by := range f.fans { // From the branch's own loop, and from another.
			b := a.branch
			b.schedule(by, why)
			by.wakeOwed()
			visited := false
			f.fans[0].takeMarks()
			visited = b.isQueued && (b.due != 0) == (1<<why&ofTurns == 0)
			if why == becauseLeased { // Publishers are resumed without a visit of the branch.
				visited = b.leased && !b.isQueued
			}
			if f.flush(); !visited || b.isQueued || b.due != 0 {
				t.Errorf("because %q: due %v, visited %v", reasonNames[why], b.due, visited)
			}
		}
	}
}

func all(names []string) string { return "|" + strings.Join(names, "||") + "|" }

// The states of a member are a table. A step that is not in it is a fault of the hub's own: it
// panics where nobody hears of it, and is told, and gone on with, where somebody does.
func TestStepThatMembersDoNotTakeIsAFault(t *testing.T) {
	allowed := map[[2]memberState]bool{
		{outside, writable}: true, {outside, blocked}: true, {outside, ready}: true,
		{writable, blocked}: true, {writable, outside}: true,
		{blocked, ready}: true, {blocked, writable}: true, {blocked, outside}: true,
		{ready, blocked}: true, {ready, outside}: true,
	}
	var told []string
	for from := outside; from <= ready; from++ {
		for to := outside; to <= ready; to++ {
			for _, isHeard := range []bool{false, true} {
				o := Options{Limits: wide, Encodings: testEncodings}
				if isHeard {
					o.OnBroken = func(what string) { told = append(told, what) }
				}
				told = nil
				h, err := New(o)
				if err != nil {
					t.Fatal(err)
				}
				now := new(time.Duration)
				f, c := h.NewFanout(func() {}, &transport{now: now}), &client{now: now, room: -1}
				if err := f.joinEnd("r", Plain, &c.Member, c); err != nil {
					t.Fatal(err)
				}
				c.state = from
				panicked := func() (p any) {
					defer func() { p = recover() }()
					c.setState(to)
					return nil
				}()
				isFault := !allowed[[2]memberState{from, to}]
				if (panicked != nil) != (isFault && !isHeard) || (len(told) == 1) != (isFault && isHeard) {
					t.Errorf("%v becomes %v: panic %v, told %v", from, to, panicked, told)
				}
				if isHeard && isFault && len(told) == 1 && !strings.Contains(told[0], from.String()+" becomes "+to.String()) {
					t.Errorf("%v becomes %v: told %v", from, to, told)
				}
				if isHeard && c.state != to {
					t.Errorf("%v becomes %v: it does not go on", from, to)
				}
			}
		}
	}
}

// A hub of which an invariant was broken still serves.
func TestHubGoesOnBehindABrokenInvariant(t *testing.T) {
	told := 0
	h, err := New(Options{Limits: wide, Encodings: testEncodings, OnBroken: func(string) { told++ }})
	if err != nil {
		t.Fatal(err)
	}
	now := new(time.Duration)
	f := h.NewFanout(func() {}, &transport{now: now})
	a, b := &client{now: now, room: -1}, &client{now: now, room: -1}
	for _, c := range []*client{a, b} {
		if err := f.joinEnd("r", Plain, &c.Member, c); err != nil {
			t.Fatal(err)
		}
	}
	b.setState(writable) // It is that already.
	a.say(nil, []byte("hello"))
	f.Flush(func() time.Duration { return *now })
	if told != 1 || string(a.got) != "hello" || string(b.got) != "hello" {
		t.Errorf("told %d times; they got %q and %q", told, a.got, b.got)
	}
}
