package reactor

import "fmt"

// A Token names a registered source: the slot it occupies in the low half, the slot's generation in
// the high half. Tokens are compared, never dereferenced. Generations start at one, so zero is
// never issued; an event for a source that is gone carries a generation that nobody has, and is
// dropped.
type Token uint64

func makeToken(slot, generation uint32) Token { return Token(generation)<<32 | Token(slot) }

func (t Token) slot() uint32       { return uint32(t) }
func (t Token) generation() uint32 { return uint32(t >> 32) }

// String formats the token as slot.generation, for logs.
func (t Token) String() string { return fmt.Sprintf("%d.%d", t.slot(), t.generation()) }
