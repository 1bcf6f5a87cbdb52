package gateway

import (
	"errors"
	"syscall"
	"time"

	"sluice/hub"
	"sluice/reactor"
	"sluice/wsproto"
)

// transport is what a connection's bytes go through: the kernel itself for plain TCP and unix sockets. It never blocks:
// EAGAIN says that the rest must wait.
type transport interface {
	Read(fd int, p []byte) (int, error)
	Write(fd int, p []byte) (int, error)
	CloseWrite(fd int) error
}

type state uint8

const (
	reading   state = iota // the request head
	open                   // upgraded and in its room
	ending                 // gets what it is owed, then the Close frame; what it sends is dropped
	lingering              // we have sent all and shut down; what it still sends is read and dropped
	dead                   // gone from the loop
)

// A conn is one client's connection, from accept to close:
//
//	reading ──101──▶ open ──reason──▶ ending ──all sent──▶ lingering ──▶ dead
//	   │ └──refusal─────────────────────▲                                  ▲
//	   └──another path: lent to net/http ──────────────────────────────────┘
//
// It belongs to its worker's loop. There are many, so what a connection rarely needs lives behind a pointer and is
// allocated when it first does; TestConnSize pins its size.
type conn struct {
	w      *worker
	t      transport
	member hub.Member
	token  reactor.Token
	in     *inbound // input that waits for more, or for the room
	out    *outbox  // bytes of its own that wait for the kernel
	end    *farewell
	meter  *meter        // what limits want to know of it; nil: nothing
	heard  time.Duration // when it last showed life: sent bytes, or took some
	pinged time.Duration // when it was pinged and has not been heard since; zero: never
	fd     int32
	state  state

	isArmed  bool // registered for Writable too, because a write was refused
	isPaused bool // not read on: its room is full
	wasLent  bool // came back from net/http
}

// inbound is input that could not be finished with when it was read.
type inbound struct {
	head    []byte // an incomplete request head
	scanned int    // how much of head has been searched for its end
	stash   []byte // frames read but not decoded, because the room was full, a rate exceeded or a turn over; a read buffer of them at most
	decoder wsproto.Decoder
	held    int           // bytes that the worker counts as this connection's share of --assembly-memory
	began   time.Duration // when the first byte of the message under way came; zero: there is none
	stopped time.Duration // since when it is we who do not read on; zero: we do
}

// OnEvent implements reactor.Source.
func (c *conn) OnEvent(_ *reactor.Loop, ev reactor.Event) {
	if ev.Timeout() {
		c.onTimer()
	}
	if ev.Error() && c.state != dead {
		c.read(true) // First: a reset leaves what was said before it, and writing would find the peer gone.
	}
	if ev.Writable() && c.state != dead {
		c.writable()
	}
	if ev.Readable() && !ev.Error() && c.state != dead {
		switch {
		case ev.Again():
			c.listen()
			c.read(false)
		case c.isCostly():
			c.again()
		default:
			c.read(false)
		}
	}
}

// read takes bytes until EAGAIN or the turn's budget is spent. A connection whose room is full is not read on, which
// holds its sender by TCP's own means; if the event says that the sender is gone, so is the connection.
//
// A budget of bytes does not bound a turn's time: they may be a thousand messages, or inflate to a hundred times as much. Who takes
// long stands in a line of its own from then on, see isCostly.
func (c *conn) read(failed bool) {
	began := c.w.loop.Elapsed()
	c.fill(failed)
	c.answer()
	if took := c.w.loop.Elapsed() - began; c.state == open && (c.meter != nil || took >= c.w.cfg.costlyTurn) {
		c.noteCost(took)
	}
}

// again puts the connection in line for another turn, without an event. Until then it is we who do not read on.
func (c *conn) again() {
	c.stopReading()
	if c.isCostly() {
		c.w.loop.Defer(c.token, reactor.Readable)
	} else {
		c.w.loop.Requeue(c.token, reactor.Readable)
	}
}

func (c *conn) fill(failed bool) {
	c.w.inflated, c.w.frames = 0, 0
	if c.mustPause() || !c.unstash() {
		if failed && c.isPaused {
			c.die(closedGone) // What the socket still holds comes behind what waits here, and its sender is gone.
		}
		return
	}
	for budget := c.w.cfg.readBudget; budget > 0; {
		n, err := c.t.Read(int(c.fd), c.w.buf[:min(len(c.w.buf), budget)])
		switch {
		case err == nil && n > 0:
		case err == nil:
			c.hungUp()
			return
		case errors.Is(err, syscall.EAGAIN):
			return
		case errors.Is(err, syscall.EINTR):
			continue
		default:
			c.die(closedGone)
			return
		}
		c.heard = c.w.loop.Now()
		if c.meter != nil {
			c.meter.read(n)
		}
		if !c.consume(c.w.buf[:n]) {
			return
		}
		budget -= n
	}
	c.again()
}

// consume handles p according to the connection's state, and reports whether to read on.
func (c *conn) consume(p []byte) bool {
	switch c.state {
	case reading:
		return c.readHead(p)
	case open:
		goOn := c.decode(p)
		return c.chargeBytes(len(p)) && goOn
	case ending, lingering:
		return c.discard(len(p))
	}
	return false
}

