//go:build linux

package simclient

import (
	"math/rand/v2"
	"time"
)

// BrakeStream keeps what DrawBrake draws apart from all else.
const BrakeStream = 101

// DrawBrake draws what decides whom senders wait for, and whether the plan is one of steady
// readers: a small room in which one client or two send much, and all others read slowly and never
// stop. Those have to be waited for, however late their sockets say that they take bytes again.
func (p *Plan) DrawBrake(r *rand.Rand) {
	between := func(least, most int) int { return least + r.IntN(most-least+1) }
	if r.IntN(2) == 0 {
		p.unsent = between(1, 300)
	}
	p.MinRate = []int{1, 20, 300, 4096}[r.IntN(4)]
	if r.IntN(6) > 0 {
		return
	}
	p.IsSteady, p.isCrowd, p.isChurn, p.isSlow, p.Lull = true, false, false, false, 0
	p.Clients, p.Rooms, p.Connections, p.Policy = between(2, 5), 1, 1000, 0
	p.senders = 1
	if p.Clients > 2 && r.IntN(3) == 0 {
		p.senders = 2
	}
	p.Limits = Limits{IsLate: r.IntN(3) == 0}
	p.MinRate = 1
	p.Faults.Accept, p.Faults.Watch, p.Faults.NoMemory, p.Scarce = 0, 0, 0, false
	p.Message, p.Backlog, p.Window = between(64, 250), 6<<10, between(100, 700)
	if p.senders == 2 {
		// As where windows are of their usual size, a sender's turn is a small part of one. Or each
		// in its turn would have said all of the last one, and the other, which said nothing of it,
		// would outweigh the reader.
		p.Message, p.Window = between(32, 64), between(500, 700)
		p.Read = p.Message
	}
	p.quota, p.sip, p.Steps = 200, between(1, 64), between(3000, 5000)
	p.ClientWeight, p.WireWeight, p.Leap = 20, between(10, 20), time.Duration(between(1, 5))*time.Millisecond
	p.buffers[0], p.buffers[1], p.buffers[2], p.buffers[3] = 64<<r.IntN(5), 16<<r.IntN(4), 2048, 2048
}

// makeSteady is what clients of a plan of steady readers are.
func (c *Client) makeSteady() {
	p := &c.w.Plan
	c.start, c.quota, c.Kind, c.sip = 0, 0, slow, p.sip
	if c.No < p.senders {
		c.quota, c.Kind = p.quota, good
	}
}

// IsSteadyReader reports whether the plan is one of steady readers and c is one of them, not a
// sender.
func (c *Client) IsSteadyReader() bool { return c.w.Plan.IsSteady && c.No >= c.w.Plan.senders }
