package hub

import (
	"slices"
	"testing"
)

// N27: a spoiled room is told to the connection, which can go on to its end if it is at a frame
// boundary.
func TestN27_SpoiledRoomIsToldToTheBundlesClient(t *testing.T) {
	for _, isInside := range []bool{false, true} {
		f := newFixture(t, wide)
		c := f.subscribe(0, "a", "b")
		if isInside {
			c.room = 20
		}
		f.say("a", 100)
		f.flush()
		r, _ := f.hub.Room("a")
		r.Spoil()
		f.flush()
		if c.spoiled != 1 || c.isWhole == isInside || c.IsIn() == isInside || c.readers["a"].IsIn() {
			t.Fatalf("inside %v: told %d times, at a boundary %v, in %v", isInside, c.spoiled, c.isWhole, c.IsIn())
		}
		if isInside {
			continue
		}
		f.say("b", 10)
		f.flush()
		f.wantPieces(c, piece{"a", 1}, piece{"b", 1})
	}
}

// N27: what is in doubt behind a panic is the room of the reader that was dealt with.
func TestN27_RoomInDoubtIsThatOfTheReader(t *testing.T) {
	f := newFixture(t, wide)
	c := f.subscribe(0, "a", "b")
	func() {
		defer func() { _ = recover() }()
		c.readers["b"].Publish(f.now, panics{})
	}()
	if rooms := c.InDoubt(); len(rooms) != 1 || rooms[0].Name() != "b" {
		t.Errorf("%d rooms are in doubt", len(rooms))
	}
	c.onTold = func(*Reader) { panic("planted") }
	f.policy = Skip
	d := f.subscribe(0, "c", "d")
	d.onTold = c.onTold
	d.room = 0
	for range 4000 {
		f.say("c", 500)
	}
	f.flush()
	d.room = -1
	d.Ready()
	func() {
		defer func() { _ = recover() }()
		f.flush()
	}()
	if rooms := f.fans[0].InDoubt(); len(rooms) != 1 || rooms[0].Name() != "c" {
		t.Fatalf("%d rooms are in doubt", len(rooms))
	}
	r, _ := f.hub.Room("c")
	r.Spoil()
	f.flush()
	if d.spoiled != 1 || d.isWhole || d.IsIn() {
		t.Errorf("told %d times, to go on %v", d.spoiled, d.isWhole)
	}
}

type panics struct{}

func (panics) Encode(Encoding) Frame { panic("planted") }

type panicking struct{}

func (panicking) Send(*Batch) { panic("planted") }

// N27: where bytes go to the kernel, in doubt are the rooms that they are of.
func TestN27_RoomsInDoubtAreThoseOfTheBatch(t *testing.T) {
	f := newFixture(t, wide)
	c := f.subscribe(0, "a", "b", "c")
	f.fans[0].transport = panicking{}
	f.say("a", 10)
	f.say("c", 10)
	func() {
		defer func() { _ = recover() }()
		f.flush()
	}()
	var names []string
	for _, r := range f.fans[0].InDoubt() {
		names = append(names, r.Name())
		r.Spoil()
	}
	if slices.Sort(names); !slices.Equal(names, []string{"a", "c"}) {
		t.Fatalf("in doubt are %v", names)
	}
	f.fans[0].transport = f.transport
	f.flush()
	if c.isWhole || c.IsIn() {
		t.Error("a connection goes on of which nobody knows what was sent")
	}
}
