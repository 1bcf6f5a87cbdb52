package gateway

import (
	"time"

	"github.com/centrifugal/protocol"

	"sluice/gateway/centrifuge"
)

// A client of the protocol is told for how long its tokens are good, and brings another when that
// is over. For that it has a while; then its connection ends, or the subscription that a token was
// for.

// refresh makes the connection go on with another token of its client's.
func (s *subscriber) refresh(o *order) orderStep {
	switch {
	case o.Refresh.Token == "":
		return s.malformed("it refreshes without a token")
	case s.w.cfg.Auth == nil:
		return s.fail(o, centrifuge.ErrorNotAvailable)
	}
	who, done, err := s.judge(o, &Handshake{Token: o.Refresh.Token, Address: s.address()})
	switch {
	case done != stepDone:
		return done
	case isExpired(err): // Its client comes back, and asks for one that is not.
		s.closeFor(ClosedExpired)
		return stepEnded
	case err != nil:
		return s.refuse(o, err, ClosedBadToken)
	case who == nil:
		// A service is away, maybe, and all are anonymous meanwhile. The token before this one
		// counts to its end.
		return s.fail(o, centrifuge.ErrorInternal)
	case who.Subject != s.principal().Subject:
		return s.disbelieve("the token to go on with is somebody else's")
	}
	s.become(who)
	s.reviewSubscriptions()
	r := &protocol.RefreshResult{Client: s.clientID(), Version: serverVersion}
	if who.Expires != 0 {
		r.Expires, r.Ttl = true, s.ttl(who.Expires)
	}
	return s.reply(o, &protocol.Reply{Refresh: r})
}

// reviewSubscriptions ends those that the client may no longer have, behind the replies that are
// due: one may be about a subscription that ends now.
func (s *subscriber) reviewSubscriptions() {
	for i := len(s.subscriptions) - 1; i >= 0 && s.life == open; i-- {
		sub := s.subscriptions[i]
		if room := sub.Room().Name(); s.permissions(room)&Read == 0 {
			s.drop(sub)
			s.sendReplies()
			s.push(centrifuge.UnsubscribeServer.Push(room))
		}
	}
}

// subRefresh makes a subscription go on with another token.
func (s *subscriber) subRefresh(o *order) orderStep {
	r := o.SubRefresh
	switch {
	case r.Token == "":
		return s.malformed("it refreshes a subscription without a token")
	case !isRoomName(r.Channel):
		return s.fail(o, centrifuge.ErrorBadRequest)
	case s.w.cfg.Auth == nil:
		return s.fail(o, centrifuge.ErrorNotAvailable)
	}
	sub := s.find(r.Channel)
	if sub == nil {
		return s.fail(o, centrifuge.ErrorPermissionDenied)
	}
	p, ok, done := s.permit(o, r.Channel, r.Token)
	if !ok {
		return done
	}
	s.termed(sub).take(s, p)
	s.reviewSubscriptions()
	result := &protocol.SubRefreshResult{}
	if p.who.Expires != 0 {
		result.Expires, result.Ttl = true, s.ttl(p.who.Expires)
	}
	return s.reply(o, &protocol.Reply{SubRefresh: result})
}

// endTerms ends the subscriptions whose tokens' time is over, and notes when it is that of the
// next.
func (s *subscriber) endTerms(now time.Duration) {
	s.termsEnd = 0
	wall := s.w.cfg.wallClock() - s.w.cfg.expiryGrace.Milliseconds()
	for i := len(s.subscriptions) - 1; i >= 0 && s.life == open; i-- {
		sub := s.subscriptions[i]
		switch t := s.terms[sub]; {
		case t == nil || t.expires == 0:
		case now < t.endsAt && wall < 1000*t.expires:
			if s.termsEnd == 0 || t.endsAt < s.termsEnd {
				s.termsEnd = t.endsAt
			}
		case s.format == centrifuge.Protobuf: // Not every client of that would subscribe anew.
			s.close(ClosedTermsExpired)
		default:
			room := sub.Room().Name()
			s.drop(sub)
			s.push(centrifuge.UnsubscribeExpired.Push(room))
		}
	}
}
