package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/hub"
)

// A Broker is what a [Node] needs of JetStream. All methods may be called from any goroutine. Those
// with a context wait, for the broker's servers at most as long as the context says; the others do
// not.
type Broker interface {
	// Prepare is called after every Up, before anything else: the stream is made if it is not
	// there, otherwise its settings are held against ours. ErrUnfit says that a person has to see
	// to it.
	Prepare(ctx context.Context) error

	// Subscribe makes the room's messages come as they are republished. When it returns, the
	// connected server knows; others may not yet. Of a room that is subscribed to nothing happens.
	// A subscription outlives reconnects.
	Subscribe(ctx context.Context, room string) error
	Unsubscribe(room string)

	// Live has what is republished, in the order of the connection. It has a bound in messages and
	// bytes; what is beyond it is dropped, and Slow says so.
	Live() <-chan Live
	// Forget drops all that has come for Live and was not taken: it is of a stream that is no more.
	Forget()

	// Publish stores a pack as the room's next, unless one with that id was stored within the
	// stream's window for duplicates: that one is answered then. done is called once, soon or after
	// the attempt's timeout, from any goroutine, and must only hand over. Its error is
	// ErrNotStored, ErrRefused, or any other if nobody knows. The pack is not changed until then.
	// An attempt is of the connection that Events has told of: it is never sent on a later one, nor
	// acknowledged by it.
	Publish(room, id string, pack []byte, done func(seq uint64, err error))

	// After returns the room's messages that the stream keeps from a sequence on: the oldest first,
	// at most so many, and of them no more than there are bytes for, but one at least. hasMore says
	// that more are kept. A server answers that may lag behind: what is not there may be there.
	After(ctx context.Context, room string, from uint64, limit, bytes int) (kept []Stored, hasMore bool, err error)

	// Last returns each room's last message, its pack or not and in any order, of at most LastMax
	// rooms; those whose last one is before the sequence from are left out. It is so as of the
	// sequence upTo, or nobody knows of which if that is zero. A server answers that may lag
	// behind.
	Last(ctx context.Context, rooms []string, from uint64) (last []Stored, upTo uint64, err error)

	// Tail returns the room's last message, without its pack, or ErrNotFound. The stream's leader
	// answers.
	Tail(ctx context.Context, room string) (Stored, error)

	// At returns the message at a sequence, without its pack, or ErrNotFound. The stream's leader
	// answers.
	At(ctx context.Context, seq uint64) (Stored, error)

	// State says which sequences the stream keeps. The stream's leader answers. A stream that keeps
	// nothing has First one behind Last.
	State(ctx context.Context) (State, error)

	// Epoch reads what all nodes have agreed upon, from its leader; without any the revision is
	// zero.
	Epoch(ctx context.Context) (e Epoch, revision uint64, err error)
	// SetEpoch replaces the one of that revision. ErrConflict says that somebody else has.
	SetEpoch(ctx context.Context, e Epoch, revision uint64) error

	// Purge removes what the stream keeps of a room before a sequence.
	Purge(ctx context.Context, room string, before uint64) error

	// Tell says something to all nodes that are connected now, unless it is lost, and Told has what
	// others and this one said. It has a bound; what is beyond it is dropped.
	Tell(Claim)
	Told() <-chan Claim

	// Changed has something when Events does.
	Changed() <-chan struct{}
	// Events returns what has happened since it was called last; of Up and Down, the later one.
	Events() Event
}

const (
	// LastMax is how many rooms Last may be asked for at a time: a server answers for 1,024.
	LastMax = 1000
	// ClaimBytesMax bounds a claim as JSON: twice what a node says that answers as many as it may
	// at a time. Nodes keep the last claim of each other.
	ClaimBytesMax = 8 << 10
	// LimitMin is the least that a broker has to take of a message, in bytes. Packs that are made
	// before its limit is known go by it.
	LimitMin = 4 << 10
	// PublishWindow is how long a stream has to know the ids of its messages.
	PublishWindow = 2 * time.Minute
)

// Errors of a Broker.
var (
	ErrNotStored = errors.New("cluster: the pack was not sent, or not taken, and may be repeated")
	ErrRefused   = fmt.Errorf("cluster: the NATS servers refuse this pack, and always will: %w", hub.ErrTooLarge)
	ErrNotFound  = errors.New("cluster: no message has this sequence")
	ErrConflict  = errors.New("cluster: another node has set the epoch")
	ErrUnfit     = errors.New("cluster: the stream is not fit for this gateway")
)

// A Stored is a message of the stream.
type Stored struct {
	Room string
	Seq  uint64 // in the stream; 1 is the first
	ID   string // its Nats-Msg-Id
	Time int64  // when it was stored, in nanoseconds since 1970, by the leader's clock
	Pack []byte // not to be changed
}

// A Live is a message as it was republished.
type Live struct {
	Stored
	Prev uint64 // sequence of the room's message before it; zero: the stream kept none then
}

// A State is what a stream keeps.
type State struct {
	First, Last uint64
	// IsFull says that it may be about to drop messages because of its size: it has half of
	// the bytes that it may have, or more.
	IsFull bool
	// Free is how many more messages it takes, however large they are, before it drops any because
	// of its size.
	Free uint64
}

// An Epoch is what all nodes go by: the epoch's name, and a message that was in the stream lately.
// If another one is at that sequence, or the stream ends before it, the stream is not what it was.
type Epoch struct {
	Name string // random: eight of a to z and 2 to 7
	Seq  uint64 // zero: the stream was empty
	Time int64  // as Stored.Time
}

// A Claim is what a node says to all others of the stream.
type Claim struct {
	Node      string   `json:"node"`            // random, of its process
	Epoch     string   `json:"epoch,omitempty"` // empty: it has trusted the stream in none yet
	Revision  uint64   `json:"revision"`        // of the epoch, at least
	Last      uint64   `json:"last"`            // the stream has had this sequence in the epoch
	Seen      uint64   `json:"seen,omitempty"`  // the message of this sequence has come, with this id
	SeenID    string   `json:"id,omitempty"`
	IsTrusted bool     `json:"trusts,omitempty"`  // it goes by the stream
	Asks      string   `json:"asks,omitempty"`    // a question that all others answer with a claim
	Answers   []string `json:"answers,omitempty"` // questions that this answers
}

// An Event is one thing or several that a node has to look into.
type Event uint8

// Events.
const (
	Up     Event = 1 << iota // the connection is there, for the first time or again
	Down                     // it is gone; it will come again by itself
	Leader                   // the stream has elected a leader: it may have stored what it did not republish
	Slow                     // messages were dropped on their way to us
	Closed                   // it is gone for good
)

// Then is what has happened when next happens behind e: a connection that came and went is gone.
func (e Event) Then(next Event) Event {
	if next&(Up|Down) != 0 {
		e &^= Up | Down
	}
	return e | next
}
