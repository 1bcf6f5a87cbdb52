package conformance

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"sluice/gateway"
	"sluice/hub/cluster/natsbroker"
	"sluice/hub/nodes"
	"sluice/internal/gatewaytest"
	"sluice/internal/natstest"
	"sluice/internal/sdktest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// What gateways know of each other, over a broker: counts have to be right within soon, and within
// late of a node's death. That they are is tested beside the code, on a clock that the test moves.
// Here a busy machine is given three times as much, and how long it took is logged.
const (
	soon = 2 * time.Second
	late = 10 * time.Second
	busy = 3
)

// A node is a gateway among others.
type node struct {
	*gateway.Server
	addr  string
	nodes *nodes.Nodes
	nats  *natsbroker.Broker
	leave func() // in order; kill closes nats first
}

// startNodes runs gateways that know each other over one broker, until the test ends.
func startNodes(t *testing.T, names ...string) (all []*node) {
	t.Helper()
	url := natstest.Start(t).ClientURL()
	for _, name := range names {
		all = append(all, startNode(t, url, name))
	}
	for _, n := range all {
		testenv.Eventually(t, "all nodes know each other", func() bool { return len(n.Nodes()) == len(names) })
	}
	return all
}

func startNode(t *testing.T, url, name string) *node {
	t.Helper()
	n := new(node)
	var err error
	if n.nats, err = natsbroker.Dial(natsbroker.Options{URLs: []string{url}, Name: name}); err != nil {
		t.Fatal(err)
	}
	n.nodes = nodes.New(nodes.Options{Name: name, Version: "test"}, n.nats.Bus())
	o := gatewaytest.Options()
	o.Nodes = n.nodes
	o.Rooms = []gateway.RoomRule{{Pattern: "kept", Presence: true}, {Pattern: "told", Joins: true}}
	o.Anonymous = []gateway.Grant{{Rooms: []string{"*"}, May: gateway.Read | gateway.Publish | gateway.Presence}}
	n.Server, n.addr = gatewaytest.Start(t, o)
	ctx, end := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- n.nodes.Run(ctx, n.Node()) }()
	n.leave = sync.OnceFunc(func() {
		end()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		n.nats.Close()
	})
	t.Cleanup(n.leave)
	return n
}

// kill makes a node be gone without a word.
func (n *node) kill() {
	n.nats.Close()
	n.leave()
}

// within waits for something, and logs for how long it had to.
func within(t *testing.T, limit time.Duration, what string, is func() bool) {
	t.Helper()
	began := time.Now()
	testenv.Eventually(t, what, is)
	took := time.Since(began)
	if t.Logf("%s after %v", what, took.Round(time.Millisecond)); took > busy*limit {
		t.Errorf("%s only after %v, want %v at most", what, took, limit)
	}
}

// counts reports whether each of these nodes counts so many clients in a room.
func counts(all []*node, room string, want int) func() bool {
	return func() bool {
		return !slices.ContainsFunc(all, func(n *node) bool { return n.Clients(room) != want })
	}
}

// Each node counts the clients of all, soon after they came and went, and those of a dead one no
// longer after a while.
func TestNodesCountEachOthersClients(t *testing.T) {
	t.Parallel() // It waits, most of the time.
	all := startNodes(t, "a", "b", "c")
	var clients []*wstest.Client
	for i := range 9 {
		clients = append(clients, wstest.Join(t, all[i%3].addr, "/ws/kept"))
	}
	within(t, soon, "all count nine", counts(all, "kept", 9))
	clients[0].Close()
	clients[1].Close()
	within(t, soon, "all count seven", counts(all, "kept", 7))
	if n, err := all[0].Users(t.Context(), "kept"); n != 1 || err != nil { // All that are not known are one.
		t.Errorf("%d users, %v", n, err)
	}
	who, err := all[1].Attendees(t.Context(), "kept")
	if err != nil || len(who) != 7 {
		t.Errorf("%d are there, %v", len(who), err)
	}
	all[2].kill()
	within(t, late, "two count four", counts(all[:2], "kept", 4))
	if got := all[0].Nodes(); len(got) != 2 || got[0].Name != "a" || got[1].Name != "b" {
		t.Errorf("nodes: %+v", got)
	}
	if who, err := all[0].Attendees(t.Context(), "kept"); err != nil || len(who) != 4 {
		t.Errorf("%d are there, %v", len(who), err)
	}
	all[1].leave()
	within(t, soon, "one counts two", counts(all[:1], "kept", 2))
}

// A client that is disconnected or taken out of a room may be on any node.
func TestClientsEndOnEveryNode(t *testing.T) {
	t.Parallel()
	all := startNodes(t, "a", "b")
	raw := wstest.Join(t, all[1].addr, "/ws/r")
	client := sdktest.OfGo[0].Open(t, sdktest.Options{URL: spokenAt(all[1].addr)})
	client.Subscribe("told")
	client.Connect()
	events := client.Events()
	id := events.Expect(t, "connected", "", 1).Client
	if came := events.Expect(t, "join", "told", 1).Info.Client; came != id {
		t.Fatalf("%s came first, want %s", came, id)
	}
	other := wstest.Join(t, all[0].addr, "/ws/told")
	defer other.Close()
	events.Expect(t, "join", "told", 2) // on another node than who is told

	r, err := all[0].Unsubscribe(t.Context(), id, "", "told", gateway.Farewell{})
	if want := (gateway.Reach{Clients: 1, Nodes: 2, Answered: 2}); r != want || err != nil {
		t.Errorf("%+v, %v", r, err)
	}
	if code := events.Expect(t, "unsubscribed", "told", 1).Code; code != 2000 {
		t.Errorf("unsubscribed with %d", code)
	}
	if r, err = all[0].Disconnect(t.Context(), id, "", gateway.Farewell{Code: 4500, Reason: "for good"}); r.Clients != 1 || err != nil {
		t.Errorf("%+v, %v", r, err)
	}
	if code := events.Expect(t, "disconnected", "", 1).Code; code != 4500 {
		t.Errorf("disconnected with %d", code)
	}
	if r, err = all[0].DisconnectRoom(t.Context(), "r", gateway.Farewell{}); r.Clients != 1 || !r.IsWhole() || err != nil {
		t.Errorf("%+v, %v", r, err)
	}
	raw.ExpectClose(4012)

	all[1].kill()
	r, err = all[0].DisconnectRoom(t.Context(), "r", gateway.Farewell{}) // It has not been missed yet.
	if err != nil || r.Nodes == 2 && r.IsWhole() {
		t.Errorf("a dead node has answered: %+v, %v", r, err)
	}
}
