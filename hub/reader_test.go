package hub

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestReaderThatLeavesInsideAFrameLeavesItsRest(t *testing.T) {
	for _, size := range []int{100, 100_000} { // A large one has a segment of its own.
		f := newFixture(t, wide)
		c := f.subscribe(0, "a", "b")
		c.room = 20
		f.say("a", size)
		f.flush()
		f.say("b", 10)
		f.flush()
		if !c.IsBlocked() || c.CanSendOwn() {
			t.Fatalf("blocked %v, may send its own %v", c.IsBlocked(), c.CanSendOwn())
		}
		c.readers["a"].Leave()
		if f.hub.Pinned() == 0 || !c.CanSendOwn() || len(c.rest.Bytes()) == 0 {
			t.Fatalf("%d bytes are pinned, %d of the rest", f.hub.Pinned(), len(c.rest.Bytes()))
		}
		f.say("b", 10)
		f.flush()
		c.open(5)
		f.flush()
		c.open(-1)
		f.flush()
		f.wantPieces(c, piece{"a", 1}, piece{"b", 1}, piece{"b", 2})
		if f.hub.Pinned() != 0 || c.IsBlocked() {
			t.Errorf("%d bytes are pinned, it is blocked: %v", f.hub.Pinned(), c.IsBlocked())
		}
	}
}

// What the transport has of a reader that leaves is followed to its end.
func TestReaderLeavesWhileTheTransportHasItsBytes(t *testing.T) {
	const head = frameHead + 1
	for _, taken := range []int{0, 5, head + 100, head + 105, 2*head + 110, 2*head + 115} {
		for _, leaves := range []string{"a", "b", "ab"} {
			d := newDesk(t, wide)
			c := d.subscribe(0, "a", "b")
			d.say("b", 10) // The branch that was marked last is swept first.
			d.say("a", 100)
			d.fans[0].Flush(func() time.Duration { return d.now })
			h := d.ofSubscriber(c)
			for _, room := range leaves {
				c.readers[string(room)].Leave()
			}
			stays := d.join(1, "a")
			isNew := stays.Room().log.next == 1 // The room has ended with its reader.
			if leaves != "b" {
				d.subscribeTo(c, "a", Start{})
			}
			d.say("a", 20)
			h.batch.Answer(h.i, min(taken, len(h.bytes)), Taken, d.now)
			c.got = append(c.got, h.bytes[:min(taken, len(h.bytes))]...)
			d.due = nil
			d.fans[0].transport = d.transport
			d.flush()
			if c.IsBlocked() {
				c.open(-1)
			}
			d.flush()
			got, rest := c.pieces()
			hasA := leaves == "b" || taken > 0
			hasB := leaves == "a" || taken > head+100
			stays.Leave()
			want := []piece{{"a", 2}}
			if isNew {
				want[0].seq = 1
			}
			if hasB {
				want = append(want, piece{"b", 1})
			}
			if hasA {
				want = append(want, piece{"a", 1})
			}
			byRoom := func(a, b piece) int { return int(a.room[0])*10 + int(a.seq) - int(b.room[0])*10 - int(b.seq) }
			slices.SortFunc(got, byRoom)
			slices.SortFunc(want, byRoom)
			if !slices.Equal(got, want) || rest != 0 {
				t.Errorf("%d bytes taken, %s left: %v and %d bytes came, want %v", taken, leaves, got, rest, want)
			}
			if d.hub.Pinned() != 0 {
				t.Errorf("%d bytes are pinned", d.hub.Pinned())
			}
		}
	}
}

// ofSubscriber is the one delivery that the transport has.
func (d *desk) ofSubscriber(c *subscriber) held {
	d.Helper()
	if len(d.due) != 1 || d.due[0].batch.Deliveries[d.due[0].i].Client != Client(c) {
		d.Fatal(fmt.Sprintf("the transport has %d deliveries", len(d.due)))
	}
	return d.due[0]
}

