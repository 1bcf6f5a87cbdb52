package gateway

import (
	"strings"

	"github.com/centrifugal/protocol"

	"sluice/gateway/centrifuge"
)

// A permit is what a token for one room gives, beside what its client may do everywhere.
type permit struct {
	who     *Principal // whom it names; nil: there is none
	granted Permission
}

// take makes the subscription be by a token from now on.
func (t *terms) take(s *subscriber, p permit) {
	t.granted, t.expires, t.info = p.granted, p.who.Expires, ""
	if len(p.who.Info) > 0 {
		t.info = infoOf(s.principal(), s.clientID(), p.who.Info)
	}
	if t.expires != 0 {
		t.endsAt = s.endOf(t.expires)
		if s.termsEnd == 0 || t.endsAt < s.termsEnd {
			s.termsEnd = t.endsAt
			s.setTimer()
		}
	}
}

// termed are the terms of a subscription, made if need be.
func (s *subscriber) termed(sub *subscription) *terms {
	t := s.terms[sub]
	if t == nil {
		if s.terms == nil {
			s.terms = map[*subscription]*terms{}
		}
		t = new(terms)
		s.terms[sub] = t
	}
	return t
}

// permissionsBy are what the client may do in a room in which it was granted something beside.
func (s *subscriber) permissionsBy(granted Permission, room string) Permission {
	return s.w.cfg.permissions(s.principal(), room) | granted&^s.w.cfg.denied(room)
}

// permissions are what the client may do in a room.
func (s *subscriber) permissions(room string) Permission {
	var granted Permission
	if len(s.terms) > 0 {
		if t := s.terms[s.find(room)]; t != nil {
			granted = t.granted
		}
	}
	return s.permissionsBy(granted, room)
}

// infoIn is what others are told of the client in the room of a subscription, nil: in any.
func (s *subscriber) infoIn(sub *subscription) centrifuge.Info {
	if t := s.terms[sub]; t != nil && t.info != "" {
		return t.info
	}
	if s.info == "" {
		s.info = infoOf(s.principal(), s.clientID(), nil)
	}
	return s.info
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

// userOf is what others know somebody by: empty, as of somebody who is not known, if that is too
// long.
func userOf(who *Principal) string {
	if len(who.Subject) > subjectMax {
		return ""
	}
	return strings.Clone(who.Subject) // Or it would keep the whole token.
}
