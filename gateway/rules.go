package gateway

import (
	"fmt"
	"path"
	"strings"
	"time"

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

// rule is the first one that speaks of the room, nil when none does.
func (c *config) rule(room string) *RoomRule {
	for i := range c.Rooms {
		if ok, _ := path.Match(c.Rooms[i].Pattern, room); ok { // prepare has held the pattern to its syntax.
			return &c.Rooms[i]
		}
	}
	return nil
}

// policyOf is the slow policy of the room.
func (c *config) policyOf(room string) hub.Policy {
	if r := c.rule(room); r != nil && r.HasPolicy {
		return r.Policy
	}
	return c.SlowPolicy
}

// stallMax is the longest that any client may take nothing.
func (c *config) stallMax() time.Duration {
	longest := c.StallTimeout
	if c.SlowPolicy != hub.Disconnect {
		longest = max(longest, c.SkipTimeout)
	}
	for _, r := range c.Rooms {
		if r.HasPolicy && r.Policy != hub.Disconnect {
			longest = max(longest, c.SkipTimeout)
		}
	}
	return longest
}

// deflates reports whether clients of the room are offered compression.
func (c *config) deflates(room string) bool {
	if c.NoCompression {
		return false
	}
	r := c.rule(room)
	return r == nil || !r.Plain
}
