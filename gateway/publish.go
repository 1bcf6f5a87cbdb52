package gateway

import (
	"errors"
	"unicode/utf8"

	"sluice/hub"
	"sluice/reactor"
)

// Publish sends a message to every client in a room, from any goroutine, and returns how many they
// are: each is owed it, none has it yet. It waits for nobody: where clients that publish would have
// to wait, the error is ErrRoomFull or ErrMemory, and a later try may succeed. A room that does not
// exist is made only if Options.History says that it keeps the message: otherwise nobody would hear
// it. With a Cluster it waits for its acknowledgement, and the clients are those of this gateway.
//
// Messages that one goroutine publishes arrive in its order. Publish asks for no permission:
// whoever has the Server may write into every room.
func (s *Server) Publish(room string, m Message) (members int, err error) {
	p, err := s.PublishAt(room, m)
	return p.Members, err
}

// PublishAt is Publish, and tells the message's position too: in a room that keeps messages, where
// it is the last one now, and without an epoch elsewhere.
func (s *Server) PublishAt(room string, m Message) (p hub.Published, err error) {
	p, wait, err := s.PublishAhead(room, m)
	if wait != nil {
		return wait()
	}
	return p, err
}

// PublishAhead is PublishAt for who has more to publish, and need not wait in between: with a
// Cluster it returns when the message is handed over, and wait, to be called once at most, from any
// goroutine, returns the answer; the message is counted either way. The error is ErrRoomFull if too
// much waits for an acknowledgement already. Without a Cluster wait is nil, and p the answer.
func (s *Server) PublishAhead(room string, m Message) (p hub.Published, wait func() (hub.Published, error), err error) {
	if !isRoomName(room) {
		return p, nil, ErrRoomName
	}
	if err := s.judge(&m); err != nil {
		return p, nil, err
	}
	if !s.config().panics {
		defer s.recoverPublish(room, &err)
	}
	switch {
	case s.hasEnded():
		return p, nil, ErrClosed
	case s.follows():
		wait, err = s.publishAround(room, &m)
		return p, wait, err
	}
	e := s.outside.encoder(s.config())
	defer s.outside.giveBack(e)
	p, err = hub.Offer(s.hub, room, s.workers[0].loop.Elapsed(), e.of(room, m.message()))
	switch {
	case err == nil:
		s.outside.published.Add(1)
	case errors.Is(err, hub.ErrTooManyRooms):
		err = ErrTooManyRooms
	case errors.Is(err, hub.ErrFull):
		err = ErrRoomFull
	default:
		err = ErrMemory
	}
	return p, nil, err
}

// judge refuses what no client may be sent.
func (s *Server) judge(m *Message) error {
	switch {
	case int64(len(m.Data)) > s.config().MaxMessage:
		return ErrTooLarge
	case !m.IsBinary && !utf8.Valid(m.Data):
		return ErrNotUTF8
	}
	return nil
}

// MaxMessage is how large a message may be, in bytes.
func (s *Server) MaxMessage() int64 { return s.config().MaxMessage }

// hasEnded reports whether Close has begun.
func (s *Server) hasEnded() bool { return s.life.Err() != nil }

const publishName = "sluice/gateway.(*Server).PublishAhead"

// recoverPublish makes a panic end the room that it left in doubt, as one on a loop does.
func (s *Server) recoverPublish(room string, err *error) {
	if value := recover(); value != nil {
		p := reactor.RecoveredPanic(value, publishName)
		s.notePanic(&p, "of", "a publisher outside of loops", "room", room)
		*err = ErrFault
		s.endInDoubt(room, extentOf(&p), value)
	}
}
