package clustertest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/hub/cluster"
	"sluice/internal/natstest"
)

// Whoever may publish into the stream may give a message headers that only the stream should.
func TestB09_PublishersCannotNumberMessages(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	n := dial(t, withStream(s.ClientURL()))
	if err := n.Subscribe(soon(t), "room"); err != nil {
		t.Fatal(err)
	}
	m := nats.NewMsg("sluice.in.0.room")
	for name, values := range map[string][]string{
		"Nats-Msg-Id": {"id.1", "id.2"}, "Nats-Stream": {"OTHER"}, "Nats-Sequence": {"77"}, "Nats-Last-Sequence": {"76"},
		"Nats-Time-Stamp": {"2000-01-01T00:00:00Z"}, "Nats-Subject": {"sluice.in.0.other"},
	} {
		m.Header[name] = values
	}
	if err := n.Conn().PublishMsg(m); err != nil {
		t.Fatal(err)
	}
	live := next(t, n)
	if live.Seq != 1 || live.Prev != 0 || live.ID != "id.1" || live.Room != "room" || live.Time < time.Now().Add(-time.Hour).UnixNano() {
		t.Errorf("republished as %+v", live)
	}
	kept, _, err := n.After(soon(t), "room", 1, 10, 1<<20)
	if err != nil || len(kept) != 1 || fmt.Sprint(kept[0]) != fmt.Sprint(live.Stored) {
		t.Errorf("fetched as %+v, %v", kept, err)
	}
	if is, err := n.At(soon(t), 1); err != nil || is.ID != live.ID || is.Time != live.Time || is.Room != live.Room {
		t.Errorf("the leader has %+v, %v", is, err)
	}
}

// B06: the node takes nothing for a while. What waits for it stays within 32 MiB, it is told that
// something is missing, and can fetch that.
func TestB06_NodeThatTakesNothingIsTold(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	n := dial(t, withStream(s.ClientURL()))
	if err := n.Subscribe(soon(t), "room"); err != nil {
		t.Fatal(err)
	}
	n.Events()
	pack := strings.Repeat("x", 1<<20-4<<10)
	const packs = 60
	for i := range packs {
		mustPublish(t, n, "room", fmt.Sprint("id.", i), pack)
	}
	await(t, n, cluster.Slow)
	if err := n.Subscribe(soon(t), "end"); err != nil {
		t.Fatal(err)
	}
	seen, last := 0, uint64(0)
	for i, l := 0, (cluster.Live{}); l.Room != "end"; i++ {
		mustPublish(t, n, "end", fmt.Sprint("end.", i), "x") // It is dropped as well while all is full.
		for l = next(t, n); l.Room == "room" && l.Seq > last; l = next(t, n) {
			if seen, last = seen+1, l.Seq; seen%8 == 0 {
				break
			}
		}
	}
	if seen == packs || seen > 16+32+8 {
		t.Errorf("%d of %d packs were kept", seen, packs)
	}
	kept, _, err := n.After(soon(t), "room", packs, 10, 1<<20)
	if err != nil || len(kept) != 1 || kept[0].Seq != packs {
		t.Errorf("the last one: %d kept, %v", len(kept), err)
	}
}

// B08: names that mean something to NATS.
func TestB08_RoomsNamesStayApart(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	n := dial(t, withStream(s.ClientURL()))
	rooms := []string{"a", "a.b", "a..b", "a.b.", ".", "..", "A", "a:b", "a~b", "-", "in.out"}
	for _, room := range rooms {
		if err := n.Subscribe(soon(t), room); err != nil {
			t.Fatal(err)
		}
	}
	for i, room := range rooms {
		mustPublish(t, n, room, fmt.Sprint("id.", i), room)
		if is := next(t, n); is.Room != room || string(is.Pack) != room {
			t.Errorf("%q came as %q of %q", room, is.Pack, is.Room)
		}
	}
	for _, room := range rooms {
		n.Unsubscribe(room)
		kept, _, err := n.After(soon(t), room, 1, 10, 1<<20)
		if err != nil || len(kept) != 1 || kept[0].Room != room {
			t.Errorf("%q keeps %v, %v", room, kept, err)
		}
	}
	mustPublish(t, n, "a", "more", "x")
	mustPublish(t, n, "a.b", "more.2", "x")
	if err := n.Subscribe(soon(t), "end"); err != nil {
		t.Fatal(err)
	}
	mustPublish(t, n, "end", "end", "x")
	if is := next(t, n); is.Room != "end" {
		t.Errorf("%q is followed yet", is.Room)
	}
}
