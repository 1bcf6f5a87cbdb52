package gateway

import (
	"context"
	"errors"
	"time"

	"sluice/hub"
)

// A Cluster gives rooms an order that several gateways share; package hub/cluster has one. A
// message is published into it, and comes back to all gateways, this one included, by Rooms. All
// methods may be called from any goroutine.
type Cluster interface {
	// Publish hands a message over, and does not wait; what m refers to is copied. A message under
	// a key is published once, whoever sends it again soon. done may be nil; otherwise it is called
	// once, must not wait, and tells the message's position, or hub.ErrTooLarge if it is refused
	// for its size after all, or why nobody knows whether it will be published. The errors at once
	// are hub.ErrFull, when nothing was taken because too much waits in the room, and its
	// Rooms.Hold is or will be called; hub.ErrTooLarge; and others, when nothing is taken any more.
	Publish(room string, m hub.Source, key string, done func(hub.Position, error)) error
	// Put is Publish for a loop, which reads several messages in a tick: they go out together, with
	// the next Flush.
	Put(room string, m hub.Source, key string, done func(hub.Position, error)) error
	// Flush sends what was put. It does not wait.
	Flush()
	// Open has the room's messages come, and calls Rooms.Fill before it returns. It waits.
	Open(ctx context.Context, room string) error
	// Release says that nobody is in the room. It does not wait, and may be called with locks held.
	Release(room string)
	// Purge removes what the others keep of a room; this gateway's rooms it leaves alone. It waits.
	Purge(ctx context.Context, room string) error
	// Ready returns why the others cannot be reached, nil if they can.
	Ready() error
}

// Rooms are a server's rooms, as its Cluster calls them: from one goroutine, with no lock held that
// the Cluster's own methods take. They do not wait. What Sources refer to is copied.
type Rooms interface {
	// Append publishes the room's next messages, each at its offset.
	Append(room, epoch string, all []hub.Source)
	// Fill gives a room that keeps messages what there is of it, the oldest first: who stands at
	// the offset before, or behind it, misses nothing. See hub.Hub.Fill.
	Fill(room, epoch string, before uint64, kept []hub.Source)
	// Reset says that continuity is not proved: what the room keeps is void, and Fill comes next.
	Reset(room, epoch string)
	// Proved says that the room had no message behind its last one up to an offset. See
	// hub.Hub.Proved.
	Proved(room, epoch string, offset uint64)
	// Oldest is the oldest message that the room is to keep still. See hub.Hub.Oldest.
	Oldest(room string) (offset uint64, age time.Duration, ok bool)
	// Close asks whether the room may be followed no more: nobody is in it.
	Close(room string) bool
	// Hold makes the room's publishers wait, or no longer.
	Hold(room string, isOn bool)
	// Outage says that the others cannot be reached, or can be again.
	Outage(isOn bool)
	// HistoryOf is what a room keeps, by the rules of the moment. Any goroutine may ask.
	HistoryOf(room string) hub.History
}

// Errors of what a Cluster has a part in.
var (
	ErrUnacknowledged = errors.New("the cluster has not acknowledged the message: it may be published all the same, and only under an Idempotency-Key is it safe to send it again")
	ErrUnfilled       = errors.New("what the room keeps cannot be had from the cluster at the moment")
)

// Nodes are the gateways of a cluster, as one of them knows them; those of sluice/hub/nodes are.
// What is asked and told is JSON. The methods are called from any goroutine, and but for Ask do not
// wait.
type Nodes interface {
	// Ask puts a question to all others (their LocalNode.Answer) and waits for their answers until
	// ctx ends. A node that does not answer in time is counted.
	Ask(ctx context.Context, question []byte) (hub.NodeAnswers, error)
	// Tell tells all others something (their LocalNode.Told), which may be lost. Loops call it.
	Tell(what []byte)
	// Tally is how many are in a room on all others, and Tallies are all rooms in which there are
	// some.
	Tally(room string) hub.Tally
	Tallies() map[string]hub.Tally
	// List are all nodes, this one first.
	List() []hub.NodeInfo
	Stats() hub.NodesStats
}
