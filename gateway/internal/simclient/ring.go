//go:build linux

package simclient

import "math/rand/v2"

// RingStream keeps what DrawRing draws apart from all else.
const RingStream = 104

// DrawRing draws whether loops have rings, and what befalls those beside what befalls every write.
func (p *Plan) DrawRing(r *rand.Rand) {
	p.HasRing = r.IntN(3) == 0
	if !p.HasRing {
		return
	}
	p.RingsAll = r.IntN(4) > 0
	if r.IntN(3) == 0 {
		p.Faults.RingShort = 200
	}
	if r.IntN(4) == 0 {
		p.Faults.RingFails = 1 + r.IntN(30)
	}
	if r.IntN(6) == 0 && !p.IsSteady { // A client that it befalls is cut.
		p.Faults.RingLate = 1 + r.IntN(10)
	}
}
