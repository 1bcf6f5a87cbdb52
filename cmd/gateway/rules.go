package main

import (
	"fmt"
	"path"
	"strings"
	"time"

	"sluice/hub"
)

// A roomRule says what is different in some rooms, written PATTERN=WORD,WORD: the name of a slow policy, and "plain" for no
// compression.
type roomRule struct {
	pattern   string // as path.Match has them; room names have no slash, so * stands for anything
	policy    hub.Policy
	hasPolicy bool
	isPlain   bool
}

// UnmarshalText parses a rule.
func (r *roomRule) UnmarshalText(text []byte) error {
	pattern, words, ok := strings.Cut(strings.TrimSpace(string(text)), "=")
	if _, err := path.Match(pattern, ""); !ok || pattern == "" || err != nil {
		return fmt.Errorf("%q is not a rule: write PATTERN=WORD,WORD, as in ticker.*=latest,plain", text)
	}
	*r = roomRule{pattern: pattern}
	for word := range strings.SplitSeq(words, ",") {
		if word == "plain" {
			r.isPlain = true
			continue
		}
		if err := r.policy.UnmarshalText([]byte(word)); err != nil {
			return fmt.Errorf("rule %q: %w; or plain", text, err)
		}
		r.hasPolicy = true
	}
	return nil
}

// rule is the first one that speaks of the room, nil when none does.
func (c *Config) rule(room string) *roomRule {
	for i := range c.Room {
		if ok, _ := path.Match(c.Room[i].pattern, room); ok { // UnmarshalText has held the pattern to its syntax.
			return &c.Room[i]
		}
	}
	return nil
}

// policyOf is the slow policy of the room.
func (c *Config) policyOf(room string) hub.Policy {
	if r := c.rule(room); r != nil && r.hasPolicy {
		return r.policy
	}
	return c.SlowPolicy
}

// stallMax is the longest that any client may take nothing.
func (c *Config) stallMax() time.Duration {
	longest := c.StallTimeout
	if c.SlowPolicy != hub.Disconnect {
		longest = max(longest, c.SkipTimeout)
	}
	for _, r := range c.Room {
		if r.hasPolicy && r.policy != hub.Disconnect {
			longest = max(longest, c.SkipTimeout)
		}
	}
	return longest
}

// deflates reports whether clients of the room are offered compression.
func (c *Config) deflates(room string) bool {
	if !c.Compress {
		return false
	}
	r := c.rule(room)
	return r == nil || !r.isPlain
}
