package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/centrifugal/protocol"

	"sluice/hub"
)

// What a backend does to clients of the Centrifuge protocol from outside: it brings them into
// rooms.

// A Placement is what a backend gives with a room that it brings a client into.
type Placement struct {
	Info    []byte // what others are told of the client there, as of Principal.Info; nil: nothing beside
	Expires int64  // when the subscription ends, in seconds of Unix time, and a while later, unless a token prolongs it; zero: with the connection
}

// Subscribe brings one client of the Centrifuge protocol into a room, by its id, if it is of this
// subject or none is named, whether it may read there by itself or not; what else it may do there
// is up to its own grants. It hears what is published from then on, is told of it by a push, and is
// in the room as long as its connection lasts: one that comes back has to be brought there again.
// Without an error nothing is done if it is there already, has yet to say who it is, or speaks no
// such protocol. In a cluster it is found as by Disconnect.
func (s *Server) Subscribe(ctx context.Context, id, subject, room string, p Placement) (Reach, error) {
	return s.place(ctx, &ending{Client: id, Subject: subject, Room: room}, p)
}

// SubscribeSubject is Subscribe for the clients of one subject, on all nodes. An error is of one of
// them; the others are in the room.
func (s *Server) SubscribeSubject(ctx context.Context, subject, room string, p Placement) (Reach, error) {
	if subject == "" { // A client that is not known is nobody's.
		return Reach{Nodes: 1, Answered: 1}, p.check(room)
	}
	return s.place(ctx, &ending{Subject: subject, Room: room}, p)
}

func (s *Server) place(ctx context.Context, whom *ending, p Placement) (Reach, error) {
	if err := p.check(whom.Room); err != nil {
		return Reach{}, err
	}
	q := &nodeQuestion{Do: askPlace, ending: *whom, Info: p.Info, Expires: p.Expires}
	return s.everywhere(ctx, q, func() (int, error) { return s.placeHere(ctx, whom, p) })
}

// placeHere brings those of this gateway there.
func (s *Server) placeHere(ctx context.Context, whom *ending, p Placement) (n int, err error) {
	if err := p.check(whom.Room); err != nil {
		return 0, err
	}
	err = s.building(ctx, whom.Room, func() (err error) {
		n, err = s.bringAll(ctx, whom, p)
		return err
	})
	return n, err
}

func (s *Server) bringAll(ctx context.Context, whom *ending, p Placement) (int, error) {
	if whom.Client != "" {
		return askConn(ctx, s, whom.Client, func(c *conn) (int, error) {
			if !c.isSubject(whom.Subject) {
				return 0, ErrNoConnection
			}
			return 1, c.bring(whom.Room, p)
		})
	}
	errs := make([]error, len(s.workers))
	n, err := s.endAll(ctx, func(c *conn) bool { return whom.Subject != "" && c.isIn("") && c.isSubject(whom.Subject) }, func(c *conn) {
		if err := c.bring(whom.Room, p); err != nil {
			errs[c.w.no] = err
		}
	})
	if err != nil {
		return n, err // Some of them may still be at it.
	}
	return n, errors.Join(errs...)
}

// notBuilt says that nobody reads what the room keeps in a client's encoding yet.
type notBuilt struct{ encoding hub.Encoding }

func (*notBuilt) Error() string { return hub.ErrNotBuilt.Error() }

// building calls bring until what the room keeps is here, and was encoded for all that it brings
// there, which is once for each encoding, and once more if it was dropped meanwhile.
func (s *Server) building(ctx context.Context, room string, bring func() error) (err error) {
	if !s.config().panics {
		defer s.recoverPublish(room, &err)
	}
	for range hub.EncodingsMax + 1 {
		lacks := new(notBuilt)
		switch err = bring(); {
		case errors.Is(err, hub.ErrNotFilled):
			if err := s.fill(ctx, room); err != nil {
				return err
			}
		case errors.As(err, &lacks):
			s.hub.Build(ctx, room, lacks.encoding)
		default:
			return err
		}
	}
	return ErrMemory
}

// ErrInfo is of a Placement whose Info cannot be told.
var ErrInfo = errors.New("what others are told of a client has to be JSON on one line, of at most 1024 bytes")

func (p *Placement) check(room string) error {
	switch {
	case !isRoomName(room):
		return ErrRoomName
	case p.Info != nil && (len(p.Info) > InfoMax || !json.Valid(p.Info) || bytes.ContainsAny(p.Info, "\r\n")):
		return ErrInfo
	}
	return nil
}

// bring subscribes the client to a room.
func (c *conn) bring(room string, given Placement) error {
	s := c.subscriber()
	if s == nil || !s.isConnected || s.find(room) != nil {
		return nil
	}
	p := permit{who: &Principal{Info: given.Info, Expires: min(given.Expires, expiresMax)}, granted: Read}
	result, err := s.enterRoom(room, p, s.permissionsBy(Read, room), wish{})
	switch {
	case errors.Is(err, hub.ErrNotBuilt):
		return &notBuilt{s.encoding()}
	case errors.Is(err, hub.ErrNotFilled):
		return err
	case errors.Is(err, hub.ErrNoNewRooms):
		return ErrMemory
	case err != nil:
		return ErrTooManySubscriptions
	}
	s.push(&protocol.Reply{Push: &protocol.Push{Channel: room, Subscribe: &protocol.Subscribe{
		Recoverable: result.Recoverable, Positioned: result.Positioned, Epoch: result.Epoch, Offset: result.Offset,
	}}})
	return nil
}
