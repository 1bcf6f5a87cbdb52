package cluster

import (
	"time"

	"sluice/hub"
)

// following is what a node knows of the rooms that it follows. All of it is the node's goroutine's.
type following struct {
	byName    map[string]*room
	order     []*room // the same ones, for walks
	queue     []*room // those that a task is to be started for
	resting   []*room // those for which that is due at a time
	running   int     // tasks
	heldBytes int64   // of all rooms
	decoded   []hub.Source
}

// A room's state says what becomes of a message that was republished:
//
//	Open ──▶ opening ──filled──▶ live ──a hole──▶ repairing
//	            ▲                  ▲                  │ │
//	            │                  └─────closed───────┘ │
//	            └────reset: continuity is not proved────┘ also from live
//
//	opening     subscribed, and what the stream keeps is fetched: held
//	live        held against its predecessor, and appended
//	repairing   what is missing is fetched: held
type roomState uint8

const (
	opening roomState = iota
	live
	repairing
)

// A room is one that this node follows.
type room struct {
	name  string
	state roomState
	index int // in following.order

	// last is the sequence of the message that was appended last, or that nothing need be appended
	// up to; zero: the stream kept none. lastID is its id.
	last   uint64
	lastID string
	// isPlaced says that last is its place in the stream: it was opened, and not reset since.
	isPlaced bool
	// provenTo is a sequence up to which nothing of the room was in the stream but what is
	// appended; provenAt is when that was asked for.
	provenTo uint64
	provenAt time.Duration

	target   uint64 // repairing: the hole goes up to this one. Opening: what is fetched does
	mustAsk  bool   // repairing: the leader is asked where the room ends
	tries    int    // that brought nothing
	retryAt  time.Duration
	isQueued bool   // in following.queue, or resting
	isBusy   bool   // a task is on its way
	version  uint64 // of what tasks know: answers to older ones are void
	isGone   bool

	filling
	held       []Live
	heldBytes  int64
	mustCheck  bool // its end is asked for with the next check
	behind     int  // checks that said that the room ends before its last message
	appendedAt time.Duration
	checkedAt  time.Duration
	releasedAt time.Duration // zero: it is in use
	quarters   quarters
	isShort    bool // the stream keeps less than the room's history
}

// end is the offset behind which the room's next message is, whatever was in the stream and is no
// more.
func (r *room) end() uint64 { return endOf(max(r.last, r.provenTo)) }
