package hub

import "time"

// visitsPerLook is after how many visits that write nothing a sweep looks at the clock: as many as
// stay well below a turn, and enough that looking costs nothing. It also looks after each batch
// that was sent.
const visitsPerLook = 16

// A pace tells when a sweep's time is over.
type pace struct {
	clock    func() time.Duration
	now      time.Duration
	deadline time.Duration
	visits   int // since the clock was looked at
}

// visit notes a visit that wrote nothing.
func (p *pace) visit() {
	if p.visits++; p.visits >= visitsPerLook {
		p.look()
	}
}

func (p *pace) look() { p.visits, p.now = 0, p.clock() }
