package wsproto

import (
	"bytes"
	"compress/flate"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
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

func TestZ02_LimitHoldsForInflatedBytes(t *testing.T) {
	for _, limit := range []int{64, 255, 256, 257, 1000, 8191, 8192, 8193, 8194, 65536, 100_000} {
		for _, over := range []int{0, 1, 2, 1000} {
			for _, op := range []Opcode{OpText, OpBinary} {
				payload := strings.Repeat("z", limit+over)
				want := messages(op, payload)
				if over > 0 {
					want = outcome{Err: ErrTooBig}
				}
				deflated := string(deflateStd(t, flate.BestCompression, []byte(payload)))
				expectFrom(t, deflateDecoder(limit), compressed(frame(op, true, deflated)), want)
				expectFrom(t, deflateDecoder(limit), stream(compressed(frame(op, false, deflated[:3])), frame(OpContinuation, true, deflated[3:])), want)
			}
		}
	}
	if CloseCode(ErrTooBig) != CodeMessageTooBig {
		t.Error("too big has another code")
	}
}

func TestLimitHoldsForCompressedBytesAtTheHeader(t *testing.T) {
	const hello = "\xf2\x48\xcd\xc9\xc9\x07\x00"
	for _, limit := range []int{0, 100, 10_000} {
		most := DeflatedMax(limit)
		padded := strings.Repeat("\x00\x00\x00\xff\xff", most/5+1) + hello // blocks of nothing
		expectFrom(t, deflateDecoder(limit), compressed(frame(OpText, true, padded[len(padded)-most-1:]))[:4], outcome{Err: ErrTooBig})
		expectFrom(t, deflateDecoder(limit), stream(compressed(frame(OpText, false, padded[:10])), frame(OpContinuation, true, padded[10:][:most-9]))[:16+4], outcome{Err: ErrTooBig})
	}
	expectFrom(t, deflateDecoder(5), compressed(frame(OpText, true, hello)), messages(OpText, "Hello"))
	expectFrom(t, deflateDecoder(4), compressed(frame(OpText, true, hello)), outcome{Err: ErrTooBig})
	expectFrom(t, deflateDecoder(0), compressed(frame(OpText, true, "\x00")), messages(OpText, ""))
	if DeflatedMax(math.MaxInt) != math.MaxInt {
		t.Error("no limit overflows")
	}
}

// What does not compress grows. The message has its limit, not what it took on the wire, with any compressor and in any fragments.
// Relatives: one byte too many, and a plain message of as many bytes as a compressed one may have.
func TestN18_WhatCompressingAddsIsNotTheMessages(t *testing.T) {
	for _, limit := range []int{1, 10, 127, 1000, 70_000, 1 << 20} {
		random := make([]byte, limit+1)
		for i, r := 0, rand.New(rand.NewPCG(1, 2)); i < len(random); i++ {
			random[i] = byte(r.Uint32())
		}
		// As zlib's smallest memory level does it: 127 bytes in a stored block.
		var stored []byte
		for rest := random[:limit]; len(rest) > 0; rest = rest[min(127, len(rest)):] {
			n := byte(min(127, len(rest)))
			stored = append(append(stored, 0, n, 0, ^n, 0xff), rest[:n]...)
		}
		for _, deflated := range [][]byte{append(stored, 0), deflateStd(t, flate.BestSpeed, random[:limit]), AppendDeflated(nil, random[:limit])} {
			whole, half := string(deflated), len(deflated)/2
			want := messages(OpBinary, string(random[:limit]))
			for _, input := range [][]byte{
				compressed(frame(OpBinary, true, whole)),
				stream(compressed(frame(OpBinary, false, whole[:half])), frame(OpContinuation, true, whole[half:])),
			} {
				var d Decoder
				if d = deflateDecoder(limit); limit > 1000 { // Byte by byte takes long.
					m, n, err := d.Next(input)
					if m.Op == 0 && err == nil {
						m, _, err = d.Next(input[n:])
					}
					if err != nil || string(m.Payload) != string(random[:limit]) {
						t.Errorf("%d bytes, %d on the wire: %v", limit, len(whole), err)
					}
					continue
				}
				expectFrom(t, d, input, want)
			}
		}
		over := string(deflateStd(t, flate.BestSpeed, random))
		d := deflateDecoder(limit)
		if _, _, err := d.Next(compressed(frame(OpBinary, true, over))); err != ErrTooBig {
			t.Errorf("a byte more than %d: %v", limit, err)
		}
		d = deflateDecoder(limit)
		if _, _, err := d.Next(stream(compressed(frame(OpBinary, true, "\x00")), frame(OpBinary, true, string(random)))); err != nil {
			t.Errorf("an empty message before: %v", err)
		}
		if _, _, err := d.Next(frame(OpBinary, true, string(random))); err != ErrTooBig {
			t.Errorf("a plain message of a byte more than %d: %v", limit, err)
		}
	}
}

// What zlib takes in its stride: nothing at all for an empty message, and the tail, which senders are to take off, left on. Relatives:
// the same in fragments, as text and as data, behind a final block, and data that ends like a tail.
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

// deflatedZeros are so many MiB of zeros, about 1 KB each.
func deflatedZeros(t testing.TB, mib int) []byte {
	one := deflateStd(t, flate.BestCompression, make([]byte, 1<<20))
	return bytes.TrimSuffix(bytes.Repeat(append(one, deflateTail...), mib), []byte(deflateTail))
}

func TestZ01_BombStopsAtTheLimit(t *testing.T) {
	bomb := deflatedZeros(t, 64)
	if len(bomb) > 68_000 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	for _, limit := range []int{70_000, 1 << 20, 1<<20 + 1} {
		input := AppendMaskedFrame(nil, OpBinary, true, testMask, bomb)
		compressed(input)
		d := deflateDecoder(limit)
		// Twice, because what rests in a pool survives once.
		runtime.GC()
		runtime.GC()
		var err error
		if cost := allocated(func() { _, _, err = d.Next(input) }); err != ErrTooBig || cost > uint64(limit)+64<<10 {
			t.Errorf("limit %d: error %v, %d bytes allocated", limit, err, cost)
		}
		f := inflaters.New().(*inflater)
		if v := inflateAll(f, bomb, limit); v != ErrTooBig || len(f.out) <= limit || len(f.out) > limit+1 {
			t.Errorf("limit %d: %v after %d bytes of output", limit, v, len(f.out))
		}
		if f.source.at > 1+limit/500+1<<10 {
			t.Errorf("limit %d: read %d bytes of input", limit, f.source.at)
		}
	}
}

func TestZ01_BombInFragmentsStopsToo(t *testing.T) {
	deflated := string(deflatedZeros(t, 64))
	input := stream(compressed(frame(OpText, false, deflated[:1])), frame(OpContinuation, false, deflated[1:40_000]), frame(OpContinuation, true, deflated[40_000:]))
	expectFrom(t, deflateDecoder(70_000), input, outcome{Err: ErrTooBig})
}

func TestZ05_TruncatedDataIsInvalidAtEveryCut(t *testing.T) {
	for _, payload := range [][]byte{[]byte("Hello"), jsonOf(300), []byte(fromHex("00 00 ff ff 01 00 00 ff ff 00 00 ff ff 00 00 ff ff"))} {
		for _, level := range levels {
			deflated := string(deflateStd(t, level, payload))
			expectInflated(t, deflated, string(payload))
			expectInvalidCuts(t, deflated)
		}
		// A final block, cut so that it would end in the tail, or take it for data.
		n := uint16(len(payload))
		stored := string([]byte{1, byte(n), byte(n >> 8), ^byte(n), ^byte(n >> 8)}) + string(payload)
		expectInflated(t, stored, string(payload))
		expectInvalidCuts(t, stored)
	}
	expectInvalid(t, fromHex("f3 48 cd c9 c9")) // The tail's zeros would be the end of this final block.
	if CloseCode(ErrInvalidDeflate) != CodeInvalidPayload {
		t.Error("invalid data has another code")
	}
}

// expectInvalidCuts cuts payload at every byte. Only the first byte of a stored block is whole by itself: with the tail it is
// an empty one.
func expectInvalidCuts(t *testing.T, payload string) {
	t.Helper()
	for cut := range payload {
		switch head := payload[:cut]; {
		case head == "" || head == "\x00" || head == "\x01":
			expectInflated(t, head, "")
		case strings.HasSuffix(head, deflateTail): // It may be whole, with its tail left on (N16).
		default:
			expectInvalid(t, head)
		}
	}
}

func TestZ05_CorruptDataIsInvalid(t *testing.T) {
	for name, bad := range map[string]string{
		"reserved block type":        "06",
		"stored length":              "00 05 00 fa fe 48 65 6c 6c 6f 00",
		"distance before the start":  "02 02 00 00",
		"too many length codes":      "fc ff ff ff ff ff ff ff ff ff ff ff ff ff",
		"no codes at all":            "04 00 00 00 00 00 00 00 00",
		"noise":                      "de ad be ef de ad be ef",
		"noise behind a valid block": "f2 48 cd c9 c9 07 00 00 00 ff ff ff",
	} {
		t.Run(name, func(t *testing.T) { expectInvalid(t, fromHex(bad)) })
	}
}

// What follows a final block is decided in run's comment: further blocks are read, and what is no block is an error.
func TestZ05_BytesAfterAFinalBlock(t *testing.T) {
	const final = "f3 48 cd c9 c9 07 00" // Hello
	for rest, want := range map[string]string{
		"":                        "Hello", // §7.2.1 wants an empty block here
		"00":                      "Hello",
		"f2 48 cd c9 c9 07 00":    "HelloHello",
		final:                     "HelloHello",
		final + final + "00":      "HelloHelloHello",
		"01 00 00 ff ff":          "Hello",
		"01 00 00 ff ff 00":       "Hello",
		"00 01 00 fe ff 21 00":    "Hello!",
		"01":                      "Hello", // an empty final block less its tail
		"01 02 00 fd ff 00 ff 00": "Hello\x00\xff",
	} {
		expectInflated(t, fromHex(final+rest), want)
	}
	for _, rest := range []string{"ff", "06", "07", "00 00", "01 00", "f3 48", "02 02 00 00", "ca c9 c9 07 00 00 ff"} {
		expectInvalid(t, fromHex(final+rest))
	}
}

func TestInflatedTextMustBeUTF8(t *testing.T) {
	d := deflateDecoder(100_000)
	for _, bad := range append([]string{"\xe2\x82"}, invalidTexts...) {
		for _, whole := range []string{bad, "κόσμε" + bad, strings.Repeat("x", 8191) + bad, strings.Repeat("x", 40_000) + bad + strings.Repeat("y", 40_000)} {
			deflated := string(deflateStd(t, flate.BestSpeed, []byte(whole)))
			expectFrom(t, d, stream(text("before"), compressed(text(deflated))), messages(OpText, "before").then(ErrInvalidUTF8))
			expectFrom(t, d, compressed(frame(OpBinary, true, deflated)), messages(OpBinary, whole))
		}
	}
	// Compressed bytes are no text, and what one message left must not leak into the next.
	for n := range 4 {
		valid := strings.Repeat("x", 8190+n) + "€𐍈" + strings.Repeat("€", 30_000)
		deflated := string(deflateStd(t, flate.BestSpeed, []byte(valid)))
		expectFrom(t, d, stream(compressed(text(deflated)), text("€"), compressed(text(deflated))), messages(OpText, valid, OpText, "€", OpText, valid))
	}
}

func TestZ14_InflaterIsAsNewAfterAnError(t *testing.T) {
	good := deflateStd(t, flate.BestCompression, jsonOf(20_000))
	f := inflaters.New().(*inflater)
	for name, bad := range map[string]string{
		"corrupt":     string(good[:len(good)/2]) + "\xff\xff\xff\xff\xff\xff",
		"truncated":   string(good[:len(good)/2]),
		"empty":       "",
		"bomb":        string(deflatedZeros(t, 64)),
		"bad header":  fromHex("fc ff ff ff ff ff ff ff ff ff ff ff ff ff"),
		"stored half": fromHex("00 ff 00 00 ff 48 65 6c 6c 6f"),
	} {
		if v := inflateAll(f, []byte(bad), 100_000); v == 0 {
			t.Errorf("%s: no violation", name)
		}
		// A distance that reaches before the start would show what another client sent.
		if v := inflateAll(f, []byte(fromHex("02 02 00 00")), 100_000); v != ErrInvalidDeflate || len(f.out) != 0 {
			t.Errorf("after %s: reference to the message before: %v, %q", name, v, f.out)
		}
		if v := inflateAll(f, good, 100_000); v != 0 || !bytes.Equal(f.out, jsonOf(20_000)) {
			t.Errorf("after %s: %v, %d bytes", name, v, len(f.out))
		}
	}
}

// Blocks that hold nothing cost time, too: a slice ends after so many bytes of them.
func TestSliceBoundsBlocksOfNothing(t *testing.T) {
	const size, work = 1 << 20, 10_000
	// A block of dynamic codes, with a code for its end alone, and that end: see the header in TestZ14_NoCodesAreLeftFromTheMessageBefore.
	codes := packBits(strings.Repeat("001 00000 00000 0111 000 000 100"+strings.Repeat(" 000", 14)+" 100 1 1111111 1 1101011 0 0 0", 8))
	for name, c := range map[string]struct {
		repeated string
		most     int // bytes in a slice; those that are not read as bits count when they come out
	}{
		"codes and nothing":      {codes, work / byteWork},
		"final blocks":           {"\x03\x00", work / byteWork},
		"empty stored blocks":    {"\x00" + deflateTail, 5 * work / byteWork},
		"one byte a final block": {packBits("110 01110000 0000000"), work / byteWork},
	} {
		f := inflaters.New().(*inflater)
		f.start([]byte(strings.Repeat(c.repeated, size/len(c.repeated))+"\x00"), size)
		count := 0
		for whole := false; !whole; count++ {
			at := f.source.at
			var v Violation
			if whole, v = f.run(work, nil); v != 0 || f.source.at-at > c.most+len(deflateTail) {
				t.Fatalf("%s: %v, a slice took %d bytes, more than %d", name, v, f.source.at-at, c.most)
			}
		}
		if f.source.at < len(f.source.payload) || count < size/(c.most+4) {
			t.Errorf("%s: ended at %d of %d after %d slices", name, f.source.at, len(f.source.payload), count)
		}
		f.end()
	}
}

// Encoders do for want of a better way what the others do not: flush at each byte, or take the fixed codes for what they are longest for.
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

// packBits packs ones and zeros, in the order in which DEFLATE reads them.
func packBits(bits string) string {
	bits = strings.ReplaceAll(bits, " ", "")
	out := make([]byte, (len(bits)+7)/8)
	for i, c := range bits {
		out[i/8] |= byte(c-'0') << (i % 8)
	}
	return string(out)
}

// Code tables that are declared empty must be: codes left over from the message before would show an attacker which bytes another
// client's message had.
func TestZ14_NoCodesAreLeftFromTheMessageBefore(t *testing.T) {
	// A block of dynamic codes. The lengths of codes 0 and 18 are one bit; 18 repeats a zero 11 times and more, here 138 and 120 times.
	const header = "0 01 00000 00000 0000 000 000 100 100"
	empty := packBits(header + "1 1111111 1 1011011")
	f := inflaters.New().(*inflater)
	for _, before := range [][]byte{jsonOf(50_000), bytes.Repeat([]byte("secret"), 1000)} {
		for _, level := range levels {
			if v := inflateAll(f, deflateStd(t, level, before), 100_000); v != 0 {
				t.Fatal(v)
			}
			for _, codes := range []string{"\x00\x00\x00\x00", "\x5A\xA5\x5A\xA5\x5A\xA5", "\xFF\xFF\xFF\xFF"} {
				if v := inflateAll(f, []byte(empty+codes), 100_000); v != ErrInvalidDeflate || len(f.out) != 0 {
					t.Errorf("level %d: %v, decoded %q", level, v, f.out)
				}
			}
		}
	}
}

func TestZ14_ManyDecodersShareThePool(t *testing.T) {
	var wait sync.WaitGroup
	for g := range 4 {
		wait.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 0))
			for range 300 {
				want := bytes.Repeat([]byte{byte('a' + g), byte(rng.IntN(256))}, 1+rng.IntN(10_000))
				deflated := AppendDeflated(nil, want)
				if rng.IntN(3) == 0 {
					deflated = deflated[:len(deflated)-1]
					want = nil
				}
				input := compressed(AppendMaskedFrame(nil, OpBinary, true, testMask, deflated))
				d := deflateDecoder(15_000)
				m, _, err := d.Next(input)
				switch {
				case want == nil || len(want) > d.Limit:
					if err == nil {
						t.Errorf("spoilt or too big: no violation, %d bytes", len(m.Payload))
					}
				case err != nil || !bytes.Equal(m.Payload, want):
					t.Errorf("error %v, %d bytes, want %d", err, len(m.Payload), len(want))
				}
				d.Release()
			}
		})
	}
	wait.Wait()
}

