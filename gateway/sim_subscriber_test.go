//go:build linux

package gateway

import (
	"slices"
	"time"

	"github.com/centrifugal/protocol"

	"sluice/gateway/centrifuge"
	"sluice/gateway/internal/simclient"
	"sluice/hub"
)

// A simSubscriber judges what a subscriber hears. It is told where it begins in a room, and whether
// that is where it asked to go on; from there on each push is at the next position, with the
// message that everybody else has there.
type simSubscriber struct {
	*simclient.Subscriber
	w       *world
	sockets map[int]*simSocket
	subs    map[*simclient.Subscription]*simSubscription
}

// patientTime is healTime where a subscriber takes its time: it may have some eighty commands to
// send, one a second, and in many a second it thinks of none.
const patientTime = 5 * time.Minute

// healsWithin is how long a recovery may take.
func (w *world) healsWithin() time.Duration {
	if slices.ContainsFunc(w.World.Subscribers, (*simclient.Subscriber).TakesItsTime) {
		return patientTime
	}
	return healTime
}

func (s *simSubscriber) keeps(room int) bool { return s.w.Plan.History.Keeps(room) }

// Dials implements simclient.SubscriberJudge.
func (s *simSubscriber) Dials(one *simclient.Socket) {
	s.forgetQuestions()
	s.sockets[one.Peer.No()] = &simSocket{Socket: one, since: s.w.Kernel.Now()}
}

// Refused implements simclient.SubscriberJudge.
func (s *simSubscriber) Refused(one *simclient.Socket) {
	p := &s.w.Plan
	switch {
	case one.Status == 503 && (p.Connections < p.Peers() || s.w.IsDraining):
	case one.Status == 408 && s.w.Kernel.Now() >= p.Handshake:
	default:
		one.Fail("its request is answered with %d", one.Status)
	}
}

// Asks implements simclient.SubscriberJudge.
func (s *simSubscriber) Asks(sub *simclient.Subscription) {
	one := &simSubscription{Subscription: sub, w: s.w, asked: s.w.standing(sub.Room), next: map[*simclient.Client]int{}}
	if one.asked.Epoch != "" {
		one.removed = s.w.chronicleOf(sub.Room, one.asked.Epoch).removed
	}
	s.subs[sub] = one
}

// Begins implements simclient.SubscriberJudge.
func (s *simSubscriber) Begins(sub *simclient.Subscription, r *protocol.SubscribeResult) {
	keeps := s.keeps(sub.Room)
	if r.WasRecovering != sub.IsRecovering || r.Recoverable != keeps || r.Positioned != keeps || len(r.Publications) > 0 {
		sub.Socket.Fail("it asked for room %d, recovering: %v, and is answered with %v", sub.Room, sub.IsRecovering, r)
	}
	if !keeps {
		if r.Recovered || r.Epoch != "" || r.Offset != 0 {
			sub.Socket.Fail("room %d keeps nothing, and it is answered with %v", sub.Room, r)
		}
		return
	}
	sub.At = hub.Position{Epoch: r.Epoch, Offset: r.Offset}
	s.subs[sub].judgeBegin(r.Recovered)
}

// Hears implements simclient.SubscriberJudge.
func (s *simSubscriber) Hears(sub *simclient.Subscription, p *protocol.Publication) {
	m := s.w.messageOfPush(p)
	if m == nil {
		sub.Socket.Fail("a message that nobody sent: %v", p)
		return
	}
	s.subs[sub].hears(m, p.Offset)
}

// Dropped implements simclient.SubscriberJudge: it has missed something.
func (s *simSubscriber) Dropped(sub *simclient.Subscription, u *protocol.Unsubscribe) {
	if u.Code != uint32(centrifuge.UnsubscribeInsufficient) || u.Reason == "" || !s.w.Plan.IsLossy() || !s.keeps(sub.Room) || s.IsProtobuf() {
		sub.Socket.Fail("its subscription of room %d is ended: %v", sub.Room, u)
	}
	s.w.subscribers.gaps++
}

