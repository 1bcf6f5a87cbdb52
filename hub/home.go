package hub

// An ElsewhereError says that a room is at home on another loop, where whoever wants to join is to
// do so: then a message wakes no loop but the one that it came to, and none has a branch of one or
// two.
//
// A room with at most Limits.Small in it, those that only publish included, is at home on the loop
// of its oldest branch: that of members, or of speakers where there is no member. One that grows
// beyond that spreads: whoever comes joins where it is. It has a home again when it has shrunk to
// half of the bound, so that one about as large as the bound does not change with each who comes or
// goes. Nobody who is in the room moves.
type ElsewhereError struct{ Home *Fanout }

// Error implements error.
func (e *ElsewhereError) Error() string { return "hub: the room is at home on another loop" }

// home is the loop that who joins by f should be on, which is f if nobody is there. The caller
// holds the lock.
func (r *Room) home(f *Fanout) *Fanout {
	n, small := int(r.members)+len(r.speakers.all()), r.hub.limits.Small
	switch {
	case n >= small:
		r.isSpread = true
	case n <= small/2:
		r.isSpread = false
	}
	switch {
	case r.isSpread:
		return f
	case len(r.branches) > 0:
		return r.branches[0].fan
	case r.speakers != nil && len(r.speakers.branches) > 0:
		return r.speakers.branches[0].fan
	}
	return f
}

// IsNew reports whether nobody is in the room of that name, or there is none: its home is where the
// next one joins.
func (h *Hub) IsNew(room string) bool {
	r, isThere := h.Room(room)
	if !isThere {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hasNobody()
}
