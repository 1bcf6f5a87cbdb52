package hub

import (
	"testing"
	"time"
)

func TestE13_NobodyIsSkippedOrServedTwiceWhileMembersLeaveInASweep(t *testing.T) {
	f := newFixture(t, wide)
	a := f.join(1, "r")
	var all []*client
	for i := range 500 {
		c := f.join(0, "r")
		if i%3 == 0 {
			c.leavesAt = 1
		}
		all = append(all, c)
	}
	a.say(nil, []byte("hello"))
	f.flush()
	joined := f.join(0, "r")
	a.say(nil, []byte(" again"))
	f.flush()
	for i, c := range all {
		want := "hello again"
		if i%3 == 0 {
			want = "hello"
		}
		if string(c.got) != want {
			t.Fatalf("member %d got %q", i, c.got)
		}
	}
	if string(joined.got) != " again" {
		t.Errorf("who took a hole's place got %q", joined.got)
	}
}

func TestLargeRoomIsSweptInSlices(t *testing.T) {
	f := newFixture(t, wide)
	for range 1000 {
		f.join(0, "big")
	}
	a, small := f.join(1, "big"), f.join(0, "small")
	a.say(nil, []byte("x"))
	small.say(nil, []byte("y"))
	// A clock that moves 100 µs at each look: a slice ends long before 1,000 members are served.
	step := func() time.Duration { f.now += 100 * time.Microsecond; return f.now }
	start := f.now
	if next := f.fans[0].Flush(step); next != 0 {
		t.Fatalf("the sweep ended, or is forgotten: next in %v", next)
	}
	if took := f.now - start; took > slice+time.Millisecond {
		t.Errorf("one slice took %v", took)
	}
	if string(small.got) != "y" {
		t.Error("the small room did not get its turn in the first slice")
	}
	f.flush()
	b := a.Room().branches[0]
	for _, m := range b.members {
		if string(m.client.(*client).got) != "x" {
			t.Fatalf("a member got %q", m.client.(*client).got)
		}
	}
}

func TestMessagePublishedInTheMiddleOfASweepReachesThoseSweptBefore(t *testing.T) {
	f := newFixture(t, wide)
	var all []*client
	for range 1000 {
		all = append(all, f.join(0, "r"))
	}
	a := f.join(1, "r")
	step := func() time.Duration { f.now += 100 * time.Microsecond; return f.now }
	a.say(nil, []byte("first "))
	f.fans[0].Flush(step)
	served := 0
	for _, c := range all {
		if len(c.got) > 0 {
			served++
		}
	}
	if served == 0 || served == len(all) {
		t.Fatalf("%d of %d are served: not the middle of a sweep", served, len(all))
	}
	a.say(nil, []byte("second"))
	f.flush()
	for i, c := range all {
		if string(c.got) != "first second" {
			t.Fatalf("member %d got %q", i, c.got)
		}
	}
}

func TestRoundVisitsEveryPlaceAlthoughMembersJoinInItsMiddle(t *testing.T) {
	f := newFixture(t, wide)
	var all []*client
	for range 40 {
		all = append(all, f.join(0, "r"))
	}
	all[0].say(nil, []byte("a"))
	f.flush()
	for range 40 {
		all = append(all, f.join(0, "r"))
	}
	all[0].say(nil, []byte("b"))
	looks := 0
	f.fans[0].Flush(func() time.Duration { // Time is up after the first few.
		if looks++; looks >= 3 {
			return f.now + slice
		}
		return f.now
	})
	if len(all[79].got) > 0 {
		t.Fatal("the sweep ended: not its middle")
	}
	for range 5 {
		f.join(0, "r")
	}
	f.flush()
	for i, c := range all {
		if got := string(c.got); got != "ab" && (i < 40 || got != "b") {
			t.Errorf("member %d got %q", i, got)
		}
	}
}
