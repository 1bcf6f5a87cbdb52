//go:build linux

package simclient

import (
	"math/rand/v2"
	"time"

	"sluice/hub"
	"sluice/reactor/reactortest"
)

// A Plan is what one seed has in store. Each kind of fault is left out by half of the plans: some
// bugs need peace to show.
type Plan struct {
	Loops       int
	Clients     int
	Rooms       int
	Steps       int
	Preempt     int // system calls that hand over, in a thousand
	Faults      reactortest.Faults
	Scarce      bool // descriptors run out at times
	Drains      bool // ends with a drain, not with everybody's leave
	RoughEnd    bool // faults go on while they leave
	isCrowd     bool
	isChurn     bool
	isSlow      bool
	Lull        time.Duration
	Pauses      bool // the whole process stands still in the lull
	AcceptQueue int
	Connections int
	buffers     [4]int // bound of each

	LoopWeight, WireWeight, ClientWeight int
	Leap                                 time.Duration // most that time leaps

	Message, Backlog, Window, Read, Write int
	Ping, Pong, Stall, Shut, Handshake    time.Duration
	quota                                 int // most messages of one client

	Policy      hub.Policy
	Compress    bool
	CompressMin int

	Limits      Limits
	History     History
	Subscribers Subscribers

	KeepsAttendance bool // all rooms keep who is there
	AsksWho         bool // subscribers ask for that
	HasTokens       bool // some of them say who they are

	HasRing  bool // of each loop …
	RingsAll bool // … which sends more than what makes it worth its while

	HomeMax int // most who may be in a room that is at home on one loop; negative: none is

	MinRate  int  // bytes a second that a client has to read to be waited for
	IsSteady bool // see DrawBrake
	unsent   int  // what may wait unsent in the gateway's kernel for one client; zero: its buffer
	senders  int  // of a plan of steady readers
	sip      int  // … most bytes that a reader takes at a time
}

// NewPlan draws a plan without limits.
func NewPlan(r *rand.Rand) Plan {
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
	p := Plan{
		Loops:   1 + r.IntN(3),
		Clients: between(2, 14),
		Rooms:   1 + r.IntN(3),
		Steps:   between(300, 3000),
		Preempt: sometimes(400),
		Faults: reactortest.Faults{
			ShortRead: sometimes(500), Squeeze: sometimes(500), Interrupt: sometimes(200), Late: sometimes(500),
			Spurious: sometimes(200), Stale: sometimes(800), Accept: sometimes(300), Watch: sometimes(30),
			NoMemory: 4 * sometimes(5), Slow: sometimes(100), SlowBy: time.Duration(between(1, 3000)) * time.Microsecond,
		},
		Scarce:      r.IntN(4) == 0,
		Drains:      r.IntN(4) == 0,
		RoughEnd:    r.IntN(3) == 0,
		Pauses:      r.IntN(2) == 0,
		AcceptQueue: between(1, 8),
		Connections: 1000,

		LoopWeight: between(1, 20), WireWeight: between(1, 20), ClientWeight: between(1, 20),
		Leap: time.Duration(between(1, 50)) * time.Millisecond,

		Message: between(64, 1024),
		Read:    between(16, 600), Write: between(16, 600),
		Ping: seconds(1, 8), Pong: seconds(1, 4), Stall: seconds(1, 6), Shut: seconds(1, 3), Handshake: seconds(1, 5),
		quota: between(0, 60),
	}
	if r.IntN(3) == 0 {
		p.Policy = hub.Skip + hub.Policy(r.IntN(2))
	}
	p.Compress, p.CompressMin = r.IntN(3) == 0, between(1, 100)
	switch r.IntN(8) {
	case 0: // Too many for the gateway.
		p.Connections = between(1, p.Clients)
	case 1: // A crowd that stays, in one room on one loop: its rounds do not end within their slice of time.
		p.isCrowd = true
		p.Clients, p.Rooms, p.Loops, p.quota, p.Steps = between(24, 45), 1, 1, between(1, 8), between(1500, 3000)
		p.Faults.Slow, p.Faults.SlowBy = between(300, 900), time.Duration(between(300, 1000))*time.Microsecond
		p.ClientWeight, p.WireWeight = 20, 10
	case 2: // A coming and going.
		p.isChurn = true
		p.Clients, p.Loops, p.quota = between(25, 45), between(2, 3), between(0, 8)
		p.ClientWeight, p.WireWeight = 20, 10
	case 3, 4: // A lull.
		p.Lull = seconds(5, 20)
	case 5: // A slow world: time passes, bytes trickle, and senders wait for long.
		p.isSlow = true
		p.Clients, p.Rooms, p.quota = between(3, 8), 1, between(20, 60)
		p.Leap, p.WireWeight = time.Duration(between(50, 500))*time.Millisecond, between(2, 8)
		p.Ping, p.Pong, p.Stall = seconds(1, 2), seconds(1, 2), seconds(4, 6)
	}
	p.Faults.ShortWrite = p.Faults.ShortRead / 4
	p.Backlog = between(p.Message+20, 6<<10)
	p.Window = between(1, min(p.Backlog, 700))
	for i := range p.buffers {
		p.buffers[i] = 16 << r.IntN(8)
	}
	if p.Lull > 0 {
		p.quota = min(p.quota, 6)
	}
	if p.Lull > 0 || p.isSlow { // Small buffers stall; a large backlog overruns nobody before that shows.
		p.Backlog, p.buffers[0], p.buffers[1] = 16<<10, 16<<r.IntN(3), 16<<r.IntN(3)
	}
	return p
}

// newBuffers are those of one connection.
func (p *Plan) newBuffers(r *rand.Rand) reactortest.Buffers {
	size := func(i int) int { return bufferMin + r.IntN(p.buffers[i]) }
	return reactortest.Buffers{Send: size(0), PeerReceive: size(1), PeerSend: size(2), Receive: size(3), Unsent: p.unsent}
}

// bufferMin is a buffer that a frame's header fits in.
const bufferMin = 16

// isShort says that rooms may have too little memory for their newest message.
func (p *Plan) isShort() bool { return p.Limits.Backlog > 0 || p.History.IsTight }

// IsLossy says that who is overrun stays, and misses messages.
func (p *Plan) IsLossy() bool { return p.Policy != hub.Disconnect }

// Peers is how many connections there are at a time, of those who stay.
func (p *Plan) Peers() int { return p.Clients + p.History.Readers + p.Subscribers.Number }
