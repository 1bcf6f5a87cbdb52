package cluster

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"sluice/hub"
	"sluice/internal/testenv"
)

// A stream that is gone for a minute, under publishers that give all they can, costs what the
// bounds say, and loses nothing that was taken.
func TestGoneForAMinuteUnderFullPublishing(t *testing.T) {
	const rooms = 40
	w := newWorld(1, 1, faults{})
	w.isQuiet = true
	m := w.nodes[0]
	m.o.PublishBytesMax = 2 << 20
	w.goOn(5)
	m.disconnect()
	m.pump()
	accepted, refused, acknowledged := 0, 0, 0
	payload := make([]byte, 3000)
	for tick := range 600 {
		for i := range rooms {
			room := fmt.Sprint("room", i)
			for range 100 {
				copy(payload, fmt.Sprintf("%d.%d ", i, accepted))
				err := m.Node.Publish(room, hub.Source{Payload: payload}, "", func(_ hub.Position, err error) {
					if err == nil {
						acknowledged++
					}
				})
				if errors.Is(err, ErrFull) {
					refused++
					break
				}
				accepted++
			}
		}
		w.pass(100 * time.Millisecond)
		for len(m.attempts) > 0 {
			w.decide(m, 1+tick%3)
		}
		m.pump()
		if m.publisher.cost > m.o.PublishBytesMax+2*int64(len(payload)) {
			t.Fatalf("%d bytes wait, and %d may", m.publisher.cost, m.o.PublishBytesMax)
		}
	}
	if accepted < 500 || refused < 600 || len(m.publisher.held) != rooms || !m.isOut {
		t.Errorf("%d accepted, %d refused, %d of %d rooms held, out: %v", accepted, refused, len(m.publisher.held), rooms, m.isOut)
	}
	w.heal()
	stored := map[string]int{}
	for i := range rooms {
		for _, it := range w.truthOf(fmt.Sprint("room", i)) {
			stored[it.text]++
		}
	}
	for text, n := range stored {
		if n != 1 {
			t.Errorf("%.10s is stored %d times", text, n)
		}
	}
	if s := m.Stats(); len(stored) != accepted || s.GivenUp > 0 || s.Late != uint64(accepted) || acknowledged > 0 || s.WaitingBytes != 0 {
		t.Errorf("%d stored of %d, %d acknowledged; %+v", len(stored), accepted, acknowledged, s) // Publishers were all told that it is late.
	}
	for _, violation := range w.violations {
		t.Error(violation)
	}
}

// What a node takes at worst is the sum of its bounds, of which SECURITY.md tells operators: with
// those of its broker, which natsbroker's test has. The queues that have a bound in bytes take one
// message beyond it, those that have one in messages any of them.
func TestAllBoundsTogether(t *testing.T) {
	var o Options
	o.setDefaults()
	bytes := o.PublishBytesMax + o.HeldBytesMax + int64(o.OpeningsMax)*(o.FillBytesMax+2*int64(o.FetchBytesMax))
	if messages := 1 + o.OpeningsMax; bytes != (272-32)<<20 || messages != 289-272 {
		t.Errorf("%d MiB and %d messages by default, not as SECURITY.md has it", bytes>>20, messages)
	}
	if claims := knownMax * ClaimBytesMax; claims != 2<<20 {
		t.Errorf("%d bytes of what nodes say of the stream, not as SECURITY.md has it", claims)
	}

	// And it is what it takes: all of them full at once, with smaller ones.
	const rooms = 300
	w := newWorld(1, 1, faults{})
	w.isQuiet = true
	m := w.nodes[0]
	m.o.PublishBytesMax, m.o.HeldBytesMax, m.o.FillBytesMax = 4<<20, 4<<20, 1<<20
	m.o.HistoryOf = func(string) hub.History { return hub.History{Age: time.Hour} }
	w.goOn(5)
	for i := range rooms {
		if _, err := m.doors.ask(fmt.Sprint("room", i), rooms); err != nil {
			t.Fatal(err)
		}
	}
	w.goOn(100)
	before := testenv.LiveHeap()
	w.lag, w.lagSince = 1<<20, w.now+time.Hour // No server that answers has what is missing.
	payload := make([]byte, 10_000)
	for i := range 2000 { // The first of each room is lost, and so all others wait for it.
		room := fmt.Sprint("room", i%rooms)
		s := hub.Source{Payload: payload}
		if r := m.byName[room]; r != nil {
			m.wire = append(m.wire, Live{Stored{Room: room, Seq: r.last + uint64(i) + 2, ID: "x", Pack: appendMessage(nil, &s)}, r.last + uint64(i) + 1})
		}
		m.deliver(1)
		m.pump()
		_ = m.Node.Publish(room, s, "", nil)
		m.pump()
		w.bounds(m)
	}
	m.live = nil
	if m.heldBytes < m.o.HeldBytesMax-20_000 || m.publisher.cost < m.o.PublishBytesMax {
		t.Errorf("%d bytes held, %d to be published: the bounds were not reached", m.heldBytes, m.publisher.cost)
	}
	took, may := testenv.LiveHeap()-before, m.o.HeldBytesMax+m.o.PublishBytesMax+int64(rooms*1000)
	if took > may*3/2 { // Slices have up to half more than they need.
		t.Errorf("%d bytes of live heap, and the bounds say %d", took, may)
	}
	for _, violation := range w.violations {
		t.Error(violation)
	}
}
