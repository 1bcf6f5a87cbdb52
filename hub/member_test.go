package hub

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

func TestBlockedMemberKeepsItsCursorAndResumes(t *testing.T) {
	f := newFixture(t, wide)
	a, slow := f.join(0, "r"), f.join(1, "r")
	slow.room = 5
	var want []byte
	for i := range 50 {
		p := fmt.Appendf(nil, "message %d,", i)
		want = append(want, p...)
		a.say(nil, p)
		f.flush()
	}
	if !slow.IsBlocked() || string(slow.got) != "messa" || slow.cursor.restOfFrame() != len("ge 0,") {
		t.Fatalf("blocked %v, got %q, %d bytes left of the frame", slow.IsBlocked(), slow.got, slow.cursor.restOfFrame())
	}
	f.now += time.Second
	if lag := slow.Lag(f.now); lag != (Lag{Messages: 50, Bytes: int64(len(want) - 5), Age: time.Second}) {
		t.Errorf("lag is %+v", lag)
	}
	for n := 1; slow.IsBlocked(); n++ {
		slow.open(n)
	}
	if !bytes.Equal(slow.got, want) || !bytes.Equal(a.got, want) {
		t.Errorf("the slow one got %d bytes, the other %d, of %d", len(slow.got), len(a.got), len(want))
	}
}

func TestOverrunMemberIsOwedTheRestOfItsFrameAndLeaves(t *testing.T) {
	f := newFixture(t, limits(32<<10, 16<<10))
	a, slow, stuck := f.join(0, "r"), f.join(1, "r"), f.join(1, "r")
	between := f.join(1, "r")
	slow.room, stuck.room, between.room = 30, 10, 0
	frame := bytes.Repeat([]byte("0123456789"), 10)
	for range 1000 {
		a.say(nil, frame)
		f.now += 10 * time.Millisecond
		f.flush()
	}
	for _, c := range []struct {
		*client
		sent int
	}{{slow, 30}, {stuck, 10}} {
		if c.overruns != 1 || c.IsIn() || string(c.rest.Bytes()) != string(frame[c.sent:]) {
			t.Errorf("overrun %d times, still in %v, owed %q", c.overruns, c.IsIn(), c.rest.Bytes())
		}
	}
	if slow.rest.pin != stuck.rest.pin || f.hub.Pinned() != int64(len(frame)) {
		t.Error("the frame both are stuck in was copied twice")
	}
	if between.overruns != 1 || between.rest.Bytes() != nil {
		t.Errorf("who stood between frames is owed %q", between.rest.Bytes())
	}
	if len(a.got) != 1000*len(frame) || a.overruns > 0 {
		t.Errorf("the reading member got %d bytes", len(a.got))
	}
	if s := a.Room().Stats(); s.Members != 1 {
		t.Errorf("%d members are left", s.Members)
	}
}

// A member that is never refused but gets only a budget per turn is our own debt: the publisher
// waits for it.
func TestWaitingMemberIsNeverOverrun(t *testing.T) {
	l := limits(32<<10, 8<<10)
	l.Turn = 100
	f := newFixture(t, l)
	a, patient := f.join(0, "r"), f.join(1, "r")
	frame := make([]byte, 1000)
	published, waits := 0, 0
	for range 20_000 {
		if a.Room().IsFull() {
			waits++
		} else {
			a.say(nil, frame)
			published += len(frame)
		}
		for _, fan := range f.fans {
			fan.Flush(func() time.Duration { f.now += time.Millisecond; return f.now })
		}
		if held := a.Room().Stats().Held; held > 48<<10 {
			t.Fatalf("the log holds %d bytes", held)
		}
	}
	f.flush()
	if patient.overruns > 0 || len(patient.got) != published {
		t.Errorf("overrun %d times; got %d of %d bytes", patient.overruns, len(patient.got), published)
	}
	if waits == 0 || published == 0 {
		t.Errorf("%d waits, %d bytes published: want both", waits, published)
	}
}

// Its cursor still stands in the segment that the quiet room let go of, but it misses nothing.
func TestEvenMemberOfARestingRoomIsNotOverrun(t *testing.T) {
	f := newFixture(t, wide)
	a := f.join(0, "r")
	a.say(nil, []byte("a"))
	f.flush()
	for range 5 {
		if f.now += reclaimEvery; !a.branch.isScheduled() {
			f.fans[0].Flush(func() time.Duration { return f.now })
		}
	}
	if !a.branch.isScheduled() || a.cursor.seg.data == nil {
		t.Fatal("the room does not rest, or the cursor has moved already")
	}
	a.Block(f.now) // a frame of its own, as a pong is
	f.flush()
	if a.overruns > 0 {
		t.Error("it was overrun")
	}
}

// While another loop publishes, a frame is there a moment before its number is.
func TestLagOfWhoHasAFrameBeforeItsNumber(t *testing.T) {
	f := newFixture(t, wide)
	a := f.join(0, "r")
	a.say(nil, []byte("x"))
	f.flush()
	a.Room().next.Add(^uint64(0))
	if lag := a.Lag(f.now); lag.Messages != 0 {
		t.Errorf("it is %d messages behind", lag.Messages)
	}
}
