//go:build linux

package gateway

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
)

var (
	simSeeds = flag.Int("sim.seeds", 0, "how many seeds TestSimulation runs; 0: 100, with SLUICE_CI=1 2,000")
	simFrom  = flag.Uint64("sim.from", 1, "the first of them")
	simSeed  = flag.Uint64("sim.seed", 0, "the one seed to run, with the trace of its last calls if -v is given")
)

const (
	simSeedsDefault = 100
	simSeedsWhole   = 2000
)

// TestSimulation runs whole gateways on a simulated kernel; package reactortest tells what that
// promises.
func TestSimulation(t *testing.T) {
	if *simSeed != 0 {
		w, err := simulate(*simSeed)
		t.Logf("seed %d: %+v", *simSeed, w.Plan)
		if w.Story == "" {
			w.Story = w.Kernel.Trace()
		}
		t.Logf("the last calls:\n%s", w.Story)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	n := *simSeeds
	if n == 0 {
		if n = simSeedsDefault; testenv.IsWholeSize(t) {
			n = simSeedsWhole
		}
	}
	begin := time.Now()
	var total Stats
	quiet, inflated, missed, crowded, attended, homely := 0, 0, uint64(0), 0, 0, 0
	var kept keptTally
	var subscribers subscriberTally
	for i := range n {
		seed := *simFrom + uint64(i)
		w, err := simulate(seed)
		if err != nil {
			t.Fatalf("seed %d (%d of %d): %v\n%s\nreplay: go test ./gateway -run 'TestSimulation$' -v -sim.seed %d",
				seed, i+1, n, err, lastLines(w), seed)
		}
		sum := w.server.final()
		total.add(&sum)
		if sum.Closed[ClosedAssembly] > 0 {
			crowded++
		}
		quiet += w.quiet
		attended += w.attended
		kept.add(w)
		subscribers.add(w)
		inflated += w.Inflated
		homely += w.homely
		for _, l := range w.loops {
			missed += l.w.fan.Stats().Skipped
		}
	}
	t.Logf("%d seeds in %v: %d connections, %d messages, %d deliveries, %d refused writes, %d pauses, %d throttled, %d stale events, %d missed by policy, %d inflated, %d quiet looks; %d seeds had more unfinished input than a loop's share",
		n, time.Since(begin).Round(time.Millisecond), total.Accepted, total.Messages, total.Deliveries, total.Refused, total.Paused, total.Throttled,
		total.Loop.StaleEvents, missed, inflated, quiet, crowded)
	t.Logf("%+v", kept)
	t.Logf("subscribers: %v", &subscribers)
	if n >= simSeedsDefault && !subscribers.isWhole(n >= simSeedsWhole) {
		t.Error("no seed says anything about something that subscribers do")
	}
	t.Logf("%d connections moved to their rooms' homes; %d looks at rooms that are each on one loop", total.Moved, homely)
	if n >= simSeedsDefault && (total.Moved == 0 || homely == 0) {
		t.Error("no seed says anything about connections that move to another loop")
	}
	t.Logf("%d writes by rings in %d calls", total.RingWrites, total.RingCalls)
	if n >= simSeedsDefault && total.RingWrites < 2*total.RingCalls {
		t.Error("no seed says anything about batches that rings send")
	}
	if n >= simSeedsDefault && !kept.isWhole(n >= simSeedsWhole) {
		t.Error("no seed says anything about something that histories are for")
	}
	if n >= simSeedsDefault && attended == 0 {
		t.Error("no seed says anything about who is in a room")
	}
	if n >= simSeedsDefault && crowded == 0 {
		t.Error("no seed says anything about the bound of unfinished input")
	}
	for r, count := range total.Closed {
		t.Logf("closed as %v: %d", CloseReason(r), count)
	}
}

// lastLines is the end of the trace that led to a failure.
func lastLines(w *world) string {
	const most = 60
	if w == nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(w.Story), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}

func TestSameSeedIsTheSameRun(t *testing.T) {
	if !proctest.Alone(t) {
		return
	}
	last := uint64(40)
	if testenv.IsWholeSize(t) {
		last = 400
	}
	seeds, cut := 0, uint64(0)
	for seed := uint64(1); seed <= last; seed++ {
		first := mustRun(t, seed)
		stats := first.server.final()
		givenUp := stats.Closed[ClosedPinned] + stats.Closed[ClosedAssembly]
		if seed > 10 && givenUp < 2 { // The order in which several are given up must not be a map's.
			continue
		}
		cut += givenUp
		seeds++
		if one, two := digest(first), digest(mustRun(t, seed)); one != two {
			t.Errorf("seed %d: %s, then %s", seed, one, two)
		}
	}
	t.Logf("%d of %d seeds twice; %d connections were given up for memory", seeds, last, cut)
	if cut == 0 {
		t.Error("none of them says anything about the order in which connections are given up")
	}
}

func mustRun(t *testing.T, seed uint64) *world {
	w, err := simulate(seed)
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	return w
}

func digest(w *world) string {
	return fmt.Sprintf("%x after %d steps at %v", w.Kernel.Digest(), w.Steps, w.Kernel.Now())
}
