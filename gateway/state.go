package gateway

import (
	"context"
	"errors"
	"time"

	"sluice/hub"
	"sluice/reactor"
)

// LagBounds are the upper bounds, in bytes, of State.Lags; those further behind than the last of
// them are counted behind it.
var LagBounds = [...]int64{0, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20}

// A State says how a Server stands at one moment, where Stats say what it has done.
type State struct {
	Connections     int // that exist, those that net/http has included
	HTTPConnections int // … that net/http has
	Rooms           int
	RoomLogs        int64  // bytes that all rooms take
	RoomLogsMax     int64  // … and may take: Options.BacklogMemory, with any History HistoryMemory too, and less while memory is short
	Pinned          int64  // … of them of dropped frames, for clients inside them
	RoomLogDrops    uint64 // times a room dropped something because all took too much, since the start
	MemoryStep      int    // what is done about memory running short: 0 nothing, 1 rooms keep less, 2 no new rooms, 3 no new connections, 4 the largest rooms drop

	Members    int                        // connections in rooms
	Readers    int                        // … that read events
	Blocked    int                        // … whose kernel took less than it was given, and that have not caught up since
	Slow       int                        // … that are blocked beyond half of the backlog for ten seconds
	Lags       [len(LagBounds) + 1]uint64 // members by how many bytes they are behind
	LagSum     int64                      // bytes that all are behind
	HeldByRoom int                        // senders that are not read on because of their rooms
	HeldByRate int                        // … and because they were over a rate

	Histories hub.HistoryStats // what rooms keep for those who come later, of which RoomLogs has the memory

	Nodes []hub.NodeInfo // gateways of the cluster, this one first; nil: it is in none
	Notes hub.NodesStats // … and what they have told each other

	Loops []LoopState
}

// A LoopState is one loop's part.
type LoopState struct {
	Connections int           // … and its listeners
	Busy        time.Duration // since the start: what it did not wait
	HasRing     bool          // it makes many writes in one system call where that costs less: see FlushRing
}

// State asks the loops how their connections stand, some in each tick, and waits for the answers
// unless ctx ends first, which is an error, or a loop does not answer. It is no picture of one
// instant: connections that come or go meanwhile may be in it or not. Before Serve and after Close
// nobody is asked.
func (s *Server) State(ctx context.Context) (State, error) {
	sum := State{
		Connections: s.Open(), HTTPConnections: int(s.lent.Load()), Rooms: s.hub.Rooms(),
		RoomLogs: s.hub.Retained(), RoomLogsMax: s.hub.Limit(), Pinned: s.hub.Pinned(), RoomLogDrops: s.hub.Drops(),
		MemoryStep: int(s.pressure.step()), Loops: make([]LoopState, len(s.workers)),
	}
	if s.nodes != nil {
		sum.Nodes, sum.Notes = s.nodes.List(), s.nodes.Stats()
	}
	if s.config().keepsHistory() {
		sum.Histories = s.hub.Histories()
	}
	if !s.isRunning() {
		return sum, nil
	}
	err := s.addLoops(ctx, &sum)
	if err == nil {
		err = s.addMembers(ctx, &sum)
	}
	switch {
	case errors.Is(err, ErrClosed): // What there was to be seen is gone.
		return sum, nil
	case err != nil:
		return State{}, err
	}
	return sum, nil
}

func (s *Server) isRunning() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase == phaseServing || s.phase == phaseDraining
}

// addLoops asks each loop about itself.
func (s *Server) addLoops(ctx context.Context, sum *State) error {
	ctx, cancel := s.whileRunning(ctx)
	defer cancel()
	type answer struct {
		no             int
		byRoom, byRate int
		LoopState
	}
	answers := make(chan answer, len(s.workers))
	for _, w := range s.workers {
		if err := s.postRunning(ctx, w, func(l *reactor.Loop) {
			answers <- answer{w.no, w.held.byRoom.senders, w.held.byRate.senders, LoopState{l.Len(), l.Stats().TickTimes.Sum, w.ring != nil}}
		}); err != nil {
			return err
		}
	}
	for range s.workers {
		select {
		case a := <-answers:
			sum.Loops[a.no] = a.LoopState
			sum.HeldByRoom += a.byRoom
			sum.HeldByRate += a.byRate
		case <-ctx.Done():
			return late(ctx)
		}
	}
	return nil
}

// A census counts the members of one loop.
type census struct {
	members, readers int
	blocked, slow    int
	lags             [len(LagBounds) + 1]uint64
	sum              int64
}

func (s *Server) addMembers(ctx context.Context, sum *State) error {
	parts := make([]census, len(s.workers))
	if err := s.walk(ctx, func(w *worker) func(*conn) { return parts[w.no].count }); err != nil {
		return err
	}
	for i := range parts {
		p := &parts[i]
		sum.Members += p.members
		sum.Readers += p.readers
		sum.Blocked += p.blocked
		sum.Slow += p.slow
		sum.LagSum += p.sum
		for i, n := range p.lags {
			sum.Lags[i] += n
		}
	}
	return nil
}

func (k *census) count(c *conn) {
	m := &c.reader
	if !m.IsIn() {
		return
	}
	k.members++
	if c.past == listens {
		k.readers++
	}
	if m.IsBlocked() {
		k.blocked++
	}
	if m.IsSlow() {
		k.slow++
	}
	behind, i := max(0, m.Behind()), 0
	for i < len(LagBounds) && behind > LagBounds[i] {
		i++
	}
	k.lags[i]++
	k.sum += behind
}
