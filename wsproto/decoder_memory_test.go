package wsproto

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestF09_AnnouncedLengthIsNotAllocated(t *testing.T) {
	input := append([]byte{0x82, 0xFF, 0, 0, 0, 0, 0, 0x10, 0, 0, 1, 2, 3, 4}, "0123456789"...) // 1 MiB
	least := uint64(1 << 62)                                                                    // The runtime allocates now and then, too.
	for range 5 {
		d := Decoder{Limit: 1 << 20}
		least = min(least, allocated(func() { d.Next(bytes.Clone(input)) }))
		if d.Held() >= 1024 || d.Held() < 10 {
			t.Errorf("10 bytes of a message, %d held", d.Held())
		}
		d.Release()
	}
	if least >= 1024 {
		t.Errorf("10 bytes of a message cost %d bytes", least)
	}
}

func TestNextNeitherTouchesNorExposesBytesBehindTheFrame(t *testing.T) {
	src := stream(text("first"), text("second"))
	rest := bytes.Clone(src[len(text("first")):])
	d := Decoder{Limit: 1024}
	m, n, _ := d.Next(src)
	if m.Payload = append(m.Payload, "overwritten"...); !bytes.Equal(src[n:], rest) {
		t.Error("bytes behind the frame changed")
	}
}

func TestWholeFrameIsReturnedWithoutCopy(t *testing.T) {
	src := text("in place")
	d := Decoder{Limit: 1024}
	m, n, err := d.Next(src)
	if err != nil || n != len(src) || &m.Payload[0] != &src[n-len("in place")] {
		t.Errorf("n %d, error %v, payload not in src", n, err)
	}
	if !d.Idle() {
		t.Error("not idle though nothing is held")
	}
}

func TestIdleOnlyWhenNothingIsHeld(t *testing.T) {
	input := stream(frame(OpText, false, "ab"), frame(OpContinuation, true, "cd"))
	d := Decoder{Limit: 1024}
	if !d.Idle() {
		t.Error("zero value is not idle")
	}
	for i := range input {
		m, _, err := d.Next(input[i : i+1])
		if err != nil || d.Idle() {
			t.Fatalf("byte %d: error %v, idle %t", i, err, d.Idle())
		}
		if m.Op != 0 && string(m.Payload) != "abcd" {
			t.Fatalf("message %q", m.Payload)
		}
	}
	if d.Next(nil); !d.Idle() {
		t.Error("buffer of the returned message still held after the next call")
	}
}

func TestDecoderMayBeMovedInsideAMessage(t *testing.T) {
	input := stream(frame(OpText, false, "ab"), frame(OpContinuation, true, "cd"))
	d := Decoder{Limit: 1024}
	d.Next(input[:5])
	moved := d
	if got := decode(t, &moved, input[5:], byBytes); len(got.Messages) != 1 || got.Messages[0] != "0x1:abcd" {
		t.Errorf("got %v", got)
	}
}

func TestReleasedDecoderStartsANewStream(t *testing.T) {
	d := Decoder{Limit: 1024}
	d.Next(text("cut off")[:8])
	d.Release()
	if m, _, err := d.Next(text("new")); string(m.Payload) != "new" || err != nil {
		t.Errorf("got %q, %v", m.Payload, err)
	}
}

func TestAssemblyStaysBelowTwiceTheLimit(t *testing.T) {
	for _, limit := range []int{300, 5000, 1 << 20, 1<<20 + 1} {
		input := text(strings.Repeat("x", limit))
		d := Decoder{Limit: limit}
		most, before := 0, 0
		for len(input) > 0 {
			n := min(100, len(input))
			d.Next(input[:n])
			input = input[n:]
			if held := d.Held(); held != before {
				most, before = max(most, held+before), held // old and new exist together for a moment
			}
		}
		if most > 2*limit+16<<10 {
			t.Errorf("limit %d: %d bytes at once", limit, most)
		}
		d.Release()
	}
}

func TestDecoderIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Decoder{}); size > 128 {
		t.Errorf("a Decoder has %d bytes, want at most 128", size)
	}
}

func TestWholeFramesAllocateNothing(t *testing.T) {
	input := stream(text("hello"), frame(OpBinary, true, strings.Repeat("b", 5000)), frame(OpPing, true, "p"), text("κόσμε"))
	src, d := make([]byte, len(input)), Decoder{Limit: 1 << 16}
	allocs := testing.AllocsPerRun(100, func() {
		copy(src, input)
		for rest := src; len(rest) > 0; {
			_, n, err := d.Next(rest)
			if err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for four frames", allocs)
	}
}

func TestViolationsAllocateNothing(t *testing.T) {
	src, d := []byte{0xF1}, Decoder{Limit: 1}
	var err error
	if allocs := testing.AllocsPerRun(100, func() { d.Release(); _, _, err = d.Next(src) }); allocs != 0 || !errors.Is(err, ErrReservedBits) {
		t.Errorf("%v allocations, error %v", allocs, err)
	}
}

func BenchmarkNext(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 64 << 10} {
		for _, op := range []Opcode{OpBinary, OpText} {
			b.Run(fmt.Sprintf("op=%d/size=%d", op, size), func(b *testing.B) {
				// A zero mask leaves the bytes as they are, so that the same ones serve for every
				// turn.
				src := AppendMaskedFrame(nil, op, true, [4]byte{}, bytes.Repeat([]byte("x"), size))
				d := Decoder{Limit: 1 << 20}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if m, _, err := d.Next(src); len(m.Payload) != size || err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkNextInPieces is a 1 MiB text that comes in reads of 64 KiB.
func BenchmarkNextInPieces(b *testing.B) {
	const size, read = 1 << 20, 64 << 10
	src := AppendMaskedFrame(nil, OpText, true, [4]byte{}, bytes.Repeat([]byte("x"), size))
	d := Decoder{Limit: size}
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		var m Message
		for rest := src; len(rest) > 0; rest = rest[min(read, len(rest)):] {
			m, _, _ = d.Next(rest[:min(read, len(rest))])
		}
		if len(m.Payload) != size {
			b.Fatal("no message")
		}
	}
}
