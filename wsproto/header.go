package wsproto

import (
	"encoding/binary"
	"math"
)

// takeHeader takes what src has of a header and, once it is whole, begins the frame.
func (d *Decoder) takeHeader(src []byte) (n int) {
	if d.hdrLen == 0 {
		size := d.checkHeader(src)
		if d.failed == 0 && size <= len(src) {
			d.beginFrame(src[:size])
			return size
		}
	}
	for d.failed == 0 && n < len(src) {
		size := d.checkHeader(d.hdr[:d.hdrLen])
		taken := copy(d.hdr[d.hdrLen:size], src[n:])
		d.hdrLen += uint8(taken)
		n += taken
		size = d.checkHeader(d.hdr[:d.hdrLen])
		if d.failed == 0 && int(d.hdrLen) == size {
			d.beginFrame(d.hdr[:size])
			d.hdrLen = 0
			return n
		}
	}
	return n
}

// checkHeader sets d.failed if the bytes of a header, of which h has the first few, break a rule.
// It returns the length of the header as far as these bytes tell: h is whole when it has that many.
func (d *Decoder) checkHeader(h []byte) (size int) {
	if len(h) == 0 {
		return 2
	}
	d.failed = d.checkFirstByte(h[0])
	if d.failed != 0 || len(h) == 1 {
		return 2
	}
	d.failed = d.checkSecondByte(Opcode(h[0]&opBits), h[1])
	size = 2
	switch h[1] & codeBits {
	case length16:
		size += 2
	case length64:
		size += 8
	}
	if d.failed == 0 && len(h) >= size {
		d.failed = d.checkLength(h)
	}
	if h[1]&maskBit != 0 {
		size += 4
	}
	return size
}

func (d *Decoder) checkFirstByte(b byte) Violation {
	op := Opcode(b & opBits)
	switch {
	case b&rsvBits != 0 && !(b&rsvBits == rsv1Bit && d.Deflate && op.isData()):
		return ErrReservedBits
	case op.isReserved():
		return ErrReservedOpcode
	case op.IsControl() && b&finBit == 0:
		return ErrControlFragmented
	case op == OpContinuation && d.msgOp == 0:
		return ErrUnexpectedContinuation
	case op == OpContinuation && d.Fragments > 0 && int(d.parts) >= d.Fragments:
		return ErrTooManyFragments
	case op.isData() && d.msgOp != 0:
		return ErrExpectedContinuation
	}
	return 0
}

func (d *Decoder) checkSecondByte(op Opcode, b byte) Violation {
	masked := b&maskBit != 0
	switch {
	case !masked && !d.Client:
		return ErrUnmasked
	case masked && d.Client:
		return ErrMasked
	case op.IsControl() && b&codeBits > MaxControlPayload:
		return ErrControlTooLong
	}
	return 0
}

// checkLength judges the length before a byte of payload is looked at: what is too big costs
// nothing.
func (d *Decoder) checkLength(h []byte) Violation {
	length := headerLength(h)
	switch code := h[1] & codeBits; {
	case length > math.MaxInt64:
		return ErrLengthMSB
	case code == length16 && length < length16, code == length64 && length <= math.MaxUint16:
		return ErrLengthNotMinimal
	case !Opcode(h[0]&opBits).IsControl() && length > uint64(max(0, d.wireLimit(h[0])-len(d.buf))):
		return ErrTooBig
	}
	return 0
}

// wireLimit is the most that the data message may have on the wire that a frame with this first
// byte belongs to.
func (d *Decoder) wireLimit(first byte) int {
	if first&rsv1Bit != 0 || d.compressed && Opcode(first&opBits) == OpContinuation {
		return DeflatedMax(d.Limit)
	}
	return d.Limit
}

// DeflatedMax is the most bytes that a message of limit bytes may have when it is compressed.
// Compressing adds to what does not compress: 5 bytes in 127 with zlib's smallest memory level, in
// 16 KiB with its usual one.
func DeflatedMax(limit int) int { return limit + min(limit/16+64, math.MaxInt-limit) }

// headerLength returns the payload length that h announces; h reaches to the end of it.
func headerLength(h []byte) uint64 {
	switch code := h[1] & codeBits; code {
	case length16:
		return uint64(binary.BigEndian.Uint16(h[2:]))
	case length64:
		return binary.BigEndian.Uint64(h[2:])
	default:
		return uint64(code)
	}
}

// beginFrame enters the frame whose whole and valid header is h.
func (d *Decoder) beginFrame(h []byte) {
	d.op = Opcode(h[0] & opBits)
	d.fin = h[0]&finBit != 0
	d.length, d.off = int(headerLength(h)), 0
	if !d.Client {
		d.mask = [4]byte(h[len(h)-4:])
	}
	switch {
	case d.op.isData():
		d.msgOp, d.parts = d.op, 1
		d.compressed = h[0]&rsv1Bit != 0
	case d.op == OpContinuation:
		d.parts++
	}
	d.frames++
	d.inFrame = true
}
