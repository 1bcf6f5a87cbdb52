package process

import (
	"time"

	"sluice/loadtest/internal/latency"
	"sluice/loadtest/internal/load"
)

// Findings are what one process found, and then what all of them did. Processes send them as JSON.
type Findings struct {
	Counts     Counts
	Positions  PositionCounts
	Faults     Faults
	Messages   uint64 // sent in the measured phase
	Expected   uint64
	Lost       uint64
	Unfinished uint64 // not lost, but not waited for
	WarmupLost uint64
	Backlog    int
	Timeouts   int
	Crowd      Crowd
	Latency    latency.Histogram
	Skew       latency.Histogram
	Points     []Point
	// Orders are, by room, the different orders in which clients saw its messages. Those that
	// missed one cannot be compared.
	Orders map[int]map[uint64]bool
	Wire   uint64 // bytes of frames that came to readers, in the measured phase
	Loops  int
	Spent  time.Duration // of processor time, in the measured phase
	Waited time.Duration // for a processor

	Echoed uint64 // deliveries to the client that had sent the message
}

// Findings adds up what the loops found. They must have ended: it comes after StepCollect.
func (p *Process) Findings() *Findings {
	found := &Findings{
		Latency: latency.New(), Skew: latency.New(), Orders: make(map[int]map[uint64]bool),
		Loops: len(p.workers), Spent: p.spent, Waited: p.waited, WarmupLost: p.warmupLost.Load(),
	}
	if p.sampler != nil {
		found.Latency.Merge(p.sampler.total)
		found.Points = p.sampler.points
	}
	for _, w := range p.workers {
		found.Latency.Merge(w.latency)
		found.Skew.Merge(w.skew)
		found.Faults.merge(&w.faults)
		found.Timeouts += w.timeouts
		found.Wire += w.wire
		lost, unfinished := w.missing()
		found.Lost += lost
		found.Unfinished += unfinished
		found.Crowd.add(&w.crowd)
		if w.stormAt > 0 {
			found.Crowd.StormSeconds = max(found.Crowd.StormSeconds, (w.backAt - w.stormAt).Seconds())
			found.Crowd.CaughtUpSeconds = max(found.Crowd.CaughtUpSeconds, (w.caughtUpAt - w.stormAt).Seconds())
		}
		for _, st := range w.streams {
			found.Messages += uint64(st.sent.Load() - w.warm[st.id])
			found.Backlog += max(0, st.backlog)
			found.Echoed += st.echoed()
		}
		for _, c := range w.clients {
			for m := range c.each {
				found.addMembership(c, m)
			}
		}
	}
	return found
}

// addMembership adds what one client saw in a room. Only the deliveries of those count that are
// held to every message.
func (found *Findings) addMembership(c *client, m *membership) {
	found.Expected += c.expected(m)
	counts := m.check.counts
	switch c.kind {
	case load.KindStalled:
		counts.Delivered = 0
	case load.KindSlow:
		found.Crowd.SlowDelivered += counts.Delivered
		counts.Delivered = 0
	case load.KindGuest:
		found.Crowd.GuestsHeard += counts.Delivered
		counts.Delivered = 0
	}
	found.Counts.add(&counts)
	if m.at != nil {
		found.Positions.add(c.positionCounts(m))
	}
	lost, unfinished := m.check.missing(m.room.streams, c)
	isWhole := m.check.clean && lost+unfinished == 0
	if c.wasJoined && c.isJudged() && isWhole && !c.w.process.cfg.NoEcho {
		found.addOrder(m.room.index, m.check.order)
	}
}

func (found *Findings) addOrder(room int, order uint64) {
	if found.Orders[room] == nil {
		found.Orders[room] = make(map[uint64]bool)
	}
	found.Orders[room][order] = true
}

// OrdersMost is the number of different orders in the room where there are most.
func (found *Findings) OrdersMost() (most int) {
	for _, seen := range found.Orders {
		most = max(most, len(seen))
	}
	return most
}

// Add adds what another process found.
func (found *Findings) Add(o *Findings) {
	found.Counts.add(&o.Counts)
	found.Positions.add(o.Positions)
	found.Faults.merge(&o.Faults)
	found.Messages += o.Messages
	found.Expected += o.Expected
	found.Lost += o.Lost
	found.Unfinished += o.Unfinished
	found.WarmupLost += o.WarmupLost
	found.Backlog += o.Backlog
	found.Timeouts += o.Timeouts
	found.Wire += o.Wire
	found.Crowd.add(&o.Crowd)
	found.Latency.Merge(o.Latency)
	found.Skew.Merge(o.Skew)
	join(found.Points, o.Points)
	for room, seen := range o.Orders {
		for order := range seen {
			found.addOrder(room, order)
		}
	}
	found.Loops += o.Loops
	found.Spent += o.Spent
	found.Waited += o.Waited
	found.Echoed += o.Echoed
}

// echoed is how many messages of the measured phase came back to the client that sent them.
func (st *stream) echoed() (n uint64) {
	c := st.client
	if !c.wasJoined || st.isUnheardBy(c) {
		return 0
	}
	n = uint64(c.check.next[st.place] - c.w.warm[st.id])
	for g := range c.check.gaps {
		if g.place == st.place {
			n--
		}
	}
	return n
}

// expected is how many messages of the measured phase the client should have got in a room: all but
// those of which a reset told that it would not.
func (c *client) expected(m *membership) (n uint64) {
	if !c.wasJoined || !c.isJudged() {
		return 0
	}
	for _, st := range m.room.streams {
		if !st.isUnheardBy(c) {
			n += uint64(st.sent.Load() - c.w.warm[st.id])
		}
	}
	return n - m.check.excused(m.room.streams, c)
}
