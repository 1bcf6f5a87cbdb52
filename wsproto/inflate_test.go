package wsproto

import (
	"bytes"
	"compress/flate"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// deflateStd deflates with the standard library as a client would: flushed, without the tail.
func deflateStd(t testing.TB, level int, payload []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(payload); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte(deflateTail))
}

// inflateAll has f inflate payload in one go.
func inflateAll(f *inflater, payload []byte, limit int) Violation {
	f.start(payload, limit)
	whole, v := f.run(math.MaxInt, nil)
	if whole != (v == 0) {
		panic("wsproto: stopped before the end")
	}
	return v
}

var levels = []int{flate.NoCompression, flate.HuffmanOnly, flate.BestSpeed, flate.DefaultCompression, flate.BestCompression}

// compressed marks frame as the first of a compressed message.
func compressed(frame []byte) []byte {
	frame[0] |= rsv1Bit
	return frame
}

// fromHex joins hexadecimal bytes; spaces are for the reader.
func fromHex(s string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return string(b)
}

// deflateDecoder is a server's Decoder that takes compressed messages.
func deflateDecoder(limit int) Decoder { return Decoder{Limit: limit, Deflate: true} }

// expectInflated decodes one compressed binary message and compares.
func expectInflated(t *testing.T, payload, want string) {
	t.Helper()
	expectFrom(t, deflateDecoder(1024), compressed(frame(OpBinary, true, payload)), messages(OpBinary, want))
}

func expectInvalid(t *testing.T, payload string) {
	t.Helper()
	expectFrom(t, deflateDecoder(1024), compressed(frame(OpBinary, true, payload)), outcome{Err: ErrInvalidDeflate})
}

func TestF02_F03_ReservedBitsWithDeflate(t *testing.T) {
	const hello = "\xf2\x48\xcd\xc9\xc9\x07\x00"
	with := func(rsv byte, op Opcode, fin bool) []byte {
		bad := frame(op, fin, hello)
		bad[0] |= rsv
		return bad
	}
	d := deflateDecoder(1024)
	for _, op := range []Opcode{OpText, OpBinary} {
		expectFrom(t, d, stream(with(rsv1Bit, op, true), text("plain")), messages(op, "Hello", OpText, "plain"))
		for _, rsv := range []byte{0x20, 0x10, 0x30, 0x50, 0x60, 0x70} {
			expectFrom(t, d, stream(text("before"), with(rsv, op, true)), messages(OpText, "before").then(ErrReservedBits))
		}
		// RSV1 stands on the first frame alone, of a compressed message and of another.
		for _, first := range [][]byte{with(rsv1Bit, op, false), frame(op, false, "plain")} {
			for _, fin := range []bool{false, true} {
				expectFrom(t, d, stream(first, with(rsv1Bit, OpContinuation, fin)), outcome{Err: ErrReservedBits})
			}
		}
	}
	for _, rsv := range []byte{0x40, 0x20, 0x10, 0x70} {
		for _, op := range []Opcode{OpClose, OpPing, OpPong, OpContinuation} {
			expectFrom(t, d, with(rsv, op, true), outcome{Err: ErrReservedBits})
			expectFrom(t, d, stream(with(rsv1Bit, OpText, false), with(rsv, op, true)), outcome{Err: ErrReservedBits})
		}
	}
	expect(t, with(rsv1Bit, OpText, true), outcome{Err: ErrReservedBits}) // not agreed on
	if CloseCode(ErrReservedBits) != CodeProtocolError {
		t.Error("reserved bits are no protocol error")
	}
}

func TestClientTakesCompressedFrames(t *testing.T) {
	deflated := deflateStd(t, flate.BestSpeed, []byte("from a server"))
	input := append(AppendDeflatedHeader(nil, OpText, len(deflated)), deflated...)
	expectFrom(t, Decoder{Limit: 100, Client: true, Deflate: true}, input, messages(OpText, "from a server"))
	expectFrom(t, Decoder{Limit: 100, Client: true}, input, outcome{Err: ErrReservedBits})
}

func TestCompressedMessagesSayThatTheyWere(t *testing.T) {
	d := deflateDecoder(100)
	for i, src := range [][]byte{text("a"), compressed(text("\x00")), text("b"), frame(OpPing, true, "")} {
		if m, _, err := d.Next(src); err != nil || m.Compressed != (i == 1) {
			t.Errorf("message %d: compressed %t, error %v", i, m.Compressed, err)
		}
	}
}