// Denied implements simclient.SubscriberJudge.
func (s *simSubscriber) Denied(one *simclient.Socket, a *simclient.Asked, e *protocol.Error) {
	p, c, isJust := &s.w.Plan, a.Command, false
	mayBeShort := p.Limits.Backlog > 0 || p.History.IsTight
	switch centrifuge.ErrorCode(e.Code) {
	case centrifuge.ErrorAlreadySubbed:
		isJust = c.Subscribe != nil && one.IsIn(a.Room)
	case centrifuge.ErrorInternal: // What the room keeps cannot be had, or there is no memory for another room.
		isJust = c.Subscribe != nil && !one.IsIn(a.Room) && (s.keeps(a.Room) || mayBeShort)
	case centrifuge.ErrorTooManyRequests:
		isJust = c.Publish != nil && (!one.IsIn(a.Room) || p.IsLossy())
	case centrifuge.ErrorNotAvailable:
		isJust = c.History != nil && !s.keeps(a.Room) || c.Presence != nil && !p.KeepsAttendance
	case centrifuge.ErrorPermissionDenied: // Without authentication nobody is told of others.
		isJust = c.Presence != nil && !p.HasTokens
	case centrifuge.ErrorTokenExpired:
		isJust = c.Connect != nil && a.Token != nil && a.Token.IsOver(s.w.Kernel.Now())
	case centrifuge.ErrorUnrecoverable:
		isJust = c.History != nil && c.History.Since != nil
	}
	if !isJust {
		one.Fail("its command %v is answered with %v", c, e)
	}
	s.w.subscribers.errors++
	s.w.forgetQuestion(a)
}

// Reads implements simclient.SubscriberJudge: what is told of a history follows where it was asked
// for, and is all of it unless that is more than was asked for.
func (s *simSubscriber) Reads(one *simclient.Socket, a *simclient.Asked, r *protocol.HistoryResult) {
	q := a.Command.History
	if r.Epoch == "" { // The room is not there.
		if len(r.Publications) > 0 || r.Offset != 0 {
			one.Fail("a history without an epoch: %v", r)
		}
		return
	}
	before := uint64(0)
	if q.Since != nil {
		before = q.Since.Offset
	}
	for i, p := range r.Publications {
		m := s.w.messageOfPush(p)
		if m == nil || (i > 0 || q.Since != nil) && p.Offset != before+1 {
			one.Fail("behind %d its history has %v", before, p)
			return
		}
		before = p.Offset
		s.w.note(a.Room, hub.Position{Epoch: r.Epoch, Offset: p.Offset}, m)
	}
	if n := len(r.Publications); n > int(q.Limit) || n > 0 && n < int(q.Limit) && before != r.Offset || before > r.Offset {
		one.Fail("it asked for %d of a history, and got %d up to %d of %d", q.Limit, n, before, r.Offset)
	}
	s.w.subscribers.histories++
}

// Told implements simclient.SubscriberJudge.
func (s *simSubscriber) Told(one *simclient.Socket, code int, reason string) {
	if reason == "" {
		one.Fail("it is told %d without a reason", code)
	}
	socket := s.sockets[one.Peer.No()]
	s.w.later(func() {
		want := int(subscriberReasons[socket.reason].code)
		if want == 0 {
			want = int(reasons[socket.reason].code)
		}
		// One that is overrun while it is closing is told that.
		if socket.isKnown && !socket.isVague && code != want && code != int(centrifuge.CloseSlow) && !one.Peer.IsDoomed() {
			one.Fail("it is told %d (%s); the gateway's reason is %v", code, reason, socket.reason)
		}
	})
}

// Ends implements simclient.SubscriberJudge.
func (s *simSubscriber) Ends(one *simclient.Socket, byReset bool) {
	socket := s.sockets[one.Peer.No()]
	s.w.later(func() {
		switch {
		case one.IsCut, one.IsTold, socket.isKnown, one.Peer.IsDoomed(), s.w.IsDraining, one.Status != 0, !one.IsUpgraded:
		default:
			one.Fail("its stream ended (reset: %v), and nobody has said why", byReset)
		}
	})
}

// Position implements simclient.SubscriberJudge.
func (s *simSubscriber) Position(room int) hub.Position {
	p := s.w.standing(room)
	if p.Epoch != "" {
		p.Offset = uint64(s.w.Random.IntN(int(p.Offset) + 3))
	}
	return p
}

// Lacks implements simclient.SubscriberJudge.
func (s *simSubscriber) Lacks(sub *simclient.Subscription) string { return s.subs[sub].lacks() }
