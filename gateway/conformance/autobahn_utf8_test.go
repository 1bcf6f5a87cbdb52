package conformance

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"sluice/internal/gatewaytest"
	"sluice/internal/wstest"
)

// The suite's texts: Greek with an accented letter that has an encoding of three octets; and the
// same, then something that is not UTF-8, then something that is.
const (
	kosme      = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"
	surrogate  = kosme + "\xed\xa0\x80" + "edited"     // U+D800
	outOfRange = kosme + "\xf4\x90\x80\x80" + "edited" // U+110000, wrong from octet 12 on, counted from 0
)

// octets cuts a text into parts of one octet, wherever its code points end.
func octets(s string) (parts []string) {
	for i := range len(s) {
		parts = append(parts, s[i:i+1])
	}
	return parts
}

func TestAutobahn_6(t *testing.T) {
	t.Parallel()
	const greeting = "Hello-µ@ßöäüàá-UTF-8!!"
	groups := []autobahnGroup{{"6.1", 3}, {"6.2", 4}, {"6.3", 2}, {"6.4", 4}}
	cases := []autobahnCase{
		{"6.1.1", clean(inOne(wstest.MaskedText("")), echoText(""))},
		{"6.1.2", clean(inOne(wstest.Fragments(ws.OpText, "", "", "")...), echoText(""))},
		{"6.1.3", clean(inOne(wstest.Fragments(ws.OpText, "", "middle frame payload", "")...), echoText("middle frame payload"))},
		// Valid, however it is cut.
		{"6.2.1", clean(inOne(wstest.MaskedText(greeting)), echoText(greeting))},
		{"6.2.2", clean(inOne(wstest.Fragments(ws.OpText, "Hello-µ@ßöä", "üàá-UTF-8!!")...), echoText(greeting))},
		{"6.2.3", clean(inOne(wstest.Fragments(ws.OpText, octets(greeting)...)...), echoText(greeting))},
		{"6.2.4", clean(inOne(wstest.Fragments(ws.OpText, octets(kosme)...)...), echoText(kosme))},
		// Invalid, however it is cut: failed with 1007.
		{"6.3.1", closes(1007, inOne(wstest.MaskedText(surrogate)))},
		{"6.3.2", closes(1007, inOne(wstest.Fragments(ws.OpText, octets(surrogate)...)...))},
		// Failed as soon as it cannot become valid any more, without the rest of the message
		// (6.4.1, 6.4.2) or frame (6.4.3, 6.4.4). Who fails it when the message is whole is
		// "non-strict".
		{"6.4.1", failsFast(wstest.Fragments(ws.OpText, kosme, outOfRange[11:15], outOfRange[15:])[:2]...)},
		{"6.4.2", failsFast(wstest.Fragments(ws.OpText, outOfRange[:12], outOfRange[12:13], outOfRange[13:])[:2]...)},
		{"6.4.3", failsFast(frameCutAfter(outOfRange, 11, 15)...)},
		{"6.4.4", failsFast(frameCutAfter(outOfRange, 12, 13)...)},
	}
	for i, g := range utf8Groups() {
		prefix := fmt.Sprintf("6.%d", i+5)
		groups = append(groups, autobahnGroup{prefix, g.cases})
		if len(g.valid)+len(g.invalid) != g.cases {
			t.Errorf("%s, %s: %d sequences, the suite has %d", prefix, g.name, len(g.valid)+len(g.invalid), g.cases)
		}
		for j, s := range g.inOrder() {
			play := clean(inOne(wstest.MaskedText(s)), echoText(s))
			if slices.Contains(g.invalid, s) {
				play = closes(1007, inOne(wstest.MaskedText(s)))
			}
			cases = append(cases, autobahnCase{fmt.Sprintf("%s.%d", prefix, j+1), play})
		}
	}
	playAutobahn(t, gatewaytest.Options(), groups, cases)
}

// failsFast sends a valid beginning, which must be waited with, and then what makes it invalid and
// no more.
func failsFast(beginning ...[]byte) func(*wstest.Client) {
	valid, wrong := beginning[0], beginning[1]
	return func(c *wstest.Client) {
		c.Send(valid)
		expectSilence(c, 200*time.Millisecond)
		c.Send(wrong)
		c.ExpectClose(1007)
	}
}

// frameCutAfter returns the frame of a text up to its first m octets, and from there to its first
// n.
func frameCutAfter(text string, m, n int) [][]byte {
	frame := wstest.MaskedText(text)
	header := len(frame) - len(text)
	return [][]byte{frame[:header+m], frame[header+m : header+n]}
}

// A utf8Group is one of the groups of 6.5 to 6.23, after Markus Kuhn's "UTF-8 decoder capability
// and stress test": a whole message for each of its sequences, which is echoed if valid and fails
// with 1007 if not.
type utf8Group struct {
	name    string
	cases   int
	valid   []string
	invalid []string
	order   []string // if valid and invalid ones take turns
}

// inOrder lists the sequences as the suite numbers them.
func (g utf8Group) inOrder() []string {
	if g.order != nil {
		return g.order
	}
	return slices.Concat(g.valid, g.invalid)
}

