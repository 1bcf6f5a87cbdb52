package nodes

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"sluice/hub"
	"sluice/internal/testenv"
)

func TestLostReportsAreAskedFor(t *testing.T) {
	c := newCluster(t, "a", "b")
	c.pass(soon)
	c.wire.lose = func(subject string, note []byte) bool { return bytes.Contains(note, []byte(`"lost"`)) }
	c.at[0].rooms["lost"] = members(1)
	c.pass(beatEvery)
	c.wire.lose = nil
	c.expect(1, "lost", 0)
	c.pass(soon)
	c.expect(1, "lost", 1)
	if s := c.nodes[1].Stats(); s.Lost != 1 {
		t.Errorf("%d times something was lost, want once", s.Lost)
	}
	c.wire.lose = func(string, []byte) bool { return true }
	delete(c.at[0].rooms, "lost") // And what says that a room has gone.
	c.pass(beatEvery)
	c.wire.lose = nil
	c.pass(soon)
	c.expect(1, "lost", 0)
}

func TestWhatCannotBeSentIsSaidLater(t *testing.T) {
	c := newCluster(t, "a", "b")
	c.pass(soon)
	c.wire.isDown = true
	c.at[0].rooms["r"] = members(2)
	c.pass(soon)
	c.wire.isDown = false
	c.pass(soon)
	c.expect(1, "r", 2)
	if s := c.nodes[0].Stats(); s.Unsent == 0 {
		t.Error("nothing was counted")
	}
}

func TestReportsAreSmallAndFew(t *testing.T) {
	c := newCluster(t, "a", "b")
	largest, n := 0, 0
	c.wire.lose = func(_ string, p []byte) bool {
		largest, n = max(largest, len(p)), n+1
		return false
	}
	keys := make([]uint64, hub.TallyKeysMax)
	for i := range keys {
		keys[i] = 1<<63 + uint64(i)
	}
	for i := range 2_000 {
		c.at[0].rooms[fmt.Sprintf("a-room-with-a-long-name-%d", i)] = hub.Tally{Members: 100, Users: 100, Keys: keys[:1+i%hub.TallyKeysMax]}
	}
	c.pass(soon)
	if largest > 2*partBytes {
		t.Errorf("a note has %d bytes", largest)
	}
	n = 0
	c.pass(late) // Nothing changes: one says every second that it is there, and everything once.
	if whole := len(parts(c.at[0].rooms)); n > whole+1+2*int(late/sayEvery) {
		t.Errorf("%d notes in %v, of which everything is %d", n, late, whole)
	}
}

func TestMoreRoomsThanAreToldOf(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "a", "b")
	for i := range reportedMax + 10 {
		c.at[0].rooms[fmt.Sprint(i)] = members(1)
	}
	c.pass(soon)
	if got := len(c.nodes[1].Tallies()); got != reportedMax {
		t.Errorf("%d rooms are known, want %d", got, reportedMax)
	}
	if s := c.nodes[0].Stats(); s.Beyond == 0 {
		t.Error("nothing was counted")
	}
}

// What is known of another gateway's room takes no more than SECURITY.md says, with a name of the
// longest and one that comes often, and as many users as are told of one by one.
func TestRoomsOfOthersAreSmall(t *testing.T) {
	const n = 5000
	for _, keys := range []int{0, hub.TallyKeysMax} {
		c := newCluster(t, "a")
		name := strings.Repeat("r", roomMax-8)
		before := testenv.LiveHeap()
		for i := range n {
			one := map[string]tally{fmt.Sprintf("%s%08d", name, i): {Members: 300, Users: keys, Keys: make([]uint64, keys)}}
			r := note{From: "other", Report: &report{Number: uint64(i + 1), About: &about{Name: "other"}, Rooms: one}}
			c.nodes[0].take(t.Context(), r.pack())
		}
		took := (testenv.LiveHeap() - before) / n
		if got := len(c.nodes[0].Tallies()); got != n {
			t.Fatalf("%d rooms are known of %d", got, n)
		}
		most := int64(384)
		if keys > 0 {
			most += 1 << 10
		}
		t.Logf("a room of others with %d keys takes %d bytes", keys, took)
		if took > most && !testenv.RaceEnabled {
			t.Errorf("a room of others with %d keys takes %d bytes, more than %d", keys, took, most)
		}
	}
}
