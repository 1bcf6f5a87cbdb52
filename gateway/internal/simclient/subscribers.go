//go:build linux

package simclient

import "math/rand/v2"

// Subscribers are what a plan has of clients of the Centrifuge protocol. Two plans of three have
// none, and one of three that keep messages.
type Subscribers struct {
	Number int
	quota  int // most messages of each
	cuts   int // most times that each is cut
}

// SubscribersStream keeps what DrawSubscribers draws apart from all else.
const SubscribersStream = 103

// wholeTurn is what one connection may write in a turn of a gateway's.
const wholeTurn = 64 << 10

// HasWholeTurns says that there are subscribers, whose connections may write as much at a time as
// they do outside of the simulation.
func (p *Plan) HasWholeTurns() bool { return p.Subscribers.Number > 0 && p.Write == wholeTurn }

// commandMin is a message that every command fits in.
const commandMin = 200

// DrawSubscribers draws how many subscribers there are, and of how many rooms.
func (p *Plan) DrawSubscribers(r *rand.Rand) {
	if p.IsSteady || r.IntN(3) > 0 && (p.History.Rooms == 0 || r.IntN(2) > 0) {
		return
	}
	between := func(least, most int) int { return least + r.IntN(most-least+1) }
	p.Subscribers = Subscribers{Number: between(1, 6), quota: between(0, 40), cuts: r.IntN(5)}
	if r.IntN(3) == 0 {
		p.Rooms = between(p.Rooms, 10)
	}
	p.Message = max(p.Message, commandMin+r.IntN(400))
	p.Backlog = max(p.Backlog, p.Message+HeaderMax)
	if r.IntN(3) == 0 && !p.isCrowd { // Whose rounds take many ticks.
		p.Write, p.buffers[0], p.buffers[1] = wholeTurn, 16<<10, 16<<10
	}
	if p.isCrowd && p.unsent > 0 { // A byte at a time, a crowd with them would never be done.
		p.unsent = max(p.unsent, bufferMin)
	}
	if p.Limits.Pinned > 0 {
		p.Limits.Pinned = max(p.Limits.Pinned, p.Message+HeaderMax)
	}
	if p.Limits.Assembly > 0 {
		p.Limits.Assembly = p.Message
	}
	for _, of := range []*int{&p.Limits.Backlog, &p.History.Memory} {
		if *of > 0 {
			*of = max(*of, p.Backlog)
		}
	}
}

// makeSubscribers draws the subscribers of the plan. Each needs a Judge before it acts.
func (w *World) makeSubscribers() {
	s := &w.Plan.Subscribers
	for no := range s.Number {
		r := w.Random
		one := &Subscriber{
			w: w, No: no, isProtobuf: r.IntN(2) == 0, offers: r.IntN(2) == 0, sip: 1 + r.IntN(64),
			quota: r.IntN(s.quota + 1), whims: r.IntN(12), cuts: r.IntN(s.cuts + 1), places: make([]place, w.Plan.Rooms),
			kind: []kind{good, good, good, slow, pauser, deaf}[r.IntN(6)], isMute: r.IntN(12) == 0,
		}
		one.wants = []int{1, 1 + r.IntN(w.Plan.Rooms), w.Plan.Rooms}[r.IntN(3)]
		one.shift = r.IntN(w.Plan.Rooms)
		if r.IntN(2) == 0 {
			one.start = r.IntN(w.Plan.Steps)
		}
		one.pause = one.start + r.IntN(w.Plan.Steps)
		w.Subscribers = append(w.Subscribers, one)
	}
}
