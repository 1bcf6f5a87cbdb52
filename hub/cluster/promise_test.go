package cluster

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"sluice/hub"
)

// openedWorld is a world of quiet nodes, in the first of which room1 is open, and keeps as the
// limits say.
func openedWorld(t *testing.T, nodes, packsMax int, limits hub.History) (*world, *machine, *bytes.Buffer) {
	t.Helper()
	w := newWorld(1, nodes, faults{})
	w.isQuiet, w.mayReset, w.packsMax = true, true, packsMax
	log := new(bytes.Buffer)
	for _, m := range w.nodes {
		m.o.PacksMax = packsMax
		m.o.HistoryOf = func(string) hub.History { return limits }
		m.o.Log = slog.New(slog.NewTextHandler(log, nil))
	}
	w.open(w.nodes[0], "room1")
	return w, w.nodes[0], log
}

func (w *world) open(m *machine, room string) {
	m.open[room] = true
	_, _ = m.doors.ask(room, 10)
	m.wakeUp()
	w.goOn(20)
}

// A stream that drops messages for its size, or because a room has too many packs, says so once
// when what a room's history has still is among them; and once more if it does it again behind a
// time in which all was there.
func TestRoomCutBelowItsPromiseIsTold(t *testing.T) {
	for _, test := range []struct {
		name   string
		limits hub.History
		say    int // messages in the room, the stream keeps 8
		others int // and in another one
		drop   int // for the stream's size
		want   uint64
	}{
		{"all is kept", hub.History{Messages: 100}, 8, 0, 0, 0},
		{"by size", hub.History{Messages: 100}, 5, 1, 1, 1},
		{"by size, nothing of this room", hub.History{Messages: 3}, 5, 0, 2, 0},
		{"by number", hub.History{Age: worldAge}, 20, 0, 0, 1},
		{"by number, and no more was promised", hub.History{Messages: 4}, 20, 0, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, m, log := openedWorld(t, 1, 8, test.limits)
			for range test.say {
				w.foreign("room1")
				w.goOn(1)
			}
			for range test.others {
				w.foreign("other")
			}
			w.kept = w.kept[test.drop:]
			for range 3 { // Checks.
				w.goOn(int(checkAllTime / tickTime))
			}
			if n, lines := m.Stats().Short, strings.Count(log.String(), "dropped messages that a room's history has still"); n != test.want || lines != int(test.want) {
				t.Errorf("%d times, %d lines, want %d:\n%s", n, lines, test.want, log)
			}
			if test.want == 0 {
				return
			}
			w.now += w.age
			w.goOn(int(checkAllTime / tickTime))
			if m.byName["room1"].isShort {
				t.Error("it is taken for short when what was dropped is older than any promise")
			}
		})
	}
}

// A node on which a room is opened cold tells when the stream has no more of it than one room may
// have, and more is promised.
func TestRoomCutBeforeItIsOpenedIsTold(t *testing.T) {
	for _, test := range []struct {
		limits hub.History
		say    int
		want   uint64
	}{
		{hub.History{Age: worldAge}, 20, 1}, {hub.History{Age: worldAge}, 7, 0}, {hub.History{Messages: 8}, 20, 0}, {hub.History{Messages: 12}, 20, 1},
	} {
		w, _, _ := openedWorld(t, 2, 8, test.limits)
		for range test.say {
			w.foreign("room1")
		}
		w.goOn(1)
		w.open(w.nodes[1], "room1")
		if n := w.nodes[1].Stats().Short; n != test.want {
			t.Errorf("%+v, %d messages: %d times, want %d", test.limits, test.say, n, test.want)
		}
	}
}

// A room that is opened cut, cut on with every message, and opened again is told once, however far
// the promise goes beyond what the stream keeps.
func TestOneCutIsToldOnce(t *testing.T) {
	for most := 9; most <= 24; most++ {
		w, _, _ := openedWorld(t, 2, 8, hub.History{Messages: most})
		m := w.nodes[1]
		for range 20 {
			w.foreign("room1")
		}
		w.goOn(1)
		w.open(m, "room1")
		for range 40 {
			w.foreign("room1")
			w.goOn(20) // A check or two.
		}
		w.open(m, "room1") // Somebody comes once more, and it is filled again.
		if n := m.Stats().Short; n != 1 {
			t.Errorf("a history of %d messages, of which the stream keeps 8, is told to be cut %d times", most, n)
		}
	}
}

// Of a room's packs those are told to be dropped of which the stream has been given as many since
// as it keeps, and not many fewer.
func TestQuartersClaimNothingThatIsKept(t *testing.T) {
	for _, most := range []int{1, 2, 3, 7, 8, 1000} {
		var q quarters
		for seq := range 5 * most {
			q.add(uint64(seq+1), most)
			dropped, is := q.dropped(), uint64(max(0, seq+1-most))
			if dropped > is || is-dropped > uint64((most+3)/4*5-1-most) {
				t.Fatalf("of %d packs and %d kept %d are dropped, and it says %d", seq+1, most, is, dropped)
			}
			if maybe := q.maybeDropped(); maybe+2 < is || maybe > is+uint64((most+3)/4) {
				t.Fatalf("of %d packs and %d kept %d are dropped, and it says that at most %d may be", seq+1, most, is, maybe)
			}
		}
	}
}
