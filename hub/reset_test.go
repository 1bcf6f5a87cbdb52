package hub

import (
	"slices"
	"testing"
	"time"
)

// tellTime is what it takes to tell a client: a write.
const tellTime = 5 * time.Microsecond

// newReset is a follower with a room that is to be reset, and so many members of it on one loop.
func newReset(t *testing.T, members int) (f *follower, all []*told) {
	f = newFollower(t, History{Messages: 100})
	if err := f.hub.Make("big"); err != nil {
		t.Fatal(err)
	}
	f.fill("big", "epoch001", 0)
	for range members {
		c := f.mustTell(0, "big", lines, Start{})
		c.onReset = func() { f.now += tellTime }
		all = append(all, c)
	}
	return f, all
}

// tick is one Flush of the loop, and how long it took.
func (f *follower) tick() time.Duration {
	begin := f.now
	f.fans[0].Flush(func() time.Duration { return f.now })
	return f.now - begin
}

func countTold(all []*told) (n int) {
	for _, c := range all {
		if len(c.got) > 0 {
			n++
		}
	}
	return n
}

// A room of 10,000 begins anew, which takes 50 ms: the room beside it gets its message at once. Who
// joins meanwhile is told of nothing, and who leaves neither.
func TestResetOfALargeRoomHoldsUpNobody(t *testing.T) {
	f, all := newReset(t, 10_000)
	quiet := f.mustTell(0, "no", asIs, Start{})
	f.hub.Reset("big", "epoch002")
	f.fill("big", "epoch002", 0)
	f.append("big", 1)
	f.append("no", 5)
	if took := f.tick(); took > slice+tellTime {
		t.Errorf("a tick took %v", took)
	}
	if len(quiet.got) == 0 {
		t.Error("the quiet room waits for the other one")
	}
	if n := countTold(all); n == 0 || n == len(all) {
		t.Fatalf("%d are told: not the middle", n)
	}
	gone := all[len(all)-1]
	gone.Leave()
	late := f.mustTell(0, "big", lines, Start{}) // In the place of who left.
	another := f.mustTell(0, "big", lines, Start{})
	f.append("big", 2)
	f.flush()
	for i, c := range all[:len(all)-1] {
		if want := "<reset epoch002:0>\n" + lineOf("epoch002", 1) + lineOf("epoch002", 2); string(c.got) != want {
			t.Fatalf("client %d got %q", i, c.got)
		}
	}
	if len(gone.got) > 0 {
		t.Errorf("who left got %q", gone.got)
	}
	for _, c := range []*told{late, another} {
		if string(c.got) != lineOf("epoch002", 2) {
			t.Errorf("who came meanwhile got %q", c.got)
		}
	}
	if n := f.fans[0].Stats().Reset; n != uint64(len(all)-1) {
		t.Errorf("%d were told", n)
	}
}

// A member that has been told is told again when the room begins anew meanwhile, and the others of
// that alone.
func TestResetWhileAnotherIsTold(t *testing.T) {
	f, all := newReset(t, 100)
	f.hub.Reset("big", "epoch002")
	f.fill("big", "epoch002", 0)
	f.tick()
	before := countTold(all)
	if before == 0 || before == len(all) {
		t.Fatalf("%d are told: not the middle", before)
	}
	f.hub.Reset("big", "epoch003")
	f.fill("big", "epoch003", 7)
	f.append("big", 8)
	f.flush()
	for i, c := range all {
		want := "<reset epoch003:7>\n" + lineOf("epoch003", 8)
		if i < before {
			want = "<reset epoch002:0>\n" + want
		}
		if string(c.got) != want {
			t.Fatalf("client %d got %q", i, c.got)
		}
	}
}

