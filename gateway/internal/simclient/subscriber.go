//go:build linux

package simclient

import (
	"errors"
	"syscall"
	"time"

	"github.com/centrifugal/protocol"

	"sluice/hub"
)

// A Subscriber is in rooms by the Centrifuge protocol, over one connection after the other: it is
// cut, and comes back to each room behind the last message that it has had there, as the SDKs do.
type Subscriber struct {
	w          *World
	No         int
	kind       kind // good, slow, pauser or deaf
	isMute     bool // it answers no pings
	isProtobuf bool
	offers     bool // permessage-deflate
	start      int  // step at which it dials next
	pause      int  // step at which a pauser reads on
	sip        int
	cuts       int           // that are still to come
	tries      int           // times that it was not let in although all was well
	quota      int           // messages still to publish
	whims      int           // … and commands that it has no use for
	wants      int           // so many rooms, from the one numbered shift on
	isPatient  bool          // it was told that it sends too much …
	saidAt     time.Duration // … and when it has sent something since
	lasts      int           // seconds that each of its tokens is good for; zero: it has none
	isCareless bool          // it brings no other one when that is over
	isImpostor bool          // the next that it brings to go on with is somebody else's
	Refreshed  int           // times that it did

	shift     int
	places    []place   // by room
	gone      []*Socket // connections that it has left without a word
	isLeaving bool
	isAway    bool // for as long as others say
	IsClosed  bool

	Socket *Socket // nil: it has none
	Judge  SubscriberJudge
}

// A place is where a subscriber stands in a room, whatever becomes of its connections.
type place struct {
	At hub.Position // of the last message; without an epoch it knows none
}

// A SubscriberJudge says whether a Subscriber may hear what it hears.
type SubscriberJudge interface {
	Dials(s *Socket)
	Refused(s *Socket)                                     // its upgrade is refused
	Asks(sub *Subscription)                                // it sends a command to subscribe
	Begins(sub *Subscription, r *protocol.SubscribeResult) // and is answered
	Hears(sub *Subscription, p *protocol.Publication)      // a push of a room that it is in
	Dropped(sub *Subscription, u *protocol.Unsubscribe)    // its subscription is ended by a push
	Denied(s *Socket, a *Asked, e *protocol.Error)         // a command is answered with an error
	Reads(s *Socket, a *Asked, r *protocol.HistoryResult)  // a history is told
	Told(s *Socket, code int, reason string)               // a Close frame came
	Ends(s *Socket, byReset bool)                          // its stream ended
	AsksWho(s *Socket, a *Asked)                           // it sends a command to ask who is in a room
	HearsWho(s *Socket, a *Asked, r *protocol.Reply)       // and is answered
	Position(room int) hub.Position                        // one that the room has had
	Lacks(sub *Subscription) string                        // what of its room it has not got
}

// IsProtobuf reports whether it speaks that; JSON otherwise.
func (s *Subscriber) IsProtobuf() bool { return s.isProtobuf }

// Act is a turn of the subscriber. It reports whether there was anything to do.
func (s *Subscriber) Act() bool {
	switch {
	case s.IsClosed || s.w.Err != nil:
		return false
	case s.Socket == nil:
		return s.dial()
	}
	one := s.Socket
	busy := false
	if s.wantsToRead() {
		busy = one.receive()
	}
	if s.Socket == one && s.w.Err == nil {
		busy = one.transmit() || busy
	}
	return busy
}

func (s *Subscriber) dial() bool {
	if s.isAway || s.w.Steps < s.start && !s.w.IsHealing {
		return false
	}
	s.w.Kernel.SetBuffers(s.w.Plan.newBuffers(s.w.Random))
	p, err := s.w.Kernel.Dial(s.w.Listen)
	if err != nil {
		s.IsClosed = !errors.Is(err, syscall.EAGAIN)
		return false
	}
	one := &Socket{Subscriber: s, Peer: p, rooms: make([]presence, s.w.Plan.Rooms)}
	s.Socket = one
	s.Judge.Dials(one)
	one.compose()
	if s.cuts > 0 && !s.w.IsHealing && !s.isLeaving {
		one.cutAt = 1 + s.w.Random.IntN([]int{300, 1000, 5000}[s.w.Random.IntN(3)])
	}
	s.w.Kernel.Note("subscriber %d is connection %d; protobuf: %v", s.No, p.No(), s.isProtobuf)
	return true
}

func (s *Subscriber) wantsToRead() bool {
	switch {
	case s.w.IsHealing:
		return true
	case s.kind == deaf:
		return !s.Socket.IsUpgraded
	case s.kind == pauser:
		return s.w.Steps < s.start+20 || s.w.Steps >= s.pause
	case s.kind == slow:
		return s.w.Random.IntN(4) == 0
	}
	return s.w.Random.IntN(2) == 0
}

// lose leaves the connection. A subscriber comes back soon.
func (s *Subscriber) lose() {
	s.Socket.silence()
	s.Socket = nil
	s.start = s.w.Steps + s.w.Random.IntN(80)
	s.IsClosed = s.isLeaving || s.w.IsDraining
}

// failed gives up where others have all the places, and says so where they do not.
func (s *Subscriber) failed() {
	const most = 20
	if !s.w.IsHealing || s.isLeaving {
		return
	}
	if s.tries++; s.tries > most {
		s.isLeaving = true
		if s.w.Plan.Connections >= s.w.Plan.Peers() {
			s.Socket.Fail("it is not let in, again and again")
		}
	}
}

// Forsake makes the subscriber leave and stay away until Recall.
func (s *Subscriber) Forsake() {
	s.isAway = true
	if s.Socket != nil {
		s.Socket.IsCut = true
		s.Socket.Peer.Reset()
		s.lose()
	}
	s.hangUp()
}

// Recall ends that.
func (s *Subscriber) Recall() { s.isAway = false }

// Leave begins the subscriber's part of the end.
func (s *Subscriber) Leave() {
	s.isLeaving = true
	defer s.hangUp()
	switch {
	case s.Socket == nil:
		s.IsClosed = true
	case s.w.IsDraining:
	case !s.Socket.IsCut:
		s.cuts++
		s.Socket.cut()
	}
}

// TakesItsTime says that the subscriber was sent away for sending too much, and has become slow to
// say what it wants.
func (s *Subscriber) TakesItsTime() bool { return s.isPatient && !s.isLeaving }

// hangUp resets what it has left.
func (s *Subscriber) hangUp() {
	for _, one := range s.gone {
		one.Peer.Reset()
	}
	s.gone = nil
}

// WaitsFor tells what the subscriber has not got yet.
func (s *Subscriber) WaitsFor() string {
	switch one := s.Socket; {
	case s.IsClosed:
		return ""
	case one == nil:
		return "to connect"
	case !one.isConnected:
		return "the answer to its command to connect"
	case one.IsCut || one.IsTold:
		return "the end of its connection"
	case len(one.out) > 0:
		return "to say what it has to say"
	case len(one.asked) > 0:
		return "an answer"
	case s.quota > 0 || s.whims > 0 || one.wantsMore():
		return "to ask for what it wants"
	}
	for room := range s.Socket.rooms {
		if sub := s.Socket.rooms[room].now; sub != nil {
			if lacks := s.Judge.Lacks(sub); lacks != "" {
				return lacks
			}
		}
	}
	return ""
}
