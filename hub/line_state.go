package hub

// A lineState is a member's place in its room's line:
//
//	absent ──asks──▶ queued ──those before have ended──▶ due ──Resume──▶ publishing
//	   ▲               ▲                                  ▲ └───the brake───┘ │
//	   │               └──────────used, or its client's turn is over──────────┤
//	   └────────────────────nothing to publish, leaves────────────────────────┘
//
// Whom the brake stops keeps its lease. After leaseTime nobody waits for the end of a lease.
type lineState uint8

const (
	absent lineState = iota
	queued
	due
	publishing
)

// mustWait reports whether the member's Resume is to come.
func (s lineState) mustWait() bool { return s == queued || s == due }
