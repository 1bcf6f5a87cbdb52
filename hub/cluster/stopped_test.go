package cluster

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// A process that was stopped between a question and its answer may have slept through messages that were lost on their way and
// have expired since. The answer, in which there are none, proves nothing, and the room is told.
func TestStoppedBetweenQuestionAndAnswer(t *testing.T) {
	w := newWorld(1, 1, faults{expires: true})
	w.isQuiet = true
	m := w.nodes[0]
	w.join(m)
	room := m.order0(w)
	w.foreign(room)
	w.goOn(20)
	for i := 0; !m.isChecking; i++ {
		if i > 100 {
			t.Fatal("no check begins")
		}
		w.pass(tickTime)
	}
	w.foreign(room)
	m.wire = nil
	w.foreign("another")
	w.now += 2 * worldAge
	w.expire()
	for m.isBusy() {
		m.work()
		m.settle()
		m.pump()
	}
	if v := m.views[room]; !v.stretches[0].isEnded {
		t.Errorf("the room goes on: %v, and there was %v", v.stretches[0].items, w.truthOf(room))
	}
}

// A connection that hangs, and that nobody has given up yet, is why the stream does not answer.
func TestOutageHasAReason(t *testing.T) {
	w := newWorld(1, 1, faults{})
	w.isQuiet = true
	m := w.nodes[0]
	w.goOn(5)
	var lines bytes.Buffer
	m.o.Log = slog.New(slog.NewTextHandler(&lines, nil))
	w.now += outageTime + tickTime
	m.watchOutage(w.now)
	if !m.isOut || !strings.Contains(lines.String(), `why="`+errSilent.Error()) {
		t.Error(lines.String())
	}
}
