package admin

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/hub"
)

func membersOf(n int) published { return published{Published: hub.Published{Members: n}} }

// Results are kept for their time and in their number; the oldest goes first.
func TestRepeatsAreBounded(t *testing.T) {
	var r repeats
	r.init()
	r.max = 3
	calls := 0
	ask := func(key string, now time.Duration) int {
		return r.do("room", key, now, func() published { calls++; return membersOf(calls) }).Members
	}
	for i := range 3 {
		ask(fmt.Sprint(i), 0)
	}
	if got := ask("0", repeatsFor-1); got != 1 {
		t.Errorf("the first result is %d", got)
	}
	ask("3", repeatsFor-1) // 0, the oldest, is forgotten for it.
	if got := ask("1", repeatsFor-1); got != 2 || len(r.kept) != 3 {
		t.Errorf("%d, and %d are kept", got, len(r.kept))
	}
	if got := ask("1", repeatsFor); got != 5 || len(r.kept) != 2 || r.ages.Len() != 2 { // 3 and 1
		t.Errorf("%d after its time, and %d are kept", got, len(r.kept))
	}
	if got := r.do("other", "1", repeatsFor, func() published { return membersOf(77) }).Members; got != 77 {
		t.Errorf("another room: %d", got)
	}
	if ask("", 0); len(r.kept) != 3 {
		t.Errorf("without a key something is kept: %d", len(r.kept))
	}
	func() {
		defer func() { _ = recover() }()
		r.do("room", "p", repeatsFor, func() published { panic("while it is published") })
	}()
	if got := r.do("room", "p", repeatsFor, func() published { return membersOf(78) }).Members; got != 78 {
		t.Errorf("after a panic: %d", got)
	}
	r.forget(r.enter(repeatKey{"room", "p"}, repeatsFor))
	failed := func() published { return published{fault: &faultRate} }
	if got := r.do("room", "f", repeatsFor, failed); got.fault == nil || len(r.kept) != 2 {
		t.Errorf("a failure is kept: %d", len(r.kept))
	}
}

// Of those who come at a time one publishes.
func TestRepeatsPublishOnceForAllWhoComeAtATime(t *testing.T) {
	var r repeats
	r.init()
	var calls atomic.Int64
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() {
			if got := r.do("room", "key", 0, func() published { calls.Add(1); return membersOf(5) }); got.Members != 5 {
				t.Errorf("%d", got.Members)
			}
		})
	}
	wait.Wait()
	if calls.Load() != 1 {
		t.Errorf("published %d times", calls.Load())
	}
}
