package reactor

const (
	pageBits = 8
	pageSize = 1 << pageBits
	noSlot   = ^uint32(0)
	occupied = noSlot - 1 // instead of the next free slot
)

// A Slab stores values in numbered slots and hands out a Token for each. Slots are reused, newest
// first, so that memory stays dense; each reuse has a new generation, so that an old Token is
// recognised as stale.
//
// Values live in pages that never move: a pointer from Get holds until Remove. A Slab belongs to
// one goroutine.
type Slab[T any] struct {
	pages [][]cell[T]
	free  uint32 // first free slot, linked through cell.next
	used  uint32 // slots ever used
	max   uint32
	len   int
}

type cell[T any] struct {
	value      T
	generation uint32 // of the present or the next occupant; never zero
	next       uint32 // next free slot while free, or occupied
}

// NewSlab returns an empty slab of at most capacity values.
func NewSlab[T any](capacity int) *Slab[T] {
	return &Slab[T]{free: noSlot, max: uint32(min(uint64(capacity), uint64(occupied)))}
}

// Insert stores v and returns its token, or false when the slab is at its capacity.
func (s *Slab[T]) Insert(v T) (Token, bool) {
	slot, ok := s.takeSlot()
	if !ok {
		return 0, false
	}
	c := s.at(slot)
	c.value, c.next = v, occupied
	s.len++
	return makeToken(slot, c.generation), true
}

func (s *Slab[T]) takeSlot() (uint32, bool) {
	if s.free != noSlot {
		slot := s.free
		s.free = s.at(slot).next
		return slot, true
	}
	if s.used == s.max {
		return 0, false
	}
	if s.used%pageSize == 0 {
		s.pages = append(s.pages, make([]cell[T], pageSize))
	}
	slot := s.used
	s.used++
	s.at(slot).generation = 1
	return slot, true
}

// Get returns the value of t, or false when t is stale or was never issued.
func (s *Slab[T]) Get(t Token) (*T, bool) {
	slot := t.slot()
	if slot >= s.used {
		return nil, false
	}
	c := s.at(slot)
	if c.next != occupied || c.generation != t.generation() {
		return nil, false
	}
	return &c.value, true
}

// tokenAt is the token of the value in a slot, or false when there is none.
func (s *Slab[T]) tokenAt(slot uint32) (Token, bool) {
	if slot >= s.used || s.at(slot).next != occupied {
		return 0, false
	}
	return makeToken(slot, s.at(slot).generation), true
}

// Remove forgets the value of t and reports whether there was one. From here on t is stale.
func (s *Slab[T]) Remove(t Token) bool {
	if _, ok := s.Get(t); !ok {
		return false
	}
	c := s.at(t.slot())
	var zero T
	c.value = zero
	if c.generation++; c.generation == 0 {
		c.generation = 1 // Zero would make slot 0 issue the token 0.
	}
	c.next, s.free = s.free, t.slot()
	s.len--
	return true
}

// Len is the number of values stored.
func (s *Slab[T]) Len() int { return s.len }

// All calls yield for each value, in slot order, until it returns false. The current value may be
// removed meanwhile.
func (s *Slab[T]) All(yield func(Token, *T) bool) { s.after(0, yield) }

// after is All for the slots behind a token's; the zero token is before all.
func (s *Slab[T]) after(t Token, yield func(Token, *T) bool) {
	from := t.slot() + 1
	if t == 0 {
		from = 0
	}
	for slot := from; slot < s.used; slot++ {
		c := s.at(slot)
		if c.next == occupied && !yield(makeToken(slot, c.generation), &c.value) {
			return
		}
	}
}

func (s *Slab[T]) at(slot uint32) *cell[T] { return &s.pages[slot>>pageBits][slot&(pageSize-1)] }
