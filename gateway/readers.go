package gateway

import (
	"sluice/gateway/centrifuge"
	"sluice/hub"
)

// readers is the subscriber as its bundle calls it: what is said of one room's reader.
type readers subscriber

// KeepRest implements hub.ReaderClient: the rest of a frame goes out before all else, though its
// reader has left.
func (s *readers) KeepRest(rest hub.Rest) { s.outboxed().rest = rest }

// Resume implements hub.ReaderClient: it is the subscriber's turn to publish to this room.
func (s *readers) Resume(r *hub.Reader) {
	if s.isAwaiting && &s.publishing.Reader == r {
		s.isAwaiting = false
		s.resumeReading(pauseRoom)
	}
}

// Rejoined implements hub.ReaderClient. Where the client counts by offsets, it is told of a gap.
func (s *readers) Rejoined(r *hub.Reader, missed uint64, at hub.Position) {
	u, room := (*subscriber)(s), r.Room().Name()
	if sub := u.find(room); missed > 0 && sub != nil && isRecoverable(u.permissions(room), at) {
		u.missed(sub)
	}
}

// Reset implements hub.ReaderClient. Where the client counts by offsets, it may have missed
// something.
func (s *readers) Reset(r *hub.Reader, at hub.Position) {
	u, room := (*subscriber)(s), r.Room().Name()
	if sub := u.find(room); sub != nil && u.life == open && isRecoverable(u.permissions(room), at) {
		u.missed(sub)
	}
}

// Lagging implements hub.ReaderClient.
func (s *readers) Lagging(r *hub.Reader, isSlow bool) {
	s.logSlow(isSlow, r.Room().Name(), r.Lag(s.w.loop.Now()))
}

// missed deals with a gap in a room whose messages have offsets.
func (s *subscriber) missed(sub *subscription) {
	s.w.stats.Gaps++
	if s.gaps == nil {
		s.gaps = new(gaps)
	}
	room := sub.Room().Name()
	isLast := s.format == centrifuge.Protobuf || s.gaps.note(room, s.w.loop.Now())
	s.drop(sub) // Before a word: nothing from behind the gap may come in front of it, or the client would count on from there.
	switch {
	case s.life != open: // For want of memory for the rest of its frame.
	case isLast:
		s.close(ClosedGap)
	default:
		s.push(centrifuge.UnsubscribeInsufficient.Push(room))
	}
}
