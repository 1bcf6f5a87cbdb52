package wsproto

import (
	"strings"
	"testing"
)

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
