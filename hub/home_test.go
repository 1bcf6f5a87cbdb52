package hub

import (
	"errors"
	"testing"
)

// homely is a fixture of which rooms with up to n are at home on one loop.
func homely(t *testing.T, n int) *fixture {
	l := wide
	l.Small = n
	return newFixture(t, l)
}

// tryJoin joins where the room is at home, and returns that loop if it is another: then nobody has
// joined.
func (f *fixture) tryJoin(fan int, room string) (c *client, home *Fanout) {
	f.Helper()
	c = &client{now: &f.now, room: -1}
	err := f.fans[fan].joinEnd(room, Plain, &c.Member, c)
	elsewhere := new(ElsewhereError)
	switch {
	case err == nil:
		return c, f.fans[fan]
	case !errors.As(err, &elsewhere):
		f.Fatal(err)
	case c.IsIn():
		f.Fatal("it was sent to another loop and is in the room")
	}
	return nil, elsewhere.Home
}

func (f *fixture) expectHome(fan int, room string, home int) (joined *client) {
	f.Helper()
	c, at := f.tryJoin(fan, room)
	if at != f.fans[home] {
		f.Fatal("who comes to loop", fan, "is not sent to loop", home)
	}
	return c
}

func TestSmallRoomIsWhereItsFirstMemberIs(t *testing.T) {
	f := homely(t, 4)
	first := f.expectHome(1, "r", 1)
	f.expectHome(0, "r", 1)
	speaker := &client{now: &f.now, room: -1}
	elsewhere := new(ElsewhereError)
	if err := f.fans[0].JoinToSpeak("r", Plain, Start{}, &speaker.Member, speaker); !errors.As(err, &elsewhere) || elsewhere.Home != f.fans[1] {
		t.Fatalf("a speaker is answered %v", err)
	}
	if err := f.fans[0].JoinToSpeak("r", Plain, Start{IsHere: true}, &speaker.Member, speaker); err != nil {
		t.Fatal(err)
	}
	guest := &client{now: &f.now, room: -1}
	if _, err := f.fans[0].Join(f.now, "r", Plain, Start{IsHere: true}, &guest.Member, guest); err != nil {
		t.Fatal(err)
	}
	first.Leave()
	f.expectHome(1, "r", 0)
	guest.Leave()
	f.expectHome(1, "r", 0) // The speaker is there.
	if f.hub.IsNew("r") {
		t.Error("a room with a speaker is taken for new")
	}
	speaker.Leave()
	if f.expectHome(1, "r", 1); f.hub.IsNew("r") || !f.hub.IsNew("other") {
		t.Error("a room with a member is taken for new, or one that is not there is not")
	}
}

// A message of a small room wakes no other loop.
func TestMessageOfASmallRoomWakesNobody(t *testing.T) {
	f := homely(t, 4)
	a, b := f.expectHome(0, "r", 0), f.expectHome(0, "r", 0)
	before := f.woke
	for i := range 10 {
		a.say(nil, numbered(i))
		f.flush()
	}
	if f.woke != before || len(b.got) != 1000 {
		t.Errorf("loops were woken %v times, before the messages %v; the other member got %d bytes", f.woke, before, len(b.got))
	}
	guest := &client{now: &f.now, room: -1}
	if _, err := f.fans[1].Join(f.now, "r", Plain, Start{IsHere: true}, &guest.Member, guest); err != nil {
		t.Fatal(err)
	}
	a.say(nil, numbered(10))
	if f.flush(); f.woke[1] == before[1] {
		t.Error("with a member on the other loop nobody is woken, so this says nothing")
	}
}

// A room that has grown spreads, and has no home again before it has shrunk to half.
func TestRoomThatGrowsSpreads(t *testing.T) {
	f := homely(t, 4)
	var all []*client
	for range 4 {
		all = append(all, f.expectHome(0, "r", 0))
	}
	all = append(all, f.expectHome(1, "r", 1)) // the fifth
	for len(all) > 3 {
		all[0].Leave()
		all = all[1:]
	}
	all = append(all, f.expectHome(1, "r", 1)) // With three it is still spread.
	for len(all) > 2 {
		all[0].Leave()
		all = all[1:]
	}
	f.expectHome(0, "r", 1) // Both that are left are on loop 1.
	f.expectHome(1, "r", 1)
	f.expectHome(0, "r", 1)
}

func TestRoomsWithoutABoundHaveNoHome(t *testing.T) {
	f := homely(t, 0)
	f.expectHome(0, "r", 0)
	f.expectHome(1, "r", 1)
}
