package gateway

import (
	"errors"

	"github.com/centrifugal/protocol"

	"sluice/gateway/centrifuge"
	"sluice/hub"
)

// subscribe brings the client into a room.
func (s *subscriber) subscribe(o *order) orderStep {
	r := o.Subscribe
	switch {
	case !isRoomName(r.Channel), r.Tf != nil:
		return s.fail(o, centrifuge.ErrorBadRequest)
	case r.Delta != "" && r.Delta != deltaFossil:
		return s.malformed("it asks for deltas that there are none of")
	case r.Type != 0: // A map, or one that is polled.
		return s.fail(o, centrifuge.ErrorPermissionDenied)
	case s.find(r.Channel) != nil:
		return s.fail(o, centrifuge.ErrorAlreadySubbed)
	}
	p, ok, done := s.permit(o, r.Channel, r.Token)
	if !ok {
		return done
	}
	may := s.permissionsBy(p.granted, r.Channel)
	if may&Read == 0 {
		return s.fail(o, centrifuge.ErrorPermissionDenied)
	}
	w := wish{isRecovering: r.Recover, since: hub.Position{Epoch: r.Epoch, Offset: r.Offset}, isStrict: r.Flag&flagStrict != 0}
	result, done, code := s.join(o, r.Channel, p, may, w)
	switch {
	case done != stepDone:
		return done
	case code != 0:
		return s.fail(o, code)
	}
	return s.reply(o, &protocol.Reply{Subscribe: result})
}

const (
	// deltaFossil is the one kind of deltas that a client may ask for; it is told that it gets
	// none.
	deltaFossil = "fossil"
	// flagStrict is the bit of a request's flag by which it wants an error where it cannot be
	// recovered.
	flagStrict = 1 << 1
)

// A wish is where a client wants a subscription to begin.
type wish struct {
	isRecovering bool // behind a position, which may be none
	since        hub.Position
	isStrict     bool // or not at all
	isHeld       bool // nothing is handed to it before Ready
	isUnfilled   bool // in a cluster, without what its room kept before
}

func (w *wish) start(may Permission) (start hub.Start) {
	start.IsHeld, start.IsUnfilled = w.isHeld, w.isUnfilled
	if w.isRecovering && may&History != 0 {
		if start.Since = w.since; start.Since.Epoch == "" {
			start.Since.Epoch = "?" // Without one it cannot be told from a position of another stream.
		}
	}
	return start
}

// join makes the client a reader of a room, if nothing forbids it. A code is the error that it gets
// instead; done says whether the order has to wait first, until what the room keeps was made in the
// client's encoding.
func (s *subscriber) join(o *order, room string, p permit, may Permission, w wish) (result *protocol.SubscribeResult, done orderStep, code centrifuge.ErrorCode) {
	w.isUnfilled = o.answer != nil && (o.answer.isLate || o.answer.isEven)
	result, err := s.enterRoom(room, p, may, w)
	switch {
	case err == nil:
		return result, stepDone, 0
	case errors.Is(err, hub.ErrNotBuilt), errors.Is(err, hub.ErrNotFilled), errors.Is(err, hub.ErrAhead):
		q := s.questionFor(o, err, room, w.start(may).Since)
		if q == nil {
			return nil, stepDone, centrifuge.ErrorInternal // So much is published that it was dropped before it was done.
		}
		if p.who != nil {
			q.answer.who = *p.who
		}
		return nil, s.ask(q), 0
	case errors.Is(err, hub.ErrNoNewRooms):
		return nil, stepDone, centrifuge.ErrorInternal // For want of memory, which is temporary.
	case errors.Is(err, errUnrecoverable):
		return nil, stepDone, centrifuge.ErrorUnrecoverable
	case errors.Is(err, hub.ErrTooManyRooms): // Others have them, and may leave one.
		return nil, stepDone, centrifuge.ErrorTooManyRequests
	}
	return nil, stepDone, centrifuge.ErrorLimitExceeded
}

var errUnrecoverable = errors.New("gateway: something behind that position is no longer kept")

// enterRoom is join without an order. The errors are hub.ErrNotBuilt, errUnrecoverable, and of
// limits.
func (s *subscriber) enterRoom(room string, p permit, may Permission, w wish) (*protocol.SubscribeResult, error) {
	if len(s.subscriptions) >= s.w.cfg.MaxSubscriptions {
		return nil, ErrTooManySubscriptions
	}
	sub := new(subscription)
	joined, err := s.bundle.Join(s.w.loop.Now(), room, w.start(may), &sub.Reader)
	if err != nil {
		return nil, err
	}
	if w.isRecovering && w.isStrict && joined.Answer != hub.Recovered {
		sub.Leave()
		return nil, errUnrecoverable
	}
	result := w.result(joined, isRecoverable(may, joined.Position))
	if p.who != nil {
		s.termed(sub).take(s, p)
		if p.who.Expires != 0 {
			result.Expires, result.Ttl = true, s.ttl(p.who.Expires)
		}
	}
	s.begin(sub)
	return result, nil
}

// questionFor is what a join waits for that has failed because of what the room keeps; nil: it has
// waited for that already.
func (s *subscriber) questionFor(o *order, err error, room string, since hub.Position) *question {
	was := o.answer
	if was == nil {
		was = new(verdict)
	}
	switch {
	case was.err != nil:
		return nil
	case errors.Is(err, hub.ErrNotFilled) && !was.isTried:
		return &question{desk: &s.w.server.filler, room: room, answer: verdict{isTried: true}}
	case errors.Is(err, hub.ErrAhead):
		return &question{desk: &s.w.server.chaser, room: room, since: since, answer: verdict{isTried: true, isEven: true}}
	case errors.Is(err, hub.ErrNotBuilt) && !was.isBuilt:
		answer := verdict{isBuilt: true, isTried: was.isTried, isEven: was.isEven}
		return &question{desk: &s.w.server.builder, room: room, encoding: s.encoding(), answer: answer}
	}
	return nil
}

// result is what the client is told of where it begins. Of one that is recovered that is the
// position that it has named: what it has missed follows, and a newer one would lose that if the
// connection broke in between.
func (w *wish) result(joined hub.Joined, isRecoverable bool) *protocol.SubscribeResult {
	r := &protocol.SubscribeResult{WasRecovering: w.isRecovering}
	if !isRecoverable {
		return r
	}
	r.Recoverable, r.Positioned, r.Epoch, r.Offset = true, true, joined.Epoch, joined.Offset
	if w.isRecovering && joined.Answer == hub.Recovered {
		r.Recovered, r.Offset = true, w.since.Offset
	}
	return r
}

// unsubscribe takes the client out of a room, if it is in it.
func (s *subscriber) unsubscribe(o *order) orderStep {
	if !isRoomName(o.Unsubscribe.Channel) {
		return s.fail(o, centrifuge.ErrorBadRequest)
	}
	if sub := s.find(o.Unsubscribe.Channel); sub != nil {
		s.drop(sub)
	}
	return s.reply(o, &protocol.Reply{Unsubscribe: &protocol.UnsubscribeResult{}})
}
