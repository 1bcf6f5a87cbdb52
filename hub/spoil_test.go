package hub

import (
	"testing"
	"time"
)

// sum is what all loops of the fixture count.
func (f *fixture) sum() Account {
	var sum Stats
	for _, fan := range f.fans {
		one := fan.Stats()
		sum.Add(&one)
	}
	sum.Owed += f.hub.OwedOutside()
	return sum.Account
}

// N27: a room whose state is in doubt ends for all of its members, on every loop and in every
// state, and for nobody else.
func TestN27_SpoiledRoomEndsForItsMembersAlone(t *testing.T) {
	for _, isLate := range []bool{false, true} {
		f := newFixture(t, wide)
		near, far, stuck, deflated := f.join(0, "r"), f.join(1, "r"), f.join(0, "r"), f.joinTrack(1, "r", Deflated)
		other, speaker := f.join(0, "s"), &client{now: &f.now, room: -1}
		f.fans[1].JoinToSpeak("r", Plain, Start{}, &speaker.Member, speaker)
		stuck.room = 3
		room := near.Room()
		near.say([]byte("h"), []byte("ello"))
		f.flush()
		f.transport.isLate = isLate
		far.say([]byte("h"), []byte("and"))
		for _, fan := range f.fans { // With a late transport both loops have handed bytes.
			fan.Flush(func() time.Duration { return f.now })
		}
		room.Spoil()
		room.Spoil()
		if seq := room.Publish(nil, f.now, &Message{Plain: Frame{Head: []byte("h"), Payload: []byte("late")}}); seq != 0 {
			t.Errorf("published as %d into a room that has ended", seq)
		}
		far.Leave() // It goes by itself, before its loop hears of it.
		f.flush()
		for name, c := range map[string]*client{"near": near, "stuck": stuck, "deflated": deflated, "speaker": speaker} {
			if c.spoiled != 1 || c.IsIn() {
				t.Errorf("late %v: %s was told %d times, is in %v", isLate, name, c.spoiled, c.IsIn())
			}
			if want := name == "speaker" || (name == "near" || name == "deflated") && !isLate; c.isWhole != want {
				t.Errorf("late %v: %s stands at a frame boundary: %v, want %v", isLate, name, c.isWhole, want)
			}
		}
		if far.spoiled != 0 || other.spoiled != 0 {
			t.Error("who had left, or is in another room, was told")
		}
		if a := room.Account(); a.Due() != 0 || a != f.sum() {
			t.Errorf("late %v: the room counts %+v, the loops %+v", isLate, a, f.sum())
		}
		if f.hub.Retained() != 0 {
			t.Errorf("%d bytes are retained for nobody", f.hub.Retained())
		}
		again := f.join(0, "r")
		if again.Room() == room {
			t.Fatal("whoever comes later is in the room that has ended")
		}
		again.say([]byte("h"), []byte("again"))
		other.say([]byte("h"), []byte("there"))
		f.flush()
		if string(again.got) != "hagain" || string(other.got) != "hthere" {
			t.Errorf("the new room got %q, the other one %q", again.got, other.got)
		}
	}
}

// N27: a Flush that panics tells which rooms it was at, and the next one serves the others.
func TestN27_FlushThatPanicsIsGoneOnWith(t *testing.T) {
	f := newFixture(t, wide)
	victim, peer, other := f.join(0, "r"), f.join(0, "r"), f.join(0, "s")
	victim.say([]byte("h"), []byte("one"))
	other.say([]byte("h"), []byte("two"))
	f.fans[0].transport = panicky{f.transport, victim}
	rooms := func() (rooms []*Room) {
		defer func() {
			if recover() == nil {
				t.Fatal("it did not panic")
			}
			rooms = f.fans[0].InDoubt()
		}()
		f.fans[0].Flush(func() time.Duration { return f.now })
		return nil
	}()
	if len(rooms) == 0 {
		t.Fatal("no room is in doubt")
	}
	for _, r := range rooms {
		if r != victim.Room() && victim.IsIn() {
			t.Errorf("room %s is in doubt", r.Name())
		}
		r.Spoil()
	}
	f.flush()
	if victim.spoiled != 1 || peer.spoiled != 1 || other.spoiled != 0 || string(other.got) != "htwo" {
		t.Errorf("told %d, %d and %d times; the other room got %q", victim.spoiled, peer.spoiled, other.spoiled, other.got)
	}
	if a := f.sum(); a.Due() != 0 {
		t.Errorf("%+v", a)
	}
}

// panicky panics when it is to write to one client.
type panicky struct {
	Transport
	victim Client
}

func (p panicky) Send(k *Batch) {
	for i := range k.Deliveries {
		if k.Deliveries[i].Client == p.victim {
			panic("oh")
		}
	}
	p.Transport.Send(k)
}

// Publishers that wait leave, and finish, while another loop spoils their room: they have looked
// before, and find it spoiled when they have the lock.
func TestPublishersGoWhileTheirRoomIsSpoiled(t *testing.T) {
	f, all := newLine(t, 3)
	r := all[0].Room()
	r.Spoil()
	r.leave(&all[0].Member)
	r.mu.Lock()
	r.quit(&all[1].Member)
	r.mu.Unlock()
	if f.flush(); all[1].spoiled != 1 || all[2].spoiled != 1 {
		t.Errorf("who is there was told %d and %d times", all[1].spoiled, all[2].spoiled)
	}
}

// A room of 10,000 that has ended is left in turns: the one beside it gets its message at once.
func TestSpoiledLargeRoomHoldsUpNobody(t *testing.T) {
	f := newFixture(t, wide)
	quiet := f.join(0, "quiet")
	all := make([]*client, 10_000)
	for i := range all {
		all[i] = f.join(0, "r")
		all[i].onSpoiled = func() { f.now += 5 * time.Microsecond } // A Close frame, say.
	}
	all[0].Room().Spoil()
	quiet.say(nil, []byte("x"))
	begin := f.now
	f.fans[0].Flush(func() time.Duration { return f.now })
	if took := f.now - begin; took > slice+5*time.Microsecond || len(quiet.got) == 0 {
		t.Errorf("a tick took %v; the quiet room got %q", took, quiet.got)
	}
	if !all[len(all)-1].IsIn() {
		t.Fatal("all were told: not the middle")
	}
	all[len(all)-1].Leave() // By itself.
	f.flush()
	for i, c := range all {
		if want := min(1, len(all)-1-i); c.spoiled != want || c.IsIn() {
			t.Fatalf("client %d was told %d times, is in: %v", i, c.spoiled, c.IsIn())
		}
	}
}

// A client panics when it is told: the others are told all the same.
func TestPanicOfOneThatLeavesASpoiledRoomKeepsNobodyIn(t *testing.T) {
	f := newFixture(t, wide)
	all := []*client{f.join(0, "r"), f.join(0, "r"), f.join(0, "r")}
	all[1].onSpoiled = func() { panic("planted") }
	all[0].Room().Spoil()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("nothing panicked")
			}
			for _, r := range f.fans[0].InDoubt() {
				r.Spoil()
			}
		}()
		f.flush()
	}()
	f.flush()
	for i, c := range all {
		if c.spoiled != 1 || c.IsIn() {
			t.Errorf("client %d was told %d times, is in: %v", i, c.spoiled, c.IsIn())
		}
	}
}
