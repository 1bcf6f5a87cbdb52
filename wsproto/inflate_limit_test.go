package wsproto

import (
	"bytes"
	"compress/flate"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
)

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

// What does not compress grows. The message has its limit, not what it took on the wire, with any
// compressor and in any fragments. Relatives: one byte too many, and a plain message of as many
// bytes as a compressed one may have.
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

// Blocks that hold nothing cost time, too: a slice ends after so many bytes of them.
func TestSliceBoundsBlocksOfNothing(t *testing.T) {
	const size, work = 1 << 20, 10_000
	// A block of dynamic codes, with a code for its end alone, and that end: see the header in
	// TestZ14_NoCodesAreLeftFromTheMessageBefore.
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

// What an earlier message had a pooled inflater grow to is not held, uncounted, by one that waits
// for its next turn.
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
