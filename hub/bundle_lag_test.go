package hub

import "testing"

// A connection is slow if it is in one of its rooms, and how far it is behind in each can be told.
func TestBundleIsSlowIfItsReaderInOneRoomIs(t *testing.T) {
	l := wide
	f := newFixture(t, l)
	f.policy = Skip
	c := f.subscribe(0, "a", "b")
	c.room = 0
	for c.readers["a"].Behind() <= l.Backlog/2 {
		f.say("a", 500)
	}
	f.say("b", 500)
	f.flush()
	f.say("a", 500) // For a round that finds it blocked.
	f.flush()
	c.JudgeLag(f.now)
	if c.IsSlow() {
		t.Fatal("it is slow at once")
	}
	f.now += 2 * slowAfter
	c.JudgeLag(f.now)
	a, b := c.readers["a"], c.readers["b"]
	if !c.IsSlow() || !a.IsSlow() || b.IsSlow() || b.Behind() == 0 || b.Behind() > 1000 || c.Behind() != a.Behind()+b.Behind() {
		t.Errorf("slow %v, in a %v, in b %v; %d bytes behind there, %d in all", c.IsSlow(), a.IsSlow(), b.IsSlow(), b.Behind(), c.Behind())
	}
	c.room = -1
	c.Ready()
	for range 100 {
		f.flush()
	}
	if c.JudgeLag(f.now); c.IsSlow() || c.Behind() != 0 {
		t.Errorf("slow %v, %d bytes behind", c.IsSlow(), c.Behind())
	}
}
