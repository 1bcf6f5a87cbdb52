package testenv

import (
	"context"
	"testing"
	"time"
)

// Patience bounds every wait of a test for something that is sure to come.
const Patience = 40 * time.Second

// Eventually waits until is holds.
func Eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", Patience, what)
		}
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