// decode turns bytes into messages until p is used up, the room is full, the client is over a rate, or what was inflated spends the
// turn's budget, be it a slice of one message.
func (c *conn) decode(p []byte) bool {
	d := c.decoder()
	for {
		if c.w.inflated >= c.w.cfg.readBudget {
			return c.decodeLater(d, p)
		}
		if len(p) > 0 && c.mustPause() {
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
		if msg.Compressed {
			if !c.mayInflate(len(msg.Payload)) {
				d.Release()
				c.close(closedInflation)
				return false
			}
		}
		if !c.handle(msg) {
			d.Release()
			return false
		}
	}
}

// decodeLater ends the turn; the next one begins with rest. It returns that the connection is not to be read on.
func (c *conn) decodeLater(d *wsproto.Decoder, rest []byte) bool {
	c.keep(d, rest)
	c.again()
	return false
}

// isInflating reports whether a message is whole and inflated in slices.
func (c *conn) isInflating() bool { return c.in != nil && c.in.decoder.Inflating() }

// decoder is the connection's own if it holds a part of a message, and the worker's otherwise.
func (c *conn) decoder() *wsproto.Decoder {
	if c.in != nil {
		return &c.in.decoder
	}
	c.w.decoder.Deflate = c.member.Track() == hub.Deflated
	return &c.w.decoder
}

// keep holds on to a decoder in the middle of a message, and to the bytes behind it that have to wait.
func (c *conn) keep(d *wsproto.Decoder, stash []byte) {
	if !d.Partial() {
		_, _, _ = d.Next(nil) // Gives back the buffer of the message before; nothing can come of no bytes.
	}
	if d.Idle() && len(stash) == 0 {
		c.dropInput()
		return
	}
	if c.in == nil {
		c.in = &inbound{decoder: *d}
		c.w.decoder = c.w.newDecoder()
	}
	c.in.stash = append([]byte(nil), stash...)
	if c.in.began == 0 && c.in.decoder.Partial() {
		c.in.began = c.w.loop.Now()
		c.setTimer() // Its deadline may be nearer than the one that stands.
	}
	c.w.assembly.hold(c, c.in.size(c.w.cfg))
}

// inflaterSize is a window, code tables and the stack that they are used on.
const inflaterSize = 64 << 10

// size is what it takes, in bytes.
func (in *inbound) size(cfg *config) int {
	n := in.decoder.Held() + len(in.stash)
	if in.decoder.Inflating() {
		n += int(cfg.inflaterSize)
	}
	return n
}

// dropInput forgets what was read and could not be finished with.
func (c *conn) dropInput() {
	if c.in == nil {
		return
	}
	c.w.assembly.hold(c, 0)
	c.in.decoder.Release()
	c.in = nil
}

// handle acts on one message and reports whether to go on.
func (c *conn) handle(m wsproto.Message) bool {
	switch m.Op {
	case wsproto.OpText, wsproto.OpBinary:
		c.w.stats.Messages++
		c.member.Publish(c.w.loop.Now(), c.w.encode(m, c.member.Room().Uses(hub.Deflated)))
	case wsproto.OpPing:
		c.pong(m.Payload)
	case wsproto.OpClose:
		code, _, err := wsproto.ParseClose(m.Payload)
		if err != nil {
			c.violated(err)
			return false
		}
		c.closeWith(closedByPeer, code, "")
		return false
	}
	return c.state == open
}

// mustPause reports whether the connection has to wait, for its room or because of a rate, before it is read on. It is asked
// before each message, so a sender overshoots by one at most. A message that is being inflated is past that.
func (c *conn) mustPause() bool {
	if c.state != open || c.isInflating() || !c.isThrottled() && !c.awaitsRoom() {
		return false
	}
	c.stopReading()
	return true
}

// awaitsRoom reports whether the room is full; Resume is called when it is no longer so.
func (c *conn) awaitsRoom() bool {
	if !c.member.Room().IsFull() {
		return false
	}
	c.isPaused = c.member.AwaitRoom()
	if c.isPaused {
		c.w.stats.Paused++
	}
	return c.isPaused
}

// Resume implements hub.Sink: the room has room again.
func (c *conn) Resume() {
	c.isPaused = false
	c.readOn()
}

// stopReading has the clock of an unfinished message stand still until listen: it is not its sender who holds it up.
func (c *conn) stopReading() {
	if c.in != nil && c.in.stopped == 0 {
		c.in.stopped = c.w.loop.Now()
	}
}

// readOn goes on with reading, in its turn.
func (c *conn) readOn() {
	c.listen()
	c.again()
}

// listen has the clocks go on that stood still while we did not read on.
func (c *conn) listen() {
	now := c.w.loop.Now()
	if in := c.in; in != nil && in.stopped != 0 {
		if in.began != 0 {
			in.began += now - in.stopped
		}
		in.stopped = 0
	}
	c.heard = now // We did not listen meanwhile.
}

// unstash goes on with what was read before reading was stopped, and reports whether to read on.
func (c *conn) unstash() bool {
	if c.state != open || c.in == nil || len(c.in.stash) == 0 && !c.isInflating() {
		return true
	}
	stash := c.in.stash // Decoded where it lies; what is left becomes a new one.
	c.in.stash = nil
	return c.decode(stash)
}