func utf8Groups() []utf8Group {
	cutOff := []string{
		"\xc0", "\xe0\x80", "\xf0\x80\x80", "\xf8\x80\x80\x80", "\xfc\x80\x80\x80\x80",
		"\xdf", "\xef\xbf", "\xf7\xbf\xbf", "\xfb\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf",
	}
	return []utf8Group{
		{name: "some valid sequences", cases: 5, valid: []string{
			"hello$world", "hello¢world", "hello€world", "hello\U00024b62world", kosme,
		}},
		prefixes(kosme),
		{name: "first of each length", cases: 4, valid: []string{"\x00", "\xc2\x80", "\xe0\xa0\x80", "\xf0\x90\x80\x80"}},
		{name: "first of length 5 and 6", cases: 2, invalid: []string{"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80"}},
		{name: "last of each length", cases: 4, valid: []string{"\x7f", "\xdf\xbf", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf"}},
		{name: "last of length 4, 5 and 6", cases: 3, invalid: []string{
			"\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf",
		}},
		{
			name: "around the surrogates and the end of Unicode", cases: 5,
			valid:   []string{"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbd", "\xf4\x8f\xbf\xbf"},
			invalid: []string{"\xf4\x90\x80\x80"},
		},
		{name: "unexpected continuation octets", cases: 8, invalid: []string{
			"\x80", "\xbf", "\x80\xbf", "\x80\xbf\x80", "\x80\xbf\x80\xbf", "\x80\xbf\x80\xbf\x80", "\x80\xbf\x80\xbf\x80\xbf",
			octetRange(0x80, 0xbe, ""),
		}},
		{name: "lonely first octets", cases: 5, invalid: []string{
			octetRange(0xc0, 0xde, " "), octetRange(0xe0, 0xee, " "), octetRange(0xf0, 0xf6, " "), octetRange(0xf8, 0xfa, " "), octetRange(0xfc, 0xfc, " "),
		}},
		{name: "last octet missing", cases: 10, invalid: cutOff},
		{name: "incomplete sequences in a row", cases: 1, invalid: []string{strings.Join(cutOff, "")}},
		{name: "impossible octets", cases: 3, invalid: []string{"\xfe", "\xff", "\xfe\xfe\xff\xff"}},
		{name: "overlong slash", cases: 5, invalid: []string{
			"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf",
		}},
		{name: "largest overlong ones", cases: 5, invalid: []string{
			"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf",
		}},
		{name: "overlong NUL", cases: 5, invalid: []string{
			"\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80",
		}},
		{name: "single surrogates", cases: 7, invalid: []string{
			"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf",
		}},
		{name: "paired surrogates", cases: 8, invalid: pairs(
			[]string{"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf"}, []string{"\xed\xb0\x80", "\xed\xbf\xbf"},
		)},
		{name: "code points that are no characters", cases: 34, valid: nonCharacters()},
		{name: "specials", cases: 7, valid: []string{
			"\ufff9", "\ufffa", "\ufffb", "\ufffc", "\ufffd", "\ufffe", "\uffff",
		}},
	}
}

// prefixes are all beginnings of a text, valid where a code point ends.
func prefixes(s string) utf8Group {
	g := utf8Group{name: "beginnings of a valid text", cases: len(s)}
	for i := 1; i <= len(s); i++ {
		g.order = append(g.order, s[:i])
		if i == len(s) || utf8.RuneStart(s[i]) {
			g.valid = append(g.valid, s[:i])
		} else {
			g.invalid = append(g.invalid, s[:i])
		}
	}
	return g
}

// octetRange is the octets from first to last, each with something behind it. The suite leaves out
// the very last of each range.
func octetRange(first, last int, behind string) string {
	var all []byte
	for b := first; b <= last; b++ {
		all = append(append(all, byte(b)), behind...)
	}
	return string(all)
}

func pairs(first, second []string) (all []string) {
	for _, a := range first {
		for _, b := range second {
			all = append(all, a+b)
		}
	}
	return all
}

// nonCharacters are the last two code points of every plane, in the order of their encodings.
func nonCharacters() (all []string) {
	for plane := rune(0); plane <= 0x10; plane++ {
		all = append(all, string(plane<<16|0xfffe), string(plane<<16|0xffff))
	}
	return all
}

// What the suite calls valid is what the standard library does, and what it calls invalid fails at
// the very octet after which nothing could mend it, although the frame goes on.
func TestAutobahn_6_FirstWrongOctet(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	for i, g := range utf8Groups() {
		for _, s := range g.valid {
			if !utf8.ValidString(s) {
				t.Errorf("6.%d: %q is not valid", i+5, s)
			}
		}
		for _, s := range g.invalid {
			if utf8.ValidString(s) {
				t.Errorf("6.%d: %q is valid", i+5, s)
			}
			at, ok := firstWrong(s)
			if !ok {
				continue // Only cut short: more octets could have made it valid.
			}
			c := wstest.Join(t, addr, "/ws")
			frame := wstest.MaskedText(s + strings.Repeat(" ", 100))
			c.Send(frame[:len(frame)-100-len(s)+at+1])
			c.ExpectClose(1007)
		}
	}
}

// firstWrong finds the octet after which s is no beginning of a valid text.
func firstWrong(s string) (at int, ok bool) {
	for start := 0; start < len(s); {
		end := start + 1
		for end < len(s) && !utf8.FullRuneInString(s[start:end]) {
			end++
		}
		r, size := utf8.DecodeRuneInString(s[start:end])
		if r == utf8.RuneError && size == 1 {
			return end - 1, utf8.FullRuneInString(s[start:end])
		}
		start += size
	}
	return 0, false
}
