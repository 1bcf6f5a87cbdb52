package clustertest

import (
	"fmt"
	"slices"
	"testing"

	"sluice/hub"
	"sluice/internal/testenv"
)

// What is removed of a room is nobody's loss: those who follow it go on, are told of no reset, and
// who opens it later finds what came behind.
func TestPurgedRoomsGoOn(t *testing.T) {
	t.Parallel()
	o := withStream(startServer(t).ClientURL())
	a, b := start(t, "a", o, keep(100), patient), start(t, "b", o, keep(100))
	a.open("room")
	b.open("room")
	publish := func(text string) {
		done := make(chan error, 1)
		if err := a.node.Publish("room", hub.Source{Payload: []byte(text)}, "", func(_ hub.Position, err error) { done <- err }); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	heard := func(m *machine, want ...string) {
		t.Helper()
		testenv.Eventually(t, fmt.Sprint(m.name, " has heard ", want), func() bool { return slices.Equal(texts(m.rooms.told("room")), want) })
	}
	publish("1")
	publish("2")
	heard(a, "1", "2")
	heard(b, "1", "2") // A node that has yet to fetch it when it is removed does not get it.
	if err := b.node.Purge(soon(t), "room"); err != nil {
		t.Fatal(err)
	}
	checks := a.node.Stats().Checks
	testenv.Eventually(t, "the room was held against the stream", func() bool { return a.node.Stats().Checks >= checks+4 })
	publish("3")
	heard(a, "1", "2", "3")
	heard(b, "1", "2", "3")
	late := start(t, "late", o, keep(100))
	late.open("room")
	heard(late, "3")
	mustNotReset(t, []*machine{a, b, late})
}
