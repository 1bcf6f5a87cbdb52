package gateway

import (
	"fmt"
	"path"
	"strings"

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
	if _, err := path.Match(pattern, ""); !ok || pattern == "" || err != nil {
		return fmt.Errorf("%q is not a rule: write PATTERN=WORD,WORD, as in ticker.*=latest,plain", text)
	}
	*r = RoomRule{Pattern: pattern}
	for word := range strings.SplitSeq(words, ",") {
		if word == "plain" {
			r.Plain = true
			continue
		}
		if err := r.Policy.UnmarshalText([]byte(word)); err != nil {
			return fmt.Errorf("rule %q: %w; or plain", text, err)
		}
		r.HasPolicy = true
	}
	return nil
}
