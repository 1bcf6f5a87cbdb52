package cluster

import "testing"

// What a check finds out of one stream says nothing of the one that is in its place when the answer
// comes.
func TestCheckOfAStreamThatIsNoMore(t *testing.T) {
	w := newWorld(1, 1, faults{})
	w.isQuiet, w.mayReset = true, true
	m := w.nodes[0]
	m.open["room1"] = true
	_, _ = m.doors.ask("room1", 10)
	m.wakeUp()
	w.goOn(20)
	for range 20 {
		w.foreign("room1")
	}
	w.goOn(20)
	for i := 0; !m.isChecking; i++ {
		if i > 100 {
			t.Fatal("no check begins")
		}
		w.pass(tickTime)
	}
	if len(m.tasksLeft) != 1 {
		t.Fatalf("%d tasks", len(m.tasksLeft))
	}
	m.work()
	late := m.answered[0] // The check's answer is on its way …
	m.answered = nil
	before := m.epoch
	w.goBack() // … when an empty stream comes.
	w.goOn(200)
	if m.epoch == before || !m.isTrusted {
		t.Fatalf("the epoch is %s, and was %s", m.epoch, before)
	}
	w.free = 100
	m.recent = recent{} // As a new epoch leaves them.
	late()
	if m.recent.fitsTo != 0 || len(m.recent.ends) != 0 {
		t.Errorf("the stream has room up to %d and has ended at %v, by the answer of one that is no more", m.recent.fitsTo, m.recent.ends)
	}
	if w.goOn(100); m.recent.fitsTo == 0 {
		t.Error("no check comes after it")
	}
	w.judge()
	for _, violation := range w.violations {
		t.Error(violation)
	}
}

// Between two looks at a stream it may be filled, and drop what came and was lost on its way: the
// first message behind that, before which the stream has nothing, proves nothing then. In a stream
// that has room enough it does, and that costs no question.
func TestStreamThatFillsBetweenTwoLooks(t *testing.T) {
	for _, test := range []struct {
		name          string
		free          uint64
		drops         bool // for its size; otherwise the room's messages have expired
		resets, holes uint64
	}{
		{"it has room", 1000, false, 0, 0},
		{"nobody knows", 3, false, 0, 1},
		{"it was filled", 3, true, 1, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(1, 1, faults{})
			w.isQuiet, w.mayReset, w.free = true, true, test.free
			m := w.nodes[0]
			m.open["room1"] = true
			_, _ = m.doors.ask("room1", 10)
			m.wakeUp()
			w.goOn(20)
			w.foreign("room1")
			w.goOn(40)
			if test.drops {
				w.foreign("room1")
				m.wire = nil
			}
			for range 5 {
				w.foreign("other")
			}
			w.kept, w.isFull = nil, test.drops
			w.foreign("room1")
			m.deliver(1)
			m.pump()
			for m.isBusy() {
				m.work()
				m.settle()
				m.pump()
			}
			if s := m.Stats(); s.Resets != test.resets || s.Repairs != test.holes {
				t.Errorf("%d resets, %d holes; want %d and %d", s.Resets, s.Repairs, test.resets, test.holes)
			}
			w.goOn(100)
			w.judge()
			for _, violation := range w.violations {
				t.Error(violation)
			}
		})
	}
}
