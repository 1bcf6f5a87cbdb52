package hub

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// A shared room's publishers, on two loops, of which the first one's last message has filled it.
func newLine(t *testing.T, publishers int) (f *fixture, all []*client) {
	f = newFixture(t, limits(1<<30, 100<<10))
	for i := range publishers {
		all = append(all, f.join(i%2, "r"))
	}
	all[0].say(nil, make([]byte, 101<<10))
	for i, c := range all {
		if !c.AwaitRoom() {
			t.Fatalf("publisher %d does not wait for a full room", i)
		}
	}
	return f, all
}

// sayAll publishes messages of 1 KiB until it has to wait, and returns how many that were.
func (c *client) sayAll(most int) (n int) {
	for ; n < most && !c.AwaitRoom(); n++ {
		c.say(nil, make([]byte, 1<<10))
	}
	return n
}

func resumed(all []*client) (times []int) {
	for _, c := range all {
		times = append(times, c.resumed)
	}
	return times
}

// Every publisher that waits may say 16 KiB in its turn, in the order in which they asked, on
// whichever loops they are.
//
// Relatives: one that comes meanwhile; one that comes when all have had their turn; more than get
// leases together; one loop that does not come round; the brake in the middle of a turn.
func TestN73_WaitingPublishersHaveTurnsInTheOrderInWhichTheyAsked(t *testing.T) {
	t.Run("each has its turn before any has two", func(t *testing.T) {
		f, all := newLine(t, 3)
		for range 5 {
			f.flush()
			for i, c := range all {
				if c.lineState != publishing {
					t.Fatalf("it is not the turn of publisher %d", i)
				}
				if n := c.sayAll(16); n != 16 {
					t.Errorf("publisher %d may say %d KiB in its turn", i, n)
				}
				// The last one has ended all turns, so its next has come at once.
				if isLast := i == 2; c.AwaitRoom() == isLast {
					t.Errorf("publisher %d has said 16 KiB, and waits for the others: %v", i, !isLast)
				}
			}
		}
	})
	t.Run("one that comes waits for one turn of those before", func(t *testing.T) {
		f, all := newLine(t, 4)
		f.flush()
		sparse := f.join(1, "r")
		if !sparse.AwaitRoom() {
			t.Fatal("it goes ahead of those whose turn it is")
		}
		for _, c := range all {
			c.sayAll(16)
			c.EndTurn(true)
		}
		if f.flush(); sparse.resumed != 1 || sparse.AwaitRoom() {
			t.Errorf("when those before have had a turn each it was resumed %d times", sparse.resumed)
		}
	})
	t.Run("the next ones behind 64", func(t *testing.T) {
		f, all := newLine(t, leasesMax+2)
		for range 2 {
			f.flush()
			for _, c := range all {
				if c.lineState == publishing {
					c.EndTurn(false)
				}
			}
		}
		if got := resumed(all); slices.Min(got) != 1 || slices.Max(got) != 1 {
			t.Errorf("they were resumed %v times", got)
		}
	})
	t.Run("whom the brake stops goes on with its turn", func(t *testing.T) {
		f, all := newLine(t, 2)
		f.flush()
		all[0].sayAll(4)
		all[1].Room().Publish(nil, f.now, &Message{Plain: Frame{Payload: make([]byte, 101<<10)}})
		if !all[0].AwaitRoom() || !all[1].AwaitRoom() {
			t.Fatal("the room is not full")
		}
		late := f.join(0, "r")
		if !late.AwaitRoom() {
			t.Fatal("the room is not full")
		}
		f.flush()
		if got := resumed(append(all, late)); !slices.Equal(got, []int{2, 2, 0}) {
			t.Errorf("two in their turns and one that came were resumed %v times", got)
		}
		if n, m := all[0].sayAll(100), all[1].sayAll(16); n != 12 || m != 16 {
			t.Errorf("they say %d and %d KiB more, want 12 and 16", n, m)
		}
	})
}

// A lease ends, and the others go on, whatever becomes of who has it.
func TestN73_LeaseEndsWhateverBecomesOfItsPublisher(t *testing.T) {
	for _, end := range []struct {
		name string
		by   func(f *fixture, c *client)
	}{
		{"used", func(_ *fixture, c *client) { c.sayAll(100) }},
		{"used by one large message", func(_ *fixture, c *client) { c.say(nil, make([]byte, 90<<10)); c.AwaitRoom() }},
		{"nothing left to say", func(_ *fixture, c *client) { c.sayAll(1); c.EndTurn(false) }},
		{"leaves", func(_ *fixture, c *client) { c.Leave() }},
		{"closes", func(_ *fixture, c *client) { c.Finish(1 << 62) }},
		{"does not come", func(f *fixture, _ *client) {
			for range leaseTime/watchEvery + 1 {
				f.now += watchEvery
				f.flush()
			}
		}},
	} {
		for _, loop := range []int{0, 1} {
			t.Run(fmt.Sprintf("%s,loop %d", end.name, loop), func(t *testing.T) {
				f, all := newLine(t, 2)
				f.flush()
				next := f.join(1-loop, "r")
				if !next.AwaitRoom() {
					t.Fatal("the next one does not wait")
				}
				all[1-loop].EndTurn(false)
				if f.flush(); next.resumed != 0 {
					t.Fatal("the next one does not wait for the one before")
				}
				end.by(f, all[loop])
				if f.flush(); next.resumed != 1 || next.AwaitRoom() {
					t.Errorf("the next one was resumed %d times", next.resumed)
				}
			})
		}
	}
}

