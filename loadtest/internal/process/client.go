package process

import (
	"errors"
	"fmt"
	"syscall"

	"sluice/loadtest/internal/load"
	"sluice/reactor"
	"sluice/wsproto"
)

type clientState uint8

const (
	waiting clientState = iota // its turn to connect has not come
	connecting
	upgrading
	subscribing // upgraded, where the protocol has more to say
	joined
	leaving // said goodbye; whatever comes is dropped
	gone
)

// A client is one WebSocket, or one stream of events. It belongs to its worker's loop. There may be
// tens of thousands, so what only the opening needs lives behind a pointer.
type client struct {
	membership               // in its first room
	others     []*membership // in further ones

	w         *worker
	token     reactor.Token
	index     int // in the run
	fd        int32
	state     clientState
	kind      load.Kind
	returning bool // a guest that is away
	wasJoined bool // upgraded, whatever became of it
	wasCut    bool // by the server, or by a fault
	armed     bool // registered for Writable too, because a write was refused
	deflates  bool // agreed on permessage-deflate
	ending    bool // an event told of the stream's end, which no other will
	isPutOff  bool // it was refused for the moment
	refusals  uint8

	partial *wsproto.Decoder // in the middle of a frame; nil between frames
	opening *opening
	session *session // nil without TLS
	events  *events  // nil: it is a WebSocket

	subscriber *subscriber // nil: messages are all that goes over it
	out        []byte      // frames that wait for the kernel, or for TLS
}

// opening is what a client holds until it has joined.
type opening struct {
	key  string
	head []byte // of the response, as far as it has come
	seen int    // how much of head was searched for its end
}

// OnEvent implements reactor.Source.
func (c *client) OnEvent(_ *reactor.Loop, ev reactor.Event) {
	switch {
	case c.state == gone:
	case ev.Timeout():
		c.onTimer()
	case c.state == connecting:
		if ev.Writable() {
			c.connected()
		}
	default:
		if ev.Writable() && c.hasUnsent() {
			c.flush()
		}
		if ev.Readable() && c.state != gone {
			c.ending = c.ending || ev.Hangup() || ev.Error()
			c.readable()
		}
	}
}

// readable reads as its kind does.
func (c *client) readable() {
	switch {
	case c.state == joined && c.kind == load.KindSlow: // In its time.
	// What it left unread says how it ended.
	case c.state == joined && c.kind == load.KindStalled:
		if c.w.isLooking || c.ending {
			c.w.lookedAt = c.w.process.Now()
			c.read()
		}
	default:
		c.read()
	}
}

// read takes what is there. A read that leaves room in the buffer has emptied the socket (epoll(7),
// "Questions and answers"), so it is the last one unless an event told of the stream's end.
func (c *client) read() {
	for range readsPerTurn {
		n, err := c.w.kernel.Read(int(c.fd), c.w.buf)
		switch {
		case err == nil && n > 0:
			if !c.take(c.w.buf[:n]) {
				return
			}
			if n < len(c.w.buf) && !c.ending {
				return
			}
		case err == nil:
			c.end(FaultClosed, c.endedBare())
			return
		case errors.Is(err, syscall.EAGAIN):
			return
		case !errors.Is(err, syscall.EINTR):
			c.end(FaultClosed, err.Error())
			return
		}
	}
	c.w.loop.Requeue(c.token, reactor.Readable)
}

// take handles what was read, and reports whether the client is still there.
func (c *client) take(p []byte) bool {
	if c.session != nil {
		return c.unseal(p)
	}
	return c.consume(p)
}

// consume handles what the server sent, and reports whether the client is still there.
func (c *client) consume(p []byte) bool {
	switch c.state {
	case upgrading:
		p = c.answered(p)
		return c.isOpen() && c.consume(p)
	case subscribing, joined:
		if c.isJudged() { // The others' deliveries are not counted either.
			c.w.wire += uint64(len(p))
		}
		if c.events != nil {
			return c.hear(p)
		}
		return c.decode(p)
	}
	return c.state != gone
}

// isOpen says that messages may come.
func (c *client) isOpen() bool { return c.state == subscribing || c.state == joined }

// isJudged says that the client is held to every message of the run.
func (c *client) isJudged() bool { return c.kind == load.KindReader || c.kind == load.KindResumer }

// decode takes messages out of p until it is used up. Between frames a client has no decoder: the
// worker's serves, which stays in the processor's cache.
func (c *client) decode(p []byte) bool {
	d := &c.w.decoder
	d.Deflate = c.deflates
	if c.partial != nil {
		d = c.partial
	}
	now := int64(c.w.process.Now())
	for len(p) > 0 && c.isOpen() {
		msg, n, err := d.Next(p)
		if err != nil {
			d.Release()
			c.end(FaultProtocol, err.Error())
			return false
		}
		if msg.Op == 0 {
			break
		}
		p = p[n:]
		if !c.handle(msg, now) {
			d.Release()
			return false
		}
	}
	c.keep(d)
	return true
}

