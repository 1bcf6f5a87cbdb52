package hub

import (
	"errors"
	"testing"
	"time"
)

// grow publishes so many frames of 100 bytes, with a sweep behind each.
func (f *fixture) grow(by *client, frames int) {
	for i := range frames {
		by.say(nil, numbered(i))
		f.now += time.Millisecond
		f.flush()
	}
}

// Lowered, the limit of all rooms is met at once and by the largest room; given back, it is what it
// was.
func TestTightenedLimitIsMetByTheLargestRoomAtOnce(t *testing.T) {
	f := newFixture(t, limits(256<<10, 256<<10))
	f.policy = Skip
	a, b := f.join(0, "large"), f.join(0, "small")
	slow, other := f.join(1, "large"), f.join(1, "small")
	slow.room, other.room = 10, 10
	f.grow(a, 1000)
	f.grow(b, 400)
	if n := f.hub.Drops(); n != 0 {
		t.Fatalf("%d segments were dropped before there was a reason", n)
	}
	f.woke = [2]int{}
	f.hub.Tighten(150 << 10)
	if f.hub.Drops() == 0 || f.woke[1] != 1 {
		t.Error("nothing was dropped, or the loop of those it overran was not woken")
	}
	if f.flush(); slow.overruns == 0 || other.overruns != 0 {
		t.Errorf("overrun %d times in the large room, %d in the small one; want some and none", slow.overruns, other.overruns)
	}
	if n := f.hub.Retained(); n > 150<<10 || n < 110<<10 {
		t.Errorf("all rooms take %d bytes of %d", n, 150<<10)
	}
	drops := f.hub.Drops()
	f.hub.Tighten(1 << 40)
	f.grow(a, 1000)
	if n := f.hub.Retained(); f.hub.Drops() != drops || n < 100<<10 || n > wide.Total {
		t.Errorf("all rooms retain %d bytes and dropped %d segments after the limit was given back", n, f.hub.Drops()-drops)
	}
}

// tailMemory is what the room's newest segments take, and those that are made for when they are
// full.
func (r *Room) tailMemory() (n int64) {
	for _, t := range r.log.tracks {
		if t != nil && t.isOpen() {
			if n += t.tail.size; t.spare != nil {
				n += t.spare.size
			}
		}
	}
	return n
}

// With nothing left to retain, a member that is caught up or merely behind still gets everything.
func TestTightenedToNothingOverrunsNobodyWhoReads(t *testing.T) {
	f := newFixture(t, limits(256<<10, 64<<10))
	a, reader, slow := f.join(0, "r"), f.join(1, "r"), f.join(1, "r")
	slow.room = 10
	f.grow(a, 500)
	f.hub.Tighten(0)
	f.grow(a, 1500)
	if n := f.hub.Retained() - f.hub.Pinned(); n != 0 {
		t.Errorf("%d bytes are retained of none", n)
	}
	if slow.IsIn() || reader.overruns+a.overruns > 0 || len(reader.got) != 200_000 || len(a.got) != 200_000 {
		t.Errorf("the slow one is in %v; the readers were overrun %d times and got %d and %d bytes of %d",
			slow.IsIn(), reader.overruns+a.overruns, len(reader.got), len(a.got), 200_000)
	}
}

// A busy room keeps its backlog for nobody, until it is to saves memory: then only what some member
// has yet to get, on any track.
func TestLowMemoryRoomRetainsWhatSomebodyNeeds(t *testing.T) {
	f := newFixture(t, limits(256<<10, 256<<10))
	a, other := f.join(0, "r"), f.join(1, "r")
	deflated := f.joinTrack(1, "r", Deflated)
	f.grow(a, 1000)
	if n := f.hub.Retained(); n < 100<<10 {
		t.Fatalf("%d bytes are retained: the room kept nothing to let go of", n)
	}
	f.hub.SaveMemory(true)
	f.grow(a, 1)
	tails := a.Room().tailMemory()
	if n := f.hub.Retained(); n != tails {
		t.Errorf("%d bytes are retained for nobody", n-tails)
	}
	deflated.room = 10 // In the middle of the next frame.
	f.grow(a, 600)
	if n := a.Room().Stats().Held; n < 2*60_000 {
		t.Errorf("the tracks hold %d bytes, and somebody has yet to get 60,000 of one", n)
	}
	if f.hub.Drops() != 0 || a.overruns+other.overruns+deflated.overruns != 0 {
		t.Error("somebody was overrun by what nobody needed")
	}
	deflated.open(-1)
	f.grow(a, 1)
	tails = a.Room().tailMemory()
	if n := f.hub.Retained(); n != tails || len(deflated.got) != len(other.got) {
		t.Errorf("%d bytes are retained, and the slow one has %d bytes of %d", n-tails, len(deflated.got), len(other.got))
	}
	f.hub.SaveMemory(false)
	if f.grow(a, 500); f.hub.Retained() <= a.Room().tailMemory() {
		t.Error("the room still saves memory")
	}
}

// A loop that has not come to its members lately must not make publishers wait, because of what
// another loop let go of.
func TestLowMemoryRoomDoesNotMakePublishersWait(t *testing.T) {
	f := newFixture(t, limits(256<<10, 256<<10))
	a := f.join(0, "r")
	f.join(1, "r")
	f.grow(a, 1000)
	f.hub.SaveMemory(true)
	for i := range 2 {
		a.say(nil, numbered(i))
		f.fans[0].Flush(func() time.Duration { return f.now })
	}
	// Where the other loop's members stand they keep something, but it is retained no longer.
	if n := a.Room().log.held; n > int64(a.Room().log.largest) || a.Room().IsFull() {
		t.Errorf("%d bytes are retained, and publishers wait: %v", n, a.Room().IsFull())
	}
}

func TestRefusedRoomsAreThoseThatDoNotExist(t *testing.T) {
	l := wide
	l.Rooms = 2
	f := newFixture(t, l)
	f.join(0, "here")
	join := func(room string) error {
		c := &client{now: &f.now, room: -1}
		return f.fans[1].joinEnd(room, Plain, &c.Member, c)
	}
	f.hub.RefuseRooms(true)
	if err := join("new"); !errors.Is(err, ErrNoNewRooms) || f.hub.Rooms() != 1 {
		t.Errorf("a new room: %v, and there are %d", err, f.hub.Rooms())
	}
	if err := join("here"); err != nil {
		t.Errorf("one that exists: %v", err)
	}
	f.hub.RefuseRooms(false)
	if err := join("new"); err != nil {
		t.Error(err)
	}
	if err := join("one more"); !errors.Is(err, ErrTooManyRooms) {
		t.Errorf("got %v", err)
	}
}

// A room that had to drop more than its own limit asks for counts what is behind against all it may
// hold again, once it may: saving as it is, it would not hold so much by itself.
func TestLowMemoryRoomMayHoldAllOfItsBacklogAgain(t *testing.T) {
	f := newFixture(t, limits(256<<10, 64<<10))
	f.policy = Skip
	publisher := f.join(0, "r")
	f.hub.SaveMemory(true)
	slow := f.join(1, "r")
	slow.room = 10
	f.grow(publisher, 400)
	f.hub.Tighten(0)
	f.flush()
	r, _ := f.hub.Room("r")
	if n := r.capacity.Load(); n >= r.log.backlog {
		t.Fatalf("it may hold %d bytes with no memory", n)
	}
	f.hub.Tighten(1 << 40)
	slow.Leave()
	f.grow(publisher, 5000)
	if n := r.capacity.Load(); n != r.log.backlog {
		t.Errorf("it may hold %d bytes again, want %d", n, r.log.backlog)
	}
}
