package hub

import (
	"bytes"
	"testing"
	"time"
)

// stalled is a room in whose second loop nobody but clients that never read are, and what has
// become of it when they have been so for a while.
func stalled(t *testing.T, policy Policy, l Limits) (f *fixture, a *client, asleep []*client) {
	f = newFixture(t, l)
	f.policy = policy
	a = f.join(0, "r")
	for range 100 {
		c := f.join(1, "r")
		c.room = 10
		asleep = append(asleep, c)
	}
	a.say(nil, numbered(0))
	f.flush()
	f.outvote()
	return f, a, asleep
}

// A loop whose members cannot take a message is not woken for it, but for what it has to answer
// for.
func TestMessageIsNoConcernOfALoopThatCannotDeliverIt(t *testing.T) {
	f, a, asleep := stalled(t, Skip, limits(64<<10, 64<<10))
	f.woke = [2]int{}
	for i := range 5000 {
		a.say(nil, numbered(i))
		f.flush()
	}
	segments := 5000 * 100 / int(a.Room().log.largest)
	if n := f.woke[1]; n > 4*segments {
		t.Errorf("it was woken %d times for 5,000 messages in %d segments", n, segments)
	}
	f.now += slowAfter
	for _, c := range asleep {
		if c.overruns != 1 {
			t.Fatalf("a member was overrun %d times, want once until it takes bytes again", c.overruns)
		}
		if c.JudgeLag(f.now); len(c.slow) != 1 { // As its client does, whom no round comes to.
			t.Fatal("a member that was overrun ten seconds ago is not slow")
		}
	}
	if a.Room().IsFull() || len(a.got) != 5001*100 {
		t.Errorf("the publisher waits (%v), or has %d bytes", a.Room().IsFull(), len(a.got))
	}
	a.say(nil, make([]byte, 50_000)) // A segment, and so a look.
	f.flush()
	if b := asleep[0].branch; int(b.bitmap.next(0, true)) < len(b.members) {
		t.Error("rounds still visit members that are overrun and do not move")
	}
	f.woke = [2]int{}
	for _, c := range asleep {
		c.open(-1)
	}
	a.say(nil, numbered(1))
	f.flush()
	for _, c := range asleep {
		if c.IsBlocked() || !bytes.HasSuffix(a.got, c.got[100:]) {
			t.Fatalf("blocked %v, and the last of its %d bytes are not the room's", c.IsBlocked(), len(c.got))
		}
	}
	if f.woke[1] != 1 {
		t.Errorf("the loop was woken %d times for a message to members that read again", f.woke[1])
	}
}

// Nobody waits there, so a publisher need not wait for that loop either, however small the window.
func TestLoopThatCannotDeliverDoesNotFillTheRoom(t *testing.T) {
	f, a, _ := stalled(t, Skip, limits(1<<20, 1000))
	for i := range 1000 {
		if a.say(nil, numbered(i)); a.Room().IsFull() {
			t.Fatalf("the room is full after %d messages", i+1)
		}
		f.flush()
	}
}

// What was published while all of a loop's members were blocked was no reason to visit them; they
// caught up by themselves.
func TestQuietRoomWhoseMembersCaughtUpByThemselvesGivesItsMemoryBack(t *testing.T) {
	f, a, asleep := stalled(t, Disconnect, wide)
	for i := range 100 {
		a.say(nil, numbered(i))
		f.flush()
	}
	for _, c := range asleep {
		c.open(-1)
	}
	if n := f.quiet(a.Room()); n != 0 {
		t.Errorf("the quiet room keeps %d bytes", n)
	}
}

// Another room has this one drop what its blocked members need, a moment after they were looked at.
func TestDropBehindALookOverrunsAtOnce(t *testing.T) {
	l := limits(1<<20, 1<<20)
	l.Total = 100 << 10
	f, a, asleep := stalled(t, Skip, l)
	reader := f.join(1, "r")
	for i := range 700 {
		a.say(nil, numbered(i))
		f.now += time.Millisecond
		f.flush()
	}
	b := f.join(0, "other")
	for i := range 700 {
		b.say(nil, numbered(i))
		f.flush()
	}
	if n := f.hub.Drops(); n == 0 {
		t.Fatal("nothing was dropped")
	}
	for _, c := range asleep {
		if c.overruns != 1 {
			t.Fatalf("overrun %d times", c.overruns)
		}
	}
	if reader.overruns > 0 || len(reader.got) != 700*100 {
		t.Errorf("who reads was overrun %d times and has %d bytes", reader.overruns, len(reader.got))
	}
}

