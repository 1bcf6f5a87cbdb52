package gateway

import (
	"cmp"
	"context"
	"maps"
	"path"
	"strings"
	"time"

	"sluice/hub"
	"sluice/reactor"
)

// A RoomInfo is a room at one moment.
type RoomInfo struct {
	Name     string
	Members  int        // clients that hear it
	Blocked  int        // of them, those that take no bytes at the moment
	Speakers int        // clients that only publish
	Policy   hub.Policy // what becomes of clients that fall behind too far
	IsFull   bool       // publishers wait
	Messages uint64     // published since it was made
	Backlog  int64      // bytes of messages that it keeps for clients that are behind
	Memory   int64      // bytes of memory that those take
	Account  hub.Account

	Kept      uint64       // messages that it keeps for those who come later
	KeptBytes int64        // … their bytes and some 40 for each
	Position  hub.Position // of the last message; without an epoch the room keeps none

	Elsewhere int // clients that hear it on other nodes of the cluster
}

// Room returns a room, and whether there is one, here or on another node of the cluster.
func (s *Server) Room(name string) (info RoomInfo, isThere bool) {
	elsewhere := 0
	if s.nodes != nil {
		elsewhere = s.nodes.Tally(name).Members
	}
	r, ok := s.hub.Room(name)
	if !ok {
		return RoomInfo{Name: name, Policy: s.config().policyOf(name), Elsewhere: elsewhere}, elsewhere > 0
	}
	info = s.roomInfo(r)
	info.Elsewhere = elsewhere
	return info, true
}

func (s *Server) roomInfo(r *hub.Room) RoomInfo {
	st := r.Stats()
	return RoomInfo{
		Name: r.Name(), Members: st.Members, Blocked: st.Blocked, Speakers: st.Speakers, Policy: s.config().policyOf(r.Name()),
		IsFull: st.IsFull, Messages: st.Next - 1, Backlog: st.Held, Memory: st.Memory, Account: r.Account(),
		Kept: st.Kept, KeptBytes: st.KeptBytes, Position: st.Position,
	}
}

// A RoomQuery says which rooms to return.
type RoomQuery struct {
	Pattern string // as path.Match has it; empty: all
	Less    func(a, b *RoomInfo) int
	Limit   int // of those that come first
}

// ByMembers puts the rooms with most members first.
func ByMembers(a, b *RoomInfo) int { return -cmp.Compare(a.Members, b.Members) }

// ByMemory puts the rooms first that take most memory.
func ByMemory(a, b *RoomInfo) int { return -cmp.Compare(a.Memory, b.Memory) }

// ByName puts rooms in the order of their names.
func ByName(a, b *RoomInfo) int { return strings.Compare(a.Name, b.Name) }

// Channels are the rooms that match, on all nodes of the cluster, and how many clients hear each;
// none if there are more than limit: a part might be taken for all.
func (s *Server) Channels(pattern string, limit int) (clients map[string]int, isWhole bool) {
	clients = map[string]int{}
	add := func(room string, n int) bool {
		if ok, _ := path.Match(pattern, room); ok || pattern == "" {
			clients[room] += n
		}
		return len(clients) <= limit
	}
	for r := range s.hub.All {
		if !add(r.Name(), r.Stats().Members) {
			return nil, false
		}
	}
	if s.nodes != nil {
		for room, t := range s.nodes.Tallies() {
			if !add(room, t.Members) {
				return nil, false
			}
		}
	}
	return clients, true
}

// Rooms returns the first of the rooms that match, and how many match in all.
func (s *Server) Rooms(q RoomQuery) (rooms []RoomInfo, total int) {
	least := top[RoomInfo]{limit: q.Limit, compare: func(a, b *RoomInfo) int {
		return cmp.Or(q.Less(a, b), strings.Compare(a.Name, b.Name))
	}}
	for r := range s.hub.All {
		if q.Pattern != "" {
			if ok, _ := path.Match(q.Pattern, r.Name()); !ok {
				continue
			}
		}
		total++
		one := s.roomInfo(r)
		least.add(&one)
	}
	return least.sorted(), total
}

// Subscriptions is how many members all rooms have: a client counts in each that it hears.
func (s *Server) Subscriptions() (n int) {
	for r := range s.hub.All {
		n += r.Stats().Members
	}
	return n
}

// A ConnInfo is a client in a room at one moment.
type ConnInfo struct {
	ID        string // as in the log
	Address   string // empty if the client came by a unix socket
	Subject   string // who it is, by its token; empty: that is not known
	Room      string // empty if the client speaks the Centrifuge protocol
	Encoding  string
	Lag       hub.Lag       // how far it is behind, in all its rooms
	IsBlocked bool          // it takes no bytes at the moment
	Untaken   time.Duration // if so, for how long it has taken none
	IsSlow    bool          // it was beyond half of the backlog for a while, and has not caught up
	IsSpeaker bool          // it only publishes

	// Of a client that speaks the Centrifuge protocol: in how many rooms it is, and those in which
	// it is furthest behind, RoomsShown at most, or RoomsMax of one connection alone. Where a room
	// was asked for, it is that one.
	Subscriptions int
	Rooms         []RoomLag
}

// A ConnQuery says which connections to return: those furthest behind, in the room if one is named,
// or the first by their ids.
type ConnQuery struct {
	Room    string // empty: all
	Subject string // empty: all
	ByLag   bool
	Limit   int
}

