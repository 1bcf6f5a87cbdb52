package centrifuge

import (
	"encoding/binary"
	"math/bits"
	"strconv"
)

// A Pub is a message as all subscribers of its room get it.
type Pub struct {
	Data      []byte // from AppendData
	IsBase64  bool   // as AppendData said
	Info      Info   // who published it
	HasOffset bool   // there is a place for its offset
}

// tags tell clients that data is base64.
const (
	tagsJSON     = `,"tags":{"encoding":"base64"}`
	tagsProtobuf = "\x3a\x12\x0a\x08encoding\x12\x06base64" // the one entry of field 7, a map
)

// AppendPub appends the push of a message, which is a frame of its own. If it has a place for its
// offset, of OffsetWidth bytes, offsetAt is where that begins, counted from dst's first byte, and
// zero otherwise. The place comes before all that is large, and is for PutOffset. Nothing is
// allocated but what dst grows by.
func (f Format) AppendPub(dst []byte, channel string, p *Pub) (frame []byte, offsetAt int) {
	if f == Protobuf {
		return appendPubProtobuf(dst, channel, p)
	}
	dst = append(dst, `{"push":{"channel":`...)
	dst = append(appendString(dst, channel), `,"pub":{`...)
	if p.HasOffset {
		dst = append(dst, `"offset":`...)
		offsetAt = len(dst)
		dst = append(dst, noOffset...)
		dst = append(dst, ',')
	}
	if p.Info != "" {
		dst = append(p.Info.appendJSON(append(dst, `"info":`...)), ',')
	}
	dst = append(append(dst, `"data":`...), p.Data...)
	if p.IsBase64 {
		dst = append(dst, tagsJSON...)
	}
	return append(dst, "}}}"...), offsetAt
}

const noOffset = "0                   " // as wide as the largest offset

// An offset in protobuf is a varint as long as the longest.
const varintMax = binary.MaxVarintLen64

// The tags of fields in protobuf, each of one byte.
const (
	tagReplyPush   = 4<<3 | 2
	tagPushChannel = 2<<3 | 2
	tagPushPub     = 4<<3 | 2
	tagPubData     = 4<<3 | 2
	tagPubInfo     = 5<<3 | 2
	tagPubOffset   = 6 << 3 // a varint's type is zero
)

// appendPubProtobuf appends a Reply with a Push with a Publication, behind its length.
func appendPubProtobuf(dst []byte, channel string, p *Pub) (frame []byte, offsetAt int) {
	pub := fieldSize(len(p.Data))
	if p.HasOffset {
		pub += 1 + varintMax
	}
	if p.Info != "" {
		pub += fieldSize(len(p.Info))
	}
	if p.IsBase64 {
		pub += len(tagsProtobuf)
	}
	push := fieldSize(len(channel)) + fieldSize(pub)
	dst = binary.AppendUvarint(dst, uint64(fieldSize(push)))
	dst = appendTag(dst, tagReplyPush, push)
	dst = append(appendTag(dst, tagPushChannel, len(channel)), channel...)
	dst = appendTag(dst, tagPushPub, pub)
	if p.HasOffset {
		dst = append(dst, tagPubOffset)
		offsetAt = len(dst)
		dst = append(dst, make([]byte, varintMax)...)
		Protobuf.PutOffset(dst[offsetAt:], 0)
	}
	if p.Info != "" {
		dst = append(appendTag(dst, tagPubInfo, len(p.Info)), p.Info...)
	}
	dst = append(appendTag(dst, tagPubData, len(p.Data)), p.Data...)
	if p.IsBase64 {
		dst = append(dst, tagsProtobuf...)
	}
	return dst, offsetAt
}

// fieldSize is what a field of n bytes takes with its tag and its length.
func fieldSize(n int) int { return 1 + (bits.Len(uint(n)|1)+6)/7 + n }

func appendTag(dst []byte, tag byte, length int) []byte {
	return binary.AppendUvarint(append(dst, tag), uint64(length))
}

// OffsetWidth is how many bytes a push has for its offset.
func (f Format) OffsetWidth() int {
	if f == Protobuf {
		return varintMax
	}
	return len(noOffset)
}

// PutOffset writes an offset into a place of OffsetWidth bytes: in JSON with spaces behind its
// digits, in protobuf as a varint that is longer than it need be.
func (f Format) PutOffset(place []byte, offset uint64) {
	if f == Protobuf {
		for i := range varintMax - 1 {
			place[i] = byte(offset) | 0x80
			offset >>= 7
		}
		place[varintMax-1] = byte(offset)
		return
	}
	for i := len(strconv.AppendUint(place[:0], offset, 10)); i < len(noOffset); i++ {
		place[i] = ' '
	}
}
