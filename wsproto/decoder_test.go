package wsproto

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

var testMask = [4]byte{0x37, 0xFA, 0x21, 0x3D}

// frame returns one frame of a client.
func frame(op Opcode, fin bool, payload string) []byte {
	return AppendMaskedFrame(nil, op, fin, testMask, []byte(payload))
}

func text(payload string) []byte { return frame(OpText, true, payload) }

func stream(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// An outcome is what a stream became: the messages before the end and the violation that ended it.
type outcome struct {
	Messages []string
	Err      error
}

func (o *outcome) add(m Message) {
	o.Messages = append(o.Messages, fmt.Sprintf("%#x:%s", byte(m.Op), m.Payload))
}

func messages(kv ...any) outcome {
	var o outcome
	for i := 0; i < len(kv); i += 2 {
		o.add(Message{Op: kv[i].(Opcode), Payload: []byte(kv[i+1].(string))})
	}
	return o
}

func (o outcome) then(err error) outcome {
	o.Err = err
	return o
}

// decode feeds input to d in pieces of the sizes that cut returns, and holds d to what Next promises on the way.
func decode(t testing.TB, d *Decoder, input []byte, cut func() int) outcome {
	t.Helper()
	var got outcome
	for at := 0; at < len(input); {
		size := min(cut(), len(input)-at)
		chunk := bytes.Clone(input[at : at+size])
		at += size
		for {
			m, n, err := d.Next(chunk)
			if err != nil {
				if _, n, again := d.Next([]byte("x")); again != err || n != 0 {
					t.Errorf("after violation %v: took %d, error %v", err, n, again)
				}
				if d.Idle() || d.Held() != 0 {
					t.Errorf("after violation: idle %t, held %d", d.Idle(), d.Held())
				}
				return got.then(err)
			}
			most := d.Limit + MaxControlPayload
			if d.Deflate {
				most = DeflatedMax(d.Limit) + MaxControlPayload
			}
			if d.Inflating() {
				most += max(inflatedFirst, d.Limit+1)
			}
			if held := d.Held(); held > most {
				t.Fatalf("holds %d bytes with limit %d, inflating: %t", held, d.Limit, d.Inflating())
			}
			if d.Inflating() {
				if m.Op != 0 || d.Slice == 0 || d.Idle() || !d.Partial() {
					t.Fatalf("inflating: message %d, slice %d, idle %t, partial %t", m.Op, d.Slice, d.Idle(), d.Partial())
				}
				clear(chunk[:n]) // What was taken is not ours to keep.
			}
			chunk = chunk[n:]
			if m.Op == 0 && !d.Inflating() {
				break
			}
			if m.Op == 0 {
				continue
			}
			got.add(m)
		}
		if len(chunk) != 0 {
			t.Fatalf("Next left %d bytes without a message", len(chunk))
		}
	}
	return got
}

func byBytes() int { return 1 }

// everyCut decodes input whole, byte by byte, at random splits and inflated in slices, and returns the one outcome all must have.
func everyCut(t testing.TB, d Decoder, input []byte) outcome {
	t.Helper()
	run := func(name string, slice int, cut func() int) (outcome, bool) {
		c := d
		c.Slice = slice
		got := decode(t, &c, input, cut)
		idle := c.Idle()
		c.Release()
		if !c.Idle() {
			t.Errorf("%s: not idle after Release", name)
		}
		return got, idle
	}
	want, wantIdle := run("whole", 0, func() int { return len(input) })
	check := func(name string, slice int, cut func() int) {
		t.Helper()
		got, idle := run(name, slice, cut)
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b error) bool { return a == b })); diff != "" {
			t.Errorf("%s differs from whole (-whole +%s):\n%.2000s", name, name, diff)
		}
		if idle != wantIdle {
			t.Errorf("%s: idle %t, whole %t", name, idle, wantIdle)
		}
	}
	check("byte by byte", 0, byBytes)
	if d.Deflate {
		check("in the smallest slices", 1, func() int { return len(input) })
	}
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, uint64(len(input))))
		spread := 1 + rng.IntN(max(2, len(input)/2))
		slice := int(seed%2) * (1 + rng.IntN(3000))
		check(fmt.Sprintf("seed %d, slices of %d", seed, slice), slice, func() int { return 1 + rng.IntN(spread) })
	}
	return want
}

