package natsbroker

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/hub/cluster"
)

// attemptTimeout is how long the broker may take to acknowledge a pack. After that it is in doubt:
// it may be stored all the same.
const attemptTimeout = 2 * time.Second

// errMoved is of an answer that came by a later connection than the node knew of: the stream may be
// another one there.
var errMoved = errors.New("the connection to the NATS servers is another one")

// Publish implements cluster.Broker. It only queues: nats.go waits for a socket that takes nothing.
func (n *Broker) Publish(room, id string, pack []byte, done func(seq uint64, err error)) {
	m := nats.NewMsg(subject(subjectIn, room, shards))
	m.Header[jetstream.MsgIDHeader] = []string{id}
	m.Data = pack
	o := &n.outgoing
	o.mu.Lock()
	o.queue = append(o.queue, &publication{m, done, o.connection.Load()})
	o.mu.Unlock()
	o.wakeUp()
}

// send takes publications from the queue, in order, and tells the broker what is not followed any
// more, and the others what this node claims.
func (n *Broker) send() {
	for {
		select {
		case <-n.quit:
			return
		case <-n.outgoing.wake:
		}
		for _, p := range n.outgoing.take() {
			n.sendOne(p)
		}
		n.tellEnded()
		n.tellClaims()
	}
}

func (n *Broker) sendOne(p *publication) {
	if !n.nc.IsConnected() || n.connection() != p.connection {
		n.outgoing.answer(p.msg, 0, fmt.Errorf("%w: %w", cluster.ErrNotStored, nats.ErrDisconnected))
		return
	}
	// Without retries: nats.go's would change the order.
	_, err := n.js.PublishMsgAsync(p.msg, jetstream.WithRetryAttempts(0))
	switch {
	case err == nil:
		return
	case errors.Is(err, nats.ErrMaxPayload):
		err = fmt.Errorf("%w: %w", cluster.ErrRefused, err)
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionReconnecting):
		err = fmt.Errorf("%w: %w", cluster.ErrNotStored, err)
	}
	n.outgoing.answer(p.msg, 0, err)
}

// publishOptions make nats.go tell us of every answer, by its own goroutines.
func (n *Broker) publishOptions() []jetstream.JetStreamOpt {
	return []jetstream.JetStreamOpt{
		jetstream.WithPublishAsyncTimeout(attemptTimeout),
		jetstream.WithPublishAsyncMaxPending(1 << 30), // At a bound of its own it would wait. The node has one.
		jetstream.WithPublishAsyncAckHandler(func(_ jetstream.JetStream, m *nats.Msg, a *jetstream.PubAck) {
			n.acknowledged(m, a.Sequence)
		}),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, m *nats.Msg, err error) {
			n.outgoing.answer(m, 0, n.refusal(err))
		}),
	}
}

// refusal tells what a publication's error means.
func (n *Broker) refusal(err error) error {
	var refused *jetstream.APIError
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		n.happened.raise(cluster.Up) // Nobody listens on the subject: the stream is gone, or has no leader.
		return fmt.Errorf("%w: %w", cluster.ErrNotStored, err)
	case errors.As(err, &refused) && refused.ErrorCode == jetstream.JSErrCodeStreamMessageExceedsMaximum:
		return fmt.Errorf("%w: %w", cluster.ErrRefused, err)
	}
	return err
}

// acknowledged takes the stream's word, if it is that of which the node knew.
func (n *Broker) acknowledged(m *nats.Msg, seq uint64) {
	o := &n.outgoing
	o.mu.Lock()
	p := o.answers[m]
	o.mu.Unlock()
	if p != nil && p.connection != n.connection() {
		o.answer(m, 0, errMoved)
		return
	}
	o.answer(m, seq, nil)
}
