package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"sluice/hub"
)

// Publishers of more rooms than are looked at under one lock are all told that it is late, each
// once.
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

// What is put goes out together when it is flushed, and not its first message before the others. A
// room that is full need not wait for that.
func TestPutWaitsForFlush(t *testing.T) {
	w := newWorld(1, 1, faults{})
	w.isQuiet = true
	m := w.nodes[0]
	w.goOn(5)
	put := func(n int) {
		for range n {
			if err := m.Put("room", hub.Source{Payload: []byte("x")}, "", nil); err != nil {
				t.Fatal(err)
			}
			m.pump()
		}
	}
	put(16)
	if len(m.attempts) > 0 {
		t.Fatal("something is sent before Flush")
	}
	m.Flush()
	m.Flush()
	m.pump()
	if len(m.attempts) != 1 {
		t.Fatalf("%d packs of one Flush", len(m.attempts))
	}
	if list, err := decode(nil, 1, m.attempts[0].pack); err != nil || len(list) != 16 {
		t.Errorf("%d messages in the pack: %v", len(list), err)
	}
	put(packMessages) // The next pack, and it is full.
	if !m.holds["room"] {
		t.Error("publishers of a full room are not held")
	}
	m.decide(0, 0)
	m.pump()
	if len(m.attempts) != 1 || m.holds["room"] {
		t.Errorf("%d packs, and publishers are held: %v", len(m.attempts), m.holds["room"])
	}
}

// Drain waits while a pack is in flight, and so it is until the last publisher of it was told.
func TestPackIsInFlightUntilAllAreTold(t *testing.T) {
	tap := new(memory).tap()
	n := New(Options{}, tap, tap)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := n.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := n.Open(ctx, "room"); err != nil {
		t.Fatal(err)
	}
	told := false
	err := n.Publish("room", hub.Source{Payload: []byte("a")}, "", func(_ hub.Position, err error) {
		if told = true; err != nil || n.Stats().InFlight != 1 {
			t.Errorf("told of %v while %d packs are in flight", err, n.Stats().InFlight)
		}
	})
	if err != nil {
		t.Error(err)
	}
	if err := n.Drain(ctx); err != nil || !told {
		t.Errorf("drained: %v, told: %t", err, told)
	}
	cancel()
	running.Wait()
}
