package gateway

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"sluice/hub"
)

// A RoomRule says what is different in some rooms, written PATTERN=WORD,WORD: the name of a slow
// policy; "plain" for no compression or "deflate" for some; "presence" if clients may ask who is
// there, "joins" if they are told of who comes and goes as well, "nopresence"; "readonly".
//
// A room goes by all rules that match its name. Restrictions add up: one "readonly" is enough. Of
// anything else the most specific rule that speaks of it counts: that with the longest pattern
// before its first wildcard, of equals the first.
type RoomRule struct {
	Pattern   string // as path.Match has them; room names have no slash, so * stands for anything
	HasPolicy bool
	Policy    hub.Policy // if HasPolicy
	Plain     bool       // no compression
	Deflate   bool       // compression, where a wider rule says plain
	ReadOnly  bool       // nobody publishes but who has an API key

	Presence   bool // who is there is kept, for those who may know
	Joins      bool // … and they are told of who comes and goes
	NoPresence bool // neither, where a wider rule says something else
}

// UnmarshalText parses a rule.
func (r *RoomRule) UnmarshalText(text []byte) error {
	pattern, words, ok := strings.Cut(strings.TrimSpace(string(text)), "=")
	if !ok {
		return fmt.Errorf("%q is not a rule: write PATTERN=WORD,WORD, as in ticker.*=latest,readonly", text)
	}
	if fault := patternFault(pattern); fault != "" {
		return fmt.Errorf("rule %q can count for no room: %s", text, fault)
	}
	*r = RoomRule{Pattern: pattern}
	for word := range strings.SplitSeq(words, ",") {
		switch word {
		case "plain":
			r.Plain = true
			continue
		case "deflate":
			r.Deflate = true
			continue
		case "readonly":
			r.ReadOnly = true
			continue
		case "presence":
			r.Presence = true
			continue
		case "joins":
			r.Joins = true
			continue
		case "nopresence":
			r.NoPresence = true
			continue
		}
		if r.HasPolicy {
			return fmt.Errorf("rule %q: a room has one slow policy, so %s cannot come behind %v", text, word, r.Policy)
		}
		if err := r.Policy.UnmarshalText([]byte(word)); err != nil {
			return fmt.Errorf("rule %q: %w; or plain, deflate, presence, joins, nopresence or readonly", text, err)
		}
		r.HasPolicy = true
	}
	if fault := r.contradiction(); fault != "" {
		return fmt.Errorf("rule %q: %s", text, fault)
	}
	return nil
}

// contradiction says how a rule speaks against itself; empty if it does not.
func (r *RoomRule) contradiction() string {
	if r.Plain && r.Deflate {
		return "plain is no compression, so deflate cannot stand beside it"
	}
	if r.NoPresence && (r.Presence || r.Joins) {
		return "nopresence is neither presence nor joins, so none of them can stand beside it"
	}
	return ""
}

// String is what UnmarshalText reads.
func (r RoomRule) String() string {
	var words []string
	if r.HasPolicy {
		words = append(words, r.Policy.String())
	}
	for _, one := range []struct {
		isSo bool
		word string
	}{
		{r.Plain, "plain"},
		{r.Deflate, "deflate"},
		{r.ReadOnly, "readonly"},
		{r.Presence, "presence"},
		{r.Joins, "joins"},
		{r.NoPresence, "nopresence"},
	} {
		if one.isSo {
			words = append(words, one.word)
		}
	}
	return r.Pattern + "=" + strings.Join(words, ",")
}

// patternFault says why a pattern matches no room's name; empty if it may match one.
func patternFault(pattern string) string {
	if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
		return fmt.Sprintf("%q is no pattern", pattern)
	}
	if pattern == "." || pattern == ".." {
		return "no room goes by that name"
	}
	least := 0
	for rest := pattern; rest != ""; {
		unit := rest[:unitLen(rest)]
		rest = rest[len(unit):]
		if unit == "*" {
			continue
		}
		if least++; !matchesRoomByte(unit) {
			return fmt.Sprintf("%s stands for nothing that a room's name may have: A-Z a-z 0-9 _ . : ~ -", unit)
		}
	}
	if least > roomNameMax {
		return fmt.Sprintf("no room's name is longer than %d", roomNameMax)
	}
	return ""
}

// unitLen is how long what a valid pattern begins with is: a class in brackets, an escaped
// character, or one character.
func unitLen(pattern string) int {
	switch pattern[0] {
	case '\\':
		_, n := utf8.DecodeRuneInString(pattern[1:])
		return 1 + n
	case '[':
		n := 1
		for pattern[n] != ']' { // There is one, and one that is meant otherwise is escaped.
			if pattern[n] == '\\' {
				n++
			}
			_, size := utf8.DecodeRuneInString(pattern[n:])
			n += size
		}
		return n + 1
	}
	_, n := utf8.DecodeRuneInString(pattern)
	return n
}

func matchesRoomByte(unit string) bool {
	for b := range byte(utf8.RuneSelf) {
		if ok, _ := path.Match(unit, string(rune(b))); ok && isRoomByte(b) {
			return true
		}
	}
	return false
}

// shadow reports whether something that the i-th rule says was said of the same pattern before, so
// that it never counts.
func shadow(rules []RoomRule, i int) bool {
	r := &rules[i]
	for _, before := range rules[:i] {
		saysAgain := before.HasPolicy && r.HasPolicy || before.speaksOfDeflating() && r.speaksOfDeflating() ||
			before.ReadOnly && r.ReadOnly || before.speaksOfPresence() && r.speaksOfPresence()
		if before.Pattern == r.Pattern && saysAgain {
			return true
		}
	}
	return false
}

func (r *RoomRule) speaksOfDeflating() bool { return r.Plain || r.Deflate }

func (r *RoomRule) speaksOfPresence() bool { return r.Presence || r.Joins || r.NoPresence }

// literalLen is how much of a valid pattern stands before its first wildcard, in characters.
func literalLen(pattern string) (n int) {
	for pattern != "" && pattern[0] != '*' && pattern[0] != '?' && pattern[0] != '[' {
		pattern = pattern[unitLen(pattern):]
		n++
	}
	return n
}
