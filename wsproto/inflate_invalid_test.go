package wsproto

import (
	"bytes"
	"compress/flate"
	"strings"
	"testing"
)

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

// expectInvalidCuts cuts payload at every byte. Only the first byte of a stored block is whole by
// itself: with the tail it is an empty one.
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

// What follows a final block is decided in run's comment: further blocks are read, and what is no
// block is an error.
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

// packBits packs ones and zeros, in the order in which DEFLATE reads them.
func packBits(bits string) string {
	bits = strings.ReplaceAll(bits, " ", "")
	out := make([]byte, (len(bits)+7)/8)
	for i, c := range bits {
		out[i/8] |= byte(c-'0') << (i % 8)
	}
	return string(out)
}

// Code tables that are declared empty must be: codes left over from the message before would show
// an attacker which bytes another client's message had.
func TestZ14_NoCodesAreLeftFromTheMessageBefore(t *testing.T) {
	// A block of dynamic codes. The lengths of codes 0 and 18 are one bit; 18 repeats a zero 11
	// times and more, here 138 and 120 times.
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
