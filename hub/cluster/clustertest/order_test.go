package clustertest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sluice/hub"
	"sluice/internal/testenv"
)

// check holds what all nodes were told against each other and against what publishers were told,
// once the load is over: the same order everywhere, every acknowledged message once, nothing
// doubled, each publisher's own order; and if nothing was reset, nothing lost.
func (l *load) check(t testing.TB, all []*machine, rooms []string) {
	t.Helper()
	defer func() {
		for _, m := range all {
			if text := l.missing(m, rooms); text != "" {
				t.Logf("%s: %q is missing, which was acknowledged at %v", m.name, text, l.acked[text])
			}
		}
	}()
	for _, m := range all {
		testenv.Eventually(t, m.name+" has what was acknowledged", func() bool { return l.missing(m, rooms) == "" })
	}
	order := map[hub.Position]string{}
	for _, m := range all {
		for _, room := range rooms {
			l.checkRoom(t, m, room, order)
		}
	}
	for text, at := range l.acked {
		room, _, _ := strings.Cut(text, " ")
		if is, ok := order[at]; ok && is != text+" in "+room {
			t.Errorf("%q was acknowledged at %v, where %q is", text, at, is)
		}
	}
}

// missing is an acknowledged message that a node was not told, and is not excused from by a reset.
func (l *load) missing(m *machine, rooms []string) string {
	for _, room := range rooms {
		told := map[string]bool{}
		isReset := false
		for _, e := range m.rooms.told(room) {
			told[e.text] = true
			isReset = isReset || e.isReset
		}
		for text := range l.acked {
			if strings.HasPrefix(text, room+" ") && !told[text] && !isReset {
				return text
			}
		}
	}
	return ""
}

func (l *load) checkRoom(t testing.TB, m *machine, room string, order map[hub.Position]string) {
	t.Helper()
	var last hub.Position
	seen := map[string]bool{}
	next := map[string]int{}
	for _, e := range m.rooms.told(room) {
		if e.isReset {
			last = hub.Position{}
			clear(next)
			continue
		}
		if last.Epoch != "" && (e.Epoch != last.Epoch || e.Offset <= last.Offset) {
			t.Fatalf("%s %s: %v behind %v", m.name, room, e.Position, last)
		}
		last = e.Position
		if seen[e.text] {
			t.Errorf("%s %s: %q twice", m.name, room, e.text)
		}
		seen[e.text] = true
		what := e.text + " in " + room
		if is, ok := order[e.Position]; ok && is != what {
			t.Errorf("%s: %q at %v, elsewhere %q", m.name, what, e.Position, is)
		}
		order[e.Position] = what
		if !l.sent[e.text] {
			t.Errorf("%s %s: %q was never published", m.name, room, e.text)
		}
		var by string
		var i int
		if _, err := fmt.Sscanf(strings.TrimPrefix(e.text, room+" "), "%s %d", &by, &i); err != nil || i < next[by] {
			t.Errorf("%s %s: %q comes behind %d of its publisher", m.name, room, e.text, next[by]-1)
		}
		next[by] = i + 1
	}
}

// mustNotReset says that nothing has happened for which continuity may be lost.
func mustNotReset(t testing.TB, all []*machine) {
	t.Helper()
	for _, m := range all {
		if n := m.rooms.resets(); n > 0 {
			t.Errorf("%s was told of %d resets", m.name, n)
		}
	}
}

// mustReset says that each node's rooms were told.
func mustReset(t testing.TB, all []*machine) {
	t.Helper()
	for _, m := range all {
		if m.rooms.resets() == 0 {
			t.Errorf("%s was told of no reset", m.name)
		}
	}
}

// awaitResets waits until all nodes have told all rooms of a reset.
func awaitResets(t testing.TB, all []*machine, rooms []string) {
	t.Helper()
	for _, m := range all {
		testenv.Eventually(t, "all rooms are told", func() bool { return m.rooms.resets() >= len(rooms) })
	}
}

var someRooms = []string{"chat.1", "chat.2", "news"}

// B05: publishers on all nodes, in all rooms.
func TestB05_PublishersOnAllNodesAreHeardInOneOrder(t *testing.T) {
	t.Parallel()
	for _, nodes := range []int{2, 3} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			s := startServer(t)
			all := startAll(t, nodes, withStream(s.ClientURL()), someRooms, patient)
			l := publishOn(all, someRooms, 0)
			l.run(t, 20_000)
			l.stop()
			l.check(t, all, someRooms)
			mustNotReset(t, all)
			if len(l.failed) > 0 {
				t.Errorf("%d messages failed: %v", len(l.failed), l.failed)
			}
		})
	}
}

// A node that comes to a room late gets what it keeps, and what follows, and nothing twice.
func TestRoomOpenedWhileOthersSpeakIsWhole(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	all := startAll(t, 2, withStream(s.ClientURL()), someRooms)
	l := publishOn(all, someRooms, 0)
	l.run(t, 1000)
	late := start(t, "late", withStream(s.ClientURL()), keep(1<<30))
	late.open(someRooms...)
	l.run(t, 5000)
	l.stop()
	all = append(all, late)
	l.check(t, all, someRooms)
	mustNotReset(t, all)
	for _, room := range someRooms {
		a, b := texts(all[0].rooms.told(room)), texts(late.rooms.told(room))
		if !slices.Equal(a[len(a)-len(b):], b) {
			t.Errorf("%s: %d messages, of which the last are not the %d of others", room, len(b), len(a))
		}
	}
}

func texts(all []entry) (list []string) {
	for _, e := range all {
		list = append(list, e.text)
	}
	return list
}
