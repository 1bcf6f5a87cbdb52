package nodes

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var errWire = errors.New("not sent")

// soon is within what counts have to be right, late within what they have to be after a node's
// death.
const (
	soon = 2 * time.Second
	late = 10 * time.Second
)

func TestCountsAreRightWithinTwoSeconds(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	c.at[0].rooms["r"], c.at[1].rooms["r"] = members(3), members(4)
	c.pass(soon)
	for i, want := range []int{4, 3, 7} {
		c.expect(i, "r", want)
	}
	c.at[0].rooms["r"] = members(5)
	delete(c.at[1].rooms, "r")
	c.at[2].rooms["other"] = members(1)
	c.pass(soon)
	c.expect(1, "r", 5)
	c.expect(2, "r", 5)
	c.expect(0, "r", 0)
	c.expect(0, "other", 1)
	if all := c.nodes[0].Tallies(); len(all) != 1 || all["other"].Members != 1 {
		t.Errorf("rooms elsewhere: %v", all)
	}
}

func TestANodeThatComesLateKnowsAllWithinTwoSeconds(t *testing.T) {
	c := newCluster(t, "a", "b")
	for i := range 10_000 {
		c.at[0].rooms[fmt.Sprintf("room-%d", i)] = members(1 + i%7)
	}
	c.pass(3 * time.Second)
	i := c.add("c")
	c.at[i].rooms["room-5"] = members(2)
	c.pass(soon)
	for _, room := range []int{0, 1, 4999, 9999} {
		c.expect(i, fmt.Sprintf("room-%d", room), 1+room%7)
	}
	c.expect(1, "room-5", 1+5+2)
	if got := len(c.nodes[i].Tallies()); got != 10_000 {
		t.Errorf("it knows %d rooms of 10,000", got)
	}
}

func TestDeadNodesCountNoLongerAfterTenSeconds(t *testing.T) {
	c := newCluster(t, "a", "b")
	c.at[1].rooms["r"] = members(4)
	c.pass(soon)
	c.kill(1)
	c.pass(silenceMax - 2*beatEvery)
	c.expect(0, "r", 4) // It may be a pause.
	c.pass(late - silenceMax)
	c.expect(0, "r", 0)
	if s := c.nodes[0].Stats(); s.Nodes != 1 || s.Came != 1 || s.Gone != 1 {
		t.Errorf("%+v", s)
	}
	if !strings.Contains(c.log.String(), `msg="a node is there" node=b`) || !strings.Contains(c.log.String(), `msg="a node is gone" node=b`) {
		t.Errorf("the log has:\n%s", &c.log)
	}
}

func TestANodeThatLeavesCountsNoLongerAtOnce(t *testing.T) {
	c := newCluster(t, "a", "b")
	c.at[1].rooms["r"] = members(4)
	c.pass(soon)
	c.nodes[1].leave()
	c.kill(1)
	c.nodes[0].hear(t.Context(), c.notes[0])
	c.expect(0, "r", 0)
}

// A node that was not scheduled for long hears first what has come meanwhile.
func TestAPauseOfOursIsNobodysEnd(t *testing.T) {
	c := newCluster(t, "a", "b")
	c.at[1].rooms["r"] = members(4)
	c.pass(soon)
	c.now += time.Minute
	c.nodes[1].beat()
	c.nodes[0].hear(t.Context(), c.notes[0])
	c.nodes[0].beat()
	c.expect(0, "r", 4)
	if s := c.nodes[0].Stats(); s.Gone != 0 {
		t.Errorf("%d nodes are gone", s.Gone)
	}
}

func TestNoMoreNodesThanAreHeard(t *testing.T) {
	c := newCluster(t, "a")
	for i := range nodesMax + 5 {
		one := note{From: fmt.Sprint("stranger", i), Report: &report{Number: 1, About: &about{Name: "x"}}}
		c.nodes[0].take(t.Context(), one.pack())
	}
	if s := c.nodes[0].Stats(); s.Nodes != nodesMax+1 || s.Refused != 5 {
		t.Errorf("%d nodes and %d refused", s.Nodes, s.Refused)
	}
}

func TestStrangeNotesAreCountedAndChangeNothing(t *testing.T) {
	c := newCluster(t, "a", "b")
	c.at[1].rooms["r"] = members(4)
	c.pass(soon)
	id := c.nodes[1].id
	strange := []string{
		"", "null", "[]", "{", `{"v":2,"from":"x","leaves":true}`, `{"v":1,"leaves":true}`, `{"v":1,"from":"` + strings.Repeat("x", 65) + `"}`,
		`{"v":1,"from":"` + id + `","report":{"n":99,"rooms":{"r":{"m":-1}}}}`,
		`{"v":1,"from":"` + id + `","report":{"n":99,"rooms":{"":{"m":1}}}}`,
		`{"v":1,"from":"` + id + `","report":{"n":99,"rooms":{"r":{"m":1,"u":1,"k":[1,2]}}}}`,
		`{"v":1,"from":"` + id + `","report":{"n":99,"about":{"name":"` + strings.Repeat("x", 256) + `"}}}`,
		`{"v":1,"from":"nobody","report":{"n":99}}`,
	}
	for _, p := range strange {
		c.nodes[0].take(t.Context(), []byte(p))
	}
	c.expect(0, "r", 4)
	if s := c.nodes[0].Stats(); s.Refused != uint64(len(strange)) || s.Nodes != 2 {
		t.Errorf("%d refused of %d, %d nodes", s.Refused, len(strange), s.Nodes)
	}
	if n := strings.Count(c.log.String(), "is not understood"); n != 1 {
		t.Errorf("the log has %d lines of it, want one", n)
	}
}

func TestTwoNodesOfOneName(t *testing.T) {
	c := newCluster(t, "a", "a")
	c.pass(soon)
	if !strings.Contains(c.log.String(), "two nodes have the same name") {
		t.Errorf("the log has:\n%s", &c.log)
	}
	if all := c.nodes[0].List(); len(all) != 2 || all[0].ID != c.nodes[0].id || all[1].ID != c.nodes[1].id {
		t.Errorf("%+v", all)
	}
}

func TestListTellsOfEachNode(t *testing.T) {
	c := newCluster(t, "b", "c", "a")
	c.at[2].rooms["r"] = members(7)
	c.pass(soon)
	c.now += time.Second
	all := c.nodes[0].List()
	names := []string{}
	for _, one := range all {
		names = append(names, one.Name)
	}
	if !slices.Equal(names, []string{"b", "a", "c"}) || all[0].ID != c.nodes[0].id || all[0].Silent != 0 || all[0].Uptime != c.now {
		t.Fatalf("%+v", all)
	}
	if a := all[1]; a.Members != 7 || a.Rooms != 1 || a.Version != "v1" || a.Address != "[::]:8080" || a.Silent < time.Second || a.Silent > 3*time.Second {
		t.Errorf("%+v", a)
	}
}
