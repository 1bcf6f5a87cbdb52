package hub

import "testing"

// N22. A member whose stream is to end gets what was published up to a position, and never a part of a frame, wherever it stands: at
// a boundary or inside a frame, with bytes at the transport or not, and when a second Finish ends it sooner.
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

// The transport has several frames when the stream is ended inside the first of them, and the kernel takes any part.
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
