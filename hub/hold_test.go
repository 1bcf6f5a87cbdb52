package hub

import (
	"slices"
	"testing"
	"time"
)

func TestHeldRoomsPublishersGoOnInTheirOrder(t *testing.T) {
	f := newFixture(t, wide)
	var all []*client
	for i := range 3 {
		all = append(all, f.join(i%2, "r"))
	}
	speaker := f.speak(1, "r")
	all = append(all, speaker)
	r := all[0].Room()
	r.Hold(true)
	for i, c := range all {
		if !c.AwaitRoom() {
			t.Fatalf("publisher %d does not wait", i)
		}
	}
	if _, err := Offer(f.hub, "r", f.now, &Message{}); err != ErrFull {
		t.Error("who publishes from outside:", err)
	}
	if s := r.Stats(); !s.IsFull || r.IsFull() {
		t.Errorf("the brake holds: %v; publishers wait: %v", r.IsFull(), s.IsFull)
	}
	for range 3 { // Nobody looks after a room that is held.
		f.now += watchEvery
		f.flush()
	}
	if got := resumed(all); slices.Max(got) != 0 {
		t.Fatalf("held they were resumed %v times", got)
	}
	r.Hold(false)
	f.flush()
	if got := resumed(all); !slices.Equal(got, []int{1, 1, 1, 1}) {
		t.Fatalf("they were resumed %v times", got)
	}
	all[0].sayAll(4) // In the middle of its turn.
	r.Hold(true)
	if !all[0].AwaitRoom() || !all[1].AwaitRoom() {
		t.Fatal("in their turns they do not wait")
	}
	r.Hold(false)
	f.flush()
	if got := resumed(all); !slices.Equal(got, []int{2, 2, 1, 1}) {
		t.Errorf("in their turns they were resumed %v times", got)
	}
	for _, c := range all {
		c.EndTurn(false)
	}
	if all[0].AwaitRoom() || r.mustAsk.Load() {
		t.Error("somebody waits, for nobody")
	}
}

// The brake and a hold are each enough.
func TestHoldBesideTheBrake(t *testing.T) {
	f, all := newLine(t, 2)
	r := all[0].Room()
	r.Hold(true)
	if f.flush(); r.IsFull() || resumed(all)[0] != 0 {
		t.Fatalf("the brake holds: %v; they were resumed %v times", r.IsFull(), resumed(all))
	}
	all[0].Member.Publish(f.now, &Message{Plain: Frame{Payload: make([]byte, 101<<10)}})
	r.Hold(false)
	if !r.IsFull() || resumed(all)[0] != 0 {
		t.Fatal("the brake does not hold")
	}
	if f.flush(); !slices.Equal(resumed(all), []int{1, 1}) {
		t.Errorf("they were resumed %v times", resumed(all))
	}
}

// A loop that gives leases to publishers of other loops, because a hold is over, wakes these. A
// third loop watches the line, and the first has nothing else to do.
func TestLoopsAreWokenBehindAHold(t *testing.T) {
	f := newFixture(t, wide)
	woken := 0
	third := f.hub.NewFanout(func() { woken++ }, f.transport)
	watcher, first, last := f.join(1, "r"), f.join(0, "r"), &client{now: &f.now, room: -1}
	if err := third.joinEnd("r", Plain, &last.Member, last); err != nil {
		t.Fatal(err)
	}
	clock := func() time.Duration { return f.now }
	r := watcher.Room()
	r.Hold(true)
	watcher.AwaitRoom()
	r.Hold(false)
	if f.fans[1].Flush(clock); watcher.resumed != 1 || len(f.fans[1].lines) != 1 {
		t.Fatal("nobody watches the line")
	}
	if !first.AwaitRoom() || !last.AwaitRoom() {
		t.Fatal("they do not wait")
	}
	r.Hold(true)
	watcher.EndTurn(false)
	r.Hold(false)
	if f.fans[0].Flush(clock); first.resumed != 1 {
		t.Fatal("its own publisher does not go on")
	}
	if third.Flush(clock); woken != 1 || last.resumed != 1 {
		t.Errorf("the third loop was woken %d times, and its publisher resumed %d times", woken, last.resumed)
	}
}
