package gateway

import (
	"github.com/centrifugal/protocol"

	"sluice/gateway/centrifuge"
	"sluice/hub"
)

// publish sends a message of the client's to a room: as its member if it is in it, which waits
// while the room is full, and from outside if it is not, which is refused then.
func (s *subscriber) publish(o *order) orderStep {
	r := o.Publish
	if !isRoomName(r.Channel) || len(r.Data) == 0 {
		return s.fail(o, centrifuge.ErrorBadRequest)
	}
	if s.permissions(r.Channel)&Publish == 0 {
		return s.fail(o, centrifuge.ErrorPermissionDenied)
	}
	sub := s.find(r.Channel)
	switch {
	case sub == nil && s.w.server.follows():
		return s.publishAround(o, nil)
	case sub == nil:
		return s.offer(o)
	}
	s.publishTo(sub)
	if sub.AwaitRoom() {
		s.isAwaiting = true
		s.pauseForRoom()
		return stepWaits
	}
	if s.reader.IsBlocked() {
		s.hasSpoken = true
	}
	if s.w.server.follows() {
		return s.publishAround(o, sub)
	}
	sub.Publish(s.w.loop.Now(), s.w.encoder.of(r.Channel, s.published(r, sub)))
	return s.acknowledge(o)
}

// publishTo makes the turn's publishing go on in another room.
func (s *subscriber) publishTo(sub *subscription) {
	if s.publishing != nil && s.publishing != sub {
		s.publishing.EndTurn(false)
	}
	s.publishing = sub
}

// endTurn says in the room to which the client has published that its turn ends.
func (s *subscriber) endTurn() {
	if s.publishing != nil && !s.isAwaiting {
		s.publishing.EndTurn(false)
		s.publishing = nil
	}
}

// offer publishes to a room that the client is not in.
func (s *subscriber) offer(o *order) orderStep {
	w, room := s.w, o.Publish.Channel
	w.offering = room
	_, err := hub.Offer(w.server.hub, room, w.loop.Now(), w.encoder.of(room, s.published(o.Publish, nil)))
	w.offering = ""
	if err != nil { // It is full, or cannot be made at the moment.
		return s.fail(o, centrifuge.ErrorTooManyRequests)
	}
	return s.acknowledge(o)
}

func (s *subscriber) acknowledge(o *order) orderStep {
	s.w.stats.Messages++
	return s.reply(o, &protocol.Reply{Publish: &protocol.PublishResult{}})
}
