package hub

// A lineState is a member's place in its room's line:
//
//	absent ──asks──▶ queued ──those before have ended──▶ due ──Resume──▶ publishing
//	   ▲               ▲                                  ▲ └───the brake───┘ │
//	   │               └──────────used, or its client's turn is over──────────┤
//	   └────────────────────nothing to publish, leaves────────────────────────┘
//
// A publisher that the brake stops keeps its lease. After leaseTime nobody waits for the end of a
// lease.
type lineState uint8

const (
	absent lineState = iota
	queued
	due
	publishing
)

// lineMoves are the transitions there are: a bit for each state that may follow. A publisher that
// asks anew is absent for a moment.
var lineMoves = [...]uint8{
	absent:     1<<absent | 1<<queued,
	queued:     1<<due | 1<<absent,
	due:        1<<publishing | 1<<absent,
	publishing: 1<<due | 1<<absent,
}

func (s lineState) String() string {
	return [...]string{"absent", "queued", "due", "publishing"}[s]
}

// mustWait reports whether the member's Resume is to come.
func (s lineState) mustWait() bool { return s == queued || s == due }
