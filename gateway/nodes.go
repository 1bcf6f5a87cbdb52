package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"slices"

	"sluice/gateway/centrifuge"
	"sluice/hub"
)

// Nodes are the gateways of a cluster, as one of them knows them; those of sluice/hub/nodes are.
// What is asked and told is JSON. The methods are called from any goroutine, and but for Ask do not
// wait.
type Nodes interface {
	// Ask puts a question to all others (their LocalNode.Answer) and waits for their answers until
	// ctx ends. Who does not answer in time is counted.
	Ask(ctx context.Context, question []byte) (hub.NodeAnswers, error)
	// Tell tells all others something (their LocalNode.Told), which may be lost. Loops call it.
	Tell(what []byte)
	// Tally is how many are in a room on all others, and Tallies are all rooms in which there are
	// some.
	Tally(room string) hub.Tally
	Tallies() map[string]hub.Tally
	// List are all nodes, this one first.
	List() []hub.NodeInfo
	Stats() hub.NodesStats
}

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

// A LocalNode is a Server as the other nodes of its cluster know it.
type LocalNode struct{ server *Server }

// Node is what Options.Nodes are to be run for.
func (s *Server) Node() LocalNode { return LocalNode{s} }

// Answer does what another node asks for, from any goroutine. Nil: it cannot.
func (n LocalNode) Answer(ctx context.Context, question []byte) []byte {
	var q nodeQuestion
	if json.Unmarshal(question, &q) != nil {
		return nil
	}
	a, err := n.server.answerNode(ctx, &q)
	if err != nil {
		return nil
	}
	p, _ := json.Marshal(a)
	return p
}

var errUnknown = errors.New("gateway: another node asks for what is not known here")

func (s *Server) answerNode(ctx context.Context, q *nodeQuestion) (a nodeAnswer, err error) {
	switch q.Do {
	case askEnd:
		if a.Clients, err = s.endHere(ctx, &q.ending); errors.Is(err, ErrNoConnection) {
			err = nil
		}
	case askWho:
		var infos []centrifuge.Info
		infos, err = s.attendeesHere(q.Room)
		if errors.Is(err, ErrTooManyToTell) {
			return nodeAnswer{IsTooMany: true}, nil
		}
		for _, info := range infos {
			a.Infos = append(a.Infos, []byte(info))
		}
	case askUsers:
		var users map[string]bool
		users, err = s.usersHere(ctx, q.Room)
		a.Users = len(users)
		if len(users) <= userKeysMax {
			a.Keys = keysOf(users)
		}
	case askPlace:
		a.Clients, err = s.placeHere(ctx, &q.ending, Placement{Info: q.Info, Expires: q.Expires})
		a.Fault, err = faultWord(err)
	case askRefresh:
		a.Clients, err = s.refreshHere(ctx, &q.ending, q.Expires)
		a.Fault, err = faultWord(err)
	case askForget:
		s.clear(q.Room)
	default:
		err = errUnknown
	}
	return a, err
}

// Report yields the rooms in which somebody is, and returns what else the other nodes are told.
func (n LocalNode) Report(yield func(room string, t hub.Tally) bool) (info hub.NodeInfo) {
	s := n.server
	for r := range s.hub.All {
		t := s.tallyOf(r)
		info.Members += t.Members
		if t.Members > 0 && !yield(r.Name(), t) {
			break
		}
	}
	info.Connections, info.Rooms = s.Open(), s.hub.Rooms()
	if all := s.Addrs(); len(all) > 0 {
		info.Address = all[0].String()
	}
	return info
}

// tallyOf is how many are in a room here.
func (s *Server) tallyOf(r *hub.Room) (t hub.Tally) {
	t.Users, t.Keys = s.presences.tally(r.Name())
	t.Members = r.Stats().Members
	return t
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

// Clients is how many clients hear a room, on all nodes of the cluster: on the others by what they
// reported last, a second or two ago at most. After a node's death its clients count for some
// seconds.
func (s *Server) Clients(room string) int { return s.tally(room).Members }

// Nodes are the gateways of the cluster, this one first; of a gateway that is in none, nil.
func (s *Server) Nodes() []hub.NodeInfo {
	if s.nodes == nil {
		return nil
	}
	return s.nodes.List()
}

// keysOf are the keys of users, rising: the same on all nodes.
func keysOf[T any](users map[string]T) []uint64 {
	keys := make([]uint64, 0, len(users))
	for user := range users {
		h := fnv.New64a()
		_, _ = h.Write([]byte(user)) // It takes all.
		keys = append(keys, h.Sum64())
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