func TestReadersAreOverrunByTheirRoomsPolicies(t *testing.T) {
	t.Run("skip", func(t *testing.T) {
		f := newFixture(t, limits(4<<10, 1<<10))
		f.policy = Skip
		c := f.subscribe(0, "a", "b")
		c.room = 20
		f.say("a", 100)
		f.flush()
		f.say("b", 10)
		f.flush()
		for range 100 {
			f.say("a", 100)
			f.flush()
		}
		c.open(-1)
		f.flush()
		got, rest := c.pieces()
		if len(c.told) != 1 || c.overruns != 0 || rest != 0 {
			t.Fatalf("it was told %v, overrun %d times", c.told, c.overruns)
		}
		if got[0] != (piece{"a", 1}) || !slices.Contains(got, piece{"b", 1}) || got[len(got)-1] != (piece{"a", 101}) || len(got) > 60 {
			t.Errorf("there came %v", got)
		}
	})
	t.Run("disconnect", func(t *testing.T) {
		f := newFixture(t, limits(4<<10, 1<<10))
		c := f.subscribe(0, "b", "a")
		f.join(1, "a") // It keeps the room.
		c.room = 12
		f.say("b", 10) // In the middle of this one it is when the other room goes on without it.
		f.flush()
		f.say("a", 100)
		f.flush()
		for range 100 {
			f.say("a", 100)
			f.flush()
		}
		if c.overruns != 1 || c.IsIn() || c.bundle.Len() != 0 {
			t.Fatalf("overrun %d times, in a room %v, %d readers", c.overruns, c.IsIn(), c.bundle.Len())
		}
		c.open(-1)
		f.wantPieces(c, piece{"b", 1})
	})
}

// A connection of which the transport has bytes ends when it is known what is left of a frame.
// Until then each of its readers is in a room, the one too that was overrun; and what is kept of
// the frame counts like every other.
func TestReaderIsOverrunWhileTheTransportHasAnothersBytes(t *testing.T) {
	for _, pinned := range []int64{1 << 20, 50} {
		l := limits(4<<10, 1<<10)
		l.Pinned = pinned
		d := newDesk(t, l)
		c := d.subscribe(0, "a", "b")
		other := d.join(1, "a") // It keeps the room.
		d.say("b", 100)
		d.step()
		d.answer(c.client, 5, Taken)
		c.Ready()
		d.step()
		for range 100 {
			d.say("a", 100)
			for d.step(); d.isHanded(other); d.step() {
				d.answer(other, len(d.of(other).bytes), Taken)
			}
		}
		if a := c.readers["a"]; d.fans[0].Stats().Overrun[Disconnect] != 1 || !a.IsIn() || a.Room().Name() != "a" || c.overruns != 0 {
			t.Fatalf("of a reader that was overrun it is known that it is in a room: %v", a.IsIn())
		}
		d.answer(c.client, 5, Taken)
		if c.overruns != 1 || c.IsIn() || c.bundle.Len() != 0 {
			t.Fatalf("overrun %d times, in a room %v, %d readers", c.overruns, c.IsIn(), c.bundle.Len())
		}
		if isTooMuch := pinned < 100; c.aborted != isTooMuch || d.hub.Pinned() > pinned {
			t.Fatalf("%d bytes are pinned, of at most %d; given up: %v", d.hub.Pinned(), pinned, c.aborted)
		}
		if c.open(-1); pinned > 100 {
			d.wantPieces(c, piece{"b", 1})
		}
		d.takeAll()
	}
}

// Where a reader that is overrun leaves as it hears of that, the others go on.
func TestReaderLeavesWhenItRejoins(t *testing.T) {
	f := newFixture(t, limits(4<<10, 1<<10))
	f.policy = Latest
	c := f.subscribe(0, "a", "b")
	c.onTold = func(r *Reader) { r.Leave() }
	c.room = 0
	for range 100 {
		f.say("a", 100)
		f.flush()
	}
	f.say("b", 10)
	f.flush()
	c.open(-1)
	f.flush()
	f.wantPieces(c, piece{"b", 1})
	if len(c.told) != 1 || c.readers["a"].IsIn() || c.IsBlocked() {
		t.Errorf("told %v, blocked %v", c.told, c.IsBlocked())
	}
}

// A room does not wait for those whose connection was busy with another's frame.
func TestReaderWithoutItsShareHasNoVote(t *testing.T) {
	f := newFixture(t, limits(1<<20, 10_000))
	c := f.subscribe(0, "a", "b")
	c.room = 100
	f.say("a", 400_000)
	f.flush()
	for i := range 30 {
		f.say("b", 1000)
		f.now += watchEvery
		f.flush()
		if c.readers["b"].Room().IsFull() {
			t.Fatalf("publishers wait behind message %d for a client that is busy with another room", i)
		}
	}
	c.open(400_000 + 100) // Now it is offered the other room's.
	f.flush()
	f.say("b", 1000)
	f.now += watchEvery
	f.flush()
	f.say("b", 1000)
	if !c.readers["b"].Room().IsFull() {
		t.Error("publishers do not wait for a client that has had its share, and is beyond the window")
	}
	c.open(-1)
	f.flush()
	if c.readers["b"].Room().IsFull() || c.IsBlocked() {
		t.Error("all has come, and publishers wait")
	}
}