func TestInflatedPayloadIsHeldUntilTheNextCall(t *testing.T) {
	want := jsonOf(3000)
	input := stream(compressed(frame(OpBinary, true, string(deflateStd(t, flate.BestSpeed, want)))), text("next"))
	d := deflateDecoder(5000)
	m, n, err := d.Next(input)
	other := deflateDecoder(5000) // The pooled inflater is free already.
	if _, _, err := other.Next(compressed(frame(OpBinary, true, string(deflateStd(t, flate.BestSpeed, bytes.Repeat([]byte("o"), 5000)))))); err != nil {
		t.Fatal(err)
	}
	clear(input[:n])
	if err != nil || !bytes.Equal(m.Payload, want) || d.Idle() || d.Held() != 4096 {
		t.Errorf("error %v, %d bytes, idle %t, held %d", err, len(m.Payload), d.Idle(), d.Held())
	}
	if m, _, err := d.Next(input[n:]); string(m.Payload) != "next" || err != nil || !d.Idle() {
		t.Errorf("%q, %v, idle %t", m.Payload, err, d.Idle())
	}
}

func TestReleaseInsideACompressedMessage(t *testing.T) {
	d := deflateDecoder(100)
	d.Next(compressed(frame(OpText, false, "\xf2\x48")))
	if d.Idle() || d.Held() == 0 {
		t.Error("idle inside a compressed message")
	}
	if d.Release(); !d.Idle() || d.Held() != 0 || !d.Deflate || d.Limit != 100 {
		t.Errorf("after Release: %+v", d)
	}
	if m, _, err := d.Next(text("new")); string(m.Payload) != "new" || err != nil {
		t.Errorf("got %q, %v", m.Payload, err)
	}
}

