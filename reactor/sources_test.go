package reactor

import (
	"slices"
	"testing"
)

// A pass over a slab goes on behind any token, also one whose value is gone.
func TestSlabGoesOnBehindAToken(t *testing.T) {
	s := NewSlab[int](1 << 10)
	var tokens []Token
	for i := range 600 {
		token, _ := s.Insert(i)
		tokens = append(tokens, token)
	}
	s.Remove(tokens[299])
	var seen []int
	for at, isDone := Token(0), false; !isDone; {
		n := 0
		isDone = true
		s.after(at, func(t Token, v *int) bool {
			at, seen = t, append(seen, *v)
			if n++; n == 7 {
				isDone = false
				return false
			}
			return true
		})
		if at == tokens[300] {
			s.Remove(at)
		}
	}
	want := make([]int, 600)
	for i := range want {
		want[i] = i
	}
	if want = slices.Delete(want, 299, 300); !slices.Equal(seen, want) {
		t.Errorf("%d were seen, want %d", len(seen), len(want))
	}
}
