package hub

import "errors"

// A Start says where in its room's messages a member begins. The zero Start is the end: it gets
// what is published from then on.
type Start struct {
	Since    Position // behind this one, if it has an epoch
	Last     int      // otherwise with the last so many that are kept, if it is not zero
	Earliest bool     // otherwise with all that are kept
	// IsHeld says that nothing is handed to the member before its client calls Member.Ready: a
	// reply is to go first.
	IsHeld bool
	// IsUnfilled makes the member begin at the end where Join would return ErrNotFilled, without a
	// position, and be told by Client.Reset when Fill has come; or where it would return ErrAhead.
	IsUnfilled bool
	// IsHere makes the member join on its loop, be its room at home on another or not.
	IsHere bool
}

// An Answer says how a member has joined.
type Answer uint8

const (
	Live       Answer = iota // at the end, as it asked
	Recovered                // where it asked: everything from there on follows
	WrongEpoch               // at the end: the room has another epoch, and whether something was missed is not known
	TooOld                   // at the end: something behind that position is no longer kept
	BeyondEnd                // at the end: no message of the epoch has had that position yet
	NoHistory                // at the end: the room keeps nothing
	NumAnswers
)

var answerNames = [NumAnswers]string{"live", "recovered", "wrong epoch", "too old", "beyond the end", "no history"}

// String is the answer in a few words.
func (a Answer) String() string { return answerNames[a] }

// A Joined says where a member has begun.
type Joined struct {
	Position // behind which it begins; without an epoch the room has no history
	Answer   Answer
	Messages uint64 // how many of those that are kept are before it
}

// ErrNotBuilt says that the room has kept messages and nobody reads this encoding yet: Hub.Build is
// to be called, by a goroutine that is no loop's, and Join again.
var ErrNotBuilt = errors.New("hub: what the room keeps has yet to be encoded")