func TestReleaseWhileInflating(t *testing.T) {
	want := jsonOf(50_000)
	d := deflateDecoder(60_000)
	d.Slice = 20_000
	src := compressed(text(string(deflateStd(t, flate.BestSpeed, want))))
	m, n, err := d.Next(src)
	if m.Op != 0 || n != len(src) || err != nil || !d.Inflating() || !d.Partial() || d.Held() < len(src)-maxHeader {
		t.Fatalf("message %d, took %d, error %v, inflating %t, held %d", m.Op, n, err, d.Inflating(), d.Held())
	}
	if d.Release(); d.Inflating() || !d.Idle() || d.Held() != 0 || d.Slice != 20_000 {
		t.Errorf("after Release: %+v", d)
	}
	if m, _, err := d.Next(text("new")); string(m.Payload) != "new" || err != nil {
		t.Errorf("got %q, %v", m.Payload, err)
	}
}

// A limit that is meant as none must not be allocated.
func TestHugeLimitIsNotAllocated(t *testing.T) {
	input := compressed(frame(OpBinary, true, string(deflatedZeros(t, 20))))
	d := deflateDecoder(math.MaxInt)
	defer d.Release()
	var m Message
	var err error
	if cost := allocated(func() { m, _, err = d.Next(input) }); err != nil || len(m.Payload) != 20<<20 || cost > 256<<20 {
		t.Errorf("%d bytes, error %v, %d bytes allocated", len(m.Payload), err, cost)
	}
}

