package cluster

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"sluice/hub"
)

// Publishers of more rooms than are looked at under one lock are all told that it is late, each once.
func TestAllWhoWaitTooLongAreTold(t *testing.T) {
	const rooms = 2*walkMax + walkMax/2
	w := newWorld(1, 1, faults{})
	w.isQuiet = true
	m := w.nodes[0]
	w.goOn(5)
	told := map[string]int{}
	for i := range rooms {
		room := fmt.Sprint("room", i)
		for range 2 { // One is sent, and one waits.
			if err := m.Node.Publish(room, hub.Source{Payload: []byte("x")}, "", func(_ hub.Position, err error) {
				if errors.Is(err, ErrTimeout) {
					told[room]++
				}
			}); err != nil {
				t.Fatal(err)
			}
			m.pump()
		}
	}
	if s := m.Stats(); s.Waiting != rooms || s.InFlight != rooms {
		t.Errorf("%d packs wait, %d are in flight", s.Waiting, s.InFlight)
	}
	w.now += m.o.PublishTimeout
	for range 10 {
		w.pass(100 * time.Millisecond)
	}
	for i := range rooms {
		if n := told[fmt.Sprint("room", i)]; n != 2 {
			t.Fatalf("in room %d %d of 2 were told", i, n)
		}
	}
	w.bounds(m)
	for _, violation := range w.violations {
		t.Error(violation)
	}
}
