package gateway

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/centrifugal/protocol"

	"sluice/gateway/centrifuge"
	"sluice/hub"
	"sluice/reactor"
)

// Who is in a room is kept for rooms whose rules say so, and told up to these bounds. Beyond them
// there is how many are there, which every room knows.
const (
	presenceMax   = 1000      // clients of a room up to which those who ask are told who they are …
	presenceBytes = 256 << 10 // … and bytes of what they are told
	joinsMax      = 100       // clients of a room up to which they are told of who comes and goes
)

// Errors of who asks who is in a room.
var (
	ErrNoPresence    = errors.New("the room does not keep who is there: no rule with presence or joins is for it")
	ErrTooManyToTell = errors.New("so many clients are in the room that only how many is told")
)

// An Attendee is a client that is in a room, as others may know of it.
type Attendee struct {
	ID       string // as in the log
	User     string // its token's subject; empty: that is not known
	ConnInfo []byte // JSON: what its token says of it; nil: nothing
	ChanInfo []byte // … and that of its subscription
}

// An attendee is a client in one room that keeps who is there.
type attendee struct {
	w     *worker // whose loop it is on …
	token reactor.Token
	info  centrifuge.Info
	user  string
	tells bool // its room's clients are told that it comes and goes
	at    *attendance
	place int // among those there
}

// An attendance is who is in one room.
type attendance struct {
	room string

	mu      sync.Mutex
	all     []*attendee
	users   map[string]int // clients of each; who is not known is one, too
	keys    []uint64       // of users, while they are no more than others are told of; nil: not made, or too many
	bytes   int            // of infos
	changes changes
}

// presences are the attendances of all rooms that keep them, for as long as somebody is there. A
// room's lock comes behind that of all rooms; both are leaves beside.
type presences struct {
	isShared bool // others are told of who comes and goes, too

	mu    sync.Mutex
	rooms map[string]*attendance
}

// enter has a client be in a room until it leaves. It is called on its loop, and so is leave.
func (p *presences) enter(room string, in *attendee) *attendee {
	p.mu.Lock()
	a := p.rooms[room]
	if a == nil {
		if p.rooms == nil {
			p.rooms = map[string]*attendance{}
		}
		a = &attendance{room: room, users: map[string]int{}}
		p.rooms[room] = a
	}
	a.mu.Lock() // Before p.mu is let go, or somebody who leaves could take it out in between.
	p.mu.Unlock()
	defer a.mu.Unlock()
	in.at, in.place = a, len(a.all)
	a.all = append(a.all, in)
	if a.users[in.user]++; a.users[in.user] == 1 {
		a.keys = nil
	}
	a.bytes += len(in.info)
	if in.tells {
		a.note(change{who: in, isJoin: true})
	}
	return in
}

// leave has a client be in its room no longer.
func (p *presences) leave(in *attendee) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := in.at
	a.mu.Lock()
	defer a.mu.Unlock()
	last := len(a.all) - 1
	a.all[in.place], a.all[last].place = a.all[last], in.place
	a.all[last] = nil
	a.all = a.all[:last]
	if a.users[in.user]--; a.users[in.user] == 0 {
		delete(a.users, in.user)
		a.keys = nil
	}
	a.bytes -= len(in.info)
	if last == 0 {
		delete(p.rooms, a.room)
	}
	switch {
	case last == 0 && !p.isShared: // Nobody is there to be told.
		a.changes = changes{isDue: a.changes.isDue}
	case in.tells:
		a.note(change{who: in})
	}
}

// of is who is in a room; nil: nobody is.
func (p *presences) of(room string) *attendance {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rooms[room]
}

