package gateway

import (
	"errors"
	"syscall"

	"sluice/hub"
	"sluice/reactor"
	"sluice/wsproto"
)

// What a connection writes is its reader's frames, which the hub hands to the kernel through
// worker.Send, and bytes of its own, which go out here, between two of those frames. At most one of
// both is inside a frame. What the hub says of the reader's bytes is heard at the end of this file.

// outboxed is the outbox, made if need be.
func (c *conn) outboxed() *outbox {
	if c.own == nil {
		c.own = c.w.takeOutbox()
	}
	return c.own
}

// takeOutbox returns an empty outbox. Most are empty again in the same turn, so that one serves all
// of a loop's connections: ten thousand of them are pinged without any garbage.
func (w *worker) takeOutbox() *outbox {
	o := w.outbox
	if w.outbox = nil; o == nil {
		o = &outbox{pongAt: -1}
	}
	return o
}

// outboxKept is the most that the outbox of a loop keeps of the memory that one client needed.
const outboxKept = 4 << 10

// keepOutbox keeps o, of which all was sent, for the next that needs one.
func (w *worker) keepOutbox(o *outbox) {
	if cap(o.bytes) <= outboxKept {
		*o = outbox{bytes: o.bytes[:0], pongAt: -1}
		w.outbox = o
	}
}

// dropOutbox drops what is in the outbox, if there is one.
func (c *conn) dropOutbox() {
	if c.own != nil {
		c.own.rest.Release()
		c.w.replyBudget.release(c)
		c.own = nil
	}
}

// send writes p, a whole frame of the client's own, or leaves it in the outbox.
func (c *conn) send(p []byte) {
	o := c.outboxed()
	o.bytes = append(o.bytes, p...)
	c.flushOwn()
}

// pongsMax bounds the pongs of one turn, in bytes. Each ping of a few that come together is
// answered; of more, and of those that come while the kernel takes nothing, the newest, as RFC 6455
// §5.5.3 allows.
const pongsMax = 2 << 10

// pong leaves the answer to a ping in the outbox. It is sent when all that was read has been
// decoded, so that thousands of pings in one turn do not become thousands of writes.
func (c *conn) pong(body []byte) {
	o := c.outboxed()
	switch {
	case o.pongAt < 0:
		o.pongAt = len(o.bytes)
	case c.isArmed, c.lacksWrites(), len(o.bytes)-o.pongAt > pongsMax:
		o.bytes = o.bytes[:o.pongAt]
	}
	o.bytes = wsproto.AppendFrame(o.bytes, wsproto.OpPong, body)
}

// flushOwn sends the outbox now if the kernel takes anything and the reader is not inside a frame;
// at the next frame's end otherwise.
func (c *conn) flushOwn() {
	if c.own == nil {
		return
	}
	if !c.isArmed && !c.lacksWrites() && c.reader.CanSendOwn() {
		if _, isAll := c.SendOwn(c.w.cfg.writeBudget); isAll {
			return
		}
	}
	c.w.replyBudget.hold(c)
	if c.reader.IsIn() {
		c.reader.HoldOwn()
	}
}

// SendOwn implements hub.Client: it sends the outbox, of a dropped frame's rest at most limit
// bytes.
func (c *conn) SendOwn(limit int) (sent int, isAll bool) {
	o, interrupts := c.own, 0
	for o != nil && c.life != dead {
		next := o.rest.Bytes()
		isRest := len(next) > 0
		switch {
		case !isRest:
			next = o.bytes
		case sent >= limit:
			return sent, false
		default:
			next = next[:min(len(next), limit-sent)]
		}
		if len(next) == 0 {
			c.w.replyBudget.release(c)
			c.own = nil
			c.w.keepOutbox(o)
			break
		}
		n, err := c.transport().Write(int(c.fd), next)
		if n > 0 { // TLS may take some and be refused beside it.
			sent += n
			c.tookOwn(o, n, isRest)
		}
		if err != nil {
			if interrupts++; errors.Is(err, syscall.EINTR) && interrupts < interruptsMax {
				continue
			}
			c.refused(err)
			return sent, false
		}
	}
	return sent, true
}

// tookOwn notes that the transport has taken n bytes of the outbox.
func (c *conn) tookOwn(o *outbox, n int, isRest bool) {
	c.w.stats.OwnBytes += uint64(n)
	c.heard = c.w.loop.Now()
	if c.meter != nil {
		c.meter.writes.failures = 0
	}
	c.reader.TookOwn(n, c.heard)
	if isRest {
		o.rest.Sent(n)
		return
	}
	o.pongAt -= n // Below zero: begun or sent.
	if n == len(o.bytes) {
		o.bytes = o.bytes[:0] // From its array's beginning.
		return
	}
	o.bytes = o.bytes[n:]
}

// interruptsMax is how often signals may interrupt a write before it counts as refused.
const interruptsMax = 3

// refused deals with bytes of the connection's own that the kernel did not take. Where there is no
// room, or no memory, they are kept; anything else means that the peer is gone.
func (c *conn) refused(err error) {
	switch c.outcomeOf(err) {
	case hub.Failed:
		c.die(ClosedGone)
	case hub.Refused, hub.Deferred:
		c.w.stats.Refused++
		if c.reader.IsIn() {
			c.reader.Block(c.w.loop.Now())
		}
		c.arm()
	}
}

// arm asks to be told when the socket takes bytes again. It asks anew if it has asked already: a
// short write leaves a socket that may take more, of which no edge tells, unless it is TCP's on
// Linux.
func (c *conn) arm() {
	if c.life == dead || c.lacksWrites() {
		return // It is tried again at its time.
	}
	wasArmed := c.isArmed
	c.rearm(reactor.Readable | reactor.Writable)
	if c.life == open && !wasArmed {
		c.setTimer() // The stall deadline may be nearer than the one that stands.
	}
}

func (c *conn) rearm(in reactor.Interest) {
	err := c.w.loop.Rearm(c.token, in)
	c.isArmed = err == nil && in&reactor.Writable != 0
	switch {
	case err == nil:
	case !isShortage(err):
		if skipped, ok := c.w.server.samples.unarmed.Take(c.w.kernel.Now()); ok {
			c.w.log.Error("cannot rearm", "error", err, "id", c.id(), "and_more", skipped)
		}
		c.die(ClosedGone)
	case in&reactor.Writable != 0:
		c.putOffWrites(err)
	default:
		// It goes on being told of room that it does not ask for, which harms nobody.
	}
}

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

// outcomeOf tells the hub what a write's error means. For want of memory it is a refusal that no
// edge ends.
func (c *conn) outcomeOf(err error) hub.Outcome {
	switch {
	case err == nil:
		return hub.Taken
	case errors.Is(err, syscall.EAGAIN):
		return hub.Refused
	case errors.Is(err, syscall.EINTR):
		return hub.Deferred
	case isShortage(err):
		c.putOffWrites(err)
		return hub.Refused
	}
	return hub.Failed
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
