package hub

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"
)

// flooded is a room in which one member stopped after taken bytes of frames of 100, of which a
// thousand were published.
func flooded(t *testing.T, policy Policy, taken int) (f *fixture, a, slow *client) {
	f = newFixture(t, limits(32<<10, 16<<10))
	f.policy = policy
	a, slow = f.join(0, "r"), f.join(1, "r")
	slow.room = taken
	for i := range 1000 {
		a.say(nil, numbered(i))
		f.now += 10 * time.Millisecond
		f.flush()
	}
	return f, a, slow
}

// numbered is a frame of 100 bytes.
func numbered(i int) []byte { return fmt.Appendf(nil, "%099d\n", i) }

func TestSkipGoesOnAtTheOldestFrameRetained(t *testing.T) {
	f, a, slow := flooded(t, Skip, 130)
	if slow.overruns != 1 || !slow.IsIn() || !slow.IsBlocked() {
		t.Fatalf("overrun %d times, in its room %v, blocked %v; want once, and both", slow.overruns, slow.IsIn(), slow.IsBlocked())
	}
	slow.open(-1)
	f.flush()
	var want []byte
	for _, i := range []int{0, 1} {
		want = append(want, numbered(i)...)
	}
	rest, ok := bytes.CutPrefix(slow.got, want)
	if !ok {
		t.Fatalf("it got %d bytes that do not begin with the two frames it was in", len(slow.got))
	}
	if !bytes.HasSuffix(a.got, rest) || len(rest)%100 != 0 {
		t.Fatal("behind the gap it did not get every message to the end")
	}
	// What is retained is the backlog in memory, frame ends and the free part of the tail included.
	if n := len(rest); n < 20<<10 || n > 34<<10 {
		t.Errorf("it went on %d bytes before the end; the backlog is %d", n, 32<<10)
	}
	s := f.fans[1].Stats()
	if s.Skipped != uint64(len(a.got)-len(slow.got))/100 || s.Overrun[Skip] != uint64(slow.overruns) {
		t.Errorf("counted %+v, missed were %d", s, (len(a.got)-len(slow.got))/100)
	}
	if slow.IsBlocked() || f.hub.Pinned() != 0 {
		t.Errorf("blocked %v and %d bytes pinned after it has caught up", slow.IsBlocked(), f.hub.Pinned())
	}
}

func TestLatestGoesOnAtTheNewestFrame(t *testing.T) {
	f, a, slow := flooded(t, Latest, 130)
	if !slow.IsIn() || len(slow.rest.Bytes()) != 70 {
		t.Fatalf("in its room %v, owed %d bytes of its frame", slow.IsIn(), len(slow.rest.Bytes()))
	}
	slow.open(-1)
	want := slices.Concat(numbered(0), numbered(1), numbered(999))
	if !bytes.Equal(slow.got, want) {
		t.Fatalf("it got\n%s", slow.got)
	}
	a.say(nil, numbered(1000))
	f.flush()
	if !bytes.HasSuffix(slow.got, numbered(1000)) || len(slow.got) != len(want)+100 {
		t.Error("it did not get the next message")
	}
	if s := f.fans[1].Stats(); s.Skipped != 997 {
		t.Errorf("%d messages counted as missed, want 997", s.Skipped)
	}
}

// One that is slow but not overrun misses nothing, whatever the policy.
func TestLatestSparesWhoIsWithinTheBacklog(t *testing.T) {
	f := newFixture(t, limits(32<<10, 16<<10))
	f.policy = Latest
	a, slow := f.join(0, "r"), f.join(1, "r")
	slow.room = 130
	for i := range 100 {
		a.say(nil, numbered(i))
		f.flush()
	}
	slow.open(-1)
	if !bytes.Equal(slow.got, a.got) {
		t.Errorf("it got %d of %d bytes", len(slow.got), len(a.got))
	}
}

