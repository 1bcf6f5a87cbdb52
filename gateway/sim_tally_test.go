//go:build linux

package gateway

import "fmt"

// A subscriberTally counts what subscribers have met.
type subscriberTally struct {
	seeds, connections int
	pushes             int
	recovered, lost    int // subscriptions that went on where they asked, and that could not
	gaps, closed       int // subscriptions ended for what they had missed, and connections
	together           int
	errors, histories  int
	whos, counts       int                // answers about who is in a room, and how many are
	expired, refreshed int                // connections ended because their tokens were over, and tokens brought in time
	all                []*simSubscription // that have heard something, where messages may be missed
}

func (t *subscriberTally) String() string {
	return fmt.Sprintf("%d seeds, %d connections, %d pushes, %d recovered, %d not, %d gaps, %d closed for gaps, %d errors, %d histories, %d writes of several rooms, %d told who is there, %d how many, %d tokens over, %d refreshed",
		t.seeds, t.connections, t.pushes, t.recovered, t.lost, t.gaps, t.closed, t.errors, t.histories, t.together, t.whos, t.counts, t.expired, t.refreshed)
}

// add adds what a seed has said.
func (t *subscriberTally) add(w *world) {
	if w.Plan.Subscribers.Number == 0 {
		return
	}
	s, sum := &w.subscribers, w.server.final()
	t.seeds++
	t.connections += int(sum.Subscribers)
	t.pushes += s.pushes
	t.recovered += s.recovered
	t.lost += s.lost
	t.gaps += s.gaps
	t.closed += int(sum.Closed[ClosedGap])
	t.errors += s.errors
	t.together += s.together
	t.histories += s.histories
	t.whos += s.whos
	t.counts += s.counts
	t.expired += int(sum.Closed[ClosedExpired])
	for _, one := range w.World.Subscribers {
		t.refreshed += one.Refreshed
	}
}

// isWhole says that what subscribers do was there, and of many seeds that the rarest of it was,
// too.
func (t *subscriberTally) isWhole(areMany bool) bool {
	isThere := min(t.pushes, t.recovered, t.lost, t.together, t.errors, t.histories) > 0
	return isThere && (!areMany || min(t.gaps, t.closed) > 0)
}
