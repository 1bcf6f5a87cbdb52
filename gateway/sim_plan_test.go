//go:build linux

package gateway

import (
	"math/rand/v2"
	"time"

	"sluice/hub"
	"sluice/reactor/reactortest"
)

// A plan is what one seed has in store. Each kind of fault is left out by half of the plans: some bugs need peace to show.
type plan struct {
	loops       int
	clients     int
	rooms       int
	steps       int
	preempt     int // system calls that hand over, in a thousand
	faults      reactortest.Faults
	scarce      bool // descriptors run out at times
	drains      bool // ends with a drain, not with everybody's leave
	roughEnd    bool // faults go on while they leave
	isCrowd     bool
	isChurn     bool
	isSlow      bool
	lull        time.Duration
	pauses      bool // the whole process stands still in the lull
	acceptQueue int
	connections int
	buffers     [4]int // bound of each

	loopWeight, wireWeight, clientWeight int
	leap                                 time.Duration // most that time leaps

	message, backlog, window, read, write int
	ping, pong, stall, shut, handshake    time.Duration
	quota                                 int // most messages of one client

	policy      hub.Policy
	compress    bool
	compressMin int

	limits simLimits
}

func newPlan(r *rand.Rand) plan {
	sometimes := func(most int) int {
		if r.IntN(2) == 0 {
			return 0
		}
		return 1 + r.IntN(most)
	}
	between := func(least, most int) int { return least + r.IntN(most-least+1) }
	seconds := func(least, most int) time.Duration {
		return time.Duration(between(least*1000, most*1000)) * time.Millisecond
	}
	p := plan{
		loops:   1 + r.IntN(3),
		clients: between(2, 14),
		rooms:   1 + r.IntN(3),
		steps:   between(300, 3000),
		preempt: sometimes(400),
		faults: reactortest.Faults{
			ShortRead: sometimes(500), Squeeze: sometimes(500), Interrupt: sometimes(200), Late: sometimes(500),
			Spurious: sometimes(200), Stale: sometimes(800), Accept: sometimes(300), Watch: sometimes(30),
			Broken: sometimes(5), Slow: sometimes(100), SlowBy: time.Duration(between(1, 3000)) * time.Microsecond,
		},
		scarce:      r.IntN(4) == 0,
		drains:      r.IntN(4) == 0,
		roughEnd:    r.IntN(3) == 0,
		pauses:      r.IntN(2) == 0,
		acceptQueue: between(1, 8),
		connections: 1000,

		loopWeight: between(1, 20), wireWeight: between(1, 20), clientWeight: between(1, 20),
		leap: time.Duration(between(1, 50)) * time.Millisecond,

		message: between(64, 1024),
		read:    between(16, 600), write: between(16, 600),
		ping: seconds(1, 8), pong: seconds(1, 4), stall: seconds(1, 6), shut: seconds(1, 3), handshake: seconds(1, 5),
		quota: between(0, 60),
	}
	if r.IntN(3) == 0 {
		p.policy = hub.Skip + hub.Policy(r.IntN(2))
	}
	p.compress, p.compressMin = r.IntN(3) == 0, between(1, 100)
	switch r.IntN(8) {
	case 0: // Too many for the gateway.
		p.connections = between(1, p.clients)
	case 1: // A crowd that stays, in one room on one loop: its rounds do not end within their slice of time.
		p.isCrowd = true
		p.clients, p.rooms, p.loops, p.quota, p.steps = between(24, 45), 1, 1, between(1, 8), between(1500, 3000)
		p.faults.Slow, p.faults.SlowBy = between(300, 900), time.Duration(between(300, 1000))*time.Microsecond
		p.clientWeight, p.wireWeight = 20, 10
	case 2: // A coming and going.
		p.isChurn = true
		p.clients, p.loops, p.quota = between(25, 45), between(2, 3), between(0, 8)
		p.clientWeight, p.wireWeight = 20, 10
	case 3, 4: // A lull.
		p.lull = seconds(5, 20)
	case 5: // A slow world: time passes, bytes trickle, and senders wait for long.
		p.isSlow = true
		p.clients, p.rooms, p.quota = between(3, 8), 1, between(20, 60)
		p.leap, p.wireWeight = time.Duration(between(50, 500))*time.Millisecond, between(2, 8)
		p.ping, p.pong, p.stall = seconds(1, 2), seconds(1, 2), seconds(4, 6)
	}
	p.backlog = between(p.message+20, 6<<10)
	p.window = between(1, min(p.backlog, 700))
	for i := range p.buffers {
		p.buffers[i] = 16 << r.IntN(8)
	}
	if p.lull > 0 {
		p.quota = min(p.quota, 6)
	}
	if p.lull > 0 || p.isSlow { // Small buffers stall; a large backlog overtakes nobody before that shows.
		p.backlog, p.buffers[0], p.buffers[1] = 16<<10, 16<<r.IntN(3), 16<<r.IntN(3)
	}
	return p
}

// newBuffers are those of one connection.
func (p *plan) newBuffers(r *rand.Rand) reactortest.Buffers {
	size := func(i int) int { return bufferMin + r.IntN(p.buffers[i]) }
	return reactortest.Buffers{Send: size(0), PeerReceive: size(1), PeerSend: size(2), Receive: size(3)}
}

// bufferMin is a buffer that a frame's header fits in.
const bufferMin = 16

// isLossy says that who is overtaken stays, and misses messages.
func (p *plan) isLossy() bool { return p.policy != hub.Disconnect }
