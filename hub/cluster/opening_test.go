package cluster

import (
	"slices"
	"testing"
)

// What is published while a room is being opened is there when it is open: nobody has to ask for it a second later.
func TestOpeningMissesNothing(t *testing.T) {
	// One is published before and behind each request: subscribing, the state, the end and, with history, a page.
	for room, during := range map[string]int{"room0": 7, "room2": 5} {
		w := newWorld(1, 1, faults{})
		m := w.nodes[0]
		w.isQuiet = true
		w.goOn(3)
		w.foreign(room)
		if _, err := m.doors.ask(room, 1); err != nil {
			t.Fatal(err)
		}
		w.atRequest = func() {
			if during > 0 {
				during--
				w.foreign(room)
			}
		}
		m.look()
		for m.isBusy() {
			m.work()
			m.settle()
			m.deliver(100)
			m.pump()
		}
		if during > 0 || !m.IsOpen(room) {
			t.Fatalf("%s: %d requests were not made, open: %v", room, during, m.IsOpen(room))
		}
		truth := w.truthOf(room)
		s := m.views[room].stretches[0]
		from := slices.IndexFunc(truth, func(i item) bool { return i.offset > s.before })
		if from < 0 || !slices.Equal(s.items, truth[from:]) {
			t.Errorf("%s: %v, want %v", room, s.items, truth)
		}
		if n := m.counters.repairs.Load(); n > 0 {
			t.Errorf("%s: %d repairs", room, n)
		}
	}
}
