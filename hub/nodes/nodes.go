package nodes

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice/hub"
)

// What nodes know of each other is made of short reports over a Bus. A node sends what has changed
// in its rooms at once, and all of it to those who ask and from time to time; of whom nothing is
// heard for a while is gone, with all that it had reported.
const (
	// beatEvery is how often a node looks at what has changed in its rooms.
	beatEvery = 500 * time.Millisecond
	// beatShare is how many times as long a look takes the node rests at least, up to restMax:
	// looking at very many rooms is never more than a small part of the time there is.
	beatShare = 20
	restMax   = 1500 * time.Millisecond
	// sayEvery is how often it says that it is there when nothing has changed.
	sayEvery = time.Second
	// allEvery is how often it sends everything without being asked, resendEvery how often it does
	// when asked, and asks.
	allEvery    = 10 * time.Second
	resendEvery = time.Second
	// silenceMax is how long nothing may be heard of a node that is there.
	silenceMax = 6 * time.Second
	// complainEvery is how often the log hears of notes that are not understood.
	complainEvery = time.Minute

	// nodesMax, reportedMax and knownMax bound what is known of others: beyond the first a node is
	// not heard, beyond the second a node does not tell of its rooms, beyond the third nobody knows
	// them. They are counted (hub.NodesStats).
	nodesMax    = 256
	reportedMax = 100_000
	knownMax    = 1 << 20

	// notesMax is how many notes may wait to be read: those beyond it are dropped, and what was in
	// them is asked for.
	notesMax = 4096
	// tellsMax is how many things that are to be told may wait to be sent: those beyond it are not.
	tellsMax = 256
)

// A Local is what is asked of the gateway that a node is.
type Local interface {
	// Report yields the gateway's rooms in which somebody is, and returns the rest of what is told
	// of it, but for what Options say.
	Report(yield func(room string, t hub.Tally) bool) hub.NodeInfo
	// Answer answers another node's question, on a goroutine of its own, until ctx ends. Nil: it
	// cannot.
	Answer(ctx context.Context, question []byte) (answer []byte)
	// Told hears what another node tells. It does not wait.
	Told(what []byte)
}

// Options say how a node is called.
type Options struct {
	Version string               // of the program
	Name    string               // unlike the others' names; in the log, the metrics, the status page
	Elapsed func() time.Duration // the time, on a clock that nobody sets; nil: since New, by the process's
	Log     *slog.Logger         // nil: none
}

// Nodes are all gateways of a cluster, as one of them knows them. Its methods may be called from
// any goroutine, at any time: before Run there are no others.
type Nodes struct {
	o   Options
	id  string
	bus Bus

	tells chan []byte // for all others

	born time.Duration
	asks

	// What Run alone touches.
	local      Local
	sent       map[string]hub.Tally // as the others know this node's rooms
	number     uint64               // of the last report
	saidAt     time.Duration
	allAt      time.Duration // when all was sent last
	wantsAll   bool
	restUntil  time.Duration
	complained time.Duration // when a note was complained of last; zero: never

	counts counts

	mu    sync.RWMutex
	self  hub.NodeInfo
	peers map[string]*peer
	known int // rooms of all of them
}

// counts are what hub.NodesStats has of what is only counted.
type counts struct {
	came, gone, reports, lost, refused, unsent, beyond, asked, unanswered atomic.Uint64
}

// A peer is another node. What is in it changes under Nodes.mu, and is changed by Run alone.
type peer struct {
	info    hub.NodeInfo
	heard   time.Duration
	number  uint64               // of its last report
	isWhole bool                 // rooms has all of them
	askedAt time.Duration        // when it was asked for all
	rooms   map[string]hub.Tally // those with members
	next    map[string]hub.Tally // those of a report of all rooms that has yet to end
	part    int                  // the last one of it
}

// New returns the nodes that are heard on a bus.
func New(o Options, b Bus) *Nodes {
	var id [8]byte
	_, _ = rand.Read(id[:]) // It does not fail.
	n := &Nodes{o: o, id: hex.EncodeToString(id[:]), bus: b, tells: make(chan []byte, tellsMax), sent: map[string]hub.Tally{}, peers: map[string]*peer{}}
	if start := time.Now(); o.Elapsed == nil {
		n.o.Elapsed = func() time.Duration { return time.Since(start) }
	}
	n.o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	n.born = n.o.Elapsed()
	n.self = hub.NodeInfo{ID: n.id, Name: o.Name, Version: o.Version}
	n.waiting, n.slots = map[uint64]*asking{}, make(chan struct{}, answersMax)
	return n
}

// send sends a note, and reports whether it could.
func (n *Nodes) send(subject string, what *note) bool {
	what.From = n.id
	if err := n.bus.Send(subject, what.pack()); err != nil {
		n.counts.unsent.Add(1)
		return false
	}
	return true
}

// List are all nodes: this one, and the others by their names.
func (n *Nodes) List() []hub.NodeInfo {
	now := n.o.Elapsed()
	n.mu.RLock()
	defer n.mu.RUnlock()
	all := []hub.NodeInfo{n.self}
	all[0].Uptime = now - n.born
	for _, p := range n.peers {
		info := p.info
		info.Silent = max(0, now-p.heard)
		all = append(all, info)
	}
	slices.SortFunc(all[1:], func(a, b hub.NodeInfo) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return all
}

// Tally is how many are in a room on all other nodes, by what they have last reported.
func (n *Nodes) Tally(room string) (sum hub.Tally) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, p := range n.peers {
		if t, ok := p.rooms[room]; ok {
			sum.Add(t)
		}
	}
	return sum
}

// Tallies are how many are in each room in which somebody is on another node.
func (n *Nodes) Tallies() map[string]hub.Tally {
	n.mu.RLock()
	defer n.mu.RUnlock()
	sums := map[string]hub.Tally{}
	for _, p := range n.peers {
		for room, t := range p.rooms {
			sum := sums[room]
			sum.Add(t)
			sums[room] = sum
		}
	}
	return sums
}

// Stats are what was counted since the node began.
func (n *Nodes) Stats() hub.NodesStats {
	n.mu.RLock()
	defer n.mu.RUnlock()
	c := &n.counts
	return hub.NodesStats{
		Nodes: 1 + len(n.peers), Came: c.came.Load(), Gone: c.gone.Load(), Reports: c.reports.Load(), Lost: c.lost.Load(),
		Refused: c.refused.Load(), Unsent: c.unsent.Load(), Beyond: c.beyond.Load(), Asked: c.asked.Load(), Unanswered: c.unanswered.Load(),
	}
}
