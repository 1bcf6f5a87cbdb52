package gateway

import (
	"context"
	"errors"
	"strings"
	"sync"

	"sluice/hub"
)

// A scripted cluster is one order of all rooms in memory, that any number of servers share.
type scripted struct {
	mu      sync.Mutex
	nodes   []*scriptedNode
	epoch   string
	seq     uint64
	kept    map[string][]hub.Source
	keys    map[string]hub.Position
	isHeld  bool                   // what is published waits
	isDown  bool                   // likewise, and nothing can be opened
	isStuck func(room string) bool // nil, or whose opening does not end by itself
	waiting []func()
}

func newScripted() *scripted {
	return &scripted{epoch: "epoch001", kept: map[string][]hub.Source{}, keys: map[string]hub.Position{}}
}

// A scriptedNode is its part that one server knows.
type scriptedNode struct {
	*scripted
	rooms    Rooms
	follows  map[string]bool
	released []string
	isFull   bool  // Publish takes nothing
	refuses  error // … and why
	most     int   // bytes of a message; zero: any number
	put      []func()
	flushed  []int // messages of each Flush
}

func (c *scripted) of(node **scriptedNode) func(Rooms) Cluster {
	return func(r Rooms) Cluster {
		n := &scriptedNode{scripted: c, rooms: r, follows: map[string]bool{}}
		c.mu.Lock()
		c.nodes = append(c.nodes, n)
		c.mu.Unlock()
		if node != nil {
			*node = n
		}
		return n
	}
}

func (n *scriptedNode) Publish(room string, m hub.Source, key string, done func(hub.Position, error)) error {
	err := n.Put(room, m, key, done)
	n.Flush()
	return err
}

// Flush publishes what was put. Without it that never happens.
func (n *scriptedNode) Flush() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.put) > 0 {
		n.flushed = append(n.flushed, len(n.put))
	}
	for _, publish := range n.put {
		if n.isHeld || n.isDown {
			n.waiting = append(n.waiting, publish)
		} else {
			publish()
		}
	}
	n.put = nil
}

func (n *scriptedNode) Put(room string, m hub.Source, key string, done func(hub.Position, error)) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.refuses != nil:
		return n.refuses
	case n.isFull:
		return hub.ErrFull
	case n.most > 0 && len(m.Payload) > n.most:
		return hub.ErrTooLarge
	}
	m.Payload, m.Sender = append([]byte(nil), m.Payload...), strings.Clone(m.Sender)
	n.put = append(n.put, func() {
		if done == nil {
			done = func(hub.Position, error) {}
		}
		at, isRepeat := n.keys[room+" "+key]
		if key == "" || !isRepeat {
			n.seq++
			m.Offset = n.seq * 1024 // They jump.
			at = hub.Position{Epoch: n.epoch, Offset: m.Offset}
			n.kept[room] = append(n.kept[room], m)
			for _, one := range n.nodes {
				if one.follows[room] {
					one.rooms.Append(room, n.epoch, []hub.Source{m})
				}
			}
		}
		if key != "" {
			n.keys[room+" "+key] = at
		}
		done(at, nil)
	})
	return nil
}

// set changes the cluster, and has what waits go on if it may.
func (c *scripted) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	if !c.isHeld && !c.isDown {
		for _, publish := range c.waiting {
			publish()
		}
		c.waiting = nil
	}
}

func (n *scriptedNode) Open(ctx context.Context, room string) error {
	if n.isStuck != nil && n.isStuck(room) {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.isDown {
		return errors.New("down")
	}
	n.follows[room] = true
	n.rooms.Fill(room, n.epoch, 0, n.kept[room])
	return nil
}

func (n *scriptedNode) Release(room string) {
	go func() { // The directory's lock is held.
		n.mu.Lock()
		defer n.mu.Unlock()
		n.released = append(n.released, room)
		if n.rooms.Close(room) {
			delete(n.follows, room)
		}
	}()
}

func (n *scriptedNode) Purge(_ context.Context, room string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.isDown {
		return errors.New("down")
	}
	delete(n.kept, room)
	return nil
}

func (n *scriptedNode) Ready() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.isDown {
		return errors.New("down")
	}
	return nil
}

// reset loses what the stream had.
func (c *scripted) reset(epoch string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch, c.kept = epoch, map[string][]hub.Source{}
	for _, n := range c.nodes {
		for room := range n.follows {
			n.rooms.Reset(room, epoch)
			n.rooms.Fill(room, epoch, 0, nil)
		}
	}
}

// hold makes both sides know that a room takes no more, or does again.
func (n *scriptedNode) hold(room string, isOn bool) {
	n.mu.Lock()
	n.isFull = isOn
	n.mu.Unlock()
	n.rooms.Hold(room, isOn)
}

// clustered is a config whose rooms "kept.*" keep messages, and whose order is the cluster's.
func clustered(c *scripted, node **scriptedNode) *config {
	cfg := keeping()
	cfg.Cluster = c.of(node)
	return cfg
}
