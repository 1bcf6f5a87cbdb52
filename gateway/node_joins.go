package gateway

import (
	"encoding/json"

	"sluice/gateway/centrifuge"
	"sluice/reactor"
)

// What clients come and go on one node of a cluster is told to the others' subscribers too, by the
// rules and within the bounds of presence_events.go: as one node has collected it, each of the
// others tells it. What is lost on its way is not told, and of the clients of a node that dies
// nobody tells that they are gone.

// A nodeJoins is what one node tells the others of a room.
type nodeJoins struct {
	Room    string       `json:"room"`
	Changes []nodeChange `json:"changes"`
}

// A nodeChange is that somebody came there, or went.
type nodeChange struct {
	Info   []byte `json:"info"`
	IsJoin bool   `json:"join,omitempty"`
}

// tellNodes tells all other nodes of who came and went here, and returns how many it does not.
func (s *Server) tellNodes(room string, list []change) (dropped int) {
	if s.nodes == nil {
		return 0
	}
	told := nodeJoins{Room: room}
	for n := 0; len(told.Changes) < len(list) && n <= joinsBytes; {
		k := list[len(told.Changes)]
		told.Changes = append(told.Changes, nodeChange{[]byte(k.who.info), k.isJoin})
		n += len(k.who.info)
	}
	what, _ := json.Marshal(&told) // Of such a type it cannot fail.
	s.nodes.Tell(what)
	return len(list) - len(told.Changes)
}

// Told tells the subscribers of a room of who came and went on another node. It does not wait.
func (n LocalNode) Told(what []byte) {
	var told nodeJoins
	if json.Unmarshal(what, &told) != nil || len(told.Changes) > changesMax {
		return
	}
	s := n.server
	a := s.presences.of(told.Room)
	if _, tells := s.config().presenceOf(told.Room); a == nil || !tells {
		return
	}
	one := joins{room: told.Room}
	for _, k := range told.Changes {
		one.list = append(one.list, change{who: &attendee{info: centrifuge.Info(k.Info)}, isJoin: k.IsJoin})
	}
	a.mu.Lock()
	all := a.listeners()
	a.mu.Unlock()
	if all == nil {
		s.outside.joinsDropped.Add(uint64(len(one.list)))
		return
	}
	for to, those := range byLoop(all) {
		if mine := one; !to.loop.Post(func(*reactor.Loop) { to.tellThose(&mine, those) }) {
			s.outside.joinsDropped.Add(uint64(len(those) * len(one.list)))
		}
	}
}