// keep holds on to a decoder that is in the middle of something.
func (c *client) keep(d *wsproto.Decoder) {
	if d == c.partial {
		if d.Idle() {
			c.partial = nil
		}
		return
	}
	if !d.Idle() {
		own := *d
		c.partial = &own
		c.w.decoder = c.w.newDecoder()
	}
}

// handle acts on one message, and reports whether to go on.
func (c *client) handle(m wsproto.Message, now int64) bool {
	switch m.Op {
	case wsproto.OpText, wsproto.OpBinary:
		if c.subscriber != nil {
			c.hearFrame(m, now)
			break
		}
		c.deliver(&c.membership, m.Payload, now)
	case wsproto.OpPing:
		c.out = wsproto.AppendMaskedFrame(c.out, wsproto.OpPong, true, newMask(), m.Payload)
		c.flush()
	case wsproto.OpClose:
		code, reason, _ := wsproto.ParseClose(m.Payload)
		c.isPutOff = c.state == subscribing && isForNow(uint16(code))
		c.end(FaultClosed, fmt.Sprintf("the server closed with %v %q", code, reason))
	}
	return c.state != gone
}

func (c *client) hasUnsent() bool {
	return len(c.out) > 0 || c.session != nil && len(c.session.wire.out) > 0
}

// flush writes what waits, and asks for Writable when the kernel refuses.
func (c *client) flush() {
	for c.hasUnsent() {
		out := &c.out
		if c.session != nil {
			c.out = c.session.seal(c.out)
			out = &c.session.wire.out
		}
		n, err := c.w.kernel.Write(int(c.fd), *out)
		switch {
		case err == nil:
			*out = (*out)[:copy(*out, (*out)[n:])]
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			c.arm(reactor.Readable | reactor.Writable)
			return
		default:
			c.end(FaultClosed, err.Error())
			return
		}
	}
	if c.armed {
		c.arm(reactor.Readable)
	}
}

func (c *client) arm(in reactor.Interest) {
	if err := c.w.loop.Rearm(c.token, in); err != nil {
		c.end(FaultClosed, err.Error())
		return
	}
	c.armed = in&reactor.Writable != 0
}

// end is where every client goes, once. A client that had joined is no longer waited for, and what
// was on its way to it is lost.
func (c *client) end(f Fault, why string) {
	was := c.state
	if was == gone {
		return
	}
	c.state = gone
	c.out, c.partial, c.session, c.ending = nil, nil, nil, false
	if c.token != 0 {
		c.w.loop.Close(c.token)
		c.token = 0
	}
	switch was {
	case connecting, upgrading, subscribing:
		c.opened(f, why)
	case joined:
		c.cutOff(f, why)
	case leaving:
		if c.returning && !c.w.isClosing {
			c.comeBack()
		}
	}
}

// cutOff counts what ended a client that did not mean to go. A server may well end those that do
// not keep up.
func (c *client) cutOff(f Fault, why string) {
	switch {
	case f == FaultClosed && c.kind == load.KindStalled:
		c.w.crowd.StalledClosed++
		c.w.faults.say("of a stalled client: "+why, 1)
	case f == FaultClosed && c.kind == load.KindSlow:
		c.w.crowd.SlowClosed++
		c.w.faults.say("of a slow client: "+why, 1)
	default:
		c.w.faults.add(f, why)
		c.abandon()
	}
}

// abandon gives up what the room's streams still wait for from this client.
func (c *client) abandon() {
	c.wasCut = true
	if c.kind != load.KindReader {
		return
	}
	for m := range c.each {
		m.room.live.Add(-1)
		for place, st := range m.room.streams {
			sent := st.sent.Load()
			from := m.check.next[place]
			if n := uint32(len(st.slots)); sent > from && sent-from > n {
				from = sent - n
			}
			for ; from < sent; from++ {
				c.w.released(st, from)
			}
		}
	}
}

// sayGoodbye closes in the protocol's way; the server then ends the connection.
func (c *client) sayGoodbye() {
	if c.state != joined {
		return
	}
	c.state = leaving
	if c.events != nil {
		c.end(FaultNone, "")
		return
	}
	// A stalled client has left bytes unread, for which no edge will come.
	c.w.loop.Requeue(c.token, reactor.Readable)
	c.out = wsproto.AppendMaskedFrame(c.out, wsproto.OpClose, true, newMask(), []byte{0x03, 0xe8}) // 1000
	c.flush()
}

func (c *client) onTimer() {
	switch {
	case c.state == connecting || c.state == upgrading || c.state == subscribing:
		c.end(FaultConnect, fmt.Sprintf("no answer within %v", c.w.process.cfg.ConnectTimeout))
	case c.state == leaving:
		c.end(FaultNone, "")
	case c.state == joined && c.kind == load.KindSlow:
		c.readSlowly()
	}
}
