package gateway

import (
	"sync"

	"sluice/reactor"
)

// pendingRepliesMax is how many messages of one subscriber may wait for the cluster's
// acknowledgement. Beyond it its commands wait.
const pendingRepliesMax = 256

// pendingReplies are those that a subscriber is owed for what it has published. They go out in the
// order of their commands; those of other commands do not wait for them.
type pendingReplies struct {
	list   []pendingReply
	first  uint64 // number of the first one
	isFull bool   // its commands wait until one is answered
}

// A pendingReply waits for the cluster's acknowledgement, or for those before it.
type pendingReply struct {
	id         uint32 // of its command
	isAnswered bool
	err        error
}

// An ack is the cluster's answer for one message.
type ack struct {
	of  reactor.Token
	no  uint64
	err error
}

// acks are answers on their way to a loop: as many as its subscribers wait for, at most.
type acks struct {
	mu   sync.Mutex
	list []ack

	taken []ack // by the loop, to be handed on
}

// take reports whether there are answers to be handed on, in taken.
func (k *acks) take() bool {
	if len(k.taken) == 0 {
		k.mu.Lock()
		k.taken, k.list = k.list, nil
		k.mu.Unlock()
	}
	return len(k.taken) > 0
}
