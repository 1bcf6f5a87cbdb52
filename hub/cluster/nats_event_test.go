package cluster

import "testing"

// A connection that comes and goes before anybody looks is gone, and one that goes and comes is
// there. What else has happened is told too.
func TestOfUpAndDownTheLaterOneCounts(t *testing.T) {
	for _, test := range []struct {
		raised []Event
		want   Event
	}{
		{[]Event{Up, Down}, Down},
		{[]Event{Down, Up}, Up},
		{[]Event{Leader, Up, Slow, Down}, Leader | Slow | Down},
		{[]Event{Down, Closed, Leader}, Down | Closed | Leader},
	} {
		n := new(NATS)
		n.happened.init()
		for _, e := range test.raised {
			n.happened.raise(e)
		}
		if got := n.happened.take(); got != test.want || len(n.Changed()) != 1 {
			t.Errorf("%v: %b, want %b", test.raised, got, test.want)
		}
		if got := n.happened.take(); got != 0 {
			t.Errorf("%v: %b is told twice", test.raised, got)
		}
	}
}
