package gateway

import "sluice/hub"

// A subscription is a subscriber's place in one room. There are many; what a few have beside is in
// subscriber.terms.
type subscription struct{ hub.Reader }

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
