package gateway

import (
	"errors"
	"syscall"

	"sluice/reactor"
	"sluice/wsproto"
)

// read takes bytes until there are no more or the turn's budget is spent. A connection whose room
// is full is not read on, which holds its sender by TCP's own means; if the event says that the
// sender is gone, so is the connection.
//
// A budget of bytes does not bound a turn's time: they may be a thousand messages, or inflate to a
// hundred times as much. A client that takes long stands in a line of its own from then on, see
// isCostly.
func (c *conn) read(ev reactor.Event) {
	began := c.w.loop.Elapsed()
	c.w.beginTurn(ev.Again())
	c.fill(ev)
	if c.life == open {
		c.endPublishing()
		c.flushOwn() // Replies and pongs, all of the turn's together.
	}
	isMuch := c.w.inflated+c.w.told+frameWork*c.w.frames >= c.w.cfg.costlyWork
	if !isMuch && c.w.taken < briefRead {
		return
	}
	took := c.w.loop.Elapsed() - began
	c.w.spent += took
	if isMuch && c.life == open {
		c.noteCost(took)
	}
}

// endPublishing says in the room that the turn has ended, unless it goes on from where it is.
func (c *conn) endPublishing() {
	if s := c.subscriber(); s != nil {
		s.endTurn()
	} else if c.pauses&pauseTurn == 0 || c.isInflating() {
		c.reader.EndTurn(false) // It has read all there is, or may not read on, or has to inflate first.
	}
}

func (c *conn) fill(ev reactor.Event) {
	failed := ev.Error()
	if c.w.isBrief && c.isInMany() {
		c.standInLine() // It may leave them all.
		return
	}
	if c.isParked() {
		if failed {
			c.die(ClosedGone)
		}
		return
	}
	if c.pausedBefore() || !c.resumeInput() {
		if failed && c.pauses&pauseRoom != 0 {
			c.die(ClosedGone) // What the socket still holds comes behind what waits here, and its sender is gone.
		}
		return
	}
	if c.waitsForSweeps() {
		c.endTurn() // Read, it would only have to be kept.
		return
	}
	budget := c.w.cfg.readBudget
	switch {
	case c.life > open:
		budget = c.w.cfg.writeBudget // To drop is cheap, and the sooner its end is there the better.
	case c.w.isBrief:
		budget = min(budget, briefRead)
	}
	shortEnds := c.shortReadEnds(ev)
	for budget > 0 {
		room := c.w.buf[:min(len(c.w.buf), budget)]
		n, err := c.transport().Read(int(c.fd), room)
		switch {
		case err == nil && n > 0:
		case err == nil:
			c.hungUp()
			return
		case errors.Is(err, syscall.EAGAIN):
			return
		case errors.Is(err, syscall.EINTR):
			budget -= len(c.w.buf) / 4 // Signals without end are not to hold the loop.
			continue
		case isShortage(err):
			c.putOffReads(err)
			return
		default:
			c.cannotRead(err)
			return
		}
		c.heard = c.w.loop.Now()
		c.w.stats.Received += uint64(n)
		c.w.taken += n
		if c.meter != nil {
			c.meter.read(n)
		}
		if !c.consume(c.w.buf[:n]) {
			return
		}
		if c.other != nil {
			budget -= c.surplus(n)
		}
		if n < len(room) && shortEnds {
			return
		}
		budget -= n
	}
	c.endTurn()
}

// shortReadEnds says that a read for an event which brings less than asked for has brought all, so
// that no other need say EAGAIN: what comes later is a new edge (epoll(7), questions and answers).
// It is not so behind a turn, whose event told of an earlier moment, and if the peer's end was
// behind its bytes, which this event has told for the last time.
func (c *conn) shortReadEnds(ev reactor.Event) bool {
	return c.other == nil && !ev.Again() && !ev.Hangup() && !ev.Error()
}

// cannotRead ends a connection of which nothing can be read any more.
func (c *conn) cannotRead(err error) {
	if t := c.secured(); t != nil && err == errRecord {
		t.breakOff()
		return
	}
	c.die(ClosedGone)
}

// consume handles p according to the connection's state, and reports whether to read on.
func (c *conn) consume(p []byte) bool {
	switch c.life {
	case reading:
		return c.readHead(p)
	case open:
		if c.past == listens {
			return c.overhear(len(p))
		}
		goOn := c.decode(p)
		return c.chargeBytes(len(p)) && goOn
	case finishing, parting, lingering:
		return c.discard(len(p))
	}
	return false
}

