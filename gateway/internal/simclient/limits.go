//go:build linux

package simclient

import (
	"math/rand/v2"
	"time"
)

// Limits are limits of the gateway that a plan makes tiny; zero: left alone. Two plans of three
// have none of them.
type Limits struct {
	Rates                     [NumRates]int // a second
	Over                      time.Duration // how long a client may go on being held to a rate
	Assembly, Pinned, Backlog int           // bytes
	IsCostly                  bool          // every turn is one that took long
	IsLate                    bool          // what the hub hands over is written later, in any order
}

// LimitsStream keeps what they draw apart from all else, so that a plan without them is what it
// would be if there were none.
const LimitsStream = 100

// DrawLimits draws what of the gateway is limited.
func (p *Plan) DrawLimits(r *rand.Rand) {
	if r.IntN(3) > 0 {
		return
	}
	between := func(least, most int) int { return least + r.IntN(most-least+1) }
	isIn := func() bool { return r.IntN(3) == 0 }
	l := &p.Limits
	if isIn() {
		l.Rates[Frames] = between(4, 40)
	}
	if isIn() {
		l.Rates[Pings] = between(1, 8)
	}
	if isIn() {
		l.Rates[Messages] = between(4, 20)
	}
	l.Over = time.Duration(between(200, 2000)) * time.Millisecond
	if isIn() && p.Clients < 15 { // The least rate of bytes is more than most clients of most plans send.
		l.Rates[Bytes] = byteRateMin
		p.Message, p.quota = 1024, max(p.quota, 40)
		p.Backlog = max(p.Backlog, 2*p.Message)
		l.Over /= 4
	}
	if isIn() { // A loop has room for what one connection may hold and a message beside it: it takes several connections to exceed that.
		switch p.Loops = 1; r.IntN(3) {
		case 0:
			p.Message = min(p.Message, 64+r.IntN(200))
		case 1:
			p.Clients, p.quota = max(p.Clients, 30), min(p.quota, 8) // What is heard grows with the square.
		default: // A client that has to wait holds a read of many messages, and is often the only one who holds anything.
			p.Message, p.Read, p.quota = 64+r.IntN(64), 400+r.IntN(200), max(p.quota, 40)
			p.buffers[2], p.buffers[3] = 2048, 2048
		}
		l.Assembly = p.Message
	}
	if isIn() {
		l.Pinned = p.Message + HeaderMax + r.IntN(p.Message)
	}
	if isIn() {
		l.Backlog = p.Backlog + r.IntN(p.Backlog)
	}
	l.IsCostly = isIn()
	l.IsLate = isIn()
}

// byteRateMin is the least rate of bytes that a gateway can be told: what it reads at a time.
const byteRateMin = 16 << 10

// HeaderMax is the longest header of a server's frame.
const HeaderMax = 10
