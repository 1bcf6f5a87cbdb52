//go:build linux

package gateway

import (
	"math/rand/v2"
	"time"
)

// simLimits are limits of the gateway that a plan makes tiny; zero: left alone. Two plans of three have none of them.
type simLimits struct {
	rates                     [simRates]int // a second
	over                      time.Duration // how long a client may go on being held to a rate
	assembly, pinned, backlog int           // bytes
	isCostly                  bool          // every turn is one that took long
	isLate                    bool          // what the hub hands over is written later, in any order
}

// limitsStream keeps what they draw apart from all else, so that a plan without them is what it would be if there were none.
const limitsStream = 100

func (p *plan) drawLimits(r *rand.Rand) {
	if r.IntN(3) > 0 {
		return
	}
	between := func(least, most int) int { return least + r.IntN(most-least+1) }
	isIn := func() bool { return r.IntN(3) == 0 }
	l := &p.limits
	if isIn() {
		l.rates[simFrames] = between(4, 40)
	}
	if isIn() {
		l.rates[simPings] = between(1, 8)
	}
	if isIn() {
		l.rates[simMessages] = between(4, 20)
	}
	l.over = time.Duration(between(200, 2000)) * time.Millisecond
	if isIn() && p.clients < 15 { // The least rate of bytes is more than most clients of most plans send.
		l.rates[simBytes] = 16 << 10
		p.message, p.quota = 1024, max(p.quota, 40)
		p.backlog = max(p.backlog, 2*p.message)
		l.over /= 4
	}
	if isIn() { // A loop has room for what one connection may hold and a message beside it: it takes several connections to exceed that.
		switch p.loops = 1; r.IntN(3) {
		case 0:
			p.message = min(p.message, 64+r.IntN(200))
		case 1:
			p.clients, p.quota = max(p.clients, 30), min(p.quota, 8) // Who hears whom grows with the square.
		default: // Who has to wait holds a read of many messages, and is often the only one who holds anything.
			p.message, p.read, p.quota = 64+r.IntN(64), 400+r.IntN(200), max(p.quota, 40)
			p.buffers[2], p.buffers[3] = 2048, 2048
		}
		l.assembly = p.message
	}
	if isIn() {
		l.pinned = p.message + simHeaderMax + r.IntN(p.message)
	}
	if isIn() {
		l.backlog = p.backlog + r.IntN(p.backlog)
	}
	l.isCostly = isIn()
	l.isLate = isIn()
}

// simHeaderMax is the longest header of a server's frame.
const simHeaderMax = 10
