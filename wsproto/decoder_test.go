package wsproto

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var testMask = [4]byte{0x37, 0xFA, 0x21, 0x3D}

// frame returns one frame of a client.
func frame(op Opcode, fin bool, payload string) []byte {
	return AppendMaskedFrame(nil, op, fin, testMask, []byte(payload))
}

func text(payload string) []byte { return frame(OpText, true, payload) }

func stream(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

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

// A message of many tiny fragments is refused at the header of the first one over the limit.
// Control frames in between are none, and each message is counted by itself.
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
