package gateway

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"sluice/hub"
	"sluice/reactor"
	"sluice/wsproto"
)

// A Message is what a program publishes.
type Message struct {
	Data     []byte // not to be changed before the call that publishes it returns
	IsBinary bool   // otherwise it is text, which has to be UTF-8
	// Key has a Cluster publish the message once, whichever of its gateways gets it again within
	// two minutes. Empty, or without a Cluster: each counts.
	Key string
}

// Errors of Publish and Send.
var (
	ErrRoomName     = fmt.Errorf("this is not a room name: it is 1 to %d of A-Z a-z 0-9 _ . : ~ - and not . or .. alone", roomNameMax)
	ErrNotUTF8      = errors.New("the text is not UTF-8, and every browser in the room would close its connection")
	ErrTooLarge     = errors.New("the message is larger than --max-message")
	ErrRoomFull     = errors.New("the room is full: most of its clients have yet to take what was published before")
	ErrMemory       = errors.New("the rooms take as much memory as they may until their clients have taken some")
	ErrTooManyRooms = errors.New("there is no such room, and nobody could join it: there are as many as --max-rooms allows")
	ErrFault        = errors.New("a fault of the gateway's own: it is in the log")
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

func (m *Message) message() message {
	op := wsproto.OpText
	if m.IsBinary {
		op = wsproto.OpBinary
	}
	return message{Message: wsproto.Message{Op: op, Payload: m.Data}}
}

// MaxMessage is how large a message may be, in bytes.
func (s *Server) MaxMessage() int64 { return s.config().MaxMessage }

// hasEnded reports whether Close has begun.
func (s *Server) hasEnded() bool { return s.life.Err() != nil }

// outside is what publishers share that are on no loop.
type outside struct {
	encoders  sync.Pool
	published atomic.Uint64

	joinsDropped   atomic.Uint64 // of other nodes
	unacknowledged atomic.Uint64

	deflations, deflatedFrom, deflatedTo atomic.Uint64
}

func (o *outside) encoder(cfg *config) *encoder {
	e, ok := o.encoders.Get().(*encoder)
	if !ok {
		e = new(encoder)
	}
	e.setTo(cfg)
	return e
}

// giveBack takes what an encoder has counted, and lets go of its message.
func (o *outside) giveBack(e *encoder) {
	o.take(e)
	e.done()
	o.encoders.Put(e)
}

// take adds what an encoder has counted.
func (o *outside) take(e *encoder) {
	if e.deflations > 0 {
		o.deflations.Add(e.deflations)
		o.deflatedFrom.Add(e.deflatedFrom)
		o.deflatedTo.Add(e.deflatedTo)
		e.deflations, e.deflatedFrom, e.deflatedTo = 0, 0, 0
	}
}

func (o *outside) addTo(s *Stats) {
	s.Published += o.published.Load()
	s.JoinsDropped += o.joinsDropped.Load()
	s.Unacknowledged += o.unacknowledged.Load()
	s.Deflated += o.deflations.Load()
	s.DeflatedFrom += o.deflatedFrom.Load()
	s.DeflatedTo += o.deflatedTo.Load()
}

const publishName = "sluice/gateway.(*Server).PublishAhead"

// recoverPublish has a panic end the room that it left in doubt, as one on a loop does.
func (s *Server) recoverPublish(room string, err *error) {
	if value := recover(); value != nil {
		p := reactor.RecoveredPanic(value, publishName)
		s.notePanic(&p, "of", "a publisher outside of loops", "room", room)
		*err = ErrFault
		s.endInDoubt(room, extentOf(&p), value)
	}
}