// FuzzInflate holds the Decoder to the standard library, for every cut of arbitrary compressed bytes.
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

// modelInflate inflates payload and its tail with the standard library, up to one byte over limit. valid means a whole message: the
// blocks end where the tail does, and the tail adds nothing to them; or the payload ends with a final block.
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

// What an earlier message had a pooled inflater grow to is not held, uncounted, by one that waits for its next turn.
func TestWaitingInflaterHoldsWhatIsCounted(t *testing.T) {
	f := inflaters.New().(*inflater)
	if v := inflateAll(f, deflateStd(t, flate.BestSpeed, make([]byte, 1<<20)), 1<<20); v != 0 || cap(f.out) < 1<<20 {
		t.Fatalf("%v, room for %d bytes", v, cap(f.out))
	}
	for name, payload := range map[string][]byte{
		"long":  deflateStd(t, flate.NoCompression, jsonOf(100_000)),
		"bomb":  deflateStd(t, flate.BestSpeed, make([]byte, 1<<19)),
		"codes": []byte(strings.Repeat(packBits("110 01110000 0000000"), 20_000) + "\x00"),
	} {
		f.start(payload, 1<<20)
		for whole := false; !whole; {
			var v Violation
			if whole, v = f.run(10_000, nil); v != 0 || !whole && cap(f.out) > f.size {
				t.Fatalf("%s: %v, room for %d bytes, %d are counted", name, v, cap(f.out), f.size)
			}
		}
		if f.stop != nil {
			f.stop()
			f.resume, f.stop = nil, nil
		}
	}
}
