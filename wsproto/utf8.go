package wsproto

import "unicode/utf8"

// utf8Validator checks a text that arrives in pieces, cut anywhere, and fails at the first byte
// that no continuation can make valid (RFC 6455 §8.1, RFC 3629 §4). The zero value is at the start
// of a text. A validator that failed is spent.
type utf8Validator struct {
	missing uint8 // continuation bytes that the rune under way still needs
	lo, hi  uint8 // range of the next one; narrower than 80..BF behind E0, ED, F0 and F4
}

// valid reports whether p can follow what was seen before.
func (u *utf8Validator) valid(p []byte) bool {
	for u.missing > 0 && len(p) > 0 {
		if !u.step(p[0]) {
			return false
		}
		p = p[1:]
	}
	// The standard library is fast but knows only whole runes: it gets all but a rune cut off at
	// the end.
	whole := len(p) - cutRune(p)
	if !utf8.Valid(p[:whole]) {
		return false
	}
	for _, b := range p[whole:] {
		if !u.step(b) {
			return false
		}
	}
	return true
}

// complete reports whether the text may end here, that is, not inside a rune.
func (u *utf8Validator) complete() bool { return u.missing == 0 }

// cutRune returns how many bytes at the end of p (0 to 3) begin a rune that needs more bytes than p
// has.
func cutRune(p []byte) int {
	for n := 1; n <= min(3, len(p)); n++ {
		if b := p[len(p)-n]; utf8.RuneStart(b) {
			if n < runeLength(b) {
				return n
			}
			return 0
		}
	}
	return 0
}

// step takes one byte.
func (u *utf8Validator) step(b byte) bool {
	if u.missing > 0 {
		if b < u.lo || b > u.hi {
			return false
		}
		u.missing--
		u.lo, u.hi = 0x80, 0xBF
		return true
	}
	n := runeLength(b)
	if n == 0 {
		return false
	}
	u.missing = uint8(n - 1)
	u.lo, u.hi = 0x80, 0xBF
	switch b {
	case 0xE0:
		u.lo = 0xA0 // below: overlong
	case 0xED:
		u.hi = 0x9F // above: surrogates
	case 0xF0:
		u.lo = 0x90 // below: overlong
	case 0xF4:
		u.hi = 0x8F // above: beyond U+10FFFF
	}
	return true
}

// runeLength returns how many bytes a rune has that begins with b, 0 when none can.
func runeLength(b byte) int {
	switch {
	case b < 0x80:
		return 1
	case b < 0xC2: // continuation bytes, and leads that only overlong forms have
		return 0
	case b < 0xE0:
		return 2
	case b < 0xF0:
		return 3
	case b < 0xF5:
		return 4
	}
	return 0
}
