package gateway

import (
	"errors"
	"math"
	"syscall"
	"time"

	"sluice/reactor"
	"sluice/wsproto"
)

// After the last byte was sent, what the client still sends is read and dropped. Closing before it
// has ended its stream would reset the connection, and the reset can overtake the Close frame: a
// client in the middle of a message never learned why it was closed. So that a client cannot be
// dropped for ever, lingering ends
//
//   - after lingerTime without a byte;
//   - --close-timeout after the connection began to end, lingerTime at the least;
//   - after config.lingerMax bytes, some 20 ms of the loop's time at the default --max-message;
//     in a drain neither of these two, but its end.
const (
	lingerTime  = time.Second
	lingerBytes = 64 << 20 // or four of the largest messages
)

// close ends the connection for a reason of ours.
func (c *conn) close(r CloseReason) {
	if r.isAbuse() && c.life == open {
		c.logAbuse(r, reasons[r].text)
	}
	code, text := c.wordsFor(r)
	c.closeWith(r, code, text)
}

// violated ends the connection for a rule that its client broke.
func (c *conn) violated(err error) {
	r := violation(err)
	c.logAbuse(r, err.Error())
	code, text := c.wordsFor(r)
	c.closeWith(r, code, text)
}

// closeWith ends the connection in order: the client gets every message published so far, its own
// included, then the Close frame, within --close-timeout. The second of two reasons is not heard.
func (c *conn) closeWith(r CloseReason, code wsproto.Code, text string) {
	c.closeUpTo(math.MaxInt64, r, code, text)
}

// closeUpTo is closeWith for a client that gets no more than what its room had published up to a
// position, and the frame that it is in.
func (c *conn) closeUpTo(upTo int64, r CloseReason, code wsproto.Code, text string) {
	if c.life >= finishing {
		return
	}
	c.beginEnd(r, code, text)
	if !c.reader.IsIn() {
		c.part()
		return
	}
	c.setLife(finishing)
	if c.pauses&(pauseRoom|pauseParked) != 0 {
		c.resumeReading(pauseRoom | pauseParked) // What it still sends is dropped.
	}
	if c.flushOwn(); c.life == finishing {
		c.reader.Finish(upTo)
	}
}

// beginEnd decides how the connection ends. What came of a message is dropped, and the time runs.
func (c *conn) beginEnd(r CloseReason, code wsproto.Code, text string) {
	now := c.w.loop.Now()
	c.end = &closing{reason: r, code: code, text: text, due: now + c.w.cfg.CloseTimeout, standing: c.standing(r)}
	if s := c.subscriber(); s != nil {
		s.dropAll()
	}
	timer := c.end.due
	if d := c.w.drain; d != nil && r == ClosedDrain {
		c.end.due, timer = d.end, d.cutAt
	}
	c.dropInput()
	c.w.loop.SetTimer(c.token, max(timer-now, 1))
}

// hungUp handles the end of the client's stream. Without a Close frame before it that is abnormal
// (1006, RFC 6455 §7.1.5): the client may still be reading, so it gets what was published so far,
// but no more and not for long.
func (c *conn) hungUp() {
	switch c.life {
	case reading:
		c.die(c.silence(ClosedGone))
	case open:
		c.closeWith(ClosedGone, 0, "")
		if c.life == finishing || c.life == parting {
			c.w.loop.SetTimer(c.token, lingerTime)
		}
	case lingering:
		c.die(c.end.reason)
	}
}

// silence is the reason for the end of a connection that is reading and has sent nothing since its
// last answer; without an answer, another.
func (c *conn) silence(other CloseReason) CloseReason {
	if c.past == wasAnswered && c.in == nil {
		return ClosedAnswered
	}
	return other
}

// part leaves the room, if it has not been left, and sends the last bytes: what is in the outbox
// and the Close frame.
func (c *conn) part() {
	c.setLife(parting)
	c.leaveRooms()
	switch {
	case c.end.code == 0:
	case c.past == listens:
		o := c.outboxed()
		o.bytes = c.appendFarewell(o.bytes)
	default:
		// What is in the outbox may be on its way in part. If a dropped frame's rest is, it has not
		// begun.
		o := c.outboxed()
		o.bytes = wsproto.AppendClose(o.bytes, c.end.code, c.end.text)
		o.pongAt = -1
		c.w.replyBudget.hold(c)
	}
	c.sendLast()
}

// sendLast goes on with the last bytes. When they are out, writing is shut down.
func (c *conn) sendLast() {
	budget := c.w.cfg.writeBudget
	switch sent, isAll := c.SendOwn(budget); {
	case c.life == dead:
		return
	case !isAll && sent >= budget: // A long rest takes more than one turn.
		c.w.loop.Requeue(c.token, reactor.Writable)
		return
	case !isAll:
		return
	}
	switch err := c.transport().CloseWrite(int(c.fd)); {
	case err == nil:
	case isShortage(err):
		c.putOffWrites(err)
		return
	case errors.Is(err, syscall.EAGAIN): // TLS' own last words wait.
		c.arm()
		return
	default:
		c.die(c.end.reason) // The peer is gone already, so there is nothing to linger for.
		return
	}
	c.setLife(lingering)
	c.end.dropped = 0 // What came before we had said all is not what lingering has to bear with.
	c.heard = c.w.loop.Now()
	if c.end.reason != ClosedDrain {
		c.end.due = max(c.end.due, c.heard+lingerTime)
	}
	c.w.loop.SetTimer(c.token, lingerTime)
	// The end of its stream may have been reported already, while nothing was read.
	c.w.loop.Requeue(c.token, reactor.Readable)
	if c.isArmed {
		c.rearm(reactor.Readable)
	}
}

// abort ends the connection at once and frees what the kernel holds for it: close(2) with SO_LINGER
// zero sends a reset.
func (c *conn) abort(r CloseReason) {
	// Where the option fails the descriptor is closed all the same, only less abruptly.
	_ = c.w.kernel.SetOption(int(c.fd), reactor.AbortOnClose, 1)
	c.die(r)
}

// die is where every connection ends: it leaves its room, and its descriptor closes at the end of
// the tick.
func (c *conn) die(r CloseReason) {
	if c.life == dead {
		return
	}
	c.forget(r)
	c.w.loop.Close(c.token)
}

// forget gives back everything but the descriptor, and counts why.
func (c *conn) forget(r CloseReason) {
	if c.end != nil && r == ClosedGone {
		r = c.end.reason // It was closing for another reason already.
	}
	c.logLeft(r)
	c.w.stats.Closed[r]++
	c.letGo()
}

// letGo gives back everything but the descriptor.
func (c *conn) letGo() {
	c.setLife(dead)
	c.leaveRooms()
	c.dropInput()
	c.dropPauses()
	c.dropOutbox()
	if c.other != nil {
		if t, ok := (*c.other).(interface{ letGo() }); ok { // TLS leaves something behind.
			t.letGo()
		}
	}
	c.end = nil
	c.w.conns.Add(-1)
	c.w.server.leave(c.key())
}
