package reactor

import (
	"math"
	"testing"
	"time"
)

func TestEventTellsEachReadinessByItself(t *testing.T) {
	for i, is := range []func(Event) bool{Event.Readable, Event.Writable, Event.Hangup, Event.Error, Event.Timeout, Event.Again} {
		for bit := range 6 {
			if got := is(Event{ready: 1 << bit}); got != (bit == i) {
				t.Errorf("predicate %d of bit %d is %v", i, bit, got)
			}
		}
	}
}

func TestEventStringNamesTokenAndReadiness(t *testing.T) {
	for want, ev := range map[string]Event{
		"3.7":                           {Token: makeToken(3, 7)},
		"3.7 readable hangup":           {Token: makeToken(3, 7), ready: readyRead | readyHangup},
		"0.1 writable error timeout":    {Token: makeToken(0, 1), ready: readyWrite | readyError | readyTimeout},
		"0.2 readable again":            {Token: makeToken(0, 2), ready: readyRead | readyAgain},
		"4294967294.4294967295 timeout": {Token: makeToken(math.MaxUint32-1, math.MaxUint32), ready: readyTimeout},
	} {
		if got := ev.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestMillisecondsRoundUpAndClamp(t *testing.T) {
	const longest = math.MaxInt32 * time.Millisecond
	for _, c := range []struct {
		timeout time.Duration
		want    int
	}{
		{math.MinInt64, -1},
		{-time.Hour, -1},
		{-1, -1},
		{0, 0},
		{1, 1},
		{time.Millisecond - 1, 1},
		{time.Millisecond, 1},
		{time.Millisecond + 1, 2},
		{longest - 1, math.MaxInt32},
		{longest, math.MaxInt32},
		{longest + 1, math.MaxInt32},
		{math.MaxInt64, math.MaxInt32},
	} {
		if got := milliseconds(c.timeout); got != c.want {
			t.Errorf("%v is %d ms, want %d", c.timeout, got, c.want)
		}
	}
}
