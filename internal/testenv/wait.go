package testenv

import (
	"context"
	"testing"
	"time"
)

// Patience bounds every wait of a test for something that is sure to come.
const Patience = 40 * time.Second

// Eventually waits until is holds. It looks soon at first, and then ever less often, because
// looking takes time from what it waits for.
func Eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	const pauseMin, pauseMax = time.Millisecond, 20 * time.Millisecond
	end := time.Now().Add(Patience)
	for pause := pauseMin; !is(); pause = min(2*pause, pauseMax) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", Patience, what)
		}
		time.Sleep(pause)
	}
}

// StatsOf is what a server has counted, in whatever its Stats returns.
func StatsOf[S any](t testing.TB, s interface {
	Stats(context.Context) (S, error)
},
) S {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	st, err := s.Stats(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return st
}
