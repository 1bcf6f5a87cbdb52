package main

import (
	"time"

	"sluice/loadtest/internal/latency"
	"sluice/loadtest/internal/load"
)

// A part is what one process found, and then what all of them did.
type part struct {
	Counts     counts
	Faults     faults
	Messages   uint64 // sent in the measured phase
	Expected   uint64
	Lost       uint64
	WarmupLost uint64
	Backlog    int
	Timeouts   int
	Crowd      Crowd
	Latency    latency.Histogram
	Skew       latency.Histogram
	Points     []point
	// Orders are, by room, the different orders in which clients saw its messages. Those that missed one cannot be compared.
	Orders map[int]map[uint64]bool
	Wire   uint64 // bytes of frames that came to readers, in the measured phase
	Loops  int
	Spent  time.Duration // of processor time, in the measured phase
}

// part adds up what the loops found. They have ended.
func (r *run) part() *part {
	p := &part{
		Latency: latency.New(), Skew: latency.New(), Orders: make(map[int]map[uint64]bool),
		Loops: len(r.workers), Spent: r.spent, WarmupLost: r.warmupLost.Load(),
	}
	if r.sampler != nil {
		p.Latency.Merge(r.sampler.total)
		p.Points = r.sampler.points
	}
	for _, w := range r.workers {
		p.Latency.Merge(w.latency)
		p.Skew.Merge(w.skew)
		p.Faults.merge(&w.faults)
		p.Timeouts += w.timeouts
		p.Wire += w.wire
		p.Lost += w.lost()
		p.Crowd.add(&w.crowd)
		if w.stormAt > 0 {
			p.Crowd.StormSeconds = max(p.Crowd.StormSeconds, round((w.backAt-w.stormAt).Seconds(), 6))
		}
		for _, st := range w.streams {
			p.Messages += uint64(st.sent.Load() - w.warm[st.id])
			p.Backlog += max(0, st.backlog)
		}
		for _, c := range w.clients {
			p.addClient(c)
		}
	}
	return p
}

// addClient adds what one client saw. Only readers' deliveries count: the others are not held to every message.
func (p *part) addClient(c *client) {
	p.Expected += c.expected()
	counts := c.check.counts
	switch c.kind {
	case load.KindStalled:
		counts.Delivered = 0
	case load.KindSlow:
		p.Crowd.SlowDelivered += counts.Delivered
		counts.Delivered = 0
	case load.KindGuest:
		p.Crowd.GuestsHeard += counts.Delivered
		counts.Delivered = 0
	}
	p.Counts.add(&counts)
	isWhole := c.check.clean && c.check.lost(c.room.streams, c) == 0
	if c.wasJoined && c.kind == load.KindReader && isWhole && !c.w.run.cfg.NoEcho {
		p.addOrder(c.room.index, c.check.order)
	}
}

func (p *part) addOrder(room int, order uint64) {
	if p.Orders[room] == nil {
		p.Orders[room] = make(map[uint64]bool)
	}
	p.Orders[room][order] = true
}

// orders is the number of different orders in the room where there are most.
func (p *part) orders() (most int) {
	for _, seen := range p.Orders {
		most = max(most, len(seen))
	}
	return most
}

// add adds another process's part.
func (p *part) add(o *part) {
	p.Counts.add(&o.Counts)
	p.Faults.merge(&o.Faults)
	p.Messages += o.Messages
	p.Expected += o.Expected
	p.Lost += o.Lost
	p.WarmupLost += o.WarmupLost
	p.Backlog += o.Backlog
	p.Timeouts += o.Timeouts
	p.Wire += o.Wire
	p.Crowd.add(&o.Crowd)
	p.Latency.Merge(o.Latency)
	p.Skew.Merge(o.Skew)
	join(p.Points, o.Points)
	for room, seen := range o.Orders {
		for order := range seen {
			p.addOrder(room, order)
		}
	}
	p.Loops += o.Loops
	p.Spent += o.Spent
}
