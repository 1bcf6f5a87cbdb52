package main

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// A payload proves by itself who sent it, when, and that it arrived whole:
//
//	run 8 | sequence 8 | publisher 4 | due time 12 | filler | checksum 8
//
// Each field is hexadecimal with the digits A to P: plain letters survive servers that insist on UTF-8 and envelopes that
// escape, and four bits a byte decode eight bytes at a time. The checksum covers all that stands before it.
const (
	headBytes    = 32
	sumBytes     = 8
	minSize      = headBytes + sumBytes
	maxSize      = 64 << 20
	maxPublisher = 1<<16 - 1
)

// dueMask cuts a due time to the 48 bits it has in a payload: 78 hours of nanoseconds.
const dueMask = 1<<48 - 1

// A runTag marks every payload of one run, so that another run's in the same room are not taken for ours.
type runTag [8]byte

// A stamp is what a payload says about itself.
type stamp struct {
	seq       uint32
	publisher uint16
	due       int64 // nanoseconds on the run's clock
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// filler is what payloads are filled up with; each message begins at another place of it.
var filler = bytes.Repeat([]byte("the quick brown fox jumps over a lazy dog 0123456789 "), 1+(64<<10)/53)

// appendPayload appends a payload of size bytes, at least minSize.
func appendPayload(dst []byte, tag runTag, s stamp, size int) []byte {
	start := len(dst)
	dst = append(dst, tag[:]...)
	dst = appendDigits(dst, s.seq)
	dst = appendDigits(dst, uint32(s.publisher)<<16|uint32(s.due>>32&0xffff))
	dst = appendDigits(dst, uint32(s.due))
	for left, from := size-minSize, int(s.seq%53); left > 0; from = 0 {
		n := min(left, len(filler)-from)
		dst = append(dst, filler[from:from+n]...)
		left -= n
	}
	return appendDigits(dst, crc32.Checksum(dst[start:], castagnoli))
}

// A verdict is what checkPayload finds.
type verdict uint8

const (
	intact  verdict = iota
	corrupt         // ours, but changed on the way
	foreign         // not of this run
)

// checkPayload reads the stamp of p and judges p whole. The stamp of a corrupt payload is as it reads, and may be wrong.
func checkPayload(p []byte, tag runTag) (stamp, verdict) {
	if len(p) < minSize {
		return stamp{}, resembles(p, tag)
	}
	var s stamp
	s.seq = digits(p[8:])
	upper := digits(p[16:])
	s.publisher = uint16(upper >> 16)
	s.due = int64(upper&0xffff)<<32 | int64(digits(p[24:]))
	end := len(p) - sumBytes
	if *(*runTag)(p) == tag && areDigits(p[end:]) && digits(p[end:]) == crc32.Checksum(p[:end], castagnoli) {
		return s, intact
	}
	return s, resembles(p, tag)
}

// resembles tells a payload of ours that was damaged from somebody else's message: most of its tag is there.
func resembles(p []byte, tag runTag) verdict {
	same := 0
	for i := range min(len(p), len(tag)) {
		if p[i] == tag[i] {
			same++
		}
	}
	if same >= 5 {
		return corrupt
	}
	return foreign
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