// expect decodes input in every way with a server's Decoder of 1 KiB and compares.
func expect(t *testing.T, input []byte, want outcome) {
	t.Helper()
	expectFrom(t, Decoder{Limit: 1024}, input, want)
}

func expectFrom(t *testing.T, d Decoder, input []byte, want outcome) {
	t.Helper()
	got := everyCut(t, d, input)
	if got.Err != want.Err {
		t.Errorf("violation %v, want %v", got.Err, want.Err)
	}
	if diff := cmp.Diff(want.Messages, got.Messages); diff != "" {
		t.Errorf("messages (-want +got):\n%.2000s", diff)
	}
}

func TestAutobahn_1_LengthsAtEveryBoundary(t *testing.T) {
	const limit = 1 << 20
	for _, size := range []int{0, 1, 125, 126, 127, 128, 65535, 65536, 65537, limit} {
		for _, op := range []Opcode{OpText, OpBinary} {
			payload := strings.Repeat("*", size)
			expectFrom(t, Decoder{Limit: limit}, stream(frame(op, true, payload), text("next")), messages(op, payload, OpText, "next"))
		}
	}
}

func TestF35_MessageAtLimitPassesAndOneByteMoreDoesNot(t *testing.T) {
	for _, limit := range []int{0, 1, 100, 125, 126, 255, 256, 257, 1000, 65535, 65536, 100_000} {
		d, full := Decoder{Limit: limit}, strings.Repeat("x", limit)
		expectFrom(t, d, text(full), messages(OpText, full))
		expectFrom(t, d, text(full+"x"), outcome{Err: ErrTooBig})

		head, tail := full[:limit/2], full[limit/2:]
		expectFrom(t, d, stream(frame(OpText, false, head), frame(OpContinuation, true, tail)), messages(OpText, full))
		expectFrom(t, d, stream(frame(OpText, false, head), frame(OpContinuation, true, tail+"x")), outcome{Err: ErrTooBig})
	}
}

func TestF02_F03_ReservedBitsAreRefusedOnEveryFrame(t *testing.T) {
	for _, rsv := range []byte{0x40, 0x20, 0x10, 0x70} {
		for _, op := range []Opcode{OpText, OpBinary, OpClose, OpPing, OpPong} {
			bad := frame(op, true, "")
			bad[0] |= rsv
			expect(t, stream(text("before"), bad), messages(OpText, "before").then(ErrReservedBits))
		}
		bad := frame(OpContinuation, true, "b")
		bad[0] |= rsv
		expect(t, stream(frame(OpText, false, "a"), bad), outcome{Err: ErrReservedBits})
	}
}

func TestF05_ReservedOpcodesAreRefused(t *testing.T) {
	for _, op := range []Opcode{3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF} {
		bad := text("x")
		bad[0] = finBit | byte(op)
		expect(t, stream(text("before"), bad), messages(OpText, "before").then(ErrReservedOpcode))
	}
}

func TestF06_ControlOver125BytesIsRefused(t *testing.T) {
	for _, op := range []Opcode{OpClose, OpPing, OpPong} {
		expect(t, []byte{finBit | byte(op), maskBit | 126, 0, 126}, outcome{Err: ErrControlTooLong})
		expect(t, []byte{finBit | byte(op), maskBit | 127}, outcome{Err: ErrControlTooLong})
	}
}

func TestAutobahn_5_1_FragmentedControlIsRefused(t *testing.T) {
	for _, op := range []Opcode{OpClose, OpPing, OpPong} {
		expect(t, []byte{byte(op)}, outcome{Err: ErrControlFragmented})
	}
}

