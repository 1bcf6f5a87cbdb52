package gateway

import (
	"context"

	"sluice/gateway/centrifuge"
)

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