// Connections returns the first of the connections that match, and how many match in all. They are
// looked at on their loops, some in each tick, so they are of several moments.
func (s *Server) Connections(ctx context.Context, q ConnQuery) (conns []ConnInfo, total int, err error) {
	seen := make([]sightings, len(s.workers))
	for i := range seen {
		seen[i] = sightings{query: q, first: top[sighting]{limit: q.Limit, compare: compareSightings}}
	}
	if err := s.walk(ctx, func(w *worker) func(*conn) { return seen[w.no].see }); err != nil {
		return nil, 0, err // Some of them may still be seeing.
	}
	all := top[sighting]{limit: q.Limit, compare: compareSightings}
	for i := range seen {
		total += seen[i].total
		for _, one := range seen[i].first.list {
			all.add(&one)
		}
	}
	for _, one := range all.sorted() {
		conns = append(conns, one.info)
	}
	return conns, total, nil
}

// sightings are what one loop has seen of its connections.
type sightings struct {
	query ConnQuery
	total int
	first top[sighting]
}

// A sighting is one connection, and what its place among the first goes by.
type sighting struct {
	behind int64 // zero if that is no matter
	loop   int
	token  reactor.Token
	info   ConnInfo
}

func compareSightings(a, b *sighting) int {
	return cmp.Or(-cmp.Compare(a.behind, b.behind), cmp.Compare(a.loop, b.loop), cmp.Compare(a.token, b.token))
}

func (s *sightings) see(c *conn) {
	if !c.isIn(s.query.Room) || !c.isSubject(s.query.Subject) {
		return
	}
	s.total++
	one := sighting{loop: c.w.no, token: c.token}
	if s.query.ByLag {
		one.behind = c.behind(s.query.Room)
	}
	if s.first.add(&one) {
		s.first.last().info = c.info(s.query.Room, RoomsShown)
	}
}

// Connection returns one connection.
func (s *Server) Connection(ctx context.Context, id string) (ConnInfo, error) {
	return askConn(ctx, s, id, func(c *conn) (ConnInfo, error) { return c.info("", RoomsMax), nil })
}

// Users is how many subjects are among the clients in a room, or in any if none is named, on all
// nodes of the cluster; those who are not known are one. A room that keeps who is there knows it,
// of others all connections are looked at. In a cluster the error may be ErrUnanswered.
func (s *Server) Users(ctx context.Context, room string) (n int, err error) {
	if isKept, _ := s.config().presenceOf(room); isKept && room != "" {
		return s.tally(room).Users, nil
	}
	users, err := s.usersHere(ctx, room)
	if err != nil || s.nodes == nil {
		return len(users), err
	}
	sum := hub.Tally{Users: len(users), Keys: keysOf(users)}
	asked, answered, err := s.askNodes(ctx, &nodeQuestion{Do: askUsers, ending: ending{Room: room}}, func(_ string, a *nodeAnswer) {
		sum.Add(hub.Tally{Users: a.Users, Keys: a.Keys})
	})
	if err == nil && answered < asked {
		err = ErrUnanswered
	}
	return sum.Users, err
}

// UsersByNode is how many users each node of the cluster has, by its hub.NodeInfo.ID: this one
// without a cluster by the empty one. The error may be ErrUnanswered.
func (s *Server) UsersByNode(ctx context.Context) (map[string]int, error) {
	users, err := s.usersHere(ctx, "")
	if err != nil || s.nodes == nil {
		return map[string]int{"": len(users)}, err
	}
	all := map[string]int{s.nodes.List()[0].ID: len(users)}
	asked, answered, err := s.askNodes(ctx, &nodeQuestion{Do: askUsers}, func(node string, a *nodeAnswer) { all[node] = a.Users })
	if err == nil && answered < asked {
		err = ErrUnanswered
	}
	return all, err
}

// usersHere are the subjects among the clients of this gateway in a room, or in any.
func (s *Server) usersHere(ctx context.Context, room string) (all map[string]bool, err error) {
	seen := make([]map[string]bool, len(s.workers))
	err = s.walk(ctx, func(w *worker) func(*conn) {
		mine := map[string]bool{}
		seen[w.no] = mine
		return func(c *conn) {
			if c.isIn(room) && !c.isSpeaker() {
				mine[c.subject()] = true
			}
		}
	})
	if err != nil {
		return nil, err
	}
	all = map[string]bool{}
	for _, mine := range seen {
		maps.Copy(all, mine)
	}
	return all, nil
}

// info tells of the connection, and of a subscriber's rooms of the one that is named, or of so
// many.
func (c *conn) info(room string, limit int) ConnInfo {
	now := c.w.loop.Now()
	i := ConnInfo{
		ID: c.id(), Address: c.from(), Subject: c.subject(), Room: c.roomName(), Encoding: c.encodingName(), Lag: c.reader.Lag(now),
		IsBlocked: c.reader.IsBlocked(), IsSlow: c.reader.IsSlow(), IsSpeaker: c.isSpeaker(),
	}
	if i.IsBlocked {
		i.Untaken = max(0, now-c.reader.Took())
	}
	if s := c.subscriber(); s != nil {
		i.Subscriptions, i.Rooms = len(s.subscriptions), s.lags(room, limit)
	}
	return i
}

func (c *conn) isSpeaker() bool { return c.past != subscribes && c.reader.IsSpeaker() }

// encodingName is what the connection reads.
func (c *conn) encodingName() string {
	if s := c.subscriber(); s != nil {
		return encodings[s.encoding()].Name
	}
	return encodings[c.reader.Encoding()].Name
}