func TestF08_LengthWithTopBitIsRefused(t *testing.T) {
	expect(t, []byte{0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 1}, outcome{Err: ErrLengthMSB})
	expect(t, []byte{0x82, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, outcome{Err: ErrLengthMSB})
}

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestF09_HugeLengthIsRefusedAtTheHeader(t *testing.T) {
	input := []byte{0x82, 0xFF, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 'a', 'b'} // 2^62, mask, two bytes
	expect(t, input, outcome{Err: ErrTooBig})
	expect(t, input[:10], outcome{Err: ErrTooBig}) // the mask is not waited for
	d := Decoder{Limit: 1 << 20}
	var err error
	if cost := allocated(func() { _, _, err = d.Next(input) }); cost >= 1024 || err != ErrTooBig {
		t.Errorf("allocated %d bytes, error %v", cost, err)
	}
}

func TestF09_AnnouncedLengthIsNotAllocated(t *testing.T) {
	input := append([]byte{0x82, 0xFF, 0, 0, 0, 0, 0, 0x10, 0, 0, 1, 2, 3, 4}, "0123456789"...) // 1 MiB
	d := Decoder{Limit: 1 << 20}
	defer d.Release()
	if cost := allocated(func() { d.Next(input) }); cost >= 1024 || d.Held() >= 1024 || d.Held() < 10 {
		t.Errorf("10 bytes of a message cost %d bytes, %d held", cost, d.Held())
	}
}

func TestF11_LengthMustBeMinimal(t *testing.T) {
	mask := []byte{0, 0, 0, 0}
	for _, header := range [][]byte{
		{0x82, 0xFE, 0, 2},
		{0x82, 0xFE, 0, 125},
		{0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0, 2},
		{0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF},
	} {
		expect(t, stream(header, mask, []byte("ab")), outcome{Err: ErrLengthNotMinimal})
	}
}

func TestF14_HeaderSplitAtEveryByteKeepsStep(t *testing.T) {
	for _, size := range []int{5, 200, 70_000} {
		input := stream(frame(OpBinary, true, strings.Repeat("z", size)), text("after"))
		want := messages(OpBinary, strings.Repeat("z", size), OpText, "after")
		for cut := 1; cut < maxHeader+3; cut++ {
			d, first := Decoder{Limit: 1 << 20}, true
			got := decode(t, &d, input, func() int {
				if first {
					first = false
					return cut
				}
				return len(input)
			})
			if diff := cmp.Diff(want.Messages, got.Messages); diff != "" || got.Err != nil {
				t.Errorf("size %d cut at %d: error %v, %.500s", size, cut, got.Err, diff)
			}
		}
	}
}

func TestF15_SumOfFragmentsIsLimited(t *testing.T) {
	input := frame(OpBinary, false, strings.Repeat("x", 10))
	for range 999 {
		input = append(input, frame(OpContinuation, false, strings.Repeat("x", 10))...)
	}
	d := Decoder{Limit: 1005}
	_, n, err := d.Next(bytes.Clone(input))
	if per := len(input) / 1000; err != ErrTooBig || n > 101*per {
		t.Errorf("took %d of %d bytes, error %v: want ErrTooBig in fragment 101", n, len(input), err)
	}
	expectFrom(t, Decoder{Limit: 1005}, input, outcome{Err: ErrTooBig})
}

// A message of many tiny fragments is refused at the header of the first one over the limit. Control frames in between are none,
// and each message is counted by itself.
func TestF17_FragmentsAreLimitedInNumber(t *testing.T) {
	three := stream(frame(OpText, false, "a"), frame(OpPing, true, "p"), frame(OpContinuation, false, ""), frame(OpContinuation, true, "b"))
	d := Decoder{Limit: 1024, Fragments: 3}
	expectFrom(t, d, stream(three, text("whole"), three), messages(OpPing, "p", OpText, "ab", OpText, "whole", OpPing, "p", OpText, "ab"))
	four := stream(frame(OpText, false, "a"), frame(OpContinuation, false, ""), frame(OpPing, true, "p"), frame(OpContinuation, false, ""))
	want := messages(OpPing, "p", OpText, "ab", OpPing, "p").then(ErrTooManyFragments)
	expectFrom(t, d, stream(three, four, frame(OpContinuation, true, "")), want)
	if code := CloseCode(ErrTooManyFragments); code != CodePolicyViolation {
		t.Errorf("closed with %v", code)
	}
	d.Release()
	if d.Fragments != 3 {
		t.Error("Release forgets the limit")
	}
}

func TestFramesAreCountedOnceHoweverTheyAreCut(t *testing.T) {
	input := stream(frame(OpText, false, "a"), frame(OpPing, true, "p"), frame(OpContinuation, false, ""), frame(OpContinuation, true, "b"), text(""))
	for size := 1; size <= len(input); size++ {
		d, src := Decoder{Limit: 1024}, bytes.Clone(input)
		for at := 0; at < len(src); at += size {
			for rest := src[at:min(at+size, len(src))]; ; {
				msg, n, err := d.Next(rest)
				if err != nil {
					t.Fatal(err)
				}
				if rest = rest[n:]; msg.Op == 0 {
					break
				}
			}
			if isEnd := at+size >= len(src); isEnd == d.Partial() && at+size != len(src)-len(text("")) {
				t.Errorf("pieces of %d bytes: partial %t behind byte %d of %d", size, d.Partial(), at+size, len(src))
			}
		}
		if d.Frames() != 5 {
			t.Errorf("pieces of %d bytes: %d frames, want 5", size, d.Frames())
		}
	}
}

func TestF18_ControlBetweenFragmentsLeavesMessageIntact(t *testing.T) {
	ping := strings.Repeat("p", 125)
	input := stream(
		frame(OpText, false, "Hel"), frame(OpPing, true, ping),
		frame(OpContinuation, false, ""), frame(OpPong, true, ""), frame(OpPing, true, "q"),
		frame(OpContinuation, true, "lo"), text("next"))
	expect(t, input, messages(OpPing, ping, OpPong, "", OpPing, "q", OpText, "Hello", OpText, "next"))
}

func TestF18_ControlBetweenFragmentsComesAtOnce(t *testing.T) {
	d := Decoder{Limit: 1024}
	m, _, err := d.Next(stream(frame(OpText, false, "Hel"), frame(OpPing, true, "now")))
	if m.Op != OpPing || string(m.Payload) != "now" || err != nil {
		t.Fatalf("got %v %q %v", m.Op, m.Payload, err)
	}
	if d.Idle() {
		t.Error("idle inside a message")
	}
}

func TestAutobahn_5_FragmentationRules(t *testing.T) {
	expect(t, frame(OpContinuation, true, "x"), outcome{Err: ErrUnexpectedContinuation})
	expect(t, frame(OpContinuation, false, "x"), outcome{Err: ErrUnexpectedContinuation})
	expect(t, stream(text("a"), frame(OpContinuation, true, "x")), messages(OpText, "a").then(ErrUnexpectedContinuation))
	expect(t, stream(frame(OpText, false, "a"), text("b")), outcome{Err: ErrExpectedContinuation})
	expect(t, stream(frame(OpText, false, "a"), frame(OpBinary, false, "b")), outcome{Err: ErrExpectedContinuation})
	expect(t, stream(frame(OpBinary, false, ""), frame(OpContinuation, false, ""), frame(OpContinuation, true, "")), messages(OpBinary, ""))
	expect(t, stream(frame(OpText, false, ""), frame(OpContinuation, true, "x")), messages(OpText, "x"))
	expect(t, stream(frame(OpText, false, "x"), frame(OpContinuation, true, "")), messages(OpText, "x"))
}

func TestF20_InvalidUTF8IsRefusedHoweverItIsCut(t *testing.T) {
	for _, bad := range invalidTexts {
		whole := "κόσμε" + bad + "tail"
		expect(t, stream(text("before"), text(whole)), messages(OpText, "before").then(ErrInvalidUTF8))
		for i := range len(whole) {
			expect(t, stream(frame(OpText, false, whole[:i]), frame(OpPing, true, ""), frame(OpContinuation, true, whole[i:])),
				pingUnless(strings.ToValidUTF8(whole[:i], "") != whole[:i] && !isPrefixOfValid(whole[:i])).then(ErrInvalidUTF8))
		}
	}
}

// pingUnless is the ping that came before the violation, unless the violation came first.
func pingUnless(failed bool) outcome {
	if failed {
		return outcome{}
	}
	return messages(OpPing, "")
}

func TestF20_ValidTextPassesCutInsideEveryRune(t *testing.T) {
	const s = "Hello-µ@ßöäüàá-UTF-8!! \u0000\uD7FF\uE000\uFFFF\U00010000\U0010FFFF"
	for i := range len(s) {
		expect(t, stream(frame(OpText, false, s[:i]), frame(OpContinuation, true, s[i:])), messages(OpText, s))
	}
}

func TestAutobahn_6_4_TextFailsAtTheFirstBadByte(t *testing.T) {
	const good, bad = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5", "\xf4\x90" // beyond U+10FFFF with its second byte
	input := text(good + bad + strings.Repeat("x", 500))
	for _, cut := range []func() int{byBytes, func() int { return 7 }, func() int { return len(input) }} {
		const last = 4 + 4 + len(good) + len(bad) // header with 16-bit length, mask, payload up to the bad byte
		d := Decoder{Limit: 1024}
		if got := decode(t, &d, input[:last-1], cut); got.Err != nil {
			t.Errorf("failed before the bad byte: %v", got.Err)
		}
		if got := decode(t, &d, input[last-1:last], cut); got.Err != ErrInvalidUTF8 {
			t.Errorf("at the bad byte, in mid-frame: %v, want ErrInvalidUTF8", got.Err)
		}
	}
}

func TestF20_TextMayNotEndInsideARune(t *testing.T) {
	expect(t, text("\xe2\x82"), outcome{Err: ErrInvalidUTF8})
	expect(t, stream(frame(OpText, false, "\xe2\x82"), frame(OpContinuation, true, "")), outcome{Err: ErrInvalidUTF8})
	// What one message left open must not leak into the next.
	expect(t, stream(frame(OpBinary, true, "\xe2\x82"), text("\xac")), messages(OpBinary, "\xe2\x82").then(ErrInvalidUTF8))
}

func TestF23_PingBodiesComeBackUnchanged(t *testing.T) {
	for _, size := range []int{0, 1, 124, 125} {
		body := strings.Repeat("\xff", size)
		expect(t, stream(frame(OpPing, true, body), text("x")), messages(OpPing, body, OpText, "x"))
	}
}

func TestF24_TenThousandUnsolicitedPongsAreDelivered(t *testing.T) {
	input := bytes.Repeat(frame(OpPong, true, "nobody asked"), 10_000)
	d := Decoder{Limit: 1024}
	got := decode(t, &d, input, func() int { return 4096 })
	if len(got.Messages) != 10_000 || got.Err != nil || !d.Idle() {
		t.Errorf("%d pongs, error %v, idle %t", len(got.Messages), got.Err, d.Idle())
	}
}

func TestF36_UnmaskingEqualsNaiveXOR(t *testing.T) {
	for _, mask := range [][4]byte{{}, testMask, {0xFF, 0xFF, 0xFF, 0xFF}, {1, 0, 0, 0}} {
		for size := range 65 {
			plain := make([]byte, size)
			input := []byte{0x82, maskBit | byte(size), mask[0], mask[1], mask[2], mask[3]}
			for i := range plain {
				plain[i] = byte(i*7 + size)
				input = append(input, plain[i]^mask[i%4])
			}
			expect(t, input, messages(OpBinary, string(plain)))
		}
	}
}

func TestMaskMustFitTheRole(t *testing.T) {
	server := AppendFrame(nil, OpText, []byte("hi"))
	expect(t, server, outcome{Err: ErrUnmasked})
	expectFrom(t, Decoder{Limit: 1024, Client: true}, server, messages(OpText, "hi"))
	expectFrom(t, Decoder{Limit: 1024, Client: true}, text("hi"), outcome{Err: ErrMasked})
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
				// A zero mask leaves the bytes as they are, so that the same ones serve for every turn.
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
