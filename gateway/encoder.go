package gateway

import (
	"fmt"

	"sluice/gateway/sse"
	"sluice/hub"
	"sluice/wsproto"
)

// The encodings of a room's messages, as the hub knows them.
const (
	encodingPlain    hub.Encoding = iota // frames as they are
	encodingDeflated                     // permessage-deflate without context, shared by all who negotiated it
	encodingEvents                       // server-sent events
)

// encodings is the list for the hub. A message that is not worth deflating, or came before the
// deflated encoding had a reader, goes out as a plain frame there: RSV1 tells them apart (RFC 7692
// §6).
var encodings = []hub.EncodingInfo{
	encodingPlain:    {Name: "plain"},
	encodingDeflated: {Name: "deflated", HasSubstitute: true, Substitute: encodingPlain},
	encodingEvents:   {Name: "events", PositionWidth: sse.IDLen, PutPosition: putID},
}

// compressMax bounds how long deflating one message may hold its loop: some 2 ms. A larger one goes
// out as it is.
const compressMax = 256 << 10

// An encoder makes the frames of one message after another, in buffers of its own: those of a
// message stay until the next one is set. It belongs to whoever publishes; it knows no loop and no
// room.
type encoder struct {
	compressMin int          // bytes from which on a message is worth deflating
	wallClock   func() int64 // milliseconds since 1970

	message        wsproto.Message
	isKept         bool // by its room, so that its frames have a place for its position
	header         []byte
	deflated       []byte
	deflatedHeader []byte
	event          []byte

	deflations               uint64 // messages that were deflated …
	deflatedFrom, deflatedTo uint64 // … and their bytes before and after
}

// of returns the encoder set to a message.
func (e *encoder) of(m wsproto.Message) hub.Encoder {
	e.message, e.isKept = m, false
	return e
}

// Source implements hub.Recorder.
func (e *encoder) Source() hub.Source {
	e.isKept = true
	return hub.Source{Kind: byte(e.message.Op), Payload: e.message.Payload, Time: e.wallClock() * 1e6}
}

// messageOf is the message that a room has kept.
func messageOf(r *hub.Record) wsproto.Message {
	return wsproto.Message{Op: wsproto.Opcode(r.Kind), Payload: r.Payload}
}

// restore returns the encoder of a message that a room has kept. The builder calls it alone.
func (s *Server) restore(r *hub.Record) hub.Encoder {
	e := &s.restored
	s.outside.take(e) // What the one before has counted.
	e.setTo(s.config())
	e.of(messageOf(r))
	e.isKept = true
	return e
}

// setTo has the encoder go by a config.
func (e *encoder) setTo(cfg *config) {
	e.compressMin, e.wallClock = int(cfg.CompressMin), cfg.wallClock
}

// Encode implements hub.Encoder.
func (e *encoder) Encode(encoding hub.Encoding) hub.Frame {
	switch encoding {
	case encodingPlain:
		e.header = wsproto.AppendHeader(e.header[:0], e.message.Op, true, len(e.message.Payload))
		return hub.Frame{Head: e.header, Payload: e.message.Payload}
	case encodingDeflated:
		return e.deflate()
	case encodingEvents:
		return e.makeEvent()
	}
	panic(fmt.Sprintf("gateway: no frames in encoding %d", encoding))
}

// deflate is the deflated frame, an empty one if that is not worth it.
func (e *encoder) deflate() hub.Frame {
	op, payload := e.message.Op, e.message.Payload
	if len(payload) < e.compressMin || len(payload) > compressMax {
		return hub.Frame{}
	}
	e.deflated = wsproto.AppendDeflated(e.deflated[:0], payload)
	e.deflations++
	e.deflatedFrom += uint64(len(payload))
	e.deflatedTo += uint64(len(e.deflated))
	if len(e.deflated) >= len(payload) {
		return hub.Frame{}
	}
	e.deflatedHeader = wsproto.AppendDeflatedHeader(e.deflatedHeader[:0], op, len(e.deflated))
	return hub.Frame{Head: e.deflatedHeader, Payload: e.deflated}
}

// eventKept bounds the buffer that stays with an encoder for the next event. A text of nothing but line
// ends is seven times as large as an event.
const eventKept = 256 << 10

// makeEvent is the message as a server-sent event, with a place for its id where the room keeps it. It
// is in pieces, so its payload is copied: into a buffer of its own, made once, if it is large.
func (e *encoder) makeEvent() hub.Frame {
	event, at := e.event[:0], 0
	size := eventSize(e.message)
	if size > eventKept {
		event = make([]byte, 0, size)
	}
	if e.isKept {
		event, at = sse.AppendID(event), sse.IDAt
	}
	event = appendEvent(event, e.message)
	if size <= eventKept {
		e.event = event
	}
	return hub.Frame{Head: event, PositionAt: at}
}

// eventSize is the most that the message takes as an event.
func eventSize(m wsproto.Message) int {
	if m.Op == wsproto.OpBinary {
		return sse.IDLine + sse.BinarySize(len(m.Payload))
	}
	return sse.IDLine + sse.TextSize(m.Payload)
}

func appendEvent(dst []byte, m wsproto.Message) []byte {
	if m.Op == wsproto.OpBinary {
		return sse.AppendBinary(dst, m.Payload)
	}
	return sse.AppendText(dst, m.Payload)
}
