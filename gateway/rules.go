package gateway

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"sluice/hub"
)

// A RoomRule says what is different in some rooms, written PATTERN=WORD,WORD: the name of a slow
// policy, and "plain" for no compression.
type RoomRule struct {
	Pattern   string // as path.Match has them; room names have no slash, so * stands for anything
	HasPolicy bool
	Policy    hub.Policy // if HasPolicy
	Plain     bool       // no compression
}

// UnmarshalText parses a rule.
func (r *RoomRule) UnmarshalText(text []byte) error {
	pattern, words, ok := strings.Cut(strings.TrimSpace(string(text)), "=")
	if !ok {
		return fmt.Errorf("%q is not a rule: write PATTERN=WORD,WORD, as in ticker.*=latest,plain", text)
	}
	if fault := patternFault(pattern); fault != "" {
		return fmt.Errorf("rule %q can count for no room: %s", text, fault)
	}
	*r = RoomRule{Pattern: pattern}
	for word := range strings.SplitSeq(words, ",") {
		if word == "plain" {
			r.Plain = true
			continue
		}
		if r.HasPolicy {
			return fmt.Errorf("rule %q: a room has one slow policy, so %s cannot come behind %v", text, word, r.Policy)
		}
		if err := r.Policy.UnmarshalText([]byte(word)); err != nil {
			return fmt.Errorf("rule %q: %w; or plain", text, err)
		}
		r.HasPolicy = true
	}
	return nil
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

// shadow returns a rule before the i-th that counts for all rooms of it, so that it never does.
func shadow(rules []RoomRule, i int) (before string, isShadowed bool) {
	for _, r := range rules[:i] {
		if r.Pattern == "*" || r.Pattern == rules[i].Pattern {
			return r.Pattern, true
		}
	}
	return "", false
}