// A member is waiting in a segment that is dropped, in the middle of a round that has not come to
// it, when the kernel refuses a frame of its own. The round does not visit it any more, and nothing
// else is published.
func TestMemberRefusedAheadOfARoundIsDealtWith(t *testing.T) {
	l := limits(1<<20, 1<<20)
	l.Total = 100 << 10
	f := newFixture(t, l)
	a := f.join(0, "quiet")
	for range 100 {
		f.join(1, "quiet")
	}
	last, b := f.join(1, "quiet"), f.join(0, "busy")
	for i := range 700 {
		a.say(nil, numbered(i))
	}
	for i := range 700 {
		b.say(nil, numbered(i))
	}
	f.fans[1].Flush(func() time.Duration { f.now += 900 * time.Microsecond; return f.now })
	if r := last.branch.round; r.at == 0 || r.at == r.places || r.withBlocked && len(last.got) > 0 {
		t.Fatalf("the round is at %d of %d: not its middle", r.at, r.places)
	}
	last.room = 0
	last.Block(f.now)
	if f.pass(); last.dropped() || last.overruns != 1 {
		t.Errorf("overrun %d times, in a dropped segment %v", last.overruns, last.dropped())
	}
}

// The same in a room that saves memory: what such a member has yet to get is not let go of,
// although the round does not come to it.
func TestLowMemoryRoomKeepsWhatAMemberRefusedAheadOfARoundNeeds(t *testing.T) {
	l := wide
	l.Turn = 100
	f := newFixture(t, l)
	f.now = time.Minute
	f.hub.SaveMemory(true)
	a := f.join(0, "r")
	for range 100 {
		f.join(1, "r")
	}
	last := f.join(1, "r")
	for i := range 300 {
		a.say(nil, numbered(i))
	}
	f.fans[0].Flush(func() time.Duration { return f.now })
	looks := 0
	f.fans[1].Flush(func() time.Duration { // Time is up in the middle of the second round.
		if looks++; looks > 12 {
			return f.now + slice
		}
		return f.now
	})
	if r := last.branch.round; r.at == 0 || r.at == r.places || r.withBlocked || len(last.got) != 100 {
		t.Fatalf("the round is at %d of %d, with those blocked: %v; the last has %d bytes", r.at, r.places, r.withBlocked, len(last.got))
	}
	last.room = 0
	last.Block(f.now)
	f.pass()
	a.say(nil, numbered(0))
	if f.pass(); last.overruns > 0 {
		t.Error("it was overrun by what only it needed")
	}
	last.open(-1)
	f.flush()
	if !bytes.Equal(last.got, a.got) {
		t.Errorf("it has %d of %d bytes", len(last.got), len(a.got))
	}
}

// A burst overruns a member before any round has seen it behind: it has been slow from then on.
func TestMemberOverrunByABurstIsSlowTenSecondsLater(t *testing.T) {
	f := newFixture(t, limits(32<<10, 1<<20))
	f.policy = Skip
	a, slow := f.join(0, "r"), f.join(1, "r")
	slow.room = 10
	f.grow(a, 1)
	for i := range 1000 {
		a.say(nil, numbered(i))
	}
	f.flush()
	f.now += slowAfter
	if slow.JudgeLag(f.now); slow.overruns != 1 || len(slow.slow) != 1 {
		t.Errorf("overrun %d times, told %v", slow.overruns, slow.slow)
	}
}

// Clients that are overrun go on at the oldest message kept: a room that saves memory keeps it for
// them, but not for those who go on at the newest.
func TestLowMemoryRoomKeepsWhatThoseAdriftGoOnWith(t *testing.T) {
	for policy, want := range map[Policy]bool{Skip: true, Latest: false} {
		f, a, asleep := stalled(t, policy, limits(64<<10, 64<<10))
		f.grow(a, 2000)
		if asleep[0].overruns == 0 {
			t.Fatal("they were not overrun")
		}
		f.hub.SaveMemory(true)
		f.grow(a, 1)
		if keeps := f.hub.Retained() > 32<<10; keeps != want {
			t.Errorf("%v: the room retains %d bytes", policy, f.hub.Retained())
		}
	}
}

// What the brake goes by is exact again in the first round behind a change.
func TestCountsFollowWhoIsBlocked(t *testing.T) {
	f := newFixture(t, limits(1<<20, 10_000))
	var all []*client
	for range 10 {
		all = append(all, f.join(1, "r"))
	}
	expect := func(what string, active, late int32) {
		t.Helper()
		all[0].Room().Publish(nil, f.now, &Message{Plain: Frame{Payload: numbered(0)}})
		f.flush()
		if reported := all[0].branch.reported; reported.activeMembers != active || reported.lateMembers != late {
			t.Errorf("%s: %d active, %d of them late; want %d and %d", what, reported.activeMembers, reported.lateMembers, active, late)
		}
	}
	expect("all read", 10, 0)
	for _, c := range all[6:] {
		c.room = 0
	}
	expect("four are refused", 10, 0)
	for range 120 {
		all[0].Room().Publish(nil, f.now, &Message{Plain: Frame{Payload: numbered(0)}})
		f.flush()
	}
	expect("they are late", 10, 4)
	all[6].open(-1)
	expect("one catches up", 10, 3)
	all[7].Leave()
	expect("one leaves", 9, 2)
	f.outvote()
	expect("two are stalled", 7, 0)
	all[1].Block(f.now) // a frame of its own
	expect("one more is refused", 7, 0)
	all[8].open(50)
	f.now += watchEvery
	expect("one of the stalled takes some", 8, 1)
}

