package cluster

import (
	"cmp"
	"errors"
	"time"
)

func (n *Node) report() {
	s := &status{epoch: n.epoch, isOut: n.isOut, doubt: n.doubt, rooms: len(n.order), heldBytes: n.heldBytes}
	for _, r := range n.order {
		if r.state != live {
			s.opening++
		}
	}
	n.status.Store(s)
}

// Ready returns why no room's order is to be had, or nil. It may be called from any goroutine, and
// is right within a second.
func (n *Node) Ready() error {
	s := n.status.Load()
	switch {
	case s.isOut && s.doubt == nil:
		return errSilent
	case s.isOut || s.epoch == "":
		return s.doubt
	}
	return nil
}

var errSilent = errors.New("cluster: the stream does not answer")

// Stats may be called from any goroutine.
func (n *Node) Stats() Stats {
	c, at := &n.counters, n.status.Load()
	s := Stats{
		Epoch: at.epoch, IsOut: at.isOut, Rooms: at.rooms, Opening: at.opening, HeldBytes: at.heldBytes,
		Packs: c.packs.Load(), PackMessages: c.packMessages.Load(), PackBytes: c.packBytes.Load(), AckTime: time.Duration(c.ackTime.Load()),
		Attempts: c.attempts.Load(), Repeated: c.repeated.Load(), Late: c.late.Load(), GivenUp: c.givenUp.Load(), Refused: c.refused.Load(),
		Appended: c.appended.Load(), Doubled: c.doubled.Load(), Stray: c.stray.Load(), Repairs: c.repairs.Load(), Repaired: c.repaired.Load(),
		HeldDropped: c.heldDropped.Load(), Checks: c.checks.Load(), Resets: c.resets.Load(), Epochs: c.epochs.Load(), Impossible: c.impossible.Load(),
		Garbage: c.garbage.Load(), UnknownFormat: c.unknownVersion.Load(), Outages: c.outages.Load(), Short: c.short.Load(),
	}
	for i := range c.ackTimes {
		s.AckTimes[i] = c.ackTimes[i].Load()
	}
	n.publisher.addTo(&s)
	return s
}

// outageTime is how long the stream may not answer before it is an outage.
const outageTime = 3 * time.Second

// watchOutage tells rooms when the stream does not answer, and when it does again.
func (n *Node) watchOutage(now time.Duration) {
	if isOut := now-n.goodAt > outageTime; isOut != n.isOut {
		n.isOut = isOut
		n.rooms.Outage(isOut)
		n.report()
		if isOut {
			n.counters.outages.Add(1)
			n.o.Log.Error("cluster: the stream does not answer: publishers wait", "why", cmp.Or(n.doubt, errSilent))
		} else {
			n.o.Log.Info("cluster: the stream answers again")
		}
	}
}

func (p *publisher) addTo(s *Stats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.WaitingBytes, s.Held = p.cost, len(p.held)
	s.Waiting, s.InFlight = p.waiting, p.inFlight
}