// A client that is told comes back to its room, which has begun anew once more: all are told of
// that.
func TestResetThatAJoinFindsWhileOneIsTold(t *testing.T) {
	f, all := newReset(t, 100)
	last := all[len(all)-1]
	last.onReset = func() {
		last.onReset = nil
		f.hub.Reset("big", "epoch003")
		f.fill("big", "epoch003", 7)
		f.mustTell(0, "big", lines, Start{})
	}
	f.hub.Reset("big", "epoch002")
	f.fill("big", "epoch002", 0)
	f.flush()
	for i, c := range all {
		if want := "<reset epoch002:0>\n<reset epoch003:7>\n"; string(c.got) != want {
			t.Fatalf("client %d got %q", i, c.got)
		}
	}
}

// Nothing is left of what was to be told to those who are gone.
func TestRoomIsLeftWhileAResetIsTold(t *testing.T) {
	for _, isSpoiled := range []bool{false, true} {
		f, all := newReset(t, 100)
		f.hub.Reset("big", "epoch002")
		f.fill("big", "epoch002", 0)
		f.tick()
		if n := countTold(all); n == 0 || n == len(all) || len(f.fans[0].tellings) != 1 {
			t.Fatalf("%d are told: not the middle", n)
		}
		if isSpoiled {
			f.room("big").Spoil()
		}
		for i, c := range all {
			if isSpoiled && i%2 == 0 { // They are told that the room has ended.
				continue
			}
			c.Leave()
		}
		if f.flush(); len(f.fans[0].tellings) != 0 {
			t.Errorf("spoiled %v: %d rooms have yet to tell", isSpoiled, len(f.fans[0].tellings))
		}
	}
}

// A quiet room goes before rooms that have yet to tell, however many there are.
func TestResetOfManyRoomsHoldsUpNobody(t *testing.T) {
	f := newFollower(t, History{Messages: 100})
	quiet := f.mustTell(0, "no", asIs, Start{})
	var all []*told
	for i := range 1000 {
		room := string(rune('a' + i))
		if err := f.hub.Make(room); err != nil {
			t.Fatal(err)
		}
		f.fill(room, "epoch001", 0)
		c := f.mustTell(0, room, lines, Start{})
		c.onReset = func() { f.now += tellTime }
		all = append(all, c)
		f.hub.Reset(room, "epoch002")
		f.fill(room, "epoch002", 0)
	}
	f.tick()
	f.append("no", 5)
	if f.tick(); len(quiet.got) == 0 || countTold(all) == len(all) {
		t.Errorf("the quiet room got %q when %d of %d were told", quiet.got, countTold(all), len(all))
	}
	if f.flush(); countTold(all) != len(all) {
		t.Errorf("%d of %d were told", countTold(all), len(all))
	}
}

// A bundle's turn comes while its room's members are told: its reader is told in it, alone and
// once.
func TestResetIsToldInABundlesTurn(t *testing.T) {
	f, _ := newReset(t, 0)
	var all []*subscriber
	for range 100 {
		c := &subscriber{client: &client{now: &f.now, room: -1}, readers: map[string]*Reader{}}
		c.onTold = func(*Reader) { f.now += tellTime }
		f.fans[0].JoinBundle(&c.bundle, &c.client.Member, 2, c, (*subscriberReaders)(c))
		f.subscribeTo(c, "big", Start{IsHeld: true})
		all = append(all, c)
	}
	last := all[len(all)-1]
	f.append("big", 1)
	f.hub.Reset("big", "epoch002")
	f.fill("big", "epoch002", 1)
	f.append("big", 2)
	last.readers["big"].Ready()
	f.tick()
	told := 0
	for _, c := range all {
		told += len(c.told)
	}
	if told == len(all) || len(last.told) != 1 || string(last.got) != "12" {
		t.Errorf("%d were told; the one whose turn it was %q, and it got %q", told, last.told, last.got)
	}
	for _, c := range all {
		c.readers["big"].Ready()
	}
	f.flush()
	for i, c := range all {
		if !slices.Equal(c.told, []string{"big reset epoch002:1"}) || string(c.got) != "12" {
			t.Fatalf("client %d was told %q, and got %q", i, c.told, c.got)
		}
	}
}