func TestMessagesOfEveryLevelAndSizeAreInflated(t *testing.T) {
	for _, payload := range samples() {
		if len(payload) > 100_000 {
			continue // as interop tests have it
		}
		want := messages(OpBinary, string(payload), OpText, "after")
		for _, level := range levels {
			deflated := deflateStd(t, level, payload)
			half := len(deflated) / 2
			d := deflateDecoder(101_000)
			expectFrom(t, d, stream(compressed(frame(OpBinary, true, string(deflated))), text("after")), want)
			expectFrom(t, d, stream(
				compressed(frame(OpBinary, false, string(deflated[:half]))), frame(OpContinuation, false, ""),
				frame(OpContinuation, true, string(deflated[half:])), text("after")), want)
		}
	}
}

// The examples of RFC 7692 §7.2.3.
func TestExamplesOfTheRFC(t *testing.T) {
	expectInflated(t, fromHex("f2 48 cd c9 c9 07 00"), "Hello")                                     // one block
	expectInflated(t, fromHex("00 05 00 fa ff 48 65 6c 6c 6f 00"), "Hello")                         // no compression
	expectInflated(t, fromHex("f3 48 cd c9 c9 07 00 00"), "Hello")                                  // final block
	expectInflated(t, fromHex("f2 48 05 00 00 00 ff ff ca c9 c9 07 00"), "Hello")                   // two blocks
	expectInflated(t, fromHex("00"), "")                                                            // empty
	expectInflated(t, fromHex("02 00"), "")                                                         // empty, with an empty block of codes
	expectFrom(t, deflateDecoder(9), compressed(frame(OpText, true, "\x00")), messages(OpText, "")) // empty text
}

func TestControlFramesBetweenCompressedFragments(t *testing.T) {
	const hello = "\xf2\x48\xcd\xc9\xc9\x07\x00"
	input := stream(compressed(frame(OpText, false, hello[:3])), frame(OpPing, true, "p"), frame(OpContinuation, true, hello[3:]))
	expectFrom(t, deflateDecoder(100), input, messages(OpPing, "p", OpText, "Hello"))
}

// What zlib takes in its stride: nothing at all for an empty message, and the tail, which senders
// are to take off, left on. Relatives: the same in fragments, as text and as data, behind a final
// block, and data that ends like a tail.
func TestN16_WhatZlibTakesIsTaken(t *testing.T) {
	const hello, final, tail = "\xf2\x48\xcd\xc9\xc9\x07\x00", "\xf3\x48\xcd\xc9\xc9\x07\x00", deflateTail
	for _, op := range []Opcode{OpText, OpBinary} {
		for deflated, want := range map[string]string{
			"": "", hello + tail: "Hello", "\x00" + tail: "", final + tail: "Hello", final + "\x00" + tail: "Hello",
			"\x00\x04\x00\xfb\xff" + "abcd" + "\x00" + tail:       "abcd",
			"\x01\x04\x00\xfb\xff" + "ab\x00\x00":                 "ab\x00\x00",
			hello + tail + "\x00":                                 "Hello",
			hello[:6] + "\x00" + tail + hello + tail:              "HelloHello",
			"\x00\x05\x00\xfa\xff" + "abcde" + hello[:6] + "\x00": "abcdeHello",
		} {
			expectFrom(t, deflateDecoder(100), stream(compressed(frame(op, true, deflated)), text("after")), messages(op, want, OpText, "after"))
			half := len(deflated) / 2
			expectFrom(t, deflateDecoder(100), stream(compressed(frame(op, false, deflated[:half])), frame(OpContinuation, true, deflated[half:])), messages(op, want))
		}
	}
	data := "\x01\x04\x00\xfb\xff" + tail // The data of a final block ends like a tail.
	expectFrom(t, deflateDecoder(100), compressed(frame(OpBinary, true, data)), messages(OpBinary, tail))
	for _, bad := range []string{tail, tail + tail, hello + tail + tail, hello[:4] + tail, "\x01\x05\x00\xfa\xff" + tail, "\x00\x04\x00\xfb\xff" + tail} {
		expectInvalid(t, bad)
	}
}

