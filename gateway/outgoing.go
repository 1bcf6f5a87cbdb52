package gateway

import (
	"sluice/hub"
	"sluice/reactor"
)

// What a connection writes is its reader's frames, which the hub hands to the kernel through
// worker.Send, and bytes of its own, which go out between two of those frames, see SendOwn. At most
// one of both is inside a frame. What the hub says of the reader's bytes is heard here.

// writable goes on after a refused write. What a room's member has to get is left to the sweeps,
// its own bytes too: a thousand members that become writable at once must not hold up everybody
// else.
func (c *conn) writable() {
	if c.other != nil && !c.flushSealed() {
		return
	}
	if c.reader.IsIn() {
		c.reader.Ready()
	} else if c.life == parting {
		c.sendLast()
	}
}

// Send implements hub.Transport: what goes to the kernel by itself goes in one batch, by the ring
// if it is a wide one, and every other transport is asked alone.
func (w *worker) Send(k *hub.Batch) {
	plain, places, n := w.sends[:0], w.sendPlaces[:0], len(k.Deliveries)
	byRing := w.ring != nil && (k.IsWide || w.cfg.ringsAll)
	for i := range k.Deliveries {
		d := &k.Deliveries[i]
		if c := connOf(d.Client); c.life != dead && c.other == nil && (!byRing || c.fitsRing(d)) {
			plain = append(plain, reactor.Send{FD: int(c.fd), Bytes: d.Bytes})
			places = append(places, i)
		}
	}
	w.sends, w.sendPlaces = plain, places
	if byRing {
		w.sendByRing(plain)
	} else {
		reactor.SendBatch(w.kernel, plain)
	}
	now := w.loop.Now()
	for i := range plain {
		outcome := hub.Taken
		if err := plain[i].Err; err != nil {
			outcome = connOf(k.Deliveries[places[i]].Client).outcomeOf(err)
		}
		k.Answer(places[i], plain[i].N, outcome, now)
	}
	clear(plain) // Or they would keep segments alive.
	if len(plain) == n {
		return // All are answered, and the batch is the hub's again.
	}
	for i := range n {
		if len(places) > 0 && places[0] == i {
			places = places[1:]
			continue
		}
		c, taken, outcome := connOf(k.Deliveries[i].Client), 0, hub.Failed
		if c.life != dead {
			taken, outcome = c.offer(k.Deliveries[i].Bytes)
		}
		k.Answer(i, taken, outcome, now)
	}
}

// offer writes bytes of the room's by another transport than a plain socket, a turn of them at
// most: sealing takes as long as writing, or longer.
func (c *conn) offer(p []byte) (taken int, outcome hub.Outcome) {
	part := p[:min(len(p), c.w.cfg.writeBudget)]
	taken, err := c.transport().Write(int(c.fd), part)
	if err == nil && taken == len(part) && taken < len(p) {
		return taken, hub.Deferred
	}
	return taken, c.outcomeOf(err)
}

// Queued implements hub.Client. Peers of unix sockets have no address.
func (c *conn) Queued() (n int64, means hub.Queued) {
	queued, err := c.w.kernel.Queued(int(c.fd))
	if err != nil {
		return 0, hub.QueuedUntold
	}
	c.w.stats.Asked++
	if peer, err := c.w.kernel.PeerAddress(int(c.fd)); err == nil && !peer.IsValid() {
		return int64(queued), hub.QueuedMemory
	}
	n = int64(queued)
	if t := c.secured(); t != nil {
		n += t.unsent()
	}
	return n, hub.QueuedBytes
}

// Refused implements hub.Client.
func (c *conn) Refused() {
	if s := c.subscriber(); s != nil {
		s.hasSpoken = false
	}
	if c.past == hasSpoken {
		c.past = wasAccepted // What it said before it took the last bytes is not against it.
	}
	c.arm()
}

// CaughtUp implements hub.Client.
func (c *conn) CaughtUp() {
	if c.isArmed {
		c.rearm(reactor.Readable)
	}
}

// Failed implements hub.Client.
func (c *conn) Failed() { c.die(ClosedGone) }

// Finished implements hub.Client: the client has what it was owed when the connection began to
// close.
func (c *conn) Finished() { c.part() }

// Overrun implements hub.Client: the log has dropped what the client still needed. It is owed the
// rest of the frame that is partly sent. Where its room's policy keeps it, it goes on behind that;
// otherwise the Close frame follows, and nothing between them.
func (c *conn) Overrun(rest hub.Rest) {
	if len(rest.Bytes()) > 0 {
		c.outboxed().rest = rest // There is none there yet: until it is sent nothing of the log is, and so nobody overrun.
	}
	if c.life == open && c.reader.Policy() != hub.Disconnect {
		if c.own != nil {
			c.reader.HoldOwn()
		}
		return
	}
	if c.life != finishing { // Or it was to get everything published before it was closed, which is gone now.
		c.beginEnd(ClosedSlow, 0, "")
	}
	if c.end.reason != ClosedDrain {
		c.end.code, c.end.text = c.wordsFor(ClosedSlow)
	}
	c.part()
}

// Abort implements hub.Client: what is kept of dropped frames takes too much memory, and this
// client's has been there for longest.
func (c *conn) Abort() { c.abort(ClosedPinned) }

// Lagging implements hub.Client.
func (c *conn) Lagging(isSlow bool) {
	c.logSlow(isSlow, c.roomName(), c.reader.Lag(c.w.loop.Now()))
}
