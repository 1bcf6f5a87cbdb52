//go:build linux

package simclient

import "math/rand/v2"

// HomesStream keeps what DrawHomes draws apart from all else.
const HomesStream = 105

// DrawHomes draws how many may be in a room that is at home on one loop: none in half of the plans,
// so that small rooms lie on several loops there, and otherwise few, so that rooms grow out of
// their homes.
func (p *Plan) DrawHomes(r *rand.Rand) {
	p.HomeMax = -1
	if r.IntN(2) == 0 {
		p.HomeMax = []int{1, 2, 3, 5, 64}[r.IntN(5)]
	}
}
