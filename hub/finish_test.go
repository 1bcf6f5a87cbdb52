package hub

import (
	"bytes"
	"math"
	"testing"
)

// N22. A member whose stream is to end gets what was published up to a position, and never a part
// of a frame, wherever it stands: at a boundary or inside a frame, with bytes at the transport or
// not, and when a second Finish ends it sooner.
func TestN22_StreamEndsAtFrameBoundaries(t *testing.T) {
	const frames, size = 10, 100
	for name, test := range map[string]struct {
		taken  int     // bytes that its socket takes before it refuses
		upTo   []int64 // of each Finish
		frames int     // that it is to get
	}{
		"all that is published":               {250, []int64{1 << 40}, 10},
		"what stood at some time":             {250, []int64{500}, 5},
		"inside its last frame already":       {250, []int64{200}, 3},
		"past it, inside a frame":             {250, []int64{0}, 3},
		"past it, at a boundary":              {200, []int64{0}, 2},
		"before the first byte":               {0, []int64{0}, 0},
		"first all, then what it is in":       {250, []int64{1 << 40, 0}, 3},
		"first what it is in, then all":       {250, []int64{0, 1 << 40}, 3},
		"first what stood, then what it has":  {200, []int64{500, 0}, 2},
		"it has everything":                   {-1, []int64{0}, 10},
		"one byte of the last frame is left":  {999, []int64{0}, 10},
		"one byte of the first frame is sent": {1, []int64{0}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, wide)
			a, m := f.join(0, "r"), f.join(1, "r")
			m.room = test.taken
			for i := range frames {
				a.say(nil, numbered(i))
				f.flush()
			}
			for _, upTo := range test.upTo {
				if m.IsIn() {
					m.Finish(upTo)
				}
			}
			a.say(nil, numbered(frames)) // It is not to get this one, whatever it is owed.
			f.flush()
			for m.IsIn() {
				m.open(7)
			}
			if len(m.got) != test.frames*size {
				t.Errorf("it got %d bytes, want %d whole frames", len(m.got), test.frames)
			}
			r := a.Room()
			a.Leave()
			if acc := r.Account(); acc.Due() != 0 || acc.Delivered != uint64(frames+1+test.frames) {
				t.Errorf("%+v, %d due", acc, acc.Due())
			}
		})
	}
}

// The transport has several frames when the stream is ended inside the first of them, and the
// kernel takes any part.
func TestN22_StreamEndsAtAFrameBoundaryBehindWhatIsHanded(t *testing.T) {
	for _, taken := range []int{0, 1, 99, 100, 101, 250, 500} {
		d := newDesk(t, wide)
		a, m := d.join(0, "r"), d.join(1, "r")
		for i := range 5 {
			a.say(nil, numbered(i))
		}
		d.step()
		m.Finish(0)
		if !m.IsIn() {
			t.Fatal("it left although the transport has bytes of it")
		}
		d.answer(m, taken, Taken)
		for m.IsIn() {
			m.Ready()
			d.step()
			if d.isHanded(m) {
				d.answer(m, 1, Taken)
			}
		}
		if want := (taken + 99) / 100 * 100; len(m.got) != want {
			t.Errorf("the kernel took %d bytes, and it got %d; want %d", taken, len(m.got), want)
		}
	}
}

// A room does not stay full for a client that is being closed and takes nothing, and what that one
// is still owed comes when it takes bytes again.
func TestWhoIsToFinishHoldsNoPublisher(t *testing.T) {
	for name, join := range map[string]func(f *fixture) (*client, func() bool){
		"on the same loop": func(f *fixture) (*client, func() bool) { c := f.join(0, "r"); return c, c.IsIn },
		"on another loop":  func(f *fixture) (*client, func() bool) { c := f.join(1, "r"); return c, c.IsIn },
		"in a bundle":      func(f *fixture) (*client, func() bool) { c := f.subscribe(1, "r"); return c.client, c.IsIn },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, limits(1<<20, 1000))
			a := f.join(0, "r")
			m, isIn := join(f)
			m.room = 250
			for !a.Room().IsFull() {
				a.say(nil, numbered(0))
				f.flush()
			}
			owed := len(a.got)
			m.Finish(math.MaxInt64)
			for i := range 100 {
				if f.flush(); a.Room().IsFull() {
					t.Fatalf("full after %d messages for a client that is being closed", i)
				}
				a.say(nil, numbered(0))
			}
			for range 2 * owed {
				if isIn() {
					m.open(1)
				}
			}
			if isIn() || !bytes.Equal(m.got, a.got[:owed]) {
				t.Errorf("it was owed %d bytes and got %d; it is in: %v", owed, len(m.got), isIn())
			}
		})
	}
}

// The same for one that was overrun in the middle of a frame, of whose rest it takes some now and
// then.
func TestWhoIsToFinishWithTheRestOfADroppedFrameHoldsNoPublisher(t *testing.T) {
	const large, size = 500_000, 50_000
	f := newFixture(t, limits(1<<20, 100_000))
	f.policy = Skip
	a, m := f.join(0, "r"), f.join(0, "r")
	m.room = 1000
	a.say(nil, make([]byte, large))
	f.flush()
	f.outvote()
	for range 30 {
		a.say(nil, make([]byte, size))
		f.flush()
	}
	m.open(1000)
	for range 3 {
		a.say(nil, make([]byte, size))
		f.flush()
	}
	if m.overruns != 1 || !a.Room().IsFull() {
		t.Fatalf("overrun %d times, full: %v", m.overruns, a.Room().IsFull())
	}
	m.Finish(math.MinInt64)
	for range 30 {
		m.open(1000)
		if f.flush(); a.Room().IsFull() {
			t.Fatal("full for a client that is being closed")
		}
		a.say(nil, make([]byte, size))
	}
	if m.open(-1); m.IsIn() || len(m.got) != large {
		t.Errorf("it got %d bytes; it is in: %v", len(m.got), m.IsIn())
	}
}
