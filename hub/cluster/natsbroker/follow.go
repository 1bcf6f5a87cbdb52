package natsbroker

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/hub/cluster"
)

// Subscribe implements cluster.Broker.
func (n *Broker) Subscribe(ctx context.Context, room string) error {
	if err := n.subscribe(room); err != nil {
		return fmt.Errorf("following a room: %w", err)
	}
	return n.nc.FlushWithContext(ctx)
}

// subscribe waits for a socket that takes nothing, as nats.go may anywhere: not under the lock, for
// which the node's goroutine waits in Unsubscribe.
func (n *Broker) subscribe(room string) error {
	s := &n.rooms
	if s.has(room) {
		return nil
	}
	sub, err := n.nc.ChanSubscribe(subject(subjectOut, room, shards), n.incoming.arrived)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[room] != nil { // Somebody else was faster.
		s.ended = append(s.ended, sub)
		n.outgoing.wakeUp()
		return nil
	}
	s.all[room] = sub
	return nil
}

// Unsubscribe implements cluster.Broker. What is on its way still comes. As with Publish, nats.go
// waits for a socket that takes nothing, and so send tells the broker.
func (n *Broker) Unsubscribe(room string) {
	s := &n.rooms
	s.mu.Lock()
	if sub := s.all[room]; sub != nil {
		delete(s.all, room)
		s.ended = append(s.ended, sub)
	}
	s.mu.Unlock()
	n.outgoing.wakeUp()
}

// tellEnded tells the broker which rooms are not followed any more.
func (n *Broker) tellEnded() {
	s := &n.rooms
	s.mu.Lock()
	ended := s.ended
	s.ended = nil
	s.mu.Unlock()
	for _, sub := range ended {
		_ = sub.Unsubscribe() // It fails if the connection is closed: then nothing comes any more.
	}
}

// Live implements cluster.Broker.
func (n *Broker) Live() <-chan cluster.Live { return n.incoming.handed }

// pump takes what has arrived, at once, so that nats.go need not drop it; and holds what the node
// has not time for yet, up to its bounds.
func (n *Broker) pump() {
	var w waiting
	for {
		next, to := w.first(n.incoming.handed)
		select {
		case <-n.quit:
			return
		case m := <-n.incoming.arrived:
			n.arrive(&w, m)
		case to <- next:
			w.drop()
		case done := <-n.incoming.forget:
			w = waiting{}
			n.incoming.clear()
			close(done)
		}
		n.incoming.waiting.Store(int64(w.size))
	}
}

// Forget implements cluster.Broker. It waits for pump, which waits for nobody.
func (n *Broker) Forget() {
	done := make(chan struct{})
	select {
	case n.incoming.forget <- done:
		<-done
	case <-n.quit:
	}
}

func (n *Broker) arrive(w *waiting, m *nats.Msg) {
	r, err := republished(m)
	switch {
	case err != nil:
		n.malformed(m, err)
	case !w.add(r):
		if !w.isDropping {
			w.isDropping = true
			n.happened.raise(cluster.Slow)
		}
		n.counts.dropped.Add(1)
	case w.isDropping: // A room's last message may have been dropped since that was told.
		w.isDropping = false
		n.happened.raise(cluster.Slow)
	}
}

// republished reads what the stream sent.
func republished(m *nats.Msg) (l cluster.Live, err error) {
	if l.Stored, err = stored(m); err != nil {
		return l, err
	}
	if l.Room = roomOf(subjectOut, m.Subject); l.Room == "" {
		return l, fmt.Errorf("%w: no room's subject", errMalformed)
	}
	var ok bool
	if l.Prev, ok = number(m, jetstream.LastSequenceHeader); !ok {
		return l, fmt.Errorf("%w: no sequence of the message before it", errMalformed)
	}
	return l, nil
}
