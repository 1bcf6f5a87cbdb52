package hub

import (
	"testing"
	"time"
)

// speak joins a speaker.
func (f *fixture) speak(fan int, room string) *client {
	c := &client{now: &f.now, room: -1}
	f.Helper()
	if err := f.fans[fan].JoinToSpeak(room, Deflated, Start{}, &c.Member, c); err != nil {
		f.Fatal(err)
	}
	return c
}

// N21. A speaker's messages reach its room, and it gets nothing, not its own either. It is in no
// account and no count of members, but it keeps its room in being, and the numbers go on.
func TestN21_SpeakerIsHeardAndHearsNothing(t *testing.T) {
	f := newFixture(t, wide)
	s := f.speak(1, "r")
	r := s.Room()
	if s.Encoding() != Deflated || s.say(nil, numbered(0)) != 1 {
		t.Error("a speaker alone in its room")
	}
	f.flush()
	if n := r.Stats(); n.Members != 0 || n.Held != 0 || f.hub.Rooms() != 1 || f.quiet(r) != 0 {
		t.Errorf("a room with nobody but a speaker: %+v, %d rooms", n, f.hub.Rooms())
	}
	a, b := f.join(0, "r"), f.joinTrack(1, "r", Deflated)
	for i := range 10 {
		s.say(nil, numbered(i))
	}
	b.say(nil, numbered(10))
	f.flush()
	if len(s.got) != 0 || len(a.got) != 1100 || len(b.got) != 1100 {
		t.Errorf("the speaker got %d bytes, the others %d and %d", len(s.got), len(a.got), len(b.got))
	}
	if acc := r.Account(); acc != (Account{Owed: 22, Delivered: 22}) || r.Stats().Members != 2 {
		t.Errorf("%+v for %d members", acc, r.Stats().Members)
	}
	if lag := s.Lag(f.now); lag != (Lag{}) || s.End() != s.Position() {
		t.Errorf("it is behind: %+v", lag)
	}
	a.Leave()
	b.Leave()
	if again, ok := f.hub.Room("r"); !ok || again != r || s.say(nil, numbered(11)) != 13 {
		t.Error("the room went with its last reader, although a speaker is there")
	}
	c := f.join(0, "r")
	s.Leave()
	c.say(nil, numbered(12))
	f.flush()
	if len(c.got) != 100 || f.hub.Rooms() != 1 {
		t.Errorf("behind the speaker's leave a reader got %d bytes in %d rooms", len(c.got), f.hub.Rooms())
	}
	c.Leave()
	if acc := r.Account(); acc.Due() != 0 || f.hub.Rooms() != 0 {
		t.Errorf("%+v, %d rooms", acc, f.hub.Rooms())
	}
}

// Its own bytes may be refused: it is blocked, alone in its branch, goes on when its socket takes
// bytes, and is slow for no one.
func TestN21_SpeakerIsBlockedByItsOwnBytesAlone(t *testing.T) {
	f := newFixture(t, limits(32<<10, 16<<10))
	a, b, s := f.join(0, "r"), f.joinTrack(0, "r", Deflated), f.speak(1, "r")
	s.Block(f.now)
	for i := range 1000 { // Thirty backlogs.
		a.say(nil, numbered(i))
		f.now += 20 * time.Millisecond
		f.flush()
	}
	s.JudgeLag(f.now)
	if a.Room().IsFull() || !s.IsBlocked() || s.overruns != 0 || len(s.slow) != 0 || len(a.got) != len(b.got) {
		t.Errorf("full %v, blocked %v, overrun %d times, slow %v", a.Room().IsFull(), s.IsBlocked(), s.overruns, s.slow)
	}
	s.open(-1)
	f.flush()
	if s.IsBlocked() || len(s.got) != 0 {
		t.Errorf("blocked %v with %d bytes", s.IsBlocked(), len(s.got))
	}
	s.Finish(1 << 62)
	if s.IsIn() {
		t.Error("it has everything, and waits")
	}
}

// A full room holds a speaker like anybody who publishes, whichever loop it is on, and goes on with
// it.
func TestN21_FullRoomHoldsItsSpeakers(t *testing.T) {
	f := newFixture(t, limits(32<<10, 4<<10))
	slow, near, far := f.join(0, "r"), f.speak(0, "r"), f.speak(1, "r")
	slow.room = 10
	said := 0
	for ; !near.AwaitRoom(); said++ {
		near.say(nil, numbered(said))
		f.flush()
		if said > 1000 {
			t.Fatal("it is never held")
		}
	}
	if !far.AwaitRoom() || near.resumed+far.resumed != 0 {
		t.Fatal("the one on the other loop is not held")
	}
	for range 10 {
		slow.open(-1)
		f.flush()
	}
	if near.resumed != 1 || far.resumed != 1 || len(slow.got) != 100*said {
		t.Errorf("resumed %d and %d times; the reader got %d of %d", near.resumed, far.resumed, len(slow.got), 100*said)
	}
}

// A room that is spoiled, or whose last member is a speaker that waits, is left by it.
func TestN21_SpeakersLeaveARoomThatEnds(t *testing.T) {
	f := newFixture(t, limits(32<<10, 4<<10))
	a, s := f.join(0, "r"), f.speak(1, "r")
	r := a.Room()
	a.room = 10
	for i := range 100 {
		a.say(nil, numbered(i))
	}
	f.flush()
	if !s.AwaitRoom() {
		t.Fatal("it is not held")
	}
	a.Leave()
	f.flush()
	if s.resumed != 1 || r.IsFull() {
		t.Errorf("resumed %d times when the one who was waited for has left", s.resumed)
	}
	a = f.join(0, "r")
	a.say(nil, numbered(0))
	r.Spoil()
	f.flush()
	if s.IsIn() || a.IsIn() || f.hub.Rooms() != 0 {
		t.Errorf("in a spoiled room: the speaker %v, the reader %v", s.IsIn(), a.IsIn())
	}
	if acc := r.Account(); acc.Due() != 0 {
		t.Errorf("%+v", acc)
	}
}
