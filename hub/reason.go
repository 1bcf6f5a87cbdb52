package hub

import "strings"

// A reason says why a branch is to be visited.
type reason uint8

const (
	becausePublished  reason = iota // somebody there can take a message
	becauseSegment                  // the log has gained or lost a segment
	becauseFilled                   // the room is full now: how everybody stands matters
	becauseLeased                   // it is the turn of publishers there that have waited
	becauseJoined                   // a member came that no round has counted, or behind no round's end
	becauseReady                    // a blocked member's client takes bytes again
	becauseCaughtUp                 // a blocked member has caught up
	becauseLeft                     // a blocked member of a full room left, or is to Finish
	becauseRecount                  // the room is full, and it is time to count anew
	becauseReclaimed                // the room's memory is given back: cursors still hold it
	becauseToReclaim                // memory is to be given back, and the branch that saw to it has ended
	becauseUnfinished               // time was up in the middle of a sweep
	becauseBehind                   // a round has ended, and more was published meanwhile
	becauseAnswered                 // the transport has answered for the last members of a round
	becauseReset                    // its members are to be told that the room has begun anew
	becauseSpoiled                  // the room is to end: a panic left its state in doubt
	reasonCount
)

var reasonNames = [reasonCount]string{
	"published", "segment", "filled", "leased", "joined", "ready", "caught up", "left", "recount", "reclaimed",
	"to reclaim", "unfinished", "behind", "answered", "reset", "spoiled",
}

// reasons are a set of them.
type reasons uint32

// ofTurns are reasons to sweep a branch, but not for a new round.
const ofTurns reasons = 1<<becauseReady | 1<<becauseUnfinished | 1<<becauseAnswered | 1<<becauseReset

func (r reasons) String() string {
	var names []string
	for i, name := range reasonNames {
		if r&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}
