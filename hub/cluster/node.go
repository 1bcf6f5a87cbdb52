package cluster

import (
	"sync/atomic"
	"time"
)

// A Node gives the rooms of one gateway the order that all gateways share. All its state but for
// what publishers hand over, and the doors of rooms, is its goroutine's, which Run is; requests
// that wait are made by a few workers, whose answers come back to it.
type Node struct {
	o      Options
	broker Broker
	rooms  Rooms
	boot   string // what ids of its packs begin with: random, so that no other has had them
	start  func(task)

	publisher publisher
	doors     doors
	counters  counters
	status    atomic.Pointer[status]
	wake      chan struct{}
	tasks     chan task
	answers   chan func()
	ended     chan struct{}

	following
	checking
	trust
	others
	samples
	recent    recent
	number    uint64 // of the pack that was sent last
	troubled  []*line
	moved     []*line // held, and have had a pack sent
	isLooking bool
	isOut     bool
	ticks     int
}

func (n *Node) now() time.Duration { return n.o.Elapsed() }

// wakeUp makes the node look at what others have left for it.
func (n *Node) wakeUp() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}
