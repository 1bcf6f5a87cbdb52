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

// expireAll returns every token due at now.
func expireAll(w *Wheel, now time.Duration) []Token {
	return w.Expire(now, make([]Token, 0, w.Len()+1))
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
		token := makeToken(5, 1)
		w.Set(token, c.due)
		if got := expireAll(w, c.fires-1); len(got) != 0 {
			t.Errorf("due at %v, fired by %v", c.due, c.fires-1)
		}
		if got := expireAll(w, c.fires); !slices.Equal(got, []Token{token}) || w.Len() != 0 {
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
			w.Set(makeToken(i, 1), time.Duration(i+1)*testTick)
		}
		if got := expireAll(w, leap*testTick); len(got) != 64 {
			t.Errorf("%d of 64 timers fired after a leap of %d ticks", len(got), leap)
		}
	}
}

func TestNextIsExactForTimersOfThisTurn(t *testing.T) {
	w := newWheel()
	for i := range uint32(50) {
		w.Set(makeToken(i, 1), time.Duration(i+1)*testTick)
	}
	for i := range uint32(49) {
		if i%2 == 0 {
			w.Cancel(makeToken(i, 1))
		} else {
			expireAll(w, time.Duration(i+1)*testTick)
		}
		if next, ok := w.Next(); !ok || next != time.Duration(i+2)*testTick {
			t.Fatalf("Next is %v, %v without the first %d timers", next, ok, i+1)
		}
	}
	w.Cancel(makeToken(49, 1))
	if next, ok := w.Next(); ok {
		t.Errorf("Next is %v without any timer", next)
	}
}

func TestTimerInThePastFiresAtTheNextTick(t *testing.T) {
	w := NewWheel(testTick, 64, time.Hour)
	token := makeToken(0, 1)
	w.Set(token, time.Minute)
	if got := expireAll(w, time.Hour); len(got) != 0 {
		t.Errorf("%v fired in the tick that set it", got)
	}
	if got := expireAll(w, time.Hour+testTick); len(got) != 1 {
		t.Error("it did not fire")
	}
}

func TestTimerAtTheEndOfTimeDoesNotFire(t *testing.T) {
	w := newWheel()
	w.Set(makeToken(0, 1), math.MaxInt64)
	if got := expireAll(w, 100*365*24*time.Hour); len(got) != 0 || w.Len() != 1 {
		t.Errorf("%v fired", got)
	}
}

func TestCancelOfAnotherGenerationIsIgnored(t *testing.T) {
	w := newWheel()
	w.Cancel(makeToken(100_000, 1)) // Never set, in a page that does not exist.
	old, fresh := makeToken(3, 1), makeToken(3, 2)
	w.Set(old, testTick)
	w.Set(fresh, 2*testTick)
	w.Cancel(old)
	if got := expireAll(w, time.Second); !slices.Equal(got, []Token{fresh}) {
		t.Errorf("%v fired, want %v alone", got, fresh)
	}
}

func TestWheelSizesAreRoundedUp(t *testing.T) {
	for asked, want := range map[int]int{0: 64, 1: 64, 64: 64, 65: 128, 2048: 2048, 2049: 4096} {
		if got := len(NewWheel(testTick, asked, 0).heads); got != want {
			t.Errorf("%d slots for %d asked, want %d", got, asked, want)
		}
	}
}

// All are handed out, once, in slices of the caller's size, and setting one anew between two slices does not make it fire
// among the rest.
func TestE06_ManyTimersDueAtOnceComeInSlices(t *testing.T) {
	const count, slice = 100_000, 1024
	w := NewWheel(testTick, 2048, 0)
	for i := range uint32(count) {
		w.Set(makeToken(i, 1), time.Second)
	}
	fired := make([]bool, count)
	total, slices := 0, 0
	for {
		batch := w.Expire(time.Second, make([]Token, 0, slice))
		for _, token := range batch {
			if fired[token.slot()] {
				t.Fatalf("%v fired twice", token)
			}
			fired[token.slot()] = true
			w.Set(token, time.Second+testTick) // As a connection that re-checks its deadline does.
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
	token := makeToken(7, 1)
	w.Set(token, testTick)
	dst := make([]Token, 0, 8)
	now := time.Duration(0)
	if n := testing.AllocsPerRun(100, func() {
		now += testTick
		w.Set(token, now+testTick)
		w.Next()
		w.Expire(now+testTick, dst)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// wheelModel is a map of due times, and of the tokens that hold the slots.
type wheelModel struct {
	wheel *Wheel
	due   map[Token]time.Duration
	now   time.Duration
	limit int // spare capacity given to Expire
}

func (m *wheelModel) set(t *rapid.T) {
	slot := uint32(rapid.IntRange(0, 600).Draw(t, "slot"))
	token := makeToken(slot, uint32(rapid.IntRange(1, 2).Draw(t, "generation")))
	after := rapid.OneOf(
		rapid.Int64Range(-int64(testTick), 3*int64(testTick)),
		rapid.Int64Range(0, 70*int64(testTick)),
		rapid.Int64Range(0, 1000*int64(testTick)),
	).Draw(t, "after")
	for old := range m.due {
		if old.slot() == slot {
			delete(m.due, old)
		}
	}
	m.due[token] = m.now + time.Duration(after)
	m.wheel.Set(token, m.due[token])
}

func (m *wheelModel) cancel(t *rapid.T) {
	if len(m.due) == 0 {
		t.Skip("nothing is set")
	}
	tokens := slices.Sorted(maps.Keys(m.due))
	token := rapid.SampledFrom(tokens).Draw(t, "token")
	m.wheel.Cancel(makeToken(token.slot(), token.generation()+1)) // A stranger.
	m.wheel.Cancel(token)
	delete(m.due, token)
}

// advance moves on and lets fire what is due, in slices.
func (m *wheelModel) advance(t *rapid.T) {
	before := m.now
	m.now += time.Duration(rapid.OneOf(
		rapid.Int64Range(0, 3*int64(testTick)),
		rapid.Int64Range(0, 200*int64(testTick)),
	).Draw(t, "by"))
	for {
		batch := m.wheel.Expire(m.now, make([]Token, 0, m.limit))
		for _, token := range batch {
			due, ok := m.due[token]
			if !ok || due > m.now {
				t.Fatalf("%v fired at %v, its due time is %v (set: %v)", token, m.now, due, ok)
			}
			delete(m.due, token)
		}
		if len(batch) < m.limit {
			break
		}
	}
	for token, due := range m.due {
		// The next tick boundary is the latest; one set in the past waits for the tick after its setting.
		if lastTick := m.now / testTick * testTick; due <= lastTick && before/testTick < m.now/testTick {
			t.Fatalf("%v, due at %v, has not fired at %v", token, due, m.now)
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
	for token, due := range m.due {
		fires := max((due+testTick-1)/testTick*testTick, (m.now/testTick+1)*testTick)
		if next > fires {
			t.Fatalf("Next is %v, late for %v, which fires at %v", next, token, fires)
		}
	}
}

func TestWheelIsAMapOfDueTimes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := time.Duration(rapid.Int64Range(0, 200*int64(testTick)).Draw(t, "start"))
		m := &wheelModel{
			wheel: NewWheel(testTick, 64, start), due: map[Token]time.Duration{}, now: start,
			limit: rapid.IntRange(1, 8).Draw(t, "limit"),
		}
		t.Repeat(map[string]func(*rapid.T){"set": m.set, "cancel": m.cancel, "advance": m.advance, "": m.check})
	})
}
