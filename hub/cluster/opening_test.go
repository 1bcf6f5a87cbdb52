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

// Who was in a room before its first message goes on from there, on whichever node, once that message is kept; and not if something
// may have expired in between.
func TestFirstMessageOfAQuietRoomIsNoGap(t *testing.T) {
	w := newWorld(1, 2, faults{expires: true})
	w.isQuiet = true
	open := func(m *machine) uint64 {
		delete(m.views, "room1")
		_, _ = m.doors.ask("room1", 10)
		m.wakeUp()
		w.goOn(20)
		return m.views["room1"].stretches[0].before
	}
	w.foreign("other")
	w.goOn(20)
	at := open(w.nodes[0])
	w.foreign("other")
	w.foreign("room1")
	w.goOn(20)
	for i, m := range w.nodes {
		if before := open(m); before > at || len(m.views["room1"].stretches[0].items) != 1 {
			t.Errorf("node %d: a client at %d is told of a gap before %d", i, at, before)
		}
	}
	w.goOn(int(worldAge / tickTime))
	w.foreign("other")
	w.foreign("room1")
	w.goOn(20)
	if before := open(w.nodes[1]); before <= at {
		t.Errorf("a client at %d misses what has expired, and is not told: %d", at, before)
	}
}
