package nodes

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/hub"
	"sluice/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A wire is a Bus in memory. What is sent lies with each node until it is delivered.
type wire struct {
	mu      sync.Mutex
	to      map[string][]chan<- []byte // by subject
	largest int
	isDown  bool
	lose    func(subject string, note []byte) bool // nil: nothing is lost
}

func newWire() *wire { return &wire{to: map[string][]chan<- []byte{}, largest: 1 << 20} }

func (w *wire) Send(subject string, p []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isDown || len(p) > w.largest {
		return errWire
	}
	if w.lose != nil && w.lose(subject, p) {
		return nil
	}
	for _, to := range w.to[subject] {
		select {
		case to <- p:
		default:
		}
	}
	return nil
}

func (w *wire) Listen(to chan<- []byte, subjects ...string) (func(), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range subjects {
		w.to[s] = append(w.to[s], to)
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for s, all := range w.to {
			w.to[s] = slices.DeleteFunc(all, func(one chan<- []byte) bool { return one == to })
		}
	}, nil
}

// A gateway is a Local with rooms that a test sets.
type gateway struct {
	rooms  map[string]hub.Tally
	answer func(question []byte) []byte
	mu     sync.Mutex
	told   []string
}

func (g *gateway) Report(yield func(string, hub.Tally) bool) (info hub.NodeInfo) {
	for room, t := range g.rooms {
		info.Members += t.Members
		yield(room, t)
	}
	info.Rooms, info.Address = len(g.rooms), "[::]:8080"
	return info
}

func (g *gateway) Answer(_ context.Context, question []byte) []byte {
	if g.answer == nil {
		return nil
	}
	return g.answer(question)
}

func (g *gateway) Told(what []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.told = append(g.told, string(what))
}

// A cluster is some nodes on one wire, with a clock that a test moves. Nobody's goroutine runs:
// notes are taken when the test says so.
type cluster struct {
	t     *testing.T
	wire  *wire
	now   time.Duration
	log   bytes.Buffer
	nodes []*Nodes
	at    []*gateway
	notes []chan []byte
	stop  []func()
}

func newCluster(t *testing.T, names ...string) *cluster {
	c := &cluster{t: t, wire: newWire()}
	for _, name := range names {
		c.add(name)
	}
	return c
}

func (c *cluster) add(name string) int {
	n := New(Options{Name: name, Version: "v1", Elapsed: func() time.Duration { return c.now }, Log: slog.New(slog.NewTextHandler(&c.log, nil))}, c.wire)
	g := &gateway{rooms: map[string]hub.Tally{}}
	notes := make(chan []byte, notesMax)
	stop, err := c.wire.Listen(notes, everyone, toOne+n.id)
	if err != nil {
		c.t.Fatal(err)
	}
	n.begin(g)
	c.nodes, c.at, c.notes, c.stop = append(c.nodes, n), append(c.at, g), append(c.notes, notes), append(c.stop, stop)
	return len(c.nodes) - 1
}

// kill makes a node be silent from now on.
func (c *cluster) kill(i int) {
	c.stop[i]()
	c.nodes[i] = nil
}

// pass moves the clock on by as many beats as fit into a time.
func (c *cluster) pass(d time.Duration) {
	for until := c.now + d; c.now < until; {
		c.now += beatEvery
		for i, n := range c.nodes {
			if n != nil {
				n.hear(c.t.Context(), c.notes[i])
				n.beat()
			}
		}
	}
	for i, n := range c.nodes {
		if n != nil {
			n.hear(c.t.Context(), c.notes[i])
		}
	}
}

// expect holds what a node says of a room on all others against this.
func (c *cluster) expect(node int, room string, members int) {
	c.t.Helper()
	if got := c.nodes[node].Tally(room); got.Members != members {
		c.t.Errorf("node %d counts %d in %s elsewhere, want %d", node, got.Members, room, members)
	}
}

func members(n int) hub.Tally { return hub.Tally{Members: n} }

// running has all nodes run, until the test ends, and know each other.
func running(t *testing.T, w *wire, at map[string]*gateway) map[string]*Nodes {
	t.Helper()
	all := map[string]*Nodes{}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	for name, g := range at {
		n := New(Options{Name: name}, w)
		all[name] = n
		done.Go(func() {
			if err := n.Run(ctx, g); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() { cancel(); done.Wait() })
	for _, n := range all {
		until(t, func() bool { return len(n.List()) == len(at) })
	}
	return all
}

func until(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testenv.Patience); !is(); {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to be")
		}
		time.Sleep(time.Millisecond)
	}
}
