package gateway

import (
	"context"
	"encoding/json"
	"errors"

	"sluice/hub"
)

// ErrUnanswered is of what is asked of all nodes of a cluster, or done on them, when not all have
// answered: what is known is a part of it.
var ErrUnanswered = errors.New("not all nodes of the cluster, or not the servers between them, have answered in time")

// What nodes ask each other. A node that does not know the word does not answer.
const (
	askEnd     = "end"     // have clients end
	askWho     = "who"     // who is in a room
	askUsers   = "users"   // whose clients are in a room, or in any
	askPlace   = "place"   // bring clients into a room
	askRefresh = "refresh" // set when what is known of clients expires
	askForget  = "forget"  // what a room keeps
)

// A nodeQuestion is what one node asks the others.
type nodeQuestion struct {
	Do     string `json:"do"`
	ending        // whom it is about; of those that ask for no deed the room alone

	Info    json.RawMessage `json:"info,omitempty"`    // of a Placement
	Expires int64           `json:"expires,omitempty"` // of it, or the new time
}

// A nodeAnswer is what one of them answers.
type nodeAnswer struct {
	Clients   int      `json:"clients,omitempty"`  // to whom it was done
	Fault     string   `json:"fault,omitempty"`    // of nodeFaults: to one of them it was not
	Infos     [][]byte `json:"infos,omitempty"`    // of who is in the room
	IsTooMany bool     `json:"too_many,omitempty"` // … but for that they are more than are told
	Users     int      `json:"users,omitempty"`
	Keys      []uint64 `json:"keys,omitempty"` // of all users, if they are no more than userKeysMax
}

// userKeysMax is how many users one answer has one by one.
const userKeysMax = 20_000

// askNodes asks all other nodes, and hands what each answers to use. It returns how many were
// asked, and how many of them have answered.
func (s *Server) askNodes(ctx context.Context, q *nodeQuestion, use func(node string, a *nodeAnswer)) (asked, answered int, err error) {
	what, _ := json.Marshal(q) // Of such a type it cannot fail.
	got, err := s.nodes.Ask(ctx, what)
	if err != nil {
		return 0, 0, ErrBusy
	}
	for _, one := range got.From {
		var a nodeAnswer
		if json.Unmarshal(one.Data, &a) == nil {
			use(one.Node, &a)
			answered++
		}
	}
	return got.Asked, answered, nil
}

// nodeFaults are errors that another node's answer may have, by their words.
var nodeFaults = map[string]error{"memory": ErrMemory, "subscriptions": ErrTooManySubscriptions, "unfilled": ErrUnfilled}

// faultWord is the word for an error that is to be told, or the error if it has none. Who is not
// here is no error.
func faultWord(err error) (word string, _ error) {
	for word, one := range nodeFaults {
		if errors.Is(err, one) {
			return word, nil
		}
	}
	if errors.Is(err, ErrNoConnection) {
		return "", nil
	}
	return "", err
}

// tally is how many are in a room, on all nodes.
func (s *Server) tally(room string) (t hub.Tally) {
	if r, ok := s.hub.Room(room); ok {
		t = s.tallyOf(r)
	}
	if s.nodes != nil {
		t.Add(s.nodes.Tally(room))
	}
	return t
}

// tallyOf is how many are in a room here.
func (s *Server) tallyOf(r *hub.Room) (t hub.Tally) {
	t.Users, t.Keys = s.presences.tally(r.Name())
	t.Members = r.Stats().Members
	return t
}
