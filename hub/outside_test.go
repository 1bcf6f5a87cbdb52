package hub

import (
	"errors"
	"fmt"
	"testing"
)

// N24. A publisher outside of all loops is told how many members there are, and that publishers
// wait if they do.
func TestN24_OfferTellsMembersAndFullRooms(t *testing.T) {
	f := newFixture(t, Limits{Backlog: 1 << 20, Window: 4 << 10, Total: 1 << 30, Pinned: 1 << 20, Rooms: 2, Turn: 1 << 20})
	a, b := f.join(0, "r"), f.join(1, "r")
	r := a.Room()
	message := &Message{Plain: Frame{Payload: make([]byte, 100)}}
	offered := 0
	for {
		p, err := Offer(f.hub, "r", f.now, message)
		if errors.Is(err, ErrFull) {
			break
		}
		if offered++; p != (Published{Members: 2}) || err != nil || offered > 100 {
			t.Fatalf("%d: %v, %v", offered, p, err)
		}
	}
	if got := f.hub.OwedOutside(); got != 2*uint64(offered) || r.Account().Owed != got {
		t.Errorf("%d are owed outside, %d in the room, of %d", got, r.Account().Owed, offered)
	}
	f.flush()
	if p, err := Offer(f.hub, "r", f.now, message); p.Members != 2 || err != nil {
		t.Errorf("swept: %v, %v", p, err)
	}
	f.flush()
	for _, c := range []*client{a, b} {
		if len(c.got) != 100*(offered+1) {
			t.Errorf("it got %d bytes of %d messages", len(c.got), offered+1)
		}
	}
	if found, err := f.hub.Find("r"); found != r || err != nil {
		t.Error(found, err)
	}
	if found, err := f.hub.Find("q"); found != nil || err != nil {
		t.Error(found, err)
	}
	if p, err := Offer(f.hub, "q", f.now, message); p != (Published{}) || err != nil {
		t.Errorf("into no room: %v, %v", p, err)
	}
	f.join(0, "other")
	if _, err := Offer(f.hub, "q", f.now, message); !errors.Is(err, ErrTooManyRooms) {
		t.Error(err)
	}
	if found, err := f.hub.Find("q"); found != nil || !errors.Is(err, ErrTooManyRooms) {
		t.Error(found, err)
	}
	if found, err := f.hub.Find("r"); found != r || err != nil {
		t.Error(found, err)
	}
	r.Spoil()
	if p, err := r.offer(f.now, message); p != (Published{}) || err != nil {
		t.Errorf("spoiled: %v, %v", p, err)
	}
}

// Whoever was there all the time is yielded once, whatever comes and goes meanwhile; the directory
// is free for others.
func TestAllYieldsEveryRoomOnce(t *testing.T) {
	f := newFixture(t, Limits{Backlog: 1 << 20, Window: 4 << 10, Total: 1 << 30, Pinned: 1 << 20, Turn: 1 << 20})
	const rooms = 3*roomsAtATime + 7
	for i := range rooms {
		f.join(0, fmt.Sprint("stays", i))
	}
	seen, n := map[string]int{}, 0
	for r := range f.hub.All {
		seen[r.Name()]++
		if n++; n < 2*rooms {
			c := f.join(0, fmt.Sprint("passes", n))
			if n%2 == 0 {
				c.Leave()
			}
		}
	}
	for i := range rooms {
		if got := seen[fmt.Sprint("stays", i)]; got != 1 {
			t.Errorf("room %d was yielded %d times", i, got)
		}
	}
	n = 0
	for range f.hub.All {
		if n++; n == roomsAtATime+1 {
			break
		}
	}
	if f.hub.Rooms() < rooms {
		t.Error("the directory is not free")
	}
}
