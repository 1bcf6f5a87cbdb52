package natsbroker

import (
	"testing"

	"sluice/hub/cluster"
)

// A connection that comes and goes before anybody looks is gone, and one that goes and comes is
// there. What else has happened is told too.
func TestOfUpAndDownTheLaterOneCounts(t *testing.T) {
	for _, test := range []struct {
		raised []cluster.Event
		want   cluster.Event
	}{
		{[]cluster.Event{cluster.Up, cluster.Down}, cluster.Down},
		{[]cluster.Event{cluster.Down, cluster.Up}, cluster.Up},
		{[]cluster.Event{cluster.Leader, cluster.Up, cluster.Slow, cluster.Down}, cluster.Leader | cluster.Slow | cluster.Down},
		{[]cluster.Event{cluster.Down, cluster.Closed, cluster.Leader}, cluster.Down | cluster.Closed | cluster.Leader},
	} {
		n := new(Broker)
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
