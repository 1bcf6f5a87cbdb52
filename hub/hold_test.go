package hub

import (
	"slices"
	"testing"
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
