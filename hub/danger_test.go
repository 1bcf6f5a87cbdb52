package hub

import (
	"testing"
	"time"
)

// dropped reports whether c stands in a segment that its room has dropped, and keeps it alive.
func (c *client) dropped() bool {
	return c.IsIn() && c.cursor.seg.base < c.branch.track.oldest.Load().base
}

// pass lets the loops go on for a while in which nothing is published.
func (f *fixture) pass() {
	for range 100 {
		f.now += 100 * time.Millisecond
		f.flush()
	}
}

// All rooms together have too much, so a quiet one drops; its round was at its middle and had begun
// with what was retained then.
func TestDropInTheMiddleOfARoundIsNotForgotten(t *testing.T) {
	l := limits(1<<20, 1<<20)
	l.Total = 240 << 10
	f := newFixture(t, l)
	a, slow := f.join(0, "quiet"), f.join(1, "quiet")
	slow.room = 10
	for range 100 {
		f.join(1, "quiet")
	}
	for i := range 700 {
		a.say(nil, numbered(i))
		f.flush()
	}
	b := f.join(0, "busy")
	a.say(nil, numbered(700))
	f.fans[0].Flush(func() time.Duration { return f.now })
	f.fans[1].Flush(func() time.Duration { f.now += 900 * time.Microsecond; return f.now })
	if r := slow.branch.round; r.at == 0 || r.at == r.places {
		t.Fatalf("the round is at %d of %d: not its middle", r.at, r.places)
	}
	for i := range 700 {
		b.say(nil, numbered(i))
		f.fans[0].Flush(func() time.Duration { return f.now })
	}
	if f.pass(); slow.dropped() || slow.overruns != 1 {
		t.Errorf("overrun %d times, in a dropped segment %v", slow.overruns, slow.dropped())
	}
}

func TestMemberRefusedInADroppedSegmentIsDealtWith(t *testing.T) {
	l := limits(1<<20, 1<<20)
	l.Total = 240 << 10
	f := newFixture(t, l)
	a, slow, b := f.join(0, "quiet"), f.join(1, "quiet"), f.join(0, "busy")
	slow.room = 10
	for i := range 700 { // Before the first sweep: it is waiting.
		a.say(nil, numbered(i))
	}
	for i := range 700 {
		b.say(nil, numbered(i))
	}
	if f.pass(); slow.dropped() {
		t.Error("it stands in a dropped segment for good")
	}
}

// Nine of ten read steadily, at half the speed of the publisher. However thin their track is beside
// the other, it has to wait for them.
func TestRoomWaitsForTheManyOnAThinTrack(t *testing.T) {
	for _, size := range []int{4000, 1000, 100} {
		f := newFixture(t, limits(1<<20, 64<<10)) // the defaults' proportion
		a := f.join(0, "r")
		var many []*client
		for range 9 {
			c := f.joinTrack(1, "r", Deflated)
			c.room = 0
			many = append(many, c)
		}
		msg := &Message{Plain: Frame{Payload: make([]byte, 4000)}, Deflated: Frame{Head: []byte("D"), Payload: make([]byte, size-1)}}
		waits := 0
		for range 2000 {
			f.now += 10 * time.Millisecond
			if a.Room().IsFull() {
				waits++
			} else {
				a.Publish(f.now, msg)
			}
			f.flush()
			for _, c := range many {
				if c.IsIn() {
					c.open(size / 2)
				}
			}
			f.flush()
		}
		for _, c := range many {
			if c.overruns > 0 {
				t.Fatalf("4,000 bytes deflated to %d: the many were overrun; the publisher waited %d times", size, waits)
			}
		}
		if waits == 0 {
			t.Errorf("4,000 bytes deflated to %d: the publisher never waited", size)
		}
	}
}

// A backlog that fills over minutes: whoever it overruns has been called slow before, whatever the
// frames are.
func TestSlowIsSaidBeforeAnythingIsCut(t *testing.T) {
	for name, test := range map[string]struct {
		frame  int
		tracks int
	}{"one track": {100, 1}, "two tracks": {100, 2}, "tiny frames": {2, 1}} {
		f := newFixture(t, limits(1<<20, 1<<20))
		a, slow := f.join(0, "r"), f.join(1, "r")
		if test.tracks > 1 {
			f.joinTrack(0, "r", Deflated)
		}
		slow.room = 10
		due := f.now
		for n := 0; slow.overruns == 0 && n < 8<<20; n += test.frame {
			a.say(nil, make([]byte, test.frame))
			if n%(1<<10) < test.frame {
				f.now += 100 * time.Millisecond
				f.flush()
			}
			if f.now >= due && slow.overruns == 0 { // A client's timer.
				slow.JudgeLag(f.now)
				due, _ = slow.SlowAt(f.now)
			}
		}
		if len(slow.slow) == 0 || !slow.slow[0] || slow.overruns == 0 {
			t.Errorf("%s: told %v, overrun %d times", name, slow.slow, slow.overruns)
		}
	}
}
