package reactor

import (
	"maps"
	"math"
	"slices"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

func insert(t *testing.T, s *Slab[int], v int) Token {
	t.Helper()
	token, ok := s.Insert(v)
	if !ok {
		t.Fatalf("no room for %d beside %d", v, s.Len())
	}
	return token
}

func TestTokenHoldsSlotAndGeneration(t *testing.T) {
	for _, n := range []uint32{0, 1, 255, 256, math.MaxInt32, math.MaxUint32 - 1, math.MaxUint32} {
		token := makeToken(n, ^n)
		if token.slot() != n || token.generation() != ^n {
			t.Errorf("%v holds slot %d, generation %d; want %d, %d", token, token.slot(), token.generation(), n, ^n)
		}
	}
}

func TestSlabRefusesStaleTokens(t *testing.T) {
	s := NewSlab[int](4)
	old := insert(t, s, 1)
	if !s.Remove(old) || s.Remove(old) {
		t.Error("a value is removed once")
	}
	fresh := insert(t, s, 2)
	if fresh.slot() != old.slot() || fresh == old {
		t.Errorf("slot of %v came back as %v", old, fresh)
	}
	if _, ok := s.Get(old); ok {
		t.Error("the stale token has a value")
	}
	if s.Remove(old) {
		t.Error("the stale token removed the new value")
	}
	if v, ok := s.Get(fresh); !ok || *v != 2 {
		t.Error("the new value is gone")
	}
}

func TestSlabKnowsNoTokenItDidNotIssue(t *testing.T) {
	s := NewSlab[int](1000)
	insert(t, s, 1)
	s.Remove(insert(t, s, 2)) // Slot 1 waits for its second generation.
	for _, token := range []Token{
		0, makeToken(0, 0), makeToken(0, 2), makeToken(1, 1), makeToken(1, 2), makeToken(999, 1), makeToken(1000, 1), makeToken(noSlot, 1), ^Token(0),
	} {
		if _, ok := s.Get(token); ok || s.Remove(token) {
			t.Errorf("%v is known", token)
		}
	}
}

func TestSlabReusesTheNewestSlotFirst(t *testing.T) {
	s := NewSlab[int](8)
	var tokens []Token
	for i := range 6 {
		tokens = append(tokens, insert(t, s, i))
	}
	removed := []int{1, 4, 2}
	for _, i := range removed {
		s.Remove(tokens[i])
	}
	for _, want := range []uint32{2, 4, 1, 6} {
		if got := insert(t, s, 0).slot(); got != want {
			t.Errorf("slot %d, want %d", got, want)
		}
	}
}

func TestSlabForgetsRemovedValues(t *testing.T) {
	s := NewSlab[*int](1)
	token, _ := s.Insert(new(int))
	s.Remove(token)
	if s.at(0).value != nil {
		t.Error("a removed value is kept from the collector")
	}
}

// Each connection has a slot and a timer beside what it holds itself.
func TestIdleSourceSize(t *testing.T) {
	if size := unsafe.Sizeof(cell[entry]{}) + unsafe.Sizeof(timer{}); size > 48 {
		t.Errorf("a source's slot and timer have %d bytes", size)
	}
}

// After 2^32 uses of a slot its generations begin anew, without the zero that would make a zero
// token.
func TestSlabGenerationsSkipZero(t *testing.T) {
	s := NewSlab[int](1)
	s.Remove(insert(t, s, 1))
	s.at(0).generation = math.MaxUint32
	last := insert(t, s, 2)
	s.Remove(last)
	next := insert(t, s, 3)
	if next == 0 || next.generation() != 1 {
		t.Errorf("%v follows %v", next, last)
	}
	if _, ok := s.Get(last); ok {
		t.Errorf("%v is still known", last)
	}
}

func TestSlabPointersHoldAcrossGrowth(t *testing.T) {
	const count = 5*pageSize + 1
	s := NewSlab[int](count)
	first, _ := s.Get(insert(t, s, 42))
	tokens := make([]Token, 1, count)
	for i := 1; i < count; i++ {
		tokens = append(tokens, insert(t, s, i))
	}
	*first = 43
	if again, _ := s.Get(makeToken(0, 1)); again != first || *again != 43 {
		t.Error("the first value has moved")
	}
	for i, token := range tokens[1:] {
		if v, ok := s.Get(token); !ok || *v != i+1 {
			t.Fatalf("%v lost its value", token)
		}
	}
}

func TestSlabIsBounded(t *testing.T) {
	for _, capacity := range []int{0, 1, pageSize - 1, pageSize, pageSize + 1} {
		s := NewSlab[int](capacity)
		var last Token
		for i := range capacity {
			last = insert(t, s, i)
		}
		if token, ok := s.Insert(0); ok || token != 0 || s.Len() != capacity {
			t.Errorf("%v, %v beyond a capacity of %d", token, ok, capacity)
		}
		if s.Remove(last) {
			insert(t, s, 0)
		}
	}
}

func TestSlabAllAllowsRemovingTheCurrentValue(t *testing.T) {
	const count = 2*pageSize + 3
	s := NewSlab[int](count)
	for i := range count {
		insert(t, s, i)
	}
	next := 0
	for token, v := range s.All {
		if *v != next {
			t.Fatalf("visited %d, want %d", *v, next)
		}
		next++
		if *v%3 == 0 {
			s.Remove(token)
		}
	}
	if want := count - (count+2)/3; next != count || s.Len() != want {
		t.Errorf("visited %d of %d, kept %d of %d", next, count, s.Len(), want)
	}
	visited := 0
	for _, v := range s.All {
		if *v%3 == 0 {
			t.Fatalf("%d was removed", *v)
		}
		if visited++; visited == 5 {
			break
		}
	}
	if visited != 5 {
		t.Errorf("visited %d after a break at 5", visited)
	}
}

// A slab behaves as a map whose keys are never used twice.
func TestSlabIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.IntRange(0, 2*pageSize+9).Draw(t, "capacity")
		s := NewSlab[int](capacity)
		model := map[Token]int{}
		var issued []Token
		if capacity > 0 { // Begin at a page's edge now and then.
			for range rapid.IntRange(0, capacity).Draw(t, "filled") {
				token, _ := s.Insert(-1)
				model[token] = -1
				issued = append(issued, token)
			}
		}
		known := func(t *rapid.T) Token {
			if len(issued) == 0 {
				t.Skip("nothing was issued yet")
			}
			return rapid.SampledFrom(issued).Draw(t, "token")
		}
		t.Repeat(map[string]func(*rapid.T){
			"insert": func(t *rapid.T) {
				v := rapid.Int().Draw(t, "value")
				token, ok := s.Insert(v)
				if ok != (len(model) < capacity) {
					t.Fatalf("insert beside %d of %d: %v", len(model), capacity, ok)
				}
				if !ok {
					return
				}
				if token == 0 || slices.Contains(issued, token) {
					t.Fatalf("%v was issued before", token)
				}
				model[token] = v
				issued = append(issued, token)
			},
			"remove": func(t *rapid.T) {
				token := known(t)
				_, live := model[token]
				if s.Remove(token) != live {
					t.Fatalf("remove %v, which is live: %v", token, live)
				}
				delete(model, token)
			},
			"change": func(t *rapid.T) {
				token := known(t)
				if v, ok := s.Get(token); ok {
					*v++
					model[token]++
				}
			},
			"": func(t *rapid.T) {
				if s.Len() != len(model) {
					t.Fatalf("%d values, want %d", s.Len(), len(model))
				}
				for _, token := range issued {
					want, live := model[token]
					if v, ok := s.Get(token); ok != live || (ok && *v != want) {
						t.Fatalf("get %v: %v, want %v", token, ok, live)
					}
				}
				all := map[Token]int{}
				for token, v := range s.All {
					all[token] = *v
				}
				if !maps.Equal(all, model) {
					t.Fatalf("all are %v, want %v", all, model)
				}
			},
		})
	})
}

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