// decode turns bytes into messages until p is used up, the room is full, the client is over a rate,
// or what was inflated spends the turn's budget, be it a slice of one message.
func (c *conn) decode(p []byte) bool {
	d := c.pickDecoder()
	d.Slice = c.w.slice()
	for {
		if c.w.inflated >= d.Slice || len(p) > 0 && c.waitsForSweeps() || c.w.isBrief && d.Assembled() > briefRead {
			return c.decodeLater(d, p)
		}
		if len(p) == 0 && c.in == nil && d.Idle() {
			return !c.isThrottled() // What was read ends with a message, as nearly always.
		}
		if len(p) > 0 && c.pausedBefore() {
			c.keep(d, p)
			return false
		}
		frames, inflated := d.Frames(), d.Inflated()
		msg, n, err := d.Next(p)
		c.w.inflated += int(d.Inflated() - inflated)
		c.w.frames += int(d.Frames() - frames)
		if err != nil {
			d.Release()
			c.violated(err)
			return false
		}
		if !c.chargeFrames(int(d.Frames()-frames), msg.Op) {
			d.Release()
			return false
		}
		if c.past == mute && (msg.Op != 0 && !msg.Op.IsControl() || d.InMessage()) {
			d.Release() // Before its bytes are kept or inflated.
			c.close(ClosedMayNotPublish)
			return false
		}
		if d.Inflating() {
			return c.decodeLater(d, p[n:])
		}
		if msg.Op == 0 {
			c.keep(d, nil)
			return !c.isThrottled()
		}
		if c.in != nil && !d.Partial() {
			c.in.began = 0
		}
		p = p[n:]
		if msg.Compressed && !c.chargeInflated(len(msg.Payload)) {
			d.Release()
			c.close(ClosedInflation)
			return false
		}
		switch rest, goOn := c.handle(msg); {
		case !goOn && c.in != nil && c.in.unsent != nil:
			c.keep(&c.in.decoder, p)
			return false
		case !goOn:
			d.Release()
			return false
		case len(rest) > 0:
			c.keepCommands(rest, p)
			return false
		}
	}
}

// keepCommands holds on to commands of a frame that have to wait, and to the bytes behind it.
func (c *conn) keepCommands(rest, stash []byte) {
	in := c.holdInput()
	in.commands = append([]byte(nil), rest...)
	c.keep(&in.decoder, stash)
}

// decodeLater ends the turn; the next one begins with rest. It returns that the connection is not
// to be read on.
func (c *conn) decodeLater(d *wsproto.Decoder, rest []byte) bool {
	c.keep(d, rest)
	c.endTurn()
	return false
}

// pickDecoder is the connection's own if it holds a part of a message, and the worker's otherwise.
// A client that reads deflated frames may send them, and no other: it negotiated both at once.
func (c *conn) pickDecoder() *wsproto.Decoder {
	if c.in != nil {
		return &c.in.decoder
	}
	if s := c.subscriber(); s != nil {
		c.w.decoder.Deflate = s.inflates
	} else {
		c.w.decoder.Deflate = c.reader.Encoding() == encodingDeflated
	}
	return &c.w.decoder
}

// handle acts on one message and reports whether to go on. rest is what of it has to wait.
func (c *conn) handle(m wsproto.Message) (rest []byte, goOn bool) {
	switch m.Op {
	case wsproto.OpText, wsproto.OpBinary:
		if s := c.subscriber(); s != nil {
			rest = s.take(m.Payload)
			return rest, c.life == open
		}
		c.w.stats.Messages++
		c.w.taken = max(c.w.taken, len(m.Payload)) // It may have come in parts.
		if c.reader.IsBlocked() {
			c.past = hasSpoken
		}
		if c.w.server.follows() {
			return nil, c.publishAround(m) && c.life == open
		}
		c.reader.Publish(c.w.loop.Now(), c.w.encoder.of(c.reader.Room().Name(), message{Message: m}))
	case wsproto.OpPing:
		c.pong(m.Payload)
	case wsproto.OpClose:
		code, _, err := wsproto.ParseClose(m.Payload)
		if err != nil {
			c.violated(err)
			return nil, false
		}
		c.closeWith(ClosedByPeer, code, "")
		return nil, false
	}
	return nil, c.life == open
}

// pausedBefore pauses reading if the connection has to wait, for its room or because of a rate,
// before what comes next is decoded, and reports whether it does. It is asked before each message,
// so a sender overshoots by one at most. A message that is being inflated is past that.
func (c *conn) pausedBefore() bool {
	switch {
	case c.life != open || c.isInflating():
		return false
	case c.isThrottled():
		c.stopClock()
		return true
	case c.past == subscribes: // Its commands wait for their rooms, each for its own.
		return c.pauses&pauseRoom != 0
	case !c.reader.AwaitRoom():
		return false
	}
	c.pauseForRoom()
	return true
}

// waitsForSweeps reports whether nothing may be published before the tick's end: what all rooms
// have dropped takes too much memory until sweeps are past it.
func (c *conn) waitsForSweeps() bool { return c.life == open && c.w.server.hub.IsShort() }

// Resume implements hub.Client: it is the client's turn to publish.
func (c *conn) Resume() { c.resumeReading(pauseRoom) }

// resumeInput goes on with what was read before reading was stopped, and reports whether to read
// on.
func (c *conn) resumeInput() bool {
	if c.life == reading && c.in != nil && c.in.scanned == 0 {
		return c.readHead(nil)
	}
	if c.life != open || c.in == nil || len(c.in.stash) == 0 && c.in.ready() == 0 && c.in.unsent == nil && !c.isInflating() {
		return true
	}
	if c.in.unsent != nil && !c.publishUnsent() {
		return false
	}
	if len(c.in.commands) > 0 && !c.subscriber().resume() {
		return false
	}
	stash := c.in.stash // Decoded where it lies; what is left becomes a new one.
	c.in.stash = nil
	return c.decode(stash)
}
