package hub

// A telling is of a branch's members that have yet to be told of a reset. It belongs to their loop.
type telling struct {
	at     Position // behind which the room goes on
	untold []uint64 // a bit for each place there was whose member is to be told, or that is a hole
	next   int      // of untold, the first that may have any
}

// has reports whether the member in a place has yet to be told.
func (t *telling) has(place int32) bool {
	i := int(place / 64)
	return t != nil && i < len(t.untold) && t.untold[i]&(1<<(place%64)) != 0
}

// drop notes that the member in a place need not be told.
func (t *telling) drop(place int32) {
	if t.has(place) {
		t.untold[place/64] &^= 1 << (place % 64)
	}
}
