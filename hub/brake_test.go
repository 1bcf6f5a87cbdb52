package hub

import "testing"

func TestRoomWaitsForTheManyNotForTheFew(t *testing.T) {
	const window = 10_000
	setup := func(t *testing.T, slow int) (*fixture, *client, []*client) {
		f := newFixture(t, limits(1<<20, window))
		var all []*client
		for i := range 9 {
			all = append(all, f.join(i%2, "r"))
		}
		for _, c := range all[9-slow:] {
			c.room = 0
		}
		for range 30 {
			all[0].say(nil, make([]byte, 1000))
			f.flush()
		}
		return f, all[0], all[9-slow:]
	}
	t.Run("a minority holds nobody", func(t *testing.T) {
		_, a, _ := setup(t, 4)
		if a.Room().IsFull() {
			t.Error("the room waits for four of nine")
		}
	})
	t.Run("a majority that moves holds the publisher until it has caught up", func(t *testing.T) {
		f, a, slow := setup(t, 5)
		if !a.Room().IsFull() {
			t.Fatal("the room does not wait for five of nine")
		}
		if !a.AwaitRoom() {
			t.Fatal("a full room lets its publisher go on")
		}
		slow[0].open(-1)
		f.flush()
		if a.Room().IsFull() || a.resumed != 1 {
			t.Errorf("full %v, publisher resumed %d times after one of the five caught up", a.Room().IsFull(), a.resumed)
		}
	})
	t.Run("a majority that stands still is given up", func(t *testing.T) {
		f, a, _ := setup(t, 8)
		if !a.Room().IsFull() || !a.AwaitRoom() {
			t.Fatal("the room does not wait for eight of nine that moved a moment ago")
		}
		f.outvote()
		if a.Room().IsFull() || a.resumed != 1 {
			t.Errorf("full %v, publisher resumed %d times, although nobody it waits for moves", a.Room().IsFull(), a.resumed)
		}
	})
}

func TestEveryWaitingPublisherIsResumedWhicheverLoopItIsOn(t *testing.T) {
	f := newFixture(t, limits(1<<20, 1000))
	a, b := f.join(0, "r"), f.join(1, "r")
	gone := f.join(1, "r")
	a.say(nil, make([]byte, 5000))
	for _, c := range []*client{a, b, gone} {
		if first, again := c.AwaitRoom(), c.AwaitRoom(); !first || !again {
			t.Fatal("a room with 5,000 bytes unswept is not full at a window of 1,000")
		}
	}
	gone.Leave()
	f.flush()
	if a.resumed != 1 || b.resumed != 1 || gone.resumed != 0 {
		t.Errorf("resumed %d, %d and %d times; want 1, 1 and, having left, 0", a.resumed, b.resumed, gone.resumed)
	}
	if a.AwaitRoom() {
		t.Error("a room that is not full makes its publisher wait")
	}
}
