package gateway

import (
	"fmt"

	"sluice/gateway/centrifuge"
	"sluice/gateway/sse"
	"sluice/hub"
	"sluice/wsproto"
)

// The encodings of a room's messages, as the hub knows them.
const (
	encodingPlain    hub.Encoding = iota // frames as they are
	encodingDeflated                     // permessage-deflate without context, shared by all who negotiated it
	encodingEvents                       // server-sent events

	// Pushes of the Centrifuge protocol, which carry the name of their room.
	encodingPush
	encodingPushDeflated
	encodingPushProtobuf
	encodingPushProtobufDeflated
)

// encodings is the list for the hub. A message that is not worth deflating, or came before the
// deflated encoding had a reader, goes out as a plain frame there: RSV1 tells them apart (RFC 7692
// §6).
var encodings = []hub.EncodingInfo{
	encodingPlain:                {Name: "plain"},
	encodingDeflated:             {Name: "deflated", HasSubstitute: true, Substitute: encodingPlain},
	encodingEvents:               {Name: "events", PositionWidth: sse.IDLen, PutPosition: putID},
	encodingPush:                 pushInfo("push", centrifuge.JSON),
	encodingPushDeflated:         substituted("push deflated", centrifuge.JSON, encodingPush),
	encodingPushProtobuf:         pushInfo("push in protobuf", centrifuge.Protobuf),
	encodingPushProtobufDeflated: substituted("push in protobuf, deflated", centrifuge.Protobuf, encodingPushProtobuf),
}

func pushInfo(name string, f centrifuge.Format) hub.EncodingInfo {
	return hub.EncodingInfo{Name: name, IsBundled: true, PositionWidth: f.OffsetWidth(), PutPosition: putOffset(f)}
}

func substituted(name string, f centrifuge.Format, by hub.Encoding) hub.EncodingInfo {
	info := pushInfo(name, f)
	info.HasSubstitute, info.Substitute = true, by
	return info
}

// compressMax bounds how long deflating one message may hold its loop: some 2 ms. A larger one goes
// out as it is.
const compressMax = 256 << 10

// A message is what comes from a client, a backend or a room that has kept it.
type message struct {
	wsproto.Message
	isValue bool            // JSON of any type, which others get as it is, as subscribers publish it
	info    centrifuge.Info // of the subscriber that published it
}

// kindOf is what a push makes data of.
func kindOf(isBinary, isValue bool) centrifuge.Kind {
	switch {
	case isBinary:
		return centrifuge.Binary
	case isValue:
		return centrifuge.Value
	}
	return centrifuge.Text
}

// An encoder makes the frames of one message after another, in buffers of its own: those of a
// message stay until the next one is set. It belongs to whoever publishes; it knows no loop, and of
// the room its name.
type encoder struct {
	compressMin int // bytes from which on a message is worth deflating
	cfg         *config

	room           string
	message        message
	isKept         bool       // by its room, so that its frames have a place for its position
	given          hub.Source // of a message that came with it …
	isGiven        bool       // … as this one did
	header         []byte
	deflated       []byte
	deflatedHeader []byte
	event          []byte
	pushes         pushes

	deflations               uint64 // messages that were deflated …
	deflatedFrom, deflatedTo uint64 // … and their bytes before and after
}

// of returns the encoder set to a message for a room.
func (e *encoder) of(room string, m message) hub.Encoder {
	e.room, e.message, e.isKept, e.isGiven = room, m, false, false
	e.pushes.drop()
	return e
}

// ofSource is of for a message that has its source already, an offset in it.
func (e *encoder) ofSource(room string, s *hub.Source) hub.Encoder {
	e.of(room, messageOf(s))
	e.given, e.isGiven = *s, true
	return e
}

// done forgets the message, whose frames are where they belong, and what was made of it if that is
// large.
func (e *encoder) done() {
	e.room, e.message, e.given = "", message{}, hub.Source{}
	e.pushes.drop()
}

// kindValue marks the kind of a record whose message is a value.
const kindValue = 1 << 7

// Source implements hub.Recorder.
func (e *encoder) Source() hub.Source {
	e.isKept = true
	if e.isGiven {
		return e.given
	}
	return e.message.source(e.cfg)
}

// source is what a room keeps of the message, which comes now.
func (m *message) source(cfg *config) hub.Source {
	kind := byte(m.Op)
	if m.isValue {
		kind |= kindValue
	}
	return hub.Source{Kind: kind, Payload: m.Payload, Sender: string(m.info), Time: cfg.wallClock() * 1e6}
}

// messageOf is the message that a room has kept, or the cluster brings.
func messageOf(r *hub.Source) message {
	return message{
		wsproto.Message{Op: wsproto.Opcode(r.Kind &^ kindValue), Payload: r.Payload},
		r.Kind&kindValue != 0, centrifuge.Info(r.Sender),
	}
}

// setTo makes the encoder go by a config.
func (e *encoder) setTo(cfg *config) {
	e.compressMin, e.cfg = int(cfg.CompressMin), cfg
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
	case encodingPush:
		return e.makePush(centrifuge.JSON)
	case encodingPushDeflated:
		return e.deflatePush(centrifuge.JSON)
	case encodingPushProtobuf:
		return e.makePush(centrifuge.Protobuf)
	case encodingPushProtobufDeflated:
		return e.deflatePush(centrifuge.Protobuf)
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

// eventKept bounds the buffer that stays with an encoder for the next event. A text of nothing but
// line ends is seven times as large as an event.
const eventKept = 256 << 10

// makeEvent is the message as a server-sent event, with a place for its id where the room keeps it.
// It is in pieces, so its payload is copied: into a buffer of its own, made once, if it is large.
func (e *encoder) makeEvent() hub.Frame {
	event, at := e.event[:0], 0
	size := eventSize(e.message.Message)
	if size > eventKept {
		event = make([]byte, 0, size)
	}
	if e.isKept {
		event, at = sse.AppendID(event), sse.IDAt
	}
	event = appendEvent(event, e.message.Message)
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

// putID writes the position of a message into its event.
func putID(place []byte, p hub.Position) { sse.PutID(place, p.Epoch, p.Offset) }

// idOf is a position as an event's id, empty if it is none.
func idOf(p hub.Position) string {
	if p.Epoch == "" {
		return ""
	}
	return sse.ID(p.Epoch, p.Offset)
}