// Encoders do for want of a better way what the others do not: flush at each byte, or take the
// fixed codes for what they are longest for.
func TestPoorlyDeflatedDataIsInflated(t *testing.T) {
	const size = 1 << 20
	noise := make([]byte, size)
	rng := rand.NewChaCha8([32]byte{})
	_, _ = rng.Read(noise)
	var flushed bytes.Buffer
	w, err := flate.NewWriter(&flushed, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	for i := range noise[:size/8] {
		if _, err := w.Write(noise[i : i+1]); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	var fixed strings.Builder
	fixed.WriteString("010")
	var long []byte
	for _, b := range noise[:size/8] {
		long = append(long, 144+b%112)
		fmt.Fprintf(&fixed, "%09b", 0b110010000+int(b)%112)
	}
	type input struct {
		payload []byte
		want    []byte
	}
	inputs := map[string]input{
		"flushed at each byte": {bytes.TrimSuffix(flushed.Bytes(), []byte(deflateTail)), noise[:size/8]},
		"fixed codes":          {[]byte(packBits(fixed.String() + "0000000 000")), long},
	}
	for _, level := range levels {
		inputs[fmt.Sprint("level ", level)] = input{deflateStd(t, level, noise), noise}
	}
	for name, in := range inputs {
		f := inflaters.New().(*inflater)
		if v := inflateAll(f, in.payload, size); v != 0 || !bytes.Equal(f.out, in.want) {
			t.Errorf("%s: %v after %d of %d bytes, of which came %d", name, v, f.source.at, len(in.payload), len(f.out))
		}
	}
}

// FuzzInflate holds the Decoder to the standard library, for every cut of arbitrary compressed
// bytes.
func FuzzInflate(f *testing.F) {
	for _, payload := range [][]byte{nil, []byte("Hello"), jsonOf(500), bytes.Repeat([]byte("κ"), 600), make([]byte, 5000)} {
		for _, level := range levels {
			f.Add(deflateStd(f, level, payload), uint16(0), true)
			f.Add(deflateStd(f, level, payload), uint16(7), false)
		}
	}
	f.Add([]byte(fromHex("f3 48 cd c9 c9 07 00 f3 48 cd c9 c9 07 00 00")), uint16(9), true)
	f.Add([]byte(fromHex("00 04 00 fb ff")), uint16(1), false)
	f.Add([]byte(fromHex("01 04 00 fb ff")), uint16(1), false)
	f.Fuzz(func(t *testing.T, payload []byte, split uint16, isText bool) {
		const limit = 2000
		op := OpBinary
		if isText {
			op = OpText
		}
		at := int(split) % (len(payload) + 1)
		input := stream(compressed(frame(op, false, string(payload[:at]))), frame(OpContinuation, true, string(payload[at:])))
		got := everyCut(t, deflateDecoder(limit), input)
		want, valid := modelInflate(payload, limit)
		switch {
		case len(payload) > limit || valid && len(want) > limit && !isText:
			if got.Err != ErrTooBig {
				t.Errorf("%v, want too big", got.Err)
			}
		case !valid || len(want) > limit || isText && !utf8.Valid(want):
			if got.Err != ErrInvalidDeflate && got.Err != ErrInvalidUTF8 && got.Err != ErrTooBig {
				t.Errorf("%v, but the model says valid %t with %d bytes", got.Err, valid, len(want))
			}
			if got.Err == ErrTooBig && len(want) <= limit || got.Err == ErrInvalidUTF8 && utf8.Valid(want) {
				t.Errorf("%v, but the model has %d bytes: %q", got.Err, len(want), want)
			}
		case got.Err != nil || len(got.Messages) != 1 || got.Messages[0] != fmt.Sprintf("%#x:%s", byte(op), want):
			t.Errorf("%.200q %v, want %.200q", got.Messages, got.Err, want)
		}
	})
}

// modelInflate inflates payload and its tail with the standard library, up to one byte over limit.
// valid means a whole message: the blocks end where the tail does, and the tail adds nothing to
// them; or the payload ends with a final block.
func modelInflate(payload []byte, limit int) (out []byte, valid bool) {
	for {
		const end = "\x01" + deflateTail // makes the standard library stop
		in := bytes.NewReader([]byte(string(payload) + deflateTail + end))
		part, err := io.ReadAll(io.LimitReader(flate.NewReader(in), int64(limit+1-len(out))))
		out = append(out, part...)
		rest := in.Len() - len(deflateTail) - len(end)
		switch {
		case len(out) > limit: // But not if that is what the tail was taken for.
			alone, _ := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(payload)), int64(limit+1)))
			return out, len(out)-len(part)+len(alone) > limit
		case err != nil:
			return out, false
		case rest == 0:
			return out, true
		case rest > 0:
			payload = payload[len(payload)-rest:]
			continue
		}
		alone, _ := io.ReadAll(flate.NewReader(bytes.NewReader(payload)))
		return out, len(alone) == len(part) && (in.Len() == 0 || in.Len() == len(end))
	}
}

func BenchmarkNextCompressed(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			// A zero mask leaves the bytes as they are, so that the same ones serve for every turn.
			src := compressed(AppendMaskedFrame(nil, OpText, true, [4]byte{}, AppendDeflated(nil, jsonOf(size))))
			d := deflateDecoder(1 << 20)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if m, _, err := d.Next(src); len(m.Payload) != size || err != nil {
					b.Fatal(len(m.Payload), err)
				}
			}
		})
	}
}
