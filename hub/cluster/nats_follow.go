package cluster

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Bounds on what was republished and the node has not taken. What is beyond is dropped, and fetched
// again when the node finds it missing.
const (
	arrivedMax  = 1 << 8   // messages between nats.go and pump, which takes them at once
	waitingMax  = 1 << 16  // messages between pump and the node
	waitingSize = 32 << 20 // and their bytes
	handedMax   = 16       // messages in the channel that the node reads
)

// subscriptions are the rooms that are followed. All of them end in one channel: a goroutine for
// each, as nats.go's callbacks have it, would cost 10,000 of them 2 KB apiece.
type subscriptions struct {
	mu    sync.Mutex
	all   map[string]*nats.Subscription
	ended []*nats.Subscription // of which the broker has yet to be told: no more than were made
}

func (s *subscriptions) init() { s.all = map[string]*nats.Subscription{} }

// incoming is what the stream republished, on its way to the node.
type incoming struct {
	arrived chan *nats.Msg
	handed  chan Live
	forget  chan chan struct{} // what is closed when pump has forgotten
	waiting atomic.Int64       // bytes, for those who watch
}

func (i *incoming) init() {
	i.arrived = make(chan *nats.Msg, arrivedMax)
	i.handed = make(chan Live, handedMax)
	i.forget = make(chan chan struct{})
}

// Subscribe implements Broker.
func (n *NATS) Subscribe(ctx context.Context, room string) error {
	if err := n.subscribe(room); err != nil {
		return fmt.Errorf("following a room: %w", err)
	}
	return n.nc.FlushWithContext(ctx)
}

func (n *NATS) subscribe(room string) error {
	s := &n.rooms
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[room] != nil {
		return nil
	}
	sub, err := n.nc.ChanSubscribe(subject(subjectOut, room, shards), n.incoming.arrived)
	if err == nil {
		s.all[room] = sub
	}
	return err
}

// Unsubscribe implements Broker. What is on its way still comes. As with Publish, nats.go waits for
// a socket that takes nothing, and so send tells the broker.
func (n *NATS) Unsubscribe(room string) {
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
func (n *NATS) tellEnded() {
	s := &n.rooms
	s.mu.Lock()
	ended := s.ended
	s.ended = nil
	s.mu.Unlock()
	for _, sub := range ended {
		_ = sub.Unsubscribe() // It fails if the connection is closed: then nothing comes any more.
	}
}

// Live implements Broker.
func (n *NATS) Live() <-chan Live { return n.incoming.handed }

// pump takes what has arrived, at once, so that nats.go need not drop it; and holds what the node
// has not time for yet, up to its bounds.
func (n *NATS) pump() {
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

// Forget implements Broker. It waits for pump, which waits for nobody.
func (n *NATS) Forget() {
	done := make(chan struct{})
	select {
	case n.incoming.forget <- done:
		<-done
	case <-n.quit:
	}
}

// clear drops what is on its way to pump and from there.
func (i *incoming) clear() {
	for {
		select {
		case <-i.arrived:
		case <-i.handed:
		default:
			return
		}
	}
}

func (n *NATS) arrive(w *waiting, m *nats.Msg) {
	r, err := republished(m)
	switch {
	case err != nil:
		n.malformed(m, err)
	case !w.add(r):
		if !w.isDropping {
			w.isDropping = true
			n.happened.raise(Slow)
		}
		n.counts.dropped.Add(1)
	case w.isDropping: // A room's last message may have been dropped since that was told.
		w.isDropping = false
		n.happened.raise(Slow)
	}
}

// malformed counts a message that makes no sense, and logs the first of them.
func (n *NATS) malformed(m *nats.Msg, err error) {
	if n.counts.malformed.Add(1) <= deniedLines {
		n.log.Warn("a message of the NATS servers is dropped", "subject", m.Subject, "error", err)
	}
}

// waiting is a queue with a bound on messages and on bytes.
type waiting struct {
	all        []Live
	at         int // all before it has been taken
	size       int
	isDropping bool
}

// first returns the oldest and where it goes, or no channel if there is none.
func (w *waiting) first(to chan Live) (Live, chan Live) {
	if w.at == len(w.all) {
		return Live{}, nil
	}
	return w.all[w.at], to
}

func (w *waiting) add(r Live) (ok bool) {
	if len(w.all)-w.at >= waitingMax || w.size+len(r.Pack) > waitingSize {
		return false
	}
	w.all = append(w.all, r)
	w.size += len(r.Pack)
	return true
}

func (w *waiting) drop() {
	w.size -= len(w.all[w.at].Pack)
	w.all[w.at] = Live{}
	w.at++
	switch {
	case w.at == len(w.all):
		w.all, w.at = w.all[:0], 0
	case w.at >= len(w.all)/2 && w.at >= handedMax:
		w.all, w.at = w.all[:copy(w.all, w.all[w.at:])], 0
	}
}

// republished reads what the stream sent.
func republished(m *nats.Msg) (l Live, err error) {
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
