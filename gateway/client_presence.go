package gateway

import (
	"github.com/centrifugal/protocol"

	"sluice/gateway/centrifuge"
)

// presence tells who is in a room, to those who may know.
func (s *subscriber) presence(o *order) orderStep {
	room := o.Presence.Channel
	if code := s.mayKnow(room); code != 0 {
		return s.fail(o, code)
	}
	if isKept, _ := s.w.cfg.presenceOf(room); !isKept {
		return s.fail(o, centrifuge.ErrorNotAvailable)
	}
	all, ok := s.w.server.presences.infos(room)
	if !ok {
		return s.fail(o, centrifuge.ErrorLimitExceeded)
	}
	r := &protocol.PresenceResult{Presence: map[string]*protocol.ClientInfo{}}
	for _, one := range all {
		info := one.ClientInfo()
		r.Presence[info.Client] = info
	}
	return s.reply(o, &protocol.Reply{Presence: r})
}

// presenceStats tells how many clients are in a room and, where who they are is kept, how many users.
// Where everybody may be in every room everybody may count them: that tells of nobody.
func (s *subscriber) presenceStats(o *order) orderStep {
	room := o.PresenceStats.Channel
	mayCount := s.w.cfg.isOpen() && isRoomName(room)
	if code := s.mayKnow(room); code != 0 && !mayCount {
		return s.fail(o, code)
	}
	r := &protocol.PresenceStatsResult{NumUsers: uint32(s.w.server.presences.users(room))}
	if there, ok := s.w.server.hub.Room(room); ok {
		r.NumClients = uint32(there.Stats().Members)
	}
	return s.reply(o, &protocol.Reply{PresenceStats: r})
}

// mayKnow is the error that a client gets which asks about who is in a room; zero: none.
func (s *subscriber) mayKnow(room string) centrifuge.ErrorCode {
	switch {
	case !isRoomName(room):
		return centrifuge.ErrorBadRequest
	case s.permissions(room)&Presence == 0:
		return centrifuge.ErrorPermissionDenied
	}
	return 0
}
