package gateway

import (
	"errors"
	"hash/fnv"
	"slices"
	"sync"
	"time"

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

// enter notes that a client is in a room until it leaves. Both are called on its loop.
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

// leave ends that.
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

// Who comes and goes is told to a room's subscribers by messages of their own, and not through the
// room's log: an entry there would be in the way of every encoding, and would be kept and counted
// as a message, while of who comes and goes there is less to be told the longer one waits. So
// changes are collected for a moment, and who comes and goes within it was never there. Beyond
// these bounds nobody is told, which is counted; who is in the room can be asked for as before.
//
//	in a room of more than joinsMax clients        nobody is told of anything
//	of more than changesMax in a moment            … of those beyond
//	of more than joinsBytes of them                … likewise
//	who has more than joinsBytes to take already   is not told
const (
	joinsDelay = 100 * time.Millisecond // the moment
	changesMax = 2 * joinsMax
	joinsBytes = 16 << 10
)

// A change is that somebody came or went.
type change struct {
	who    *attendee
	isJoin bool
}

// changes are what has yet to be told in a room.
type changes struct {
	list    []change
	dropped int  // beyond changesMax
	isDue   bool // a loop is going to tell
}

// note keeps a change until it is told, on the loop of who came or went. The caller holds a.mu.
func (a *attendance) note(k change) {
	n := &a.changes
	if !k.isJoin {
		if i := slices.IndexFunc(n.list, func(before change) bool { return before.who == k.who }); i >= 0 {
			n.list = slices.Delete(n.list, i, i+1)
			return
		}
	}
	if len(n.list) == changesMax {
		n.dropped++
		return
	}
	n.list = append(n.list, k)
	if !n.isDue {
		n.isDue = true
		k.who.w.tellSoon(a)
	}
}

// take returns what is to be told to whom, and how much is not.
func (a *attendance) take() (list []change, all []*attendee, dropped int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list, dropped = a.changes.list, a.changes.dropped
	a.changes = changes{}
	if all = a.listeners(); all == nil {
		return nil, nil, dropped + len(list)
	}
	return list, all, dropped
}

// listeners are those who are told of changes, if they are few enough. The caller holds a.mu.
func (a *attendance) listeners() []*attendee {
	if len(a.all) > joinsMax {
		return nil
	}
	return append([]*attendee{}, a.all...)
}

// A telling is a room of which a loop is to tell, and when.
type telling struct {
	of *attendance
	at time.Duration
}

// tellSoon makes the loop tell of a room when a moment has passed.
func (w *worker) tellSoon(a *attendance) {
	w.tellings = append(w.tellings, telling{a, w.loop.Now() + joinsDelay})
}
