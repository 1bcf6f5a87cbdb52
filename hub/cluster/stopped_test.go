package cluster

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"sluice/hub"
)

// A process that was stopped between a question and its answer may have slept through messages that
// were lost on their way and have expired since. The answer, in which there are none, proves
// nothing, and the room is told.
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

// A pack that may have been stored in a stream that is gone is not sent to the one that came after
// it: some may have got it, and nothing knows its id any more.
func TestWhatAGoneStreamMayHaveHadIsNotSentAgain(t *testing.T) {
	w := newWorld(1, 1, faults{})
	w.isQuiet, w.mayReset = true, true
	m := w.nodes[0]
	w.join(m)
	room := m.order0(w)
	w.foreign(room)
	w.goOn(20)
	told := make(chan error, 1)
	if err := m.Node.Publish(room, hub.Source{Payload: []byte("once")}, "", func(_ hub.Position, err error) { told <- err }); err != nil {
		t.Fatal(err)
	}
	for i := 0; len(m.attempts) == 0; i++ {
		if m.pump(); i > 100 {
			t.Fatal("nothing is sent")
		}
		w.pass(tickTime)
	}
	m.decide(0, 1) // It is stored, and nobody says so.
	w.copies = nil
	w.goBack() // to an empty stream
	w.goOn(200)
	select {
	case err := <-told:
		if !errors.Is(err, ErrUnknown) {
			t.Error(err)
		}
	default:
		t.Error("the publisher was told nothing")
	}
	if s := m.Stats(); s.GivenUp != 1 || s.Repeated != 0 || len(w.kept) != 0 {
		t.Errorf("%d given up, %d repeated, the stream has %d", s.GivenUp, s.Repeated, len(w.kept))
	}
}
