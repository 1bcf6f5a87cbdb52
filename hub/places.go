package hub

import "math/bits"

// A bitmap is what rounds have to know of members before they look at one: of 64 places each.
type bitmap []places

// places are a bit for each of 64.
type places struct {
	writable  uint64 // its member is writable
	visitable uint64 // a round with the blocked visits it: any but the overrun that are stalled
}

// set says of a place whether its member is writable, and that it may be visited.
func (v bitmap) set(place int32, isWritable bool) {
	k, bit := &v[place/64], uint64(1)<<(place%64)
	k.writable &^= bit
	k.visitable |= bit
	if isWritable {
		k.writable |= bit
	}
}

// clear says that a place need not be visited.
func (v bitmap) clear(place int32) {
	k, bit := &v[place/64], uint64(1)<<(place%64)
	k.writable &^= bit
	k.visitable &^= bit
}

// next is the first place from at on that a round has to visit, the blocked members' included or
// not; one behind them all says that there is none.
func (v bitmap) next(at int32, withBlocked bool) int32 {
	from := ^uint64(0) << (at % 64)
	for i := at / 64; int(i) < len(v); i++ {
		set := v[i].writable
		if withBlocked {
			set = v[i].visitable
		}
		if set &= from; set != 0 {
			return 64*i + int32(bits.TrailingZeros64(set))
		}
		from = ^uint64(0)
	}
	return int32(64 * len(v))
}
