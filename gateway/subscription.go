package gateway

import "sluice/hub"

// A subscription is a subscriber's place in one room.
type subscription struct {
	hub.Reader
	isRecoverable bool   // its client may come back by offset and epoch, so a gap has to be told
	terms         *terms // nil: it has none of its own
}

// own are the subscription's own terms.
func (sub *subscription) own() *terms {
	if sub.terms == nil {
		sub.terms = new(terms)
	}
	return sub.terms
}

// readers is the subscriber as its bundle calls it: what is said of one room's reader.
type readers subscriber

// KeepRest implements hub.ReaderClient: the rest of a frame goes out before all else, though its reader
// has left.
func (s *readers) KeepRest(rest hub.Rest) { s.outboxed().rest = rest }

// Resume implements hub.ReaderClient: it is the subscriber's turn to publish to this room.
func (s *readers) Resume(r *hub.Reader) {
	if s.awaited != nil && &s.awaited.Reader == r {
		s.awaited = nil
		s.resumeReading(pauseRoom)
	}
}

// Rejoined implements hub.ReaderClient. Where the client counts by offsets, it is told of a gap.
func (s *readers) Rejoined(r *hub.Reader, missed uint64, _ hub.Position) {
	if sub := (*subscriber)(s).find(r.Room().Name()); missed > 0 && sub != nil && sub.isRecoverable {
		(*subscriber)(s).missed(sub)
	}
}

// Lagging implements hub.ReaderClient.
func (s *readers) Lagging(r *hub.Reader, isSlow bool) {
	s.logSlow(isSlow, r.Room().Name(), r.Lag(s.w.loop.Now()))
}
