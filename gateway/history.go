package gateway

import (
	"cmp"
	"slices"
	"time"
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
			r.Bytes, r.Age = cmp.Or(r.Bytes, historyBytes), cmp.Or(r.Age, historyAge)
		}
	}
	return rules
}
