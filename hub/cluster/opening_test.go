package cluster

import (
	"slices"
	"testing"
	"time"
)

// What is published while a room is being opened is there when it is open: nobody has to ask for it
// a second later.
func TestOpeningMissesNothing(t *testing.T) {
	// One is published before and behind each request: subscribing, the state, the end and, with
	// history, a page.
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

// A client that was in a room in which nothing is said goes on from there on any node, whichever
// began it first; and not if something may have expired in between.
func TestRoomInWhichNothingIsSaidHasNoGap(t *testing.T) {
	w := newWorld(1, 3, faults{expires: true})
	w.isQuiet = true
	open := func(m *machine) *stretch {
		delete(m.views, "room1")
		m.open["room1"] = true
		_, _ = m.doors.ask("room1", 10)
		m.wakeUp()
		w.goOn(20)
		return m.views["room1"].stretches[0]
	}
	w.foreign("other")
	w.goOn(20)
	first := open(w.nodes[0])
	w.foreign("other")
	w.goOn(20)
	second := open(w.nodes[1])
	if second.before > first.before {
		t.Errorf("a client at %d is told of a gap before %d", first.before, second.before)
	}
	w.foreign("other")
	w.goOn(int(checkAllTime / tickTime))
	if at := endOf(w.last); w.nodes[0].proved["room1"] != at || w.nodes[1].proved["room1"] != at {
		t.Errorf("proved up to %v and %v, and the stream ends at %d", w.nodes[0].proved, w.nodes[1].proved, at)
	}
	w.foreign("room1")
	had := endOf(w.last)
	w.foreign("other")
	w.goOn(int(worldAge / tickTime)) // It expires.
	if at := open(w.nodes[2]).before; at < had {
		t.Errorf("a client that has not got the message at %d is told of no gap before %d", had, at)
	}
	if at := open(w.nodes[1]).before; at != had {
		t.Errorf("where the room was open all the time it begins at %d, and its last message was at %d", at, had)
	}
}

// What a check finds out while a room is being opened says nothing of the room as it was when it
// was asked for.
func TestRoomInWhichSomethingIsSaidWhileItIsOpened(t *testing.T) {
	w := newWorld(1, 1, faults{})
	m := w.nodes[0]
	w.isQuiet = true
	w.foreign("other")
	w.goOn(20)
	m.open["room1"] = true
	_, _ = m.doors.ask("room1", 1)
	m.look()
	m.work() // It is asked for …
	w.foreign("room1")
	m.recent = recent{}
	m.recent.note(w.now, &State{First: 1, Last: w.last}, w.age)
	m.settle() // … and answered.
	w.goOn(20)
	w.judge()
	for _, violation := range w.violations {
		t.Error(violation)
	}
}

// A client that comes with a position that is older than half of the stream's age, and of which
// nothing is kept, to a node that did not have the room open, is told of a gap that may be none;
// where it was open nobody is.
func TestRoomInWhichNothingWasSaidForLong(t *testing.T) {
	for _, test := range []struct {
		silent time.Duration
		isGap  bool
	}{{worldAge/2 - 10*time.Second, false}, {worldAge/2 + 10*time.Second, true}} {
		w := newWorld(1, 2, faults{expires: true})
		w.isQuiet = true
		warm, cold := w.nodes[0], w.nodes[1]
		warm.open["room1"] = true
		_, _ = warm.doors.ask("room1", 10)
		warm.wakeUp()
		w.foreign("other")
		w.goOn(20)
		at := endOf(w.last) // As a node would say that opens the room now.
		w.foreign("other")
		w.goOn(int(test.silent / tickTime))
		w.foreign("room1")
		_, _ = cold.doors.ask("room1", 10)
		cold.wakeUp()
		w.goOn(20)
		if before := cold.views["room1"].stretches[0].before; before > at != test.isGap {
			t.Errorf("silent for %v: a client at %d is told of a gap before %d: %v, want %v", test.silent, at, before, before > at, test.isGap)
		}
		if v := warm.views["room1"]; len(v.stretches) != 1 || v.stretches[0].before > at || len(v.stretches[0].items) != 1 {
			t.Errorf("silent for %v: where the room was open it is %+v", test.silent, v.stretches[0])
		}
		for _, violation := range w.violations {
			t.Error(violation)
		}
	}
}

// A client that was in a room before its first message goes on from there, on whichever node, once
// that message is kept; and not if something may have expired in between.
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
