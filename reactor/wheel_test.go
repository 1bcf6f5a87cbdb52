package reactor

import (
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const testTick = 10 * time.Millisecond

func newWheel() *Wheel { return NewWheel(testTick, 64, 0) }

// expireAll returns every place whose timer is due at now.
func expireAll(w *Wheel, now time.Duration) []uint32 {
	return w.Expire(now, make([]uint32, 0, w.Len()+1))
}

func TestTimerFiresAtItsTimeRoundedUpToATick(t *testing.T) {
	for _, c := range []struct{ due, fires time.Duration }{
		{1, testTick},
		{testTick - 1, testTick},
		{testTick, testTick},
		{testTick + 1, 2 * testTick},
		{64 * testTick, 64 * testTick}, // A turn of the ring, and beyond: the slots of ticks 0 and 1 again.
		{64*testTick + 1, 65 * testTick},
		{time.Hour, time.Hour},
	} {
		w := newWheel()
		w.Set(5, c.due)
		if got := expireAll(w, c.fires-1); len(got) != 0 {
			t.Errorf("due at %v, fired by %v", c.due, c.fires-1)
		}
		if got := expireAll(w, c.fires); !slices.Equal(got, []uint32{5}) || w.Len() != 0 {
			t.Errorf("due at %v, at %v there fired %v", c.due, c.fires, got)
		}
		if got := expireAll(w, 2*c.fires); len(got) != 0 {
			t.Errorf("due at %v, fired twice", c.due)
		}
	}
}

// A machine that was suspended finds every slot of the ring overdue.
func TestTimersOfAllSlotsFireAfterALeapOfSeveralTurns(t *testing.T) {
	for _, leap := range []time.Duration{64, 65, 127, 128, 200} {
		w := newWheel()
		for i := range uint32(64) {
			w.Set(i, time.Duration(i+1)*testTick)
		}
		if got := expireAll(w, leap*testTick); len(got) != 64 {
			t.Errorf("%d of 64 timers fired after a leap of %d ticks", len(got), leap)
		}
	}
}

func TestNextIsExactForTimersOfThisTurn(t *testing.T) {
	w := newWheel()
	for i := range uint32(50) {
		w.Set(i, time.Duration(i+1)*testTick)
	}
	for i := range uint32(49) {
		if i%2 == 0 {
			w.Cancel(i)
		} else {
			expireAll(w, time.Duration(i+1)*testTick)
		}
		if next, ok := w.Next(); !ok || next != time.Duration(i+2)*testTick {
			t.Fatalf("Next is %v, %v without the first %d timers", next, ok, i+1)
		}
	}
	w.Cancel(49)
	if next, ok := w.Next(); ok {
		t.Errorf("Next is %v without any timer", next)
	}
}

func TestTimerInThePastFiresAtTheNextTick(t *testing.T) {
	w := NewWheel(testTick, 64, time.Hour)
	w.Set(0, time.Minute)
	if got := expireAll(w, time.Hour); len(got) != 0 {
		t.Errorf("%v fired in the tick that set it", got)
	}
	if got := expireAll(w, time.Hour+testTick); len(got) != 1 {
		t.Error("it did not fire")
	}
}

func TestTimerAtTheEndOfTimeDoesNotFire(t *testing.T) {
	w := newWheel()
	w.Set(0, math.MaxInt64)
	if got := expireAll(w, 100*365*24*time.Hour); len(got) != 0 || w.Len() != 1 {
		t.Errorf("%v fired", got)
	}
}

func TestCancelOfATimerThatIsNotSetIsIgnored(t *testing.T) {
	w := newWheel()
	w.Cancel(100_000) // In a page that does not exist.
	w.Set(3, testTick)
	w.Cancel(2)
	if got := expireAll(w, time.Second); !slices.Equal(got, []uint32{3}) {
		t.Errorf("%v fired, want 3 alone", got)
	}
}

func TestWheelSizesAreRoundedUp(t *testing.T) {
	for asked, want := range map[int]int{0: 64, 1: 64, 64: 64, 65: 128, 2048: 2048, 2049: 4096} {
		if got := len(NewWheel(testTick, asked, 0).heads); got != want {
			t.Errorf("%d slots for %d asked, want %d", got, asked, want)
		}
	}
}

// All are handed out, once, in slices of the caller's size, and setting one anew between two slices
// does not make it fire among the rest.
func TestE06_ManyTimersDueAtOnceComeInSlices(t *testing.T) {
	const count, slice = 100_000, 1024
	w := NewWheel(testTick, 2048, 0)
	for i := range uint32(count) {
		w.Set(i, time.Second)
	}
	fired := make([]bool, count)
	total, slices := 0, 0
	for {
		batch := w.Expire(time.Second, make([]uint32, 0, slice))
		for _, place := range batch {
			if fired[place] {
				t.Fatalf("%v fired twice", place)
			}
			fired[place] = true
			w.Set(place, time.Second+testTick) // As a connection that re-checks its deadline does.
		}
		total += len(batch)
		slices++
		if len(batch) < slice {
			break
		}
		if due, ok := w.Next(); !ok || due > time.Second {
			t.Fatalf("with %d left, Next is %v", count-total, due)
		}
	}
	if total != count || slices != count/slice+1 || w.Len() != count {
		t.Errorf("%d fired in %d slices, %d set again", total, slices, w.Len())
	}
}

func TestWheelDoesNotAllocateOncePagesExist(t *testing.T) {
	w := newWheel()
	w.Set(7, testTick)
	dst := make([]uint32, 0, 8)
	now := time.Duration(0)
	if n := testing.AllocsPerRun(100, func() {
		now += testTick
		w.Set(7, now+testTick)
		w.Next()
		w.Expire(now+testTick, dst)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// wheelModel is a map of due times by place.
type wheelModel struct {
	wheel *Wheel
	due   map[uint32]time.Duration
	now   time.Duration
	limit int // spare capacity given to Expire
}

func (m *wheelModel) set(t *rapid.T) {
	place := uint32(rapid.IntRange(0, 600).Draw(t, "place"))
	after := rapid.OneOf(
		rapid.Int64Range(-int64(testTick), 3*int64(testTick)),
		rapid.Int64Range(0, 70*int64(testTick)),
		rapid.Int64Range(0, 1000*int64(testTick)),
	).Draw(t, "after")
	m.due[place] = m.now + time.Duration(after)
	m.wheel.Set(place, m.due[place])
}

func (m *wheelModel) cancel(t *rapid.T) {
	if len(m.due) == 0 {
		t.Skip("nothing is set")
	}
	place := rapid.SampledFrom(slices.Sorted(maps.Keys(m.due))).Draw(t, "of")
	m.wheel.Cancel(place)
	delete(m.due, place)
}

// advance moves on and lets fire what is due, in slices.
func (m *wheelModel) advance(t *rapid.T) {
	before := m.now
	m.now += time.Duration(rapid.OneOf(
		rapid.Int64Range(0, 3*int64(testTick)),
		rapid.Int64Range(0, 200*int64(testTick)),
	).Draw(t, "by"))
	for {
		batch := m.wheel.Expire(m.now, make([]uint32, 0, m.limit))
		for _, place := range batch {
			due, ok := m.due[place]
			if !ok || due > m.now {
				t.Fatalf("%v fired at %v, its due time is %v (set: %v)", place, m.now, due, ok)
			}
			delete(m.due, place)
		}
		if len(batch) < m.limit {
			break
		}
	}
	for place, due := range m.due {
		// The next tick boundary is the latest; one set in the past waits for the tick after its
		// setting.
		if lastTick := m.now / testTick * testTick; due <= lastTick && before/testTick < m.now/testTick {
			t.Fatalf("%v, due at %v, has not fired at %v", place, due, m.now)
		}
	}
}

func (m *wheelModel) check(t *rapid.T) {
	if m.wheel.Len() != len(m.due) {
		t.Fatalf("%d timers, want %d", m.wheel.Len(), len(m.due))
	}
	next, ok := m.wheel.Next()
	if ok != (len(m.due) > 0) {
		t.Fatalf("Next is %v, %v with %d timers", next, ok, len(m.due))
	}
	for place, due := range m.due {
		fires := max((due+testTick-1)/testTick*testTick, (m.now/testTick+1)*testTick)
		if next > fires {
			t.Fatalf("Next is %v, late for %v, which fires at %v", next, place, fires)
		}
	}
}

func TestWheelIsAMapOfDueTimes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := time.Duration(rapid.Int64Range(0, 200*int64(testTick)).Draw(t, "start"))
		m := &wheelModel{
			wheel: NewWheel(testTick, 64, start), due: map[uint32]time.Duration{}, now: start,
			limit: rapid.IntRange(1, 8).Draw(t, "limit"),
		}
		t.Repeat(map[string]func(*rapid.T){"set": m.set, "cancel": m.cancel, "advance": m.advance, "": m.check})
	})
}
