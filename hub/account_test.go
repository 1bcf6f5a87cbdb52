package hub

import "testing"

// N24. A member is stuck in the middle of a frame that the log drops. What becomes of that frame is
// its Rest's to tell, whether its member is still in the room or not: sent whole it was delivered,
// otherwise it ended early.
//
// Relatives, each of which was in no account or in two: a member that leaves inside a frame that is
// still in the log; one that leaves while it is overrun, and so never skips; one whose room is gone
// before its Rest; what was published outside of all loops; bytes that a transport has not answered
// for when their member leaves.
func TestN24_RestOfAnOverrunFrameIsDeliveredOrEndedEarly(t *testing.T) {
	for _, policy := range []Policy{Disconnect, Skip, Latest} {
		for name, is := range map[string]struct {
			end         func(f *fixture, slow *client)
			isDelivered bool
		}{
			"sent whole": {func(f *fixture, slow *client) { slow.open(-1); f.flush() }, true},
			"sent in pieces": {func(f *fixture, slow *client) {
				for range 7 {
					slow.open(10)
				}
			}, true},
			"given up in its middle":       {func(_ *fixture, slow *client) { slow.open(69); slow.rest.Release() }, false},
			"given up before it went on":   {func(_ *fixture, slow *client) { slow.rest.Release() }, false},
			"too much memory":              {func(_ *fixture, slow *client) { slow.Abort() }, false},
			"its member leaves, then sent": {func(_ *fixture, slow *client) { slow.Leave(); slow.open(-1) }, true},
			"its room is gone, then sent": {func(f *fixture, slow *client) {
				for _, m := range f.everybody() {
					m.Leave()
				}
				slow.open(-1)
			}, true},
			"its room is gone, and it is given up": {func(f *fixture, slow *client) {
				for _, m := range f.everybody() {
					m.Leave()
				}
				slow.rest.Release()
			}, false},
		} {
			t.Run(policy.String()+"/"+name, func(t *testing.T) {
				f, a, slow := flooded(t, policy, 130) // one whole frame, and 30 bytes of the next
				r := a.Room()
				before := r.Account()
				if policy == Disconnect { // It has left, so that nothing more is owed to it.
					if before.Delivered != 1001 || before.Due() != 1 || before.Owed != 1000+before.Ended+2 {
						t.Fatalf("in the middle of the second frame: %+v, %d due", before, before.Due())
					}
				} else if before != (Account{Owed: 2000, Delivered: 1001}) {
					t.Fatalf("of 1,000 messages for two: %+v", before)
				}
				is.end(f, slow)
				wasIn := slow.IsIn()
				for _, m := range f.everybody() {
					m.Leave()
				}
				after := r.Account()
				whole := uint64(len(a.got)+len(slow.got)) / 100
				if after.Due() != 0 || after.Delivered != whole {
					t.Errorf("%d frames came whole: %+v, %d due", whole, after, after.Due())
				}
				if is.isDelivered != (len(slow.got) >= 200) {
					t.Errorf("it got %d bytes", len(slow.got))
				}
				if !wasIn && after.Skipped != 0 {
					t.Errorf("it left before it went on, and has skipped %d", after.Skipped)
				}
				var sum Stats
				for _, f := range f.fans {
					sum.Add(&f.stats)
				}
				if sum.Account != after {
					t.Errorf("the loops count %+v, the room %+v", sum.Account, after)
				}
			})
		}
	}
}

// everybody is the members of all rooms.
func (f *fixture) everybody() (all []*Member) {
	for _, r := range f.hub.rooms {
		for _, b := range r.branches {
			for _, m := range b.members {
				if m != nil {
					all = append(all, m)
				}
			}
		}
	}
	return all
}

// While members are there the difference is what they have yet to get.
func TestN24_WhatIsDueIsWhatPresentMembersHaveYetToGet(t *testing.T) {
	f := newFixture(t, wide)
	a, b := f.join(0, "r"), f.join(1, "r")
	other := f.join(1, "other")
	b.room = 250 // two frames and a half
	r := a.Room()
	expect := func(when string, want Account, due uint64) {
		t.Helper()
		if got := r.Account(); got != want || got.Due() != due {
			t.Errorf("%s: %+v, %d due; want %+v, %d", when, got, got.Due(), want, due)
		}
	}
	for i := range 10 {
		a.say(nil, numbered(i))
	}
	expect("published, not swept", Account{Owed: 20}, 20)
	f.flush()
	expect("one is behind", Account{Owed: 20, Delivered: 12}, 8)
	if lag := b.Lag(f.now); lag.Messages != 8 {
		t.Errorf("it is %d messages behind", lag.Messages)
	}
	r.Publish(nil, f.now, &Message{Plain: Frame{Payload: numbered(10)}}) // from outside of all loops
	other.say(nil, numbered(0))
	f.flush()
	expect("one more, from outside", Account{Owed: 22, Delivered: 13}, 9)
	c := f.join(1, "r") // It is owed nothing of what was before it.
	c.Leave()
	b.Leave()
	expect("it left inside its third frame", Account{Owed: 22, Delivered: 13, Ended: 9}, 0)
	a.say(nil, numbered(11))
	f.flush()
	expect("one alone", Account{Owed: 23, Delivered: 14, Ended: 9}, 0)
	a.Leave()
	expect("nobody is left", Account{Owed: 23, Delivered: 14, Ended: 9}, 0)
	var sum Stats
	for _, f := range f.fans {
		sum.Add(&f.stats)
	}
	if sum.Owed += f.hub.OwedOutside(); sum.Owed != 24 || sum.Due() != 0 || f.hub.OwedOutside() != 2 {
		t.Errorf("in all %+v, %d of it from outside", sum.Account, f.hub.OwedOutside())
	}
}

// A transport that answers late may have handed a frame to the kernel when its member leaves.
// Nobody knows, so it ended early.
func TestN24_WhatIsNotAnsweredForWhenItsMemberLeavesEndedEarly(t *testing.T) {
	d := newDesk(t, wide)
	a, b := d.join(0, "r"), d.join(1, "r")
	r := a.Room()
	a.say(nil, numbered(0))
	d.step()
	due := d.of(b)
	b.Leave()
	d.conclude(due, 100, Taken)
	d.takeAll()
	if got, want := r.Account(), (Account{Owed: 2, Delivered: 1, Ended: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