// One that waits and leaves, or closes, is waited for by nobody.
func TestN73_WhoLeavesTheLineHoldsNobody(t *testing.T) {
	for name, leave := range map[string]func(*client){"leaves": func(c *client) { c.Leave() }, "closes": func(c *client) { c.Finish(1 << 62) }} {
		t.Run(name, func(t *testing.T) {
			f, all := newLine(t, 5)
			leave(all[0]) // The first, one in the middle and the last.
			leave(all[2])
			leave(all[4])
			f.flush()
			if got := resumed(all); !slices.Equal(got, []int{0, 1, 0, 1, 0}) {
				t.Errorf("resumed %v times", got)
			}
			all[1].EndTurn(false)
			all[3].EndTurn(false)
			if r := all[1].Room(); r.mustAsk.Load() || len(r.line.lessees()) > 0 || !r.line.isFree() {
				t.Error("somebody is in line still")
			}
			f.flush()
			f.now += watchEvery
			f.flush()
			if n := len(f.fans[0].lines) + len(f.fans[1].lines); n != 0 || all[1].Room().line != nil {
				t.Errorf("%d lines are watched in which nobody is, or kept", n)
			}
		})
	}
}

// One whose turn comes late, because its loop is busy, has it all the same: nobody waits for it,
// and it waits for nobody.
func TestN73_LatePublisherHasItsTurn(t *testing.T) {
	f, all := newLine(t, 3)
	f.flush()
	for i := range 20 {
		for _, c := range all[1:] {
			if c.lineState == publishing {
				c.sayAll(16)
				c.EndTurn(true)
			}
		}
		f.now += watchEvery
		f.flush()
		if i == 10 && all[0].sayAll(100) != 16 {
			t.Error("the late one may not have its turn")
		}
	}
	if all[1].resumed < 5 || all[0].resumed < 2 {
		t.Errorf("the others were resumed %d times, the late one %d times", all[1].resumed, all[0].resumed)
	}
}

// The clock of a loop falls back behind a pause of the whole process: nobody waits for the rest of
// it.
func TestN73_LateLeaseIsNoticedBehindAPause(t *testing.T) {
	f, all := newLine(t, 2)
	f.now = time.Hour
	f.flush()
	next := f.join(0, "r")
	next.AwaitRoom()
	f.now = time.Minute
	for range leaseTime/watchEvery + 2 {
		f.now += watchEvery
		f.flush()
	}
	if next.resumed != 1 || all[0].resumed != 1 {
		t.Errorf("the next one was resumed %d times", next.resumed)
	}
}

// Publishers outside of loops have no place in line. They may publish while the room is not full,
// and disturb nobody.
func TestN73_PublishersOutsideOfLoopsDoNotDisturbTheLine(t *testing.T) {
	f, all := newLine(t, 2)
	r := all[0].Room()
	f.flush()
	next := f.join(0, "r")
	next.AwaitRoom()
	for range 50 {
		if r.IsFull() {
			t.Fatal("the room is full")
		}
		r.Publish(nil, f.now, &Message{Plain: Frame{Payload: make([]byte, 1<<10)}})
	}
	if n := all[0].sayAll(100); n != 16 {
		t.Errorf("one whose turn it is says %d KiB", n)
	}
	if !next.AwaitRoom() {
		t.Error("the next one does not wait any more")
	}
	all[1].EndTurn(false)
	if f.flush(); next.resumed != 1 {
		t.Error("the next one does not have its turn")
	}
}

// Without anybody in line, asking costs one atomic load; with somebody it allocates nothing either.
func TestN73_AskingAllocatesNothing(t *testing.T) {
	f := newFixture(t, wide)
	a := f.join(0, "r")
	a.Room().mu.Lock() // Whoever asks for more than the atomic hangs here.
	n := testing.AllocsPerRun(1000, func() {
		if a.AwaitRoom() || a.EndTurn(true) {
			t.Error("it waits for nobody")
		}
	})
	a.Room().mu.Unlock()
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
	f, all := newLine(t, 4)
	if n := testing.AllocsPerRun(100, func() {
		f.flush()
		for _, c := range all {
			if c.AwaitRoom(); c.lineState == publishing {
				c.EndTurn(true)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations in each turn of four", n)
	}
}

// What publishers in line become is drawn above lineState; any other change is a fault, and gone on
// with.
func TestStepThatPublishersInLineDoNotTakeIsAFault(t *testing.T) {
	allowed := map[[2]lineState]bool{
		{absent, absent}: true, {absent, queued}: true,
		{queued, due}: true, {queued, absent}: true,
		{due, publishing}: true, {due, absent}: true,
		{publishing, due}: true, {publishing, absent}: true,
	}
	var told []string
	h, err := New(Options{Limits: wide, Encodings: testEncodings, OnBroken: func(what string) { told = append(told, what) }})
	if err != nil {
		t.Fatal(err)
	}
	now := new(time.Duration)
	f, c := h.NewFanout(func() {}, &transport{now: now}), &client{now: now, room: -1}
	if err := f.joinEnd("r", Plain, &c.Member, c); err != nil {
		t.Fatal(err)
	}
	for from := absent; from <= publishing; from++ {
		for to := absent; to <= publishing; to++ {
			c.lineState, told = from, nil
			c.setLineState(to)
			isFault := len(told) == 1 && told[0] == fmt.Sprintf("a publisher that is %v in line becomes %v", from, to)
			if c.lineState != to || isFault == allowed[[2]lineState{from, to}] || len(told) > 1 {
				t.Errorf("%v becomes %v: it is %v, told %v", from, to, c.lineState, told)
			}
		}
	}
}
