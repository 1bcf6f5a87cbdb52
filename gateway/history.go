package gateway

import (
	"fmt"
	"path"
	"slices"
	"time"

	"sluice/hub"
)

// A HistoryRule says what some rooms keep for those who come later. Of the rules whose pattern
// matches a room's name the most specific one counts alone: that with the longest pattern before
// its first wildcard, of equals the first. A room that none matches keeps nothing.
//
// A room keeps the newest messages that are within all bounds. As many as there are bytes for may
// go at a time, and what nobody asks for may stay a moment longer than its age.
type HistoryRule struct {
	Pattern  string        // as RoomRule has it
	None     bool          // nothing is kept, where a wider rule says something else
	Messages int           // how many: any number that there are bytes for
	Bytes    int64         // how much, with some 40 bytes for each message beside its own: 1 MiB
	Age      time.Duration // for how long, which is also for how long the room outlives its last client: 10 min
}

// What a HistoryRule keeps that does not say it.
const (
	historyBytes = 1 << 20
	historyAge   = 10 * time.Minute
)

// fillHistory returns rules with their defaults. Those given stay as they are.
func fillHistory(given []HistoryRule) []HistoryRule {
	rules := slices.Clone(given)
	for i := range rules {
		if r := &rules[i]; !r.None {
			setDefault(&r.Bytes, historyBytes)
			setDefault(&r.Age, historyAge)
		}
	}
	return rules
}

// fault says what is wrong with a rule that has its defaults; empty if it can be kept to.
func (r *HistoryRule) fault() string {
	if fault := patternFault(r.Pattern); fault != "" {
		return "can count for no room: " + fault
	}
	switch {
	case r.None && (r.Messages != 0 || r.Bytes != 0 || r.Age != 0):
		return "none is nothing kept, so no bound can stand beside it"
	case r.None:
	case r.Messages < 0:
		return fmt.Sprintf("messages: %d is less than 1", r.Messages)
	case r.Bytes < historyBytesMin:
		return fmt.Sprintf("bytes: %d is less than %d", r.Bytes, historyBytesMin)
	case r.Age < time.Second || r.Age > timeoutMax:
		return fmt.Sprintf("age: %v is not %v to %v", r.Age, time.Second, timeoutMax)
	}
	return ""
}

// historyBytesMin is where there is room for a message or two.
const historyBytesMin = 1 << 10

// checkHistory refuses rules that cannot be kept to.
func (c *config) checkHistory(f *optionFaults) {
	most := int64(1)
	for i := range c.History {
		r := &c.History[i]
		if fault := r.fault(); fault != "" {
			f.refuse("History", "rule %q: %s", r.Pattern, fault)
		}
		for j := range c.History[:i] {
			if c.History[j].Pattern == r.Pattern {
				f.refuse("History", "rule %q never counts: another one before it is for the same pattern", r.Pattern)
			}
		}
		most = max(most, r.Bytes)
	}
	switch {
	case c.HistoryMemory < most:
		f.refuse("HistoryMemory", "%d is less than what a rule of History lets one room keep, %d", c.HistoryMemory, most)
	case c.keepsHistory() && c.HistoryMemory < c.RoomBacklog:
		f.refuse("HistoryMemory", "%d is less than RoomBacklog, %d, which is a part of it", c.HistoryMemory, c.RoomBacklog)
	}
}

// historyRule is the rule that counts for the room, nil if none does.
func (c *config) historyRule(room string) (rule *HistoryRule) {
	for i := range c.History {
		r := &c.History[i]
		ok, _ := path.Match(r.Pattern, room) // checkHistory has held the pattern to its syntax.
		if ok && (rule == nil || literalLen(r.Pattern) > literalLen(rule.Pattern)) {
			rule = r
		}
	}
	return rule
}

// keepsHistory reports whether any room does.
func (c *config) keepsHistory() bool { return len(c.History) > 0 }

// historyOf is what the room keeps, as the hub knows it.
func (c *config) historyOf(room string) hub.History {
	r := c.historyRule(room)
	if r == nil || r.None {
		return hub.History{}
	}
	return hub.History{Messages: r.Messages, Bytes: r.Bytes, Age: r.Age}
}