func TestSlowMemberIsNoticedBeforeAnythingIsCutAndSoIsItsRecovery(t *testing.T) {
	f := newFixture(t, limits(100<<10, 80<<10))
	a, slow := f.join(0, "r"), f.join(1, "r")
	slow.room = 10
	say := func(frames int) {
		for i := range frames {
			a.say(nil, numbered(i))
		}
		f.flush()
	}
	say(100) // 10 KB: less than half of the backlog
	f.now += 2 * slowAfter
	say(1)
	if at, ok := slow.SlowAt(f.now); !ok || at != f.now+slowAfter {
		t.Errorf("slow at %v, %v, with a tenth of the backlog; want not before %v", at, ok, f.now+slowAfter)
	}
	say(600)
	began := f.now
	if at, ok := slow.SlowAt(f.now); !ok || at != began+slowAfter {
		t.Errorf("slow at %v, %v; want %v", at, ok, began+slowAfter)
	}
	f.now += slowAfter - 1
	slow.JudgeLag(f.now)
	if len(slow.slow) > 0 {
		t.Error("slow a moment too early")
	}
	f.now++
	slow.JudgeLag(f.now) // As its client does when the time has come; the room is quiet.
	say(1)
	slow.open(-1)
	if !slices.Equal(slow.slow, []bool{true, false}) || slow.overruns > 0 {
		t.Errorf("it was told %v, overrun %d times", slow.slow, slow.overruns)
	}
	if s := f.fans[1].Stats(); s.Slow != 1 || s.CaughtUp != 1 || s.Blocked == 0 {
		t.Errorf("counted %+v", s)
	}
}

func TestS04_PinnedFramesStayWithinTheirLimitAndTheOldestGoes(t *testing.T) {
	l := limits(16<<10, 8<<10)
	l.Pinned = 2500
	f := newFixture(t, l)
	f.policy = Skip
	a := f.join(0, "r")
	var stuck []*client
	for range 4 {
		c := f.join(1, "r")
		c.room = 10
		stuck = append(stuck, c)
		a.say(nil, make([]byte, 1000)) // Each is stuck in a frame of its own.
		f.flush()
		for range 40 {
			a.say(nil, make([]byte, 1000))
			f.now += time.Millisecond
			f.flush()
		}
		if n := f.hub.Pinned(); n > l.Pinned {
			t.Fatalf("%d bytes are pinned, more than %d", n, l.Pinned)
		}
	}
	for i, c := range stuck {
		if want := i < 2; c.aborted != want || c.IsIn() == want {
			t.Errorf("number %d: given up %v, in its room %v", i, c.aborted, c.IsIn())
		}
	}
	if s := f.fans[1].Stats(); s.Unpinned != 2 {
		t.Errorf("%d were given up by the counter, want 2", s.Unpinned)
	}
	for _, c := range stuck[2:] {
		c.open(-1)
	}
	if n := f.hub.Pinned(); n != 0 {
		t.Errorf("%d bytes stay pinned", n)
	}
}

// Two rooms that fit alone do not fit together: the larger one drops, and whoever stood there is
// told although nothing more is published in it.
func TestAllRoomsTogetherStayWithinTheirLimit(t *testing.T) {
	l := limits(64<<10, 64<<10)
	l.Total = 80 << 10
	f := newFixture(t, l)
	a, b := f.join(0, "large"), f.join(0, "small")
	slow, other := f.join(1, "large"), f.join(1, "small")
	slow.room, other.room = 10, 10
	for range 58 {
		a.say(nil, make([]byte, 1000))
	}
	f.flush()
	for range 40 {
		b.say(nil, make([]byte, 1000))
		f.flush()
		if n := f.hub.Retained(); n > l.Total {
			t.Fatalf("all rooms retain %d bytes, more than %d", n, l.Total)
		}
	}
	if slow.overruns != 1 || other.overruns != 0 {
		t.Errorf("overrun %d times in the large room, %d in the small one; want 1 and 0", slow.overruns, other.overruns)
	}
	if s := b.Room().Stats(); s.Held < 40_000 {
		t.Errorf("the small room holds %d bytes: it dropped although it is the smaller one", s.Held)
	}
}

