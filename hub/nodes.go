package hub

import (
	"slices"
	"time"
)

// Where several gateways serve the same rooms each of them is a node. These are what they tell each
// other of; package nodes carries it.

// A NodeInfo is what a node tells of itself.
type NodeInfo struct {
	ID      string // at random, of one run of its program
	Name    string
	Version string
	Address string // where clients connect, as it listens there

	Connections int
	Rooms       int
	Members     int // of all of its rooms together
	Uptime      time.Duration
	Silent      time.Duration // for how long nothing was heard of it; zero for the node that is asked
}

// TallyKeysMax is how many users of a room a node tells of one by one.
const TallyKeysMax = 100

// A Tally is how many are in a room, on one node or on several together.
type Tally struct {
	Members int      // clients that hear it
	Users   int      // subjects among them, where the room keeps who is there
	Keys    []uint64 // one for each user, rising; without them their users are not known one by one
}

// Add adds those of other nodes. A user who is on several counts once, as long as every node tells
// of its users one by one, and otherwise on each.
func (t *Tally) Add(other Tally) {
	t.Members += other.Members
	if len(t.Keys) < t.Users || len(other.Keys) < other.Users {
		t.Users += other.Users
		t.Keys = nil
		return
	}
	keys := slices.Concat(t.Keys, other.Keys)
	slices.Sort(keys)
	t.Keys = slices.Compact(keys)
	t.Users = len(t.Keys)
}

// Equal reports whether both say the same.
func (t *Tally) Equal(other Tally) bool {
	return t.Members == other.Members && t.Users == other.Users && slices.Equal(t.Keys, other.Keys)
}

// NodeAnswers are what other nodes answered to one question.
type NodeAnswers struct {
	Asked int          // nodes that were
	From  []NodeAnswer // those that did in time
}

// A NodeAnswer is one node's.
type NodeAnswer struct {
	Node string // its NodeInfo.ID
	Data []byte // JSON
}

// NodesStats are what a node has counted of the others since it began.
type NodesStats struct {
	Nodes      int    // that are there, this one included
	Came, Gone uint64 // others that were heard of first, and no more
	Reports    uint64 // sent
	Lost       uint64 // times that something of another node's reports was missing, which it was asked for
	Refused    uint64 // notes that were not taken: of another version, garbage, or of one node too many
	Unsent     uint64 // notes that could not be sent
	Beyond     uint64 // rooms that were not reported, or not taken in, because there are too many, each time
	Asked      uint64 // questions put to other nodes
	Unanswered uint64 // … and answers that did not come, of each node
}
