package gateway

import (
	"errors"

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
	server := s.w.server
	if server.nodes != nil && o.answer == nil {
		return s.ask(&question{desk: &server.surveyors, room: room})
	}
	if s.awaitTurn(o) {
		return stepWaits
	}
	var all []centrifuge.Info
	var err error
	if o.answer != nil {
		all, err = o.answer.infos, o.answer.err
	} else {
		all, err = server.attendeesHere(room)
	}
	switch {
	case errors.Is(err, ErrTooManyToTell):
		return s.fail(o, centrifuge.ErrorLimitExceeded)
	case err != nil: // Not all nodes have answered: it is temporary, and a part might be taken for all.
		return s.fail(o, centrifuge.ErrorInternal)
	}
	r := &protocol.PresenceResult{Presence: map[string]*protocol.ClientInfo{}}
	for _, one := range all {
		info := one.ClientInfo()
		r.Presence[info.Client] = info
	}
	return s.reply(o, &protocol.Reply{Presence: r})
}

// presenceStats tells how many clients are in a room and, where who they are is kept, how many
// users. Where everybody may be in every room everybody may count them: that tells of nobody.
func (s *subscriber) presenceStats(o *order) orderStep {
	room := o.PresenceStats.Channel
	mayCount := s.w.cfg.isOpen() && isRoomName(room)
	if code := s.mayKnow(room); code != 0 && !mayCount {
		return s.fail(o, code)
	}
	there := s.w.server.tally(room)
	r := &protocol.PresenceStatsResult{NumUsers: uint32(there.Users), NumClients: uint32(there.Members)}
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
