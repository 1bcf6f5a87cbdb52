package centrifuge

import (
	"encoding/binary"
	"slices"

	"github.com/centrifugal/protocol"
)

// A Format is one of the two forms of the protocol.
type Format uint8

// The formats.
const (
	JSON     Format = iota // text messages
	Protobuf               // binary messages
)

// The subprotocols of WebSocket that clients ask for. A client that asks for none speaks JSON.
const (
	subprotocolJSON     = "centrifuge-json"
	subprotocolProtobuf = "centrifuge-protobuf"
)

// FormatOf is the format of a subprotocol; of "", too.
func FormatOf(subprotocol string) (f Format, ok bool) {
	switch subprotocol {
	case "", subprotocolJSON:
		return JSON, true
	case subprotocolProtobuf:
		return Protobuf, true
	}
	return JSON, false
}

// AppendReply appends a reply to the frame that dst is from its first byte on, behind what is in
// it. A push for one client alone is a reply, too: one with nothing but a Push. The raw values in r
// have to be JSON, in both formats.
func (f Format) AppendReply(dst []byte, r *protocol.Reply) []byte {
	if f == JSON {
		if len(dst) > 0 {
			dst = append(dst, '\n')
		}
		return r.AppendJSON(dst)
	}
	size := r.SizeCF()
	dst = binary.AppendUvarint(dst, uint64(size))
	dst = slices.Grow(dst, size)
	n, err := r.MarshalToSizedBufferCF(dst[len(dst) : len(dst)+size])
	if err != nil || n != size {
		panic("centrifuge: a reply has not the size that it said")
	}
	return dst[:len(dst)+size]
}

// AppendPing appends a ping, which is a frame of its own. A client's pong looks the same.
func (f Format) AppendPing(dst []byte) []byte {
	if f == JSON {
		return append(dst, "{}"...)
	}
	return append(dst, 0)
}

// AppendJoin appends the push that tells of a client that has joined a room.
func (f Format) AppendJoin(dst []byte, channel string, who Info) []byte {
	return f.AppendReply(dst, &protocol.Reply{Push: &protocol.Push{Channel: channel, Join: &protocol.Join{Info: who.ClientInfo()}}})
}

// AppendLeave appends the push that tells of a client that has left a room.
func (f Format) AppendLeave(dst []byte, channel string, who Info) []byte {
	return f.AppendReply(dst, &protocol.Reply{Push: &protocol.Push{Channel: channel, Leave: &protocol.Leave{Info: who.ClientInfo()}}})
}
