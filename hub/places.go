package hub

import "math/bits"

// places are what rounds have to know of 64 places before they look at a member: a bit for each.
type places struct {
	writable  uint64 // its member is writable
	visitable uint64 // a round with the blocked visits it: any but the overrun that are stalled
}

// add gives m a place. A new member that is writable is at the tail, so it does not matter whether
// a running round comes to its place.
func (b *branch) add(m *Member) {
	if !m.IsBlocked() {
		b.writable.Add(1)
	}
	if n := len(b.holes); n > 0 {
		m.place = b.holes[n-1]
		b.holes = b.holes[:n-1]
		b.members[m.place] = m
		b.setVisit(m)
	} else {
		b.addPlace(m)
	}
	b.fan.tellings[b].drop(m.place)
}

func (b *branch) addPlace(m *Member) {
	m.place = int32(len(b.members))
	b.members = append(b.members, m)
	if len(b.members) > 64*len(b.bitmap) {
		b.bitmap = append(b.bitmap, places{})
	}
	b.setVisit(m)
}

// setVisit says to rounds that have not come to m whether it is blocked, and that it may be
// visited.
func (b *branch) setVisit(m *Member) {
	k, bit := &b.bitmap[m.place/64], uint64(1)<<(m.place%64)
	k.writable &^= bit
	k.visitable |= bit
	if !m.IsBlocked() {
		k.writable |= bit
	}
}

// clearVisit says to rounds that m need not be visited.
func (b *branch) clearVisit(m *Member) {
	k, bit := &b.bitmap[m.place/64], uint64(1)<<(m.place%64)
	k.writable &^= bit
	k.visitable &^= bit
}

// nextPlace is the first place from at on that a round has to visit, the blocked members' included
// or not; one behind them all says that there is none.
func (b *branch) nextPlace(at int32, withBlocked bool) int32 {
	from := ^uint64(0) << (at % 64)
	for i := at / 64; int(i) < len(b.bitmap); i++ {
		set := b.bitmap[i].writable
		if withBlocked {
			set = b.bitmap[i].visitable
		}
		if set &= from; set != 0 {
			return 64*i + int32(bits.TrailingZeros64(set))
		}
		from = ^uint64(0)
	}
	return int32(64 * len(b.bitmap))
}

// remove takes m out and leaves a hole, so that no neighbour moves to where a running sweep has
// been, or is yet to come.
func (b *branch) remove(m *Member) {
	if m.IsBlocked() {
		b.blocked.hasChanged = true
	} else {
		b.writable.Add(-1)
	}
	if m.cursor.isOverrun() {
		b.blocked.overrun--
	}
	b.members[m.place] = nil
	b.clearVisit(m)
	b.holes = append(b.holes, m.place)
}

// compact closes the holes when most places are holes. Only between rounds, and not while members
// have yet to be told of a reset, who are known by their places.
func (b *branch) compact() {
	if b.fan.tellings[b] != nil || len(b.members) < 64 || len(b.holes) < len(b.members)/2 {
		return
	}
	members := b.members
	b.members, b.bitmap, b.holes = make([]*Member, 0, b.len()), nil, nil
	for _, m := range members {
		if m != nil {
			b.addPlace(m)
		}
	}
}
