package gateway

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The first of many, whatever the order they come in.
func TestTopKeepsTheFirst(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		all := make([]int, random.IntN(40))
		h := top[int]{limit: random.IntN(12), compare: func(a, b *int) int { return *a - *b }}
		for i := range all {
			all[i] = random.IntN(30)
			if h.add(&all[i]) && *h.last() != all[i] {
				t.Fatalf("last is %d, not %d", *h.last(), all[i])
			}
		}
		slices.Sort(all)
		if want := all[:min(h.limit, len(all))]; !slices.Equal(h.sorted(), want) {
			t.Fatalf("%v, want %v", h.sorted(), want)
		}
	}
}