// tally is how many users are in a room that keeps who is there, and a key for each, rising, if
// they are few. The keys are not to be changed.
func (p *presences) tally(room string) (users int, keys []uint64) {
	a := p.of(room)
	if a == nil {
		return 0, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.keys == nil && len(a.users) <= hub.TallyKeysMax {
		a.keys = keysOf(a.users)
	}
	return len(a.users), a.keys
}

// infos are those of who is there; not ok: that is more than is told.
func (p *presences) infos(room string) (all []centrifuge.Info, ok bool) {
	a := p.of(room)
	if a == nil {
		return nil, true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.all) > presenceMax || a.bytes > presenceBytes {
		return nil, false
	}
	all = make([]centrifuge.Info, len(a.all))
	for i, in := range a.all {
		all[i] = in.info
	}
	return all, true
}

// attend has a client that hears its room be among those who are there, if the room keeps them.
func (c *conn) attend(who *Principal, room string) {
	if isKept, tells := c.w.cfg.presenceOf(room); isKept && !c.reader.IsSpeaker() {
		in := &attendee{w: c.w, token: c.token, info: infoOf(who, c.clientID(), nil), user: userOf(who), tells: tells}
		c.metered().attendee = c.w.server.presences.enter(room, in)
	}
}

// reviewPresence follows rules that have changed. Of a client that was there before nothing is told
// but who it is.
func (c *conn) reviewPresence() {
	if s := c.subscriber(); s != nil {
		s.reviewPresence()
		return
	}
	if !c.isIn("") {
		return
	}
	room := c.reader.Room().Name()
	isKept, _ := c.w.cfg.presenceOf(room)
	switch isThere := c.meter != nil && c.meter.attendee != nil; {
	case isKept && !isThere:
		c.attend(&Principal{Subject: c.subject()}, room)
	case isThere && !isKept:
		c.absent()
	}
}

func (s *subscriber) reviewPresence() {
	for _, sub := range s.subscriptions {
		isKept, _ := s.w.cfg.presenceOf(sub.Room().Name())
		switch t := s.terms[sub]; {
		case isKept && (t == nil || t.attendee == nil):
			s.enter(sub)
		case t != nil && t.attendee != nil && !isKept:
			s.absentFrom(sub)
		}
	}
}

// absent has the client be among those who are there no longer.
func (c *conn) absent() {
	if c.meter != nil && c.meter.attendee != nil {
		c.w.server.presences.leave(c.meter.attendee)
		c.meter.attendee = nil
	}
}

// leaveRooms has the connection be in its room no longer, or in any of them.
func (c *conn) leaveRooms() {
	c.absent()
	if s := c.subscriber(); s != nil {
		s.dropAll()
	}
	c.reader.Leave()
}

// enter has the client be among those who are in the room of a subscription, if the room keeps
// them.
func (s *subscriber) enter(sub *subscription) {
	room := sub.Room().Name()
	if isKept, tells := s.w.cfg.presenceOf(room); isKept {
		in := &attendee{w: s.w, token: s.token, info: s.infoIn(sub), user: userOf(s.principal()), tells: tells}
		s.termed(sub).attendee = s.w.server.presences.enter(room, in)
	}
}

// absentFrom has it be among them no longer.
func (s *subscriber) absentFrom(sub *subscription) {
	if t := s.terms[sub]; t != nil && t.attendee != nil {
		s.w.server.presences.leave(t.attendee)
		t.attendee = nil
	}
}

// userOf is what others know somebody by: empty, as of somebody who is not known, if that is too
// long.
func userOf(who *Principal) string {
	if len(who.Subject) > subjectMax {
		return ""
	}
	return strings.Clone(who.Subject) // Or it would keep the whole token.
}

// infoOf is what others are told of a client; ofSubscription is what its token for the room says of
// it.
func infoOf(who *Principal, id string, ofSubscription []byte) centrifuge.Info {
	about := protocol.ClientInfo{User: userOf(who), Client: id}
	if len(who.Info) <= InfoMax {
		about.ConnInfo = who.Info
	}
	if len(ofSubscription) <= InfoMax {
		about.ChanInfo = ofSubscription
	}
	info, _ := centrifuge.PackInfo(&about) // All that may be in it fits.
	return info
}

// Attendees are the clients that are in a room, on all nodes of the cluster, in no order. The error
// is ErrRoomName, ErrNoPresence, ErrTooManyToTell, or in a cluster ErrUnanswered. It asks for no
// permission.
func (s *Server) Attendees(ctx context.Context, room string) (all []Attendee, err error) {
	infos, err := s.attendees(ctx, room)
	if err != nil {
		return nil, err
	}
	for _, info := range infos {
		i := info.ClientInfo()
		all = append(all, Attendee{ID: i.Client, User: i.User, ConnInfo: i.ConnInfo, ChanInfo: i.ChanInfo})
	}
	return all, nil
}

// attendees are those of all nodes.
func (s *Server) attendees(ctx context.Context, room string) (all []centrifuge.Info, err error) {
	all, err = s.attendeesHere(room)
	if err != nil || s.nodes == nil {
		return all, err
	}
	bytes, isTooMany := 0, false
	asked, answered, err := s.askNodes(ctx, &nodeQuestion{Do: askWho, ending: ending{Room: room}}, func(_ string, a *nodeAnswer) {
		isTooMany = isTooMany || a.IsTooMany
		for _, info := range a.Infos {
			all = append(all, centrifuge.Info(info))
		}
	})
	for _, info := range all {
		bytes += len(info)
	}
	switch {
	case err != nil:
		return nil, err
	case isTooMany, len(all) > presenceMax, bytes > presenceBytes:
		return nil, ErrTooManyToTell
	case answered < asked: // A part might be taken for all.
		return nil, ErrUnanswered
	}
	return all, nil
}

// attendeesHere are those of this gateway.
func (s *Server) attendeesHere(room string) ([]centrifuge.Info, error) {
	isKept, _ := s.config().presenceOf(room)
	switch {
	case !isRoomName(room):
		return nil, ErrRoomName
	case !isKept:
		return nil, ErrNoPresence
	}
	infos, ok := s.presences.infos(room)
	if !ok {
		return nil, ErrTooManyToTell
	}
	return infos, nil
}
