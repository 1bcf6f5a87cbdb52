package gateway

import (
	"context"
	"testing"
	"time"
)

// patience bounds every wait of a test for something that is sure to come.
const patience = 20 * time.Second

// eventually waits until is holds.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// statsOf is what a server has counted, in whatever its Stats returns.
func statsOf[S any](t testing.TB, s interface {
	Stats(context.Context) (S, error)
},
) S {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	st, err := s.Stats(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return st
}
