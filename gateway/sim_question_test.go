//go:build linux

package gateway

import (
	"maps"

	"github.com/centrifugal/protocol"

	"sluice/gateway/internal/simclient"
)

// A simQuestion is a subscriber's about who is in a room, until it is answered: who is there all
// the time has to be among them, and whoever is has been there meanwhile.
type simQuestion struct {
	by     *simSubscriber
	room   string
	before map[any]simMember // who was there when it was asked …
	seen   map[any]simMember // … or since
	ending map[*conn]bool    // subscribers that are sent their last messages meanwhile, for which they count
	joins  uint64            // how many had joined any room then
}

// A simMember is a client in a room.
type simMember struct{ id, user string }

// members are the clients that are in a room as the hub has it, each by what stands for its stay
// there and for no other.
func (w *world) members(room string) map[any]simMember {
	all := map[any]simMember{}
	for _, l := range w.loops {
		for _, source := range l.w.loop.Sources {
			c, ok := source.(*conn)
			if !ok {
				continue
			}
			s := c.subscriber()
			if s == nil {
				if c.reader.IsIn() && !c.reader.IsSpeaker() && c.reader.Room().Name() == room {
					all[c] = simMember{id: c.clientID()}
				}
				continue
			}
			for _, sub := range s.subscriptions {
				if sub.IsIn() && sub.Room().Name() == room {
					all[sub] = simMember{id: c.clientID(), user: s.principal().Subject}
				}
			}
		}
	}
	return all
}

// ending are the subscribers that are to be closed, and may have left their rooms or not.
func (w *world) ending() map[*conn]bool {
	all := map[*conn]bool{}
	for _, l := range w.loops {
		for _, source := range l.w.loop.Sources {
			if c, ok := source.(*conn); ok && c.subscriber() != nil && c.life != open {
				all[c] = true
			}
		}
	}
	return all
}

// joins is how often somebody has joined a room.
func (w *world) joins() (n uint64) {
	for _, l := range w.loops {
		for _, one := range l.w.fan.Stats().Joined {
			n += one
		}
	}
	return n
}

// AsksWho implements simclient.SubscriberJudge.
func (s *simSubscriber) AsksWho(_ *simclient.Socket, a *simclient.Asked) {
	room := simclient.RoomName(a.Room)
	q := &simQuestion{by: s, room: room, before: s.w.members(room), seen: map[any]simMember{}, ending: s.w.ending(), joins: s.w.joins()}
	if s.w.questions == nil {
		s.w.questions = map[*simclient.Asked]*simQuestion{}
	}
	s.w.questions[a] = q
}

// followQuestions notes who is in the rooms that are asked about.
func (w *world) followQuestions() {
	rooms := map[string]map[any]simMember{}
	for _, q := range w.questions {
		if rooms[q.room] == nil {
			rooms[q.room] = w.members(q.room)
		}
		maps.Copy(q.ending, w.ending())
		for stay, who := range rooms[q.room] {
			q.seen[stay] = who
		}
	}
}

func (w *world) forgetQuestion(a *simclient.Asked) { delete(w.questions, a) }

// forgetQuestions forgets those that will not be answered, because their connection is over.
func (s *simSubscriber) forgetQuestions() {
	maps.DeleteFunc(s.w.questions, func(_ *simclient.Asked, q *simQuestion) bool { return q.by == s })
}

// HearsWho implements simclient.SubscriberJudge.
func (s *simSubscriber) HearsWho(one *simclient.Socket, a *simclient.Asked, r *protocol.Reply) {
	q := s.w.questions[a]
	s.w.forgetQuestion(a)
	// Who came and went within one turn of a loop was not seen.
	maps.Copy(q.ending, s.w.ending())
	unseen := s.w.joins() - q.joins + uint64(len(q.ending))
	must, may := map[string]string{}, map[string]string{}
	now := s.w.members(q.room)
	for stay, who := range now {
		if _, wasThere := q.before[stay]; wasThere {
			must[who.id] = who.user
		}
	}
	for _, some := range []map[any]simMember{q.before, q.seen, now} {
		for _, who := range some {
			may[who.id] = who.user
		}
	}
	if r.Presence != nil {
		s.judgeWho(one, a, r.Presence.Presence, must, may, unseen)
	} else {
		s.judgeCount(one, r.PresenceStats, must, may, unseen)
	}
}

// judgeWho says whether those who are said to be in a room are those who were there.
func (s *simSubscriber) judgeWho(one *simclient.Socket, a *simclient.Asked, told map[string]*protocol.ClientInfo, must, may map[string]string, unseen uint64) {
	for id := range must {
		if told[id] == nil {
			one.Fail("it is not told that %s is in room %d, but of %v", id, a.Room, told)
		}
	}
	strange := uint64(0)
	for id, who := range told {
		user, isKnown := may[id]
		switch {
		case !isKnown:
			strange++
		case who.Client != id || who.User != user:
			one.Fail("it is told that %s is in room %d as %v; it is %q", id, a.Room, who, user)
		}
	}
	if strange > unseen {
		one.Fail("it is told that %d are in room %d who were not, of %v; there were %v", strange, a.Room, told, may)
	}
	// What it has asked for before is done, and nothing else.
	if isIn := told[one.ID] != nil; isIn != one.IsIn(a.Room) {
		one.Fail("it is told that it is in room %d: %v", a.Room, isIn)
	}
	s.w.subscribers.whos++
}

// judgeCount says whether there were as many.
func (s *simSubscriber) judgeCount(one *simclient.Socket, told *protocol.PresenceStatsResult, must, may map[string]string, unseen uint64) {
	if n := uint64(told.NumClients); n < uint64(len(must)) || n > uint64(len(may))+unseen {
		one.Fail("it is told of %d clients; there were %v all the time, and %v at most", n, must, may)
	}
	least, most := users(must), users(may)+int(unseen)
	if !s.w.Plan.KeepsAttendance {
		least, most = 0, 0
	}
	if n := int(told.NumUsers); n < least || n > most {
		one.Fail("it is told of %d users; there were %v all the time, and %v at most", n, must, may)
	}
	s.w.subscribers.counts++
}

// users is how many there are among clients.
func users(all map[string]string) int {
	some := map[string]bool{}
	for _, user := range all {
		some[user] = true
	}
	return len(some)
}
