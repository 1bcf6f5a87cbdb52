package gateway

import (
	"sluice/gateway/centrifuge"
	"sluice/hub"
	"sluice/wsproto"
)

// putOffset is what the hub calls to write a position into a push.
func putOffset(f centrifuge.Format) func([]byte, hub.Position) {
	return func(place []byte, p hub.Position) { f.PutOffset(place, p.Offset) }
}

// pushesKept bounds each buffer that stays with an encoder for the next push.
const pushesKept = 256 << 10

// pushes are one message as the Centrifuge protocol has it, which subscribers of its room share, in
// both formats. What is made for one encoding is there for the next.
type pushes struct {
	data    pushData
	formats [2]push
}

type pushData struct {
	isThere  bool
	isBase64 bool
	bytes    []byte
}

// A push is what was made of the message in one format, for its two encodings.
type push struct {
	isThere    bool
	frame      []byte // behind room for a header
	positionAt int    // in frame, zero: nowhere
	deflated   []byte // like frame
}

// drop forgets the message, and buffers that were large. Most rooms have no subscribers, and
// nothing to forget.
func (p *pushes) drop() {
	if !p.data.isThere {
		return
	}
	p.data.isThere = false
	p.data.bytes = shrunk(p.data.bytes)
	for i := range p.formats {
		f := &p.formats[i]
		f.isThere = false
		f.frame, f.deflated = shrunk(f.frame), shrunk(f.deflated)
	}
}

// shrunk is the buffer unless it is large.
func shrunk(buf []byte) []byte {
	if cap(buf) > pushesKept {
		return nil
	}
	return buf[:0]
}

// headerRoom is left before what goes into a frame, so that its header can come last.
const headerRoom = wsproto.MaxServerHeader

var noHeader [headerRoom]byte

// opcodeOf is the kind of WebSocket message that a format comes in.
func opcodeOf(f centrifuge.Format) wsproto.Opcode {
	if f == centrifuge.JSON {
		return wsproto.OpText
	}
	return wsproto.OpBinary
}

// makePush is the message as a push.
func (e *encoder) makePush(f centrifuge.Format) hub.Frame {
	p := e.pushOf(f)
	var room [headerRoom]byte
	header := wsproto.AppendHeader(room[:0], opcodeOf(f), true, len(p.frame)-headerRoom)
	return withHeader(header, p.frame, p.positionAt)
}

// withHeader writes a header before what a buffer has behind the room for one.
func withHeader(header, buf []byte, positionAt int) hub.Frame {
	from := headerRoom - len(header)
	copy(buf[from:], header)
	if positionAt > 0 {
		positionAt -= from
	}
	return hub.Frame{Head: buf[from:], PositionAt: positionAt}
}

// pushOf makes the push, or returns the one that is there.
func (e *encoder) pushOf(f centrifuge.Format) *push {
	p := &e.pushes.formats[f]
	if p.isThere {
		return p
	}
	d := &e.pushes.data
	if !d.isThere {
		d.bytes, d.isBase64 = centrifuge.AppendData(d.bytes[:0], kindOf(e.message.Op == wsproto.OpBinary, e.message.isValue), e.message.Payload)
		d.isThere = true
	}
	pub := centrifuge.Pub{Data: d.bytes, IsBase64: d.isBase64, Info: e.message.info, HasOffset: e.isKept}
	p.frame, p.positionAt = f.AppendPub(append(p.frame[:0], noHeader[:]...), e.room, &pub)
	p.isThere = true
	return p
}

// deflatePush is the push deflated, an empty frame if that is not worth it, or not wanted in this
// one of the rooms that a connection hears. What is before its place for the position is stored,
// and the rest is deflated as if that were not there, so that nothing refers to what is yet to be
// written.
func (e *encoder) deflatePush(f centrifuge.Format) hub.Frame {
	p := e.pushOf(f)
	head, body := []byte(nil), p.frame[headerRoom:]
	if p.positionAt > 0 {
		head = p.frame[headerRoom : p.positionAt+f.OffsetWidth()]
		body = body[len(head):]
	}
	if len(body) < e.compressMin || len(body) > compressMax || !e.cfg.deflates(e.room) {
		return hub.Frame{}
	}
	deflated, positionAt := append(p.deflated[:0], noHeader[:]...), 0
	if p.positionAt > 0 {
		deflated = wsproto.AppendStored(deflated, head)
		positionAt = len(deflated) - f.OffsetWidth()
	}
	deflated = wsproto.AppendDeflated(deflated, body)
	p.deflated = deflated
	e.deflations++
	e.deflatedFrom += uint64(len(p.frame) - headerRoom)
	e.deflatedTo += uint64(len(deflated) - headerRoom)
	if len(deflated) >= len(p.frame) {
		return hub.Frame{}
	}
	var room [headerRoom]byte
	header := wsproto.AppendDeflatedHeader(room[:0], opcodeOf(f), len(deflated)-headerRoom)
	return withHeader(header, deflated, positionAt)
}
