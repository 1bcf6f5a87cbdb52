package process

import (
	"testing"
	"time"

	"sluice/loadtest/internal/load"
	"sluice/reactor"
)

// A return that is refused for ever is given up after eight attempts, each behind a pause of at
// most twice the last one's, and of 20 s; one that is refused for good is given up at once, as is
// that of whoever does not resume.
func TestReturnsAreTriedAgainSoOften(t *testing.T) {
	loop, err := reactor.NewLoop(reactor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer loop.Release()
	w := &worker{process: &Process{kernel: loop.Kernel()}}
	c := &client{w: w, kind: load.KindResumer, returning: true}
	for i, longest := range []time.Duration{500e6, 1e9, 2e9, 4e9, 8e9, 16e9, 20e9} {
		c.isPutOff = true
		before := w.process.Now()
		if !c.triesAgain("no") || c.state != waiting || len(w.later) != 1 {
			t.Fatalf("attempt %d is the last", i+1)
		}
		at := w.later[0].at
		if at < before || at > w.process.Now()+longest {
			t.Errorf("attempt %d comes after %v, want at most %v", i+2, at-before, longest)
		}
		if w.retry(at - 1); len(w.later) != 1 {
			t.Error("it comes too early")
		}
		if w.retry(at); len(w.later) != 0 || len(w.clientsToOpen) != i+1 {
			t.Errorf("%d wait, %d are to be opened", len(w.later), len(w.clientsToOpen))
		}
	}
	if c.isPutOff = true; c.triesAgain("no") || w.crowd.Refused != 7 {
		t.Errorf("a ninth attempt, %d refused", w.crowd.Refused)
	}
	for _, c := range []*client{
		{w: w, kind: load.KindResumer, returning: true},
		{w: w, kind: load.KindResumer, isPutOff: true},
		{w: w, kind: load.KindGuest, returning: true, isPutOff: true},
	} {
		if c.triesAgain("no") {
			t.Errorf("%+v tries again", c)
		}
	}
	// The next one is last.
	for range 100 {
		(&client{w: w, kind: load.KindResumer, returning: true, isPutOff: true}).triesAgain("no")
	}
	for i := 1; i < len(w.later); i++ {
		if w.later[i].at > w.later[i-1].at {
			t.Fatal("they are out of order")
		}
	}
	for code, want := range map[uint16]bool{1000: false, 1001: true, 1008: false, 1013: true, 3001: true, 3499: true, 3500: false, 4000: true, 4499: true, 4500: false} {
		if isForNow(code) != want {
			t.Errorf("%d asks to come back: %v", code, !want)
		}
	}
}
