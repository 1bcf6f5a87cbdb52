package wsproto

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// An Opcode says what a frame is (RFC 6455 §5.2). The zero value is a continuation; no Message has
// it.
type Opcode byte

// The opcodes of RFC 6455; all others are reserved.
const (
	OpContinuation Opcode = 0x0
	OpText         Opcode = 0x1
	OpBinary       Opcode = 0x2
	OpClose        Opcode = 0x8
	OpPing         Opcode = 0x9
	OpPong         Opcode = 0xA
)

// IsControl reports whether op is a control frame's: those are never fragmented and may stand
// between fragments.
func (op Opcode) IsControl() bool { return op&0x8 != 0 }

// isData reports whether op begins a data message.
func (op Opcode) isData() bool { return op == OpText || op == OpBinary }

// isReserved reports whether RFC 6455 gives op no meaning.
func (op Opcode) isReserved() bool { return op&0x7 > 2 }

// The first two bytes of a header, and how the length code goes on:
//
//	 7 6 5 4 3 2 1 0   7 6 5 4 3 2 1 0
//	+-+-+-+-+-------+ +-+-------------+   0..125: the length itself
//	|F|R|R|R| opcode| |M| length code |   126: 16 bits follow
//	+-+-+-+-+-------+ +-+-------------+   127: 64 bits follow
const (
	finBit    = 0x80
	rsvBits   = 0x70
	rsv1Bit   = 0x40 // a compressed message's first frame (RFC 7692 §6)
	opBits    = 0x0F
	maskBit   = 0x80
	codeBits  = 0x7F
	length16  = 126
	length64  = 127
	maxHeader = 14 // 2 bytes, 8 of length, 4 of mask
)

const (
	// MaxServerHeader is the longest header of a server's frame in bytes: no mask.
	MaxServerHeader = 10
	// MaxControlPayload is the longest payload of a control frame in bytes (RFC 6455 §5.5).
	MaxControlPayload = 125
	// MaxCloseReason is the longest reason of a Close frame in bytes: two go to the code.
	MaxCloseReason = MaxControlPayload - 2
)

// AppendHeader appends the header of an unmasked frame with length bytes of payload, at most
// MaxServerHeader bytes with the length in its shortest form. It panics on a control frame that no
// peer would take.
func AppendHeader(dst []byte, op Opcode, fin bool, length int) []byte {
	return appendHeader(dst, op, fin, 0, length)
}

// AppendFrame appends a whole unmasked frame, as a server sends it.
func AppendFrame(dst []byte, op Opcode, payload []byte) []byte {
	return append(AppendHeader(dst, op, true, len(payload)), payload...)
}

// AppendClose appends an unmasked Close frame. A reason over MaxCloseReason bytes is cut between
// runes. A code that may not stand on the wire, such as CodeNoStatus, gives an empty body, which is
// how an empty Close is echoed.
func AppendClose(dst []byte, code Code, reason string) []byte {
	if !code.OnWire() {
		return AppendHeader(dst, OpClose, true, 0)
	}
	reason = cutAtRune(reason, MaxCloseReason)
	dst = AppendHeader(dst, OpClose, true, 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, reason...)
}

// AppendMaskedFrame appends a frame as a client sends it. payload itself is not changed.
func AppendMaskedFrame(dst []byte, op Opcode, fin bool, mask [4]byte, payload []byte) []byte {
	dst = appendHeader(dst, op, fin, maskBit, len(payload))
	dst = append(dst, mask[:]...)
	start := len(dst)
	dst = append(dst, payload...)
	ws.Cipher(dst[start:], mask, 0)
	return dst
}

func appendHeader(dst []byte, op Opcode, fin bool, mask byte, length int) []byte {
	if op.IsControl() && (length > MaxControlPayload || !fin) {
		panic(fmt.Sprintf("wsproto: control frame %#x with %d bytes, fin %t", byte(op), length, fin))
	}
	first := byte(op)
	if fin {
		first |= finBit
	}
	switch {
	case length < length16:
		return append(dst, first, mask|byte(length))
	case length <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, first, mask|length16), uint16(length))
	default:
		return binary.BigEndian.AppendUint64(append(dst, first, mask|length64), uint64(length))
	}
}

// cutAtRune returns the longest prefix of s that has at most limit bytes and ends between runes.
func cutAtRune(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