// One that joins is writable, but the message that called nobody because all others were blocked is
// still to be vouched for.
func TestRoomThatWasJoinedWhileAllWereBlockedGivesItsMemoryBack(t *testing.T) {
	f, a, asleep := stalled(t, Disconnect, wide)
	a.say(nil, numbered(1))
	f.flush()
	f.join(1, "r")
	f.flush()
	for _, c := range asleep {
		c.open(-1)
	}
	if n := f.quiet(a.Room()); n != 0 {
		t.Errorf("the quiet room keeps %d bytes", n)
	}
}

// The only branch that was to sweep what was published ends before it does.
func TestRoomWhosePublisherLeavesAtOnceGivesItsMemoryBack(t *testing.T) {
	f := newFixture(t, wide)
	a := f.join(0, "r")
	a.say(nil, numbered(0))
	stays := f.join(1, "r")
	a.Leave()
	f.flush()
	if n := f.quiet(stays.Room()); n != 0 {
		t.Errorf("the quiet room keeps %d bytes", n)
	}
}

// Those who join a full room count for the brake at once, on whichever loop.
func TestWhoJoinsAFullRoomCounts(t *testing.T) {
	f := newFixture(t, limits(1<<20, 1000))
	a, slow := f.join(0, "r"), f.join(0, "r")
	third := f.join(0, "r")
	slow.room, third.room = 0, 0
	for !a.Room().IsFull() {
		a.say(nil, numbered(0))
		f.flush()
	}
	for range 3 {
		f.join(1, "r")
	}
	if f.flush(); a.Room().IsFull() {
		t.Error("the room waits for two of six")
	}
}

// Most of a room are in the middle of a large frame that the log has dropped, and take it slowly
// but steadily: they are late, and the publisher waits for them as for anybody else who moves.
func TestMajorityThatTakesTheRestOfADroppedFrameHoldsThePublisher(t *testing.T) {
	f := newFixture(t, limits(1<<20, 100_000))
	f.policy = Skip
	f.now = time.Minute
	var all []*client
	for range 8 {
		all = append(all, f.join(0, "r"))
	}
	a, many := all[0], all[3:]
	for _, c := range many {
		c.room = 1000
	}
	a.say(nil, make([]byte, 500_000))
	f.flush()
	f.outvote()
	for range 30 {
		a.say(nil, make([]byte, 50_000))
		f.flush()
	}
	if many[0].overruns != 1 || a.Room().IsFull() {
		t.Fatalf("overrun %d times, full: %v", many[0].overruns, a.Room().IsFull())
	}
	published := 0
	for range 100 {
		if !a.Room().IsFull() {
			published++
			a.say(nil, make([]byte, 50_000))
		}
		for _, c := range many {
			c.open(1000)
		}
		f.now += 20 * time.Millisecond
		f.flush()
	}
	if published > 10 {
		t.Errorf("it published %d times in 100 moments in which most of the room were late", published)
	}
}

// Under Latest a member lands before what its branch has told of: until its next round another loop
// must not have the room let go of it.
func TestLowMemoryRoomKeepsTheNewestForWhoHasJustLanded(t *testing.T) {
	f, a, asleep := stalled(t, Latest, wide)
	f.hub.SaveMemory(true)
	large := make([]byte, segmentMax) // each in a segment of its own
	for range 12 {
		a.say(nil, large)
		f.flush()
	}
	m := asleep[0]
	if m.overruns != 1 {
		t.Fatalf("overrun %d times", m.overruns)
	}
	m.open(len(m.rest.Bytes()) + 10)
	if m.cursor.restOfFrame() != segmentMax-10 {
		t.Fatalf("it is not in the middle of the newest: %d bytes of that are left", m.cursor.restOfFrame())
	}
	a.say(nil, large)
	for range 2 {
		f.fans[0].Flush(func() time.Duration { return f.now })
	}
	if f.flush(); m.overruns != 1 {
		t.Errorf("overrun %d times, by what only it needed", m.overruns)
	}
}

// A full room's count has a look at those it waits for, whenever the last one was.
func TestEachCountOfAFullRoomLooksAtThoseItWaitsFor(t *testing.T) {
	f := newFixture(t, limits(1<<20, 10_000))
	f.now = time.Minute
	a, slow, other := f.join(0, "r"), f.join(0, "r"), f.join(0, "r")
	slow.room, other.room = 0, 0
	for !a.Room().IsFull() {
		a.say(nil, numbered(0))
		f.flush()
	}
	f.now += watchEvery
	f.fans[0].Flush(func() time.Duration { return f.now })
	slow.open(5000) // It moves, and is not late any more: nobody says so before the next count.
	other.open(5000)
	if !a.Room().IsFull() {
		t.Fatal("the room is open before its count")
	}
	f.now += watchEvery
	f.fans[0].Flush(func() time.Duration { return f.now })
	if a.Room().IsFull() {
		t.Error("the count has not looked at those who are not late any more")
	}
}
