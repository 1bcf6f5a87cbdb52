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

// isPrefixOfValid reports by trial whether some bytes behind s make it valid: an oracle that knows
// only utf8.Valid.
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

// FuzzUTF8 cuts arbitrary bytes into pieces, whose lengths are those in cuts over and over, and
// holds the validator to the standard library: what is valid in the end, and which byte is the
// first that nothing behind it can mend.
func FuzzUTF8(f *testing.F) {
	for _, s := range append([]string{"", "ascii", "κόσμε", "€𐍈\u07FF\u0800\uD7FF\uE000\U00010000\U0010FFFF", "\xe2\x82", "\xf0\x9f\x98", "\uFEFF\uFFFE\x00"}, invalidTexts...) {
		f.Add([]byte(s), []byte{})
		f.Add([]byte(s), []byte{1})
		f.Add([]byte("behind sixteen b"+s+"before some more"), []byte{0, 17, 1, 2})
	}
	f.Fuzz(func(t *testing.T, input, cuts []byte) {
		hopeless := firstHopeless(input)
		var u utf8Validator
		for at, i := 0, 0; at < len(input); i++ {
			n := len(input) - at
			if len(cuts) > 0 {
				n = min(n, int(cuts[i%len(cuts)])+i/len(cuts)) // Longer in each turn, or pieces of nothing would never end.
			}
			isValid, want := u.valid(input[at:at+n]), hopeless < 0 || hopeless >= at+n
			if isValid != want {
				t.Fatalf("%q at %d: %t; %q is hopeless from %d on", input[at:at+n], at, isValid, input, hopeless)
			}
			if !isValid {
				return
			}
			at += n
		}
		if u.complete() != utf8.Valid(input) {
			t.Errorf("%q is complete: %t", input, u.complete())
		}
	})
}

// firstHopeless is the index of the first byte that nothing behind it can make valid, or -1, as the
// standard library has it.
func firstHopeless(p []byte) int {
	for at := 0; at < len(p); {
		r, size := utf8.DecodeRune(p[at:])
		if r != utf8.RuneError || size != 1 {
			at += size
			continue
		}
		for n := 1; at+n <= len(p); n++ {
			if utf8.FullRune(p[at : at+n]) { // It counts what cannot become a rune as a whole one, one that is cut off not.
				return at + n - 1
			}
		}
		return -1
	}
	return -1
}
