package gateway

import (
	"slices"

	"sluice/hub"
)

// begin puts a subscription, which is in its room, among the subscriber's.
func (s *subscriber) begin(sub *subscription) {
	i, _ := s.at(sub.Room().Name())
	if n := len(s.subscriptions); n == cap(s.subscriptions) {
		s.subscriptions = append(make([]*subscription, 0, n+n/8+1), s.subscriptions...) // Idle ones keep what it has.
	}
	s.subscriptions = slices.Insert(s.subscriptions, i, sub)
	s.enter(sub)
	s.w.stats.Subscribed++
	s.w.subscribed.Add(1)
	s.logSubscribed(sub)
}

// drop ends a subscription: nothing of its room follows but the rest of a frame that is partly
// sent.
func (s *subscriber) drop(sub *subscription) {
	if i, isThere := s.at(sub.Room().Name()); isThere {
		s.subscriptions = slices.Delete(s.subscriptions, i, i+1)
	}
	s.end(sub)
	sub.Leave()
}

// end is the last of a subscription, whichever way it ends.
func (s *subscriber) end(sub *subscription) {
	s.absentFrom(sub)
	delete(s.terms, sub)
	s.w.stats.Unsubscribed++
	s.w.subscribed.Add(-1)
	if s.publishing != sub {
		return
	}
	s.publishing = nil
	if s.isAwaiting {
		s.isAwaiting = false
		s.resumeReading(pauseRoom) // Nobody would say that its turn has come.
	}
}

// dropAll ends all subscriptions, because the connection ends. The trunk leaves their rooms.
func (s *subscriber) dropAll() {
	s.isAwaiting = false               // Nobody reads on.
	s.w.frames += len(s.subscriptions) // It is work of the same kind.
	for _, sub := range s.subscriptions {
		s.end(sub)
	}
	s.subscriptions = nil
}

// isRecoverable reports whether a client may come back to a room by offset and epoch.
func isRecoverable(may Permission, at hub.Position) bool { return may&History != 0 && at.Epoch != "" }
