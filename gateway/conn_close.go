package gateway

import (
	"time"

	"sluice/hub"
	"sluice/reactor"
	"sluice/wsproto"
)

const (
	// lingerTime and lingerBytes bound how long and how much is read and dropped after the last byte was sent. Closing with
	// unread input would reset the connection, and the reset can overtake the Close frame.
	lingerTime  = time.Second
	lingerBytes = 64 << 10
)

// A farewell is how a connection ends.
type farewell struct {
	reason  closeReason
	code    wsproto.Code // zero: no Close frame is due
	text    string
	at      int64 // position in the room's stream up to which the client is owed messages
	dropped int   // bytes read and dropped
	isLast  bool  // the outbox holds the last bytes: nothing but them is due any more
}

// close ends the connection for a reason of ours.
func (c *conn) close(r closeReason) {
	if r.isAbuse() && c.state == open {
		c.logAbuse(r, reasons[r].text)
	}
	c.closeWith(r, reasons[r].code, reasons[r].text)
}

// violated ends the connection for a rule that its client broke.
func (c *conn) violated(err error) {
	r := violation(err)
	c.logAbuse(r, err.Error())
	c.closeWith(r, reasons[r].code, reasons[r].text)
}

// closeWith ends the connection in order: the client gets every message published so far, its own included, then the Close
// frame, within --close-timeout. The second of two reasons is not heard.
func (c *conn) closeWith(r closeReason, code wsproto.Code, text string) {
	if c.state >= ending {
		return
	}
	c.state = ending
	c.end = &farewell{reason: r, code: code, text: text}
	c.dropInput()
	if c.member.IsIn() {
		c.end.at = c.member.End()
	}
	c.w.loop.SetTimer(c.token, c.w.cfg.CloseTimeout)
	if !c.isArmed {
		c.write()
	}
}

// hungUp handles the end of the client's stream. Without a Close frame before it that is abnormal (1006, RFC 6455 §7.1.5):
// the client may still be reading, so it gets what was published so far, but no more and not for long.
func (c *conn) hungUp() {
	switch c.state {
	case reading:
		c.die(closedGone)
	case open:
		c.closeWith(closedGone, 0, "")
		if c.state == ending {
			c.w.loop.SetTimer(c.token, lingerTime)
		}
	case lingering:
		c.die(c.end.reason)
	}
}

// sayFarewell is reached in the state ending when nothing waits for the kernel: first the room is left and the Close frame
// sent, then writing is shut down.
func (c *conn) sayFarewell() {
	if !c.end.isLast {
		c.end.isLast = true
		c.member.Leave()
		if c.end.code != 0 {
			c.out = &outbox{bytes: wsproto.AppendClose(nil, c.end.code, c.end.text), pongAt: -1}
		}
		c.write()
		return
	}
	if err := c.t.CloseWrite(int(c.fd)); err != nil {
		c.die(c.end.reason) // The peer is gone already, so there is nothing to linger for.
		return
	}
	c.state = lingering
	c.end.dropped = 0 // What came before we had said all is not what lingering has to bear with.
	c.w.loop.SetTimer(c.token, lingerTime)
	// The end of its stream may have been reported already, while nothing was read.
	c.w.loop.Requeue(c.token, reactor.Readable)
	if c.isArmed {
		c.rearm(reactor.Readable)
	}
}

// Overtaken implements hub.Sink: the log has dropped what the client still needed. It is owed the rest of the frame that is
// partly sent. Where its room's policy keeps it, it goes on behind that; otherwise the Close frame follows, and nothing between
// them.
func (c *conn) Overtaken(rest hub.Rest) {
	if c.state == open && c.member.IsIn() {
		c.owe(rest)
		return
	}
	c.member.Leave()
	if c.state == ending {
		// It was to get everything published before it was closed, which is gone now.
		c.end.isLast = true
	} else {
		c.state = ending
		c.end = &farewell{reason: closedSlow, code: wsproto.CodeSlowConsumer, text: reasons[closedSlow].text, isLast: true}
		c.dropInput()
		c.w.loop.SetTimer(c.token, c.w.cfg.CloseTimeout)
	}
	c.owe(rest)
	if c.out == nil {
		c.out = &outbox{}
	}
	// What is in the outbox may be on its way in part. If rest is, it has not begun.
	c.out.bytes = wsproto.AppendClose(c.out.bytes, wsproto.CodeSlowConsumer, reasons[closedSlow].text)
	c.out.pongAt = -1
	c.write()
}

// owe puts rest in front of all that waits. There is none there yet: until it is sent nothing of the log is, and so nobody overtaken.
func (c *conn) owe(rest hub.Rest) {
	if len(rest.Bytes()) == 0 {
		return
	}
	if c.out == nil {
		c.out = &outbox{pongAt: -1}
	}
	c.out.rest = rest
}

// Abort implements hub.Sink: what is kept of dropped frames takes too much memory, and this client's has been for longest.
func (c *conn) Abort() { c.abort(closedPinned) }

// Lagging implements hub.Sink.
func (c *conn) Lagging(isSlow bool) {
	lag := c.member.Lag(c.w.loop.Now())
	c.w.log.Debug("slow client", "slow", isSlow, "room", c.member.Room().Name(), "messages", lag.Messages, "bytes", lag.Bytes, "age", lag.Age)
}

// discard drops what a client sends that we no longer listen to, and reports whether to read on.
func (c *conn) discard(n int) bool {
	if c.end.dropped += n; c.end.dropped > lingerBytes && c.state == lingering {
		c.die(c.end.reason)
		return false
	}
	return true
}

// abort ends the connection at once and frees what the kernel holds for it: close(2) with SO_LINGER zero sends a reset.
func (c *conn) abort(r closeReason) {
	// Where the option fails the descriptor is closed all the same, only less abruptly.
	_ = c.w.kernel.SetOption(int(c.fd), reactor.AbortOnClose, 1)
	c.die(r)
}

// die is where every connection ends: it leaves its room, and its descriptor closes at the end of the tick.
func (c *conn) die(r closeReason) {
	if c.state == dead {
		return
	}
	c.forget(r)
	c.w.loop.Close(c.token)
}

// forget gives back everything but the descriptor.
func (c *conn) forget(r closeReason) {
	if c.end != nil && r == closedGone {
		r = c.end.reason // It was closing for another reason already.
	}
	c.state = dead
	c.member.Leave()
	c.dropInput()
	if c.out != nil {
		c.out.rest.Release()
	}
	c.out, c.end = nil, nil
	c.w.stats.Closed[r]++
	c.w.server.leave(c.key())
}
