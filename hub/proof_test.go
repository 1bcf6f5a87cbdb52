package hub

import (
	"testing"
	"time"
)

// Somebody who was in the room on another node, where it began later, has missed nothing here.
func TestProvedPositionIsNotAhead(t *testing.T) {
	f := newFollower(t, History{Messages: 100})
	_, _, _ = f.tell(0, "r", lines, Start{})
	f.hub.Proved("r", "epoch777", 9000) // Not of what is not filled.
	f.fill("r", "epoch777", 2048)
	since := func(offset uint64) Start { return Start{Since: Position{"epoch777", offset}} }
	if _, _, err := f.tell(0, "r", lines, since(5000)); err != ErrAhead {
		t.Fatal("before it is proved:", err)
	}
	f.hub.Proved("r", "another", 9000)
	f.hub.Proved("r", "epoch777", 6000)
	f.hub.Proved("r", "epoch777", 3000)
	if _, _, err := f.tell(0, "r", lines, since(6001)); err != ErrAhead {
		t.Error("behind what is proved:", err)
	}
	c, j, err := f.tell(0, "r", lines, since(6000))
	if err != nil || j != (Joined{Position{"epoch777", 2048}, Recovered, 0}) {
		t.Fatal(j, err)
	}
	f.append("r", 7000)
	f.flush()
	if got := string(c.got); got != lineOf("epoch777", 7000) {
		t.Errorf("got %q", got)
	}
	if _, j, err := f.tell(1, "r", lines, since(6000)); err != nil || j.Answer != Recovered || j.Messages != 1 {
		t.Error("with a message behind it:", j, err)
	}
	f.hub.Reset("r", "epoch778")
	f.fill("r", "epoch778", 100)
	if !f.room("r").IsAhead(Position{"epoch778", 6000}) {
		t.Error("what was proved holds in the next epoch")
	}
}

// The oldest message is the oldest that the limits have, whatever else is in memory.
func TestOldestIsByTheLimits(t *testing.T) {
	f := newFollower(t, History{Messages: 3, Age: time.Minute})
	is := func(offset uint64, age time.Duration, ok bool) {
		t.Helper()
		if o, a, k := f.hub.Oldest("r", f.now); o != offset || a != age || k != ok {
			t.Errorf("%d, %v, %v; want %d, %v, %v", o, a, k, offset, age, ok)
		}
	}
	is(0, 0, false)
	_, _, _ = f.tell(0, "r", lines, Start{})
	is(0, 0, false)
	f.fill("r", "epoch777", 0, 1, 2)
	f.now += 10 * time.Second
	is(1, 10*time.Second, true)
	f.append("r", 5)
	f.append("r", 6)
	is(2, 10*time.Second, true)
	f.now += 55 * time.Second
	f.hub.Expire(f.now)
	is(5, 55*time.Second, true)
	f.now += 10 * time.Second
	f.hub.Expire(f.now)
	is(0, 0, false)
	if _, _, ok := f.hub.Oldest("no", f.now); ok {
		t.Error("a room that keeps nothing has an oldest message")
	}
}
