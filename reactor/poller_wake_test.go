//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package reactor

import (
	"cmp"
	"flag"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/testenv"
)

var wakes = flag.Int("wakes", 0, "how many wakes the stress makes; 0: 30,000, or 300,000 with SLUICE_CI=1")

func wakesOf(t *testing.T) int {
	if *wakes == 0 && testenv.IsWholeSize(t) {
		return 300_000
	}
	return cmp.Or(*wakes, 30_000)
}

// lost is how long a wait lasts before the test calls its wake lost.
const lost = testenv.Patience

// A signal may end any one wait, and the Go runtime sends itself some; rounding down would end them
// all.
func testWaitIsNeverEarly(t *testing.T, p poller) {
	const waits = 10
	for _, timeout := range []time.Duration{0, 1, 100 * time.Microsecond, time.Millisecond, 1500 * time.Microsecond, 20 * time.Millisecond} {
		early := 0
		for range waits {
			before := time.Now()
			events, err := p.Wait(make([]Event, 0, 1), timeout)
			took := time.Since(before)
			if err != nil || len(events) != 0 {
				t.Fatalf("%v, %v", events, err)
			}
			if took > timeout+lost/2 {
				t.Errorf("a wait of %v took %v", timeout, took)
			}
			if took < timeout {
				early++
			}
		}
		if early > waits/3 {
			t.Errorf("%d of %d waits of %v ended early", early, waits, timeout)
		}
	}
}

func testWakeBeforeWait(t *testing.T, p poller) {
	for range 3 {
		wake(t, p)
		waitWoken(t, p)
		silent(t, p)
	}
}

func testWakeEndsWait(t *testing.T, p poller) {
	for range 5 {
		done := make(chan error)
		go func() {
			time.Sleep(5 * time.Millisecond) // So that the wait has most likely begun; the other order is correct too.
			done <- p.Wake()
		}()
		waitWoken(t, p)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		silent(t, p)
	}
}

func testWakesCoalesce(t *testing.T, p poller) {
	for range 100_000 { // More than a pipe holds.
		wake(t, p)
	}
	waitWoken(t, p)
	silent(t, p)
	wake(t, p)
	waitWoken(t, p)
}

// Each poster counts, then wakes; the waiter sleeps whenever it has seen all that was counted, so
// one lost wake leaves it asleep.
func testNoWakeIsLostInAFlood(t *testing.T, p poller) {
	const posters = 4
	total := int64(wakesOf(t) / posters * posters)
	var posted atomic.Int64
	var all sync.WaitGroup
	for range posters {
		all.Go(func() {
			for i := range total / posters {
				posted.Add(1)
				if err := p.Wake(); err != nil {
					t.Error(err)
					return
				}
				if i%64 == 0 {
					runtime.Gosched() // Lets the waiter reach the end of what was posted, and sleep.
				}
			}
		})
	}
	defer all.Wait()
	for seen := int64(0); seen < total; {
		waitWoken(t, p)
		seen = posted.Load()
	}
}

// The poster goes on only when the waiter has seen its last post, so that each wake meets a wait
// that is just beginning.
func testNoWakeIsLostInLockstep(t *testing.T, p poller) {
	total := int64(wakesOf(t) / 10)
	var posted, seen atomic.Int64
	var poster sync.WaitGroup
	poster.Go(func() {
		for i := int64(1); i <= total && !t.Failed(); i++ {
			posted.Store(i)
			if err := p.Wake(); err != nil {
				t.Error(err)
				return
			}
			for seen.Load() < i && !t.Failed() {
				runtime.Gosched()
			}
		}
	})
	defer poster.Wait()
	for seen.Load() < total {
		waitWoken(t, p)
		seen.Store(posted.Load())
	}
}

func wake(t *testing.T, p poller) {
	t.Helper()
	if err := p.Wake(); err != nil {
		t.Fatal(err)
	}
}

// waitWoken waits for a wake without events.
func waitWoken(t *testing.T, p poller) {
	t.Helper()
	before := time.Now()
	events, err := p.Wait(make([]Event, 0, 4), lost)
	if err != nil || len(events) != 0 {
		t.Fatalf("%v, %v from a wait that was only woken", events, err)
	}
	if took := time.Since(before); took >= lost {
		t.Fatalf("the wake was lost")
	}
}
