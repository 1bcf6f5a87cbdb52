//go:build linux

package gateway

import (
	"bytes"
	"time"

	"sluice/gateway/internal/simclient"
	"sluice/hub"
)

// A simShare is what became of a subscription's share of its connection.
type simShare struct {
	at    int64 // where it stood in its room's stream at the last look
	since int64 // bytes that others of the connection have had since it was last given some
}

// inspectSubscriptions looks at the rooms of a subscriber whose loop has ended a tick.
func (w *world) inspectSubscriptions(l *simLoop, v *connView, s *subscriber) {
	for _, sub := range s.subscriptions {
		if !sub.IsIn() {
			w.Fail("connection %d, which is %v, has a subscription of no room", v.link, v.c.life)
			return
		}
		r := sub.Room()
		w.rooms[r] = true
		if lag, most := sub.Lag(l.w.loop.Now()).Bytes, w.lagMax(r); lag > most {
			w.Fail("connection %d is %d bytes behind in room %s, the bound is %d", v.link, lag, r.Name(), most)
		}
	}
	w.inspectShares(l, v, s)
	w.inspectDeliveries(l, v)
}

// inspectShares holds the turns of a connection's rooms to what each may have before the next: one
// that waits is passed over for large frames of others, and not for ever.
func (w *world) inspectShares(l *simLoop, v *connView, s *subscriber) {
	shares, moved := map[*subscription]simShare{}, int64(0)
	for _, sub := range s.subscriptions {
		at := sub.Room().Stats().End[s.encoding()] - sub.Lag(l.w.loop.Now()).Bytes
		before, wasThere := v.shares[sub]
		switch {
		case !wasThere, at > before.at, sub.Lag(l.w.loop.Now()).Messages == 0:
			before.since = 0
		}
		if wasThere {
			moved += at - before.at
		}
		shares[sub] = simShare{at, before.since}
	}
	v.shares = shares
	if w.Plan.IsLossy() || v.c.life != open {
		return // Those that are overrun jump.
	}
	most := int64(2*(len(shares)+1)*w.pushMax() + 2*w.Plan.Write)
	for sub, one := range shares {
		if sub.Lag(l.w.loop.Now()).Messages > 0 && !sub.IsCatchingUp() {
			one.since += moved
		}
		if shares[sub] = one; one.since > most {
			w.Fail("connection %d has had %d bytes of other rooms, and room %s waits; the bound is %d", v.link, one.since, sub.Room().Name(), most)
		}
	}
}

// A deliveryCounter counts what a subscriber's connection is handed in one tick.
type deliveryCounter struct {
	hub.Transport
	counts map[*conn]deliveryCount
}

// A deliveryCount is what of a connection was handed in a tick. Rooms are bits.
type deliveryCount struct {
	deliveries   int
	first, later uint32 // rooms that have a message in the first delivery, and in others
}

// countDeliveries has a worker's deliveries counted.
func countDeliveries(w *worker) *deliveryCounter {
	t := &deliveryCounter{w, map[*conn]deliveryCount{}}
	w.fan = w.server.hub.NewFanout(w.loop.Wake, t)
	return t
}

// Send implements hub.Transport.
func (t *deliveryCounter) Send(k *hub.Batch) {
	for i := range k.Deliveries {
		c := connOf(k.Deliveries[i].Client)
		n := t.counts[c]
		if n.deliveries++; n.deliveries == 1 {
			n.first = roomsIn(k.Deliveries[i].Bytes)
		} else {
			n.later |= roomsIn(k.Deliveries[i].Bytes)
		}
		t.counts[c] = n
	}
	t.Transport.Send(k)
}

// roomsIn are the rooms whose pushes begin in bytes that are not deflated.
func roomsIn(p []byte) (rooms uint32) {
	for no := range 10 {
		if bytes.Contains(p, []byte(simclient.RoomName(no))) {
			rooms |= 1 << no
		}
	}
	return rooms
}

// inspectDeliveries checks that what one tick has for a connection, of all its rooms, goes out in
// one write where that takes it. Others follow with what lies in the next segments of the same
// rooms. It is looked at where turns are of their usual size, nothing is published while rooms are
// swept, no time passes and no call fails.
func (w *world) inspectDeliveries(l *simLoop, v *connView) {
	wasBlocked := v.isBlocked
	v.isBlocked = v.c.reader.IsIn() && v.c.reader.IsBlocked()
	if l.counter == nil {
		return
	}
	n := l.counter.counts[v.c]
	delete(l.counter.counts, v.c)
	isWhole := w.answersAt != 0 && l.began == w.Kernel.Now() && v.socket != nil && !v.socket.Deflates
	if !isWhole || wasBlocked || v.isBlocked {
		return
	}
	if n.later&^n.first != 0 {
		w.Fail("connection %d had messages of rooms %b in one tick, and of rooms %b in another write", v.link, n.first, n.later)
	}
	if n.first&(n.first-1) != 0 {
		w.subscribers.together++
	}
}

// eachReader tells of each room that a connection is in whether it may be one for whom the room is
// full.
func (c *conn) eachReader(now time.Duration, do func(r *hub.Room, isBehind bool)) {
	isOpen := c.life < finishing
	if s := c.subscriber(); s != nil {
		for _, sub := range s.subscriptions {
			do(sub.Room(), isOpen && !sub.IsCatchingUp() && sub.Lag(now).Messages > 0)
		}
		return
	}
	if c.reader.IsIn() {
		do(c.reader.Room(), isOpen && !c.reader.IsCatchingUp() && c.reader.Position() < c.reader.End())
	}
}
