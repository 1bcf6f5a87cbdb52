//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package reactor

import (
	"testing"
	"time"

	"sluice/reactor/reactortest"
)

func TestTicksAreTimedFromWaitToWait(t *testing.T) {
	kernel := reactortest.New()
	kernel.StopClock()
	l, err := NewLoop(Options{Kernel: kernel})
	must(t, err)
	defer l.Release()
	kernel.Advance(time.Minute) // Nothing runs yet: this was no tick.
	var want TickTimes
	for i, took := range []time.Duration{
		0, TickBounds[0], TickBounds[0] + 1, 3 * time.Millisecond, time.Second, time.Second + 1,
	} {
		l.Post(func(*Loop) { kernel.Advance(took) })
		must(t, l.Tick())
		if got := l.Stats(); got.TickTimes != want || got.Ticks != uint64(i+1) {
			t.Fatalf("in tick %d: %+v, want %+v", i, got, want)
		}
		want.Counts[[]int{0, 0, 1, 6, 12, 13}[i]]++
		want.Sum += took
		l.Wake() // The next tick tells of this one.
	}
	must(t, l.Tick())
	if got := l.Stats().TickTimes; got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	want.Add(&want)
	if want.Counts[0] != 4 || want.Sum != 2*l.Stats().TickTimes.Sum {
		t.Errorf("twice as much is %+v", want)
	}
}

// A loop that waits is woken, and counts it; one that is awake is not.
func TestWakesOfAWaitingLoopAreCounted(t *testing.T) {
	l, err := NewLoop(Options{})
	must(t, err)
	l.Wake()
	must(t, l.Tick())
	if n := l.Stats().Wakes; n != 0 {
		t.Errorf("%d wakes of a loop that had yet to wait", n)
	}
	defer run(t, l)()
	wakes := make(chan uint64, 1)
	for end, seen := time.Now().Add(lost), uint64(0); seen < 3; {
		if time.Now().After(end) {
			t.Fatalf("only %d wakes are counted", seen)
		}
		insist(l, func(l *Loop) { wakes <- l.Stats().Wakes })
		seen = <-wakes
	}
}
