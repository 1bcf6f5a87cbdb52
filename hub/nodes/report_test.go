package nodes

import (
	"bytes"
	"fmt"
	"testing"

	"sluice/hub"
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
