package gateway

import (
	"context"
	"encoding/json"
	"errors"

	"sluice/gateway/centrifuge"
	"sluice/hub"
)

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
