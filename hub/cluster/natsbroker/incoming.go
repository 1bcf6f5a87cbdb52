package natsbroker

import (
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"sluice/hub/cluster"
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

func (s *subscriptions) has(room string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[room] != nil
}

// incoming is what the stream republished, on its way to the node.
type incoming struct {
	arrived chan *nats.Msg
	handed  chan cluster.Live
	forget  chan chan struct{} // what is closed when pump has forgotten
	waiting atomic.Int64       // bytes, for those who watch
}

func (i *incoming) init() {
	i.arrived = make(chan *nats.Msg, arrivedMax)
	i.handed = make(chan cluster.Live, handedMax)
	i.forget = make(chan chan struct{})
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

// waiting is a queue with a bound on messages and on bytes.
type waiting struct {
	all        []cluster.Live
	at         int // all before it has been taken
	size       int
	isDropping bool
}

// first returns the oldest and where it goes, or no channel if there is none.
func (w *waiting) first(to chan cluster.Live) (cluster.Live, chan cluster.Live) {
	if w.at == len(w.all) {
		return cluster.Live{}, nil
	}
	return w.all[w.at], to
}

func (w *waiting) add(r cluster.Live) (ok bool) {
	if len(w.all)-w.at >= waitingMax || w.size+len(r.Pack) > waitingSize {
		return false
	}
	w.all = append(w.all, r)
	w.size += len(r.Pack)
	return true
}

func (w *waiting) drop() {
	w.size -= len(w.all[w.at].Pack)
	w.all[w.at] = cluster.Live{}
	w.at++
	switch {
	case w.at == len(w.all):
		w.all, w.at = w.all[:0], 0
	case w.at >= len(w.all)/2 && w.at >= handedMax:
		w.all, w.at = w.all[:copy(w.all, w.all[w.at:])], 0
	}
}
