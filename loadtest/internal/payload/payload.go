// Package payload makes and judges what the load test sends: each message proves by itself what
// became of it.
package payload

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
)

// A payload proves by itself who sent it, when, and that it arrived whole:
//
//	run 8 | sequence 8 | publisher 4 | due time 12 | filler | checksum 8
//
// Each field is hexadecimal with the digits A to P: plain letters survive servers that insist on
// UTF-8 and envelopes that escape, and four bits a byte decode eight bytes at a time. The checksum
// covers all that stands before it.
const (
	headBytes    = 32
	sumBytes     = 8
	SizeMin      = headBytes + sumBytes // bytes
	SizeMax      = 64 << 20             // bytes
	PublisherMax = 1<<16 - 1            // the highest number of a publisher
)

// DueMask cuts a due time to the 48 bits it has in a payload: 78 hours of nanoseconds.
const DueMask = 1<<48 - 1

// A Tag marks every payload of one run, so that another run's in the same room are not taken for
// ours.
type Tag [8]byte

// NewTag makes a tag that other runs hardly have.
func NewTag() (tag Tag) {
	appendDigits(tag[:0], rand.Uint32())
	return tag
}

// A Stamp is what a payload says about itself.
type Stamp struct {
	Seq       uint32
	Publisher uint16
	Due       int64 // nanoseconds on the run's clock
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// filler is what payloads are filled up with; each message begins at another place of it.
var filler = bytes.Repeat([]byte("the quick brown fox jumps over a lazy dog 0123456789 "), 1+(64<<10)/53)

// Append appends a payload of size bytes, SizeMin to SizeMax, and returns the extended slice.
func Append(dst []byte, tag Tag, s Stamp, size int) []byte {
	start := len(dst)
	dst = append(dst, tag[:]...)
	dst = appendDigits(dst, s.Seq)
	dst = appendDigits(dst, uint32(s.Publisher)<<16|uint32(s.Due>>32&0xffff))
	dst = appendDigits(dst, uint32(s.Due))
	for left, from := size-SizeMin, int(s.Seq%53); left > 0; from = 0 {
		n := min(left, len(filler)-from)
		dst = append(dst, filler[from:from+n]...)
		left -= n
	}
	return appendDigits(dst, crc32.Checksum(dst[start:], castagnoli))
}

// A Verdict is what Check finds.
type Verdict uint8

const (
	Intact  Verdict = iota // ours, as it was sent
	Corrupt                // ours, but changed on the way
	Foreign                // not of this run
)

// Check reads the stamp of p and judges p whole. The stamp of a corrupt payload is as it reads, and
// may be wrong; that of a foreign one means nothing.
func Check(p []byte, tag Tag) (Stamp, Verdict) {
	if len(p) < SizeMin {
		return Stamp{}, resembles(p, tag)
	}
	var s Stamp
	s.Seq = digits(p[8:])
	upper := digits(p[16:])
	s.Publisher = uint16(upper >> 16)
	s.Due = int64(upper&0xffff)<<32 | int64(digits(p[24:]))
	end := len(p) - sumBytes
	if *(*Tag)(p) == tag && areDigits(p[end:]) && digits(p[end:]) == crc32.Checksum(p[:end], castagnoli) {
		return s, Intact
	}
	return s, resembles(p, tag)
}

// resembles tells a payload of ours that was damaged from somebody else's message: most of its tag
// is there.
func resembles(p []byte, tag Tag) Verdict {
	same := 0
	for i := range min(len(p), len(tag)) {
		if p[i] == tag[i] {
			same++
		}
	}
	if same >= 5 {
		return Corrupt
	}
	return Foreign
}

// appendDigits appends v as eight letters.
func appendDigits(dst []byte, v uint32) []byte {
	for shift := 28; shift >= 0; shift -= 4 {
		dst = append(dst, 'A'+byte(v>>shift&15))
	}
	return dst
}

// letterA is eight times the digit zero.
const letterA = 0x4141_4141_4141_4141

// areDigits reports whether p begins with eight letters from A to P.
func areDigits(p []byte) bool { return (binary.BigEndian.Uint64(p)-letterA)&0xf0f0_f0f0_f0f0_f0f0 == 0 }

// digits reads eight letters. What is no such letter may give any number.
func digits(p []byte) uint32 {
	v := binary.BigEndian.Uint64(p) - letterA
	v = (v | v>>4) & 0x00ff_00ff_00ff_00ff
	v = (v | v>>8) & 0x0000_ffff_0000_ffff
	return uint32(v | v>>16)
}
