package natsbroker

import (
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// outgoing is what waits to be sent, and for its answer. The node has at most one pack of a room in
// flight, and packs have a size: that bounds both.
type outgoing struct {
	mu         sync.Mutex
	queue      []*publication
	claims     []*nats.Msg // no more than claimsMax
	answers    map[*nats.Msg]*publication
	wake       chan struct{}
	connection atomic.Uint64 // the one that the node has been told of
}

type publication struct {
	msg        *nats.Msg
	done       func(seq uint64, err error)
	connection uint64
}

func (o *outgoing) init() {
	o.answers = map[*nats.Msg]*publication{}
	o.wake = make(chan struct{}, 1)
}

// wakeUp has send look at what is there.
func (o *outgoing) wakeUp() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *outgoing) take() []*publication {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.queue
	o.queue = nil
	for _, p := range all {
		o.answers[p.msg] = p
	}
	return all
}

func (o *outgoing) answer(m *nats.Msg, seq uint64, err error) {
	o.mu.Lock()
	p := o.answers[m]
	delete(o.answers, m)
	o.mu.Unlock()
	if p != nil {
		p.done(seq, err)
	}
}

// abandon answers all that wait when nobody else will.
func (o *outgoing) abandon() {
	o.take()
	o.mu.Lock()
	left := o.answers
	o.answers = map[*nats.Msg]*publication{}
	o.mu.Unlock()
	for _, p := range left {
		p.done(0, nats.ErrConnectionClosed)
	}
}