func TestTrackHoldsNothingUnlessSomebodyReadsIt(t *testing.T) {
	f := newFixture(t, wide)
	m := &Message{Plain: Frame{Payload: []byte("plain")}, Deflated: Frame{Head: []byte("de"), Payload: []byte("flated")}}
	a := f.join(0, "r")
	r := a.Room()
	a.Publish(f.now, m)
	f.flush()
	if r.uses.Load()&(1<<Deflated) != 0 || r.uses.Load()&(1<<Plain) == 0 || r.log.tracks[Deflated] != nil {
		t.Fatalf("a room of plain members: %+v", r.Stats())
	}
	b, c := f.joinTrack(0, "r", Deflated), f.joinTrack(1, "r", Deflated)
	a.Publish(f.now, m)
	a.Publish(f.now, &Message{Plain: Frame{Payload: []byte("/not worth it/")}})
	f.flush()
	both := r.Stats().Held
	if r.uses.Load()&(1<<Deflated) == 0 || string(a.got) != "plainplain/not worth it/" || string(b.got) != "deflated/not worth it/" || !bytes.Equal(b.got, c.got) {
		t.Fatalf("got %q, %q and %q", a.got, b.got, c.got)
	}
	a.Leave()
	if r.uses.Load()&(1<<Plain) != 0 || r.Stats().Held >= both {
		t.Errorf("without a plain member: uses plain %v, holds %d of %d bytes", r.uses.Load()&(1<<Plain) != 0, r.Stats().Held, both)
	}
	d := f.join(1, "r")
	if seq := b.Publish(f.now, m); seq != 4 {
		t.Errorf("the fourth message has number %d", seq)
	}
	f.flush()
	if string(d.got) != "plain" || string(c.got) != "deflated/not worth it/deflated" {
		t.Errorf("got %q and %q after the plain track began anew", d.got, c.got)
	}
	for _, m := range []*client{b, c, d} {
		m.Leave()
	}
	if n, kept := f.hub.Rooms(), f.hub.Retained(); n != 0 || kept != 0 {
		t.Errorf("%d rooms and %d bytes are left", n, kept)
	}
}

// Members that are there already go by another policy from the moment on that their loop has taken
// it.
func TestTakePoliciesChangesWhatBecomesOfMembersThatAreThere(t *testing.T) {
	f := newFixture(t, limits(32<<10, 16<<10))
	f.policy = Skip
	a, slow := f.join(0, "r"), f.join(1, "r")
	slow.room = 130
	flood := func() {
		for i := range 1000 {
			a.say(nil, numbered(i))
			f.now += 10 * time.Millisecond
			f.flush()
		}
	}
	flood()
	if slow.overruns != 1 || !slow.IsIn() {
		t.Fatalf("overrun %d times, in its room %v; want once, and true", slow.overruns, slow.IsIn())
	}
	f.policy = Disconnect
	f.fans[0].TakePolicies(slices.Collect(f.hub.All))
	if slow.Policy() != Skip {
		t.Error("another loop's members have changed")
	}
	f.fans[1].TakePolicies(slices.Collect(f.hub.All))
	// It was overrun under the old one, so it goes on; the next time it leaves.
	slow.open(200)
	f.flush()
	if !slow.IsIn() || slow.Policy() != Disconnect {
		t.Fatalf("in its room %v under %v", slow.IsIn(), slow.Policy())
	}
	flood()
	if slow.IsIn() || slow.overruns != 2 {
		t.Errorf("in its room %v, overrun %d times", slow.IsIn(), slow.overruns)
	}
	if s := f.fans[1].Stats(); s.Overrun[Skip] != 1 || s.Overrun[Disconnect] != 1 {
		t.Errorf("counted %+v", s.Overrun)
	}
}

func TestSetRoomsMaxIsForRoomsToCome(t *testing.T) {
	f := newFixture(t, limits(32<<10, 16<<10))
	f.join(0, "one")
	f.join(0, "two")
	f.hub.SetRoomsMax(1)
	var m Member
	c := &client{now: &f.now, room: -1}
	if err := f.fans[0].joinEnd("three", Plain, &m, c); err != ErrTooManyRooms {
		t.Errorf("a third room of one: %v", err)
	}
	f.hub.SetRoomsMax(3)
	if err := f.fans[0].joinEnd("three", Plain, &m, c); err != nil || f.hub.Rooms() != 3 {
		t.Errorf("a third room of three: %v, %d rooms", err, f.hub.Rooms())
	}
}
