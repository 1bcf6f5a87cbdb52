package cluster

import (
	"testing"

	"sluice/hub"
)

// withForged is a node that follows a room, of which a message is to come that the stream does not
// have: its sequence is so many behind the room's last one.
func withForged(behind uint64) (w *world, m *machine, room string) {
	w = newWorld(1, 1, faults{})
	w.isQuiet, w.mayReset, w.isTainted = true, true, true
	m = w.nodes[0]
	w.join(m)
	room = m.order0(w)
	w.foreign(room)
	w.goOn(20)
	last := m.byName[room].last
	s := hub.Source{Payload: []byte("forged")}
	m.wire = []Live{{Stored{Room: room, Seq: last + behind, ID: "nobody's", Pack: appendMessage(nil, &s)}, last}}
	return w, m, room
}

// Whoever may publish where the stream republishes can speak in its place. It is seen at the latest
// when the room's end is asked for, and the room is told: whether the message whose place was taken
// came, too, or was lost.
func TestForgedMessagesAreTold(t *testing.T) {
	for _, comes := range []bool{true, false} {
		w, m, room := withForged(1)
		w.foreign(room)
		if !comes {
			m.wire = m.wire[:1]
		}
		m.deliver(1)
		m.pump()
		if len(m.views[room].stretches) != 1 || m.views[room].isVoid {
			t.Fatal("the room was reset before anything could tell")
		}
		w.goOn(40)
		v := m.views[room]
		if v.isVoid || len(v.stretches) < 2 || !v.stretches[0].isEnded {
			t.Errorf("the other one comes: %v; the room was not reset", comes)
		}
		w.judge()
		for _, violation := range w.violations {
			t.Error(violation)
		}
	}
}

// A hole is not closed from a message that the stream does not have, though what is behind it is
// all there: what the forged one hid is before it.
func TestForgedMessageIsNoPlaceToGoOnFrom(t *testing.T) {
	w, m, room := withForged(2)
	m.deliver(1)
	m.pump()
	w.foreign(room) // lost, and hidden by the forged one
	w.foreign("another")
	w.foreign(room) // lost
	w.foreign(room)
	m.wire = m.wire[len(m.wire)-1:]
	m.deliver(1)
	m.pump()
	for m.isBusy() { // Before any check or audit.
		m.work()
		m.settle()
		m.pump()
	}
	if v := m.views[room]; !v.stretches[0].isEnded {
		t.Errorf("the room goes on: %v, and there was %v", v.stretches[0].items, w.truthOf(room))
	}
}

// order0 is the room that the machine has opened first.
func (m *machine) order0(w *world) string {
	w.goOn(10)
	return m.order[0].name
}
