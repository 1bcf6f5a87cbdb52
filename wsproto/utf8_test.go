package wsproto

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// invalidTexts are wrong at a byte that nothing behind it can mend.
var invalidTexts = []string{
	"\x80", "\xbf", // continuation without a lead
	"\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xe0\x9f\xbf", "\xf0\x80\x80\xaf", "\xf0\x8f\xbf\xbf", // overlong
	"\xed\xa0\x80", "\xed\xbf\xbf", "\xed\xa0\xbd\xed\xb8\x80", // surrogates, alone and as a pair
	"\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", // beyond U+10FFFF
	"\xfe", "\xff", "\xe2\x28\xa1", "\xe2\x82\x28", "\xf0\x90\x80\x20", "\xc3\xc3",
}

// isPrefixOfValid reports by trial whether some bytes behind s make it valid: an oracle that knows only utf8.Valid.
func isPrefixOfValid(s string) bool {
	if utf8.ValidString(s) {
		return true
	}
	for second := 0x80; second <= 0xBF; second++ {
		for n := 1; n <= 3; n++ {
			if utf8.ValidString(s + string([]byte{byte(second), 0x80, 0x80}[:n])) {
				return true
			}
		}
	}
	return false
}

func TestValidatorAgreesWithTheStandardLibraryAtEverySplit(t *testing.T) {
	texts := append([]string{"", "ascii", "κόσμε", "€𐍈\u07FF\u0800\uD7FF\uE000\U00010000\U0010FFFF", "\xe2\x82", "\xf0\x9f\x98"}, invalidTexts...)
	for _, s := range texts {
		for i := range len(s) + 1 {
			for j := i; j <= len(s); j++ {
				var u utf8Validator
				got := u.valid([]byte(s[:i])) && u.valid([]byte(s[i:j])) && u.valid([]byte(s[j:])) && u.complete()
				if got != utf8.ValidString(s) {
					t.Errorf("%q cut at %d and %d: %t", s, i, j, got)
				}
			}
		}
	}
}

func TestValidatorFailsAtTheFirstHopelessByte(t *testing.T) {
	// Every pair of lead and second byte, alone and behind a long run of ASCII.
	for first := range 256 {
		for second := range 256 {
			s := string([]byte{byte(first), byte(second)})
			want := isPrefixOfValid(s)
			for _, before := range []string{"", strings.Repeat("a", 33)} {
				var whole, bytewise utf8Validator
				if got := whole.valid([]byte(before + s)); got != want {
					t.Fatalf("%q whole: %t, want %t", s, got, want)
				}
				if got := bytewise.valid([]byte(before+s[:1])) && bytewise.valid([]byte(s[1:])); got != want {
					t.Fatalf("%q in two: %t, want %t", s, got, want)
				}
			}
		}
	}
}
