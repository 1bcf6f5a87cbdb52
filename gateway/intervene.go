package gateway

import (
	"context"
	"errors"
	"unicode/utf8"

	"sluice/gateway/centrifuge"
	"sluice/wsproto"
)

// What an operator does to connections. Each is done on the connection's loop.

// A Farewell is what a client is told that is disconnected.
type Farewell struct {
	Code   int    // of the Close frame, 3000 to 4999; zero: 4012
	Reason string // UTF-8, at most 123 bytes; with Code zero: a word of ours
}

// ErrFarewell is of a Farewell that cannot be sent.
var ErrFarewell = errors.New("a close code must be 3000 to 4999, and its reason UTF-8 of at most 123 bytes")

// farewellReasonMax is what fits into a control frame behind the code (RFC 6455 §5.5).
const farewellReasonMax = wsproto.MaxControlPayload - 2

func (f *Farewell) check() error {
	isCode := f.Code == 0 || f.Code >= 3000 && f.Code <= 4999
	if !isCode || len(f.Reason) > farewellReasonMax || !utf8.ValidString(f.Reason) {
		return ErrFarewell
	}
	return nil
}

// dismiss closes the connection in order: what was published before is the last that it gets.
func (c *conn) dismiss(f Farewell) {
	code, text := c.wordsFor(ClosedByOperator)
	if f.Code != 0 {
		code = wsproto.Code(f.Code)
	}
	if f.Reason != "" {
		text = f.Reason
	}
	c.closeWith(ClosedByOperator, code, text)
}

// Disconnect closes one connection, by its id in the log or in a ConnInfo. Its client gets what was
// published before, if it takes that within Options.CloseTimeout, and the Close frame.
func (s *Server) Disconnect(ctx context.Context, id string, f Farewell) error {
	if err := f.check(); err != nil {
		return err
	}
	_, err := askConn(ctx, s, id, func(c *conn) (struct{}, error) {
		c.dismiss(f)
		return struct{}{}, nil
	})
	return err
}

// DisconnectRoom takes every client out of a room and returns how many there were. A client without a
// protocol is in its room for as long as it is connected: it is disconnected, with f. One of the
// Centrifuge protocol is told so, by a code with which it does not subscribe anew by itself, and stays
// in its other rooms. Clients that join meanwhile may be among them or not.
func (s *Server) DisconnectRoom(ctx context.Context, room string, f Farewell) (n int, err error) {
	if !isRoomName(room) {
		return 0, ErrRoomName
	}
	if r, _ := s.hub.Room(room); r == nil {
		return 0, f.check()
	}
	return s.endAll(ctx, f, func(c *conn) bool { return c.isIn(room) }, func(c *conn) { c.remove(room, f) })
}

// DisconnectSubject closes every connection of one subject, by its token; if a room is named, it is
// UnsubscribeSubject.
func (s *Server) DisconnectSubject(ctx context.Context, subject, room string, f Farewell) (n int, err error) {
	if room != "" {
		return s.UnsubscribeSubject(ctx, subject, room, f)
	}
	is := func(c *conn) bool { return subject != "" && c.isIn("") && c.isSubject(subject) }
	return s.endAll(ctx, f, is, func(c *conn) { c.dismiss(f) })
}

// Unsubscribe takes one client out of a room as DisconnectRoom does, by its id; without an error if it
// is not in it.
func (s *Server) Unsubscribe(ctx context.Context, id, room string, f Farewell) error {
	if err := f.check(); err != nil {
		return err
	}
	_, err := askConn(ctx, s, id, func(c *conn) (struct{}, error) {
		if c.isIn(room) {
			c.remove(room, f)
		}
		return struct{}{}, nil
	})
	return err
}

// UnsubscribeSubject is Unsubscribe for the clients of one subject, and returns how many were in the
// room.
func (s *Server) UnsubscribeSubject(ctx context.Context, subject, room string, f Farewell) (n int, err error) {
	if !isRoomName(room) {
		return 0, ErrRoomName
	}
	is := func(c *conn) bool { return subject != "" && c.isIn(room) && c.isSubject(subject) }
	return s.endAll(ctx, f, is, func(c *conn) { c.remove(room, f) })
}

// remove takes the connection out of a room that it is in.
func (c *conn) remove(room string, f Farewell) {
	s := c.subscriber()
	if s == nil {
		c.dismiss(f)
		return
	}
	s.drop(s.find(room))
	s.push(centrifuge.UnsubscribeServer.Push(room))
}

// endAll has the connections end that something is true of, or what else end does.
func (s *Server) endAll(ctx context.Context, f Farewell, is func(*conn) bool, end func(*conn)) (n int, err error) {
	if err := f.check(); err != nil {
		return 0, err
	}
	counts := make([]int, len(s.workers))
	err = s.walk(ctx, func(w *worker) func(*conn) {
		return func(c *conn) {
			if is(c) {
				counts[w.no]++
				end(c)
			}
		}
	})
	if err != nil {
		return 0, err
	}
	for _, one := range counts {
		n += one
	}
	return n, nil
}

// sendMax is how much may wait for one client, of what Send was given before, for it to be given
// more: a client that does not read costs no more than this and one message.
const sendMax = 64 << 10

// Send sends a message to one client alone, beside what it gets of its room: it has no number there
// and no place among its messages. It is accepted when nil is returned, not received.
func (s *Server) Send(ctx context.Context, id string, m Message) error {
	if err := s.judge(&m); err != nil {
		return err
	}
	e := encoder{message: m.message()}
	f := e.Encode(encodingPlain)
	frame := append(f.Head[:len(f.Head):len(f.Head)], f.Payload...) // Its own: the caller's may change when ctx has ended.
	e.message.Payload = frame[len(f.Head):]
	_, err := askConn(ctx, s, id, func(c *conn) (struct{}, error) {
		switch c.past {
		case listens:
			frame = appendEvent(nil, e.message.Message)
		case subscribes:
			frame = c.subscriber().appendMessage(nil, &e.message)
		}
		return struct{}{}, c.sendDirect(frame)
	})
	return err
}

func (c *conn) sendDirect(frame []byte) error {
	o := c.outboxed()
	if len(o.bytes) > sendMax {
		return ErrOutboxFull
	}
	o.pongAt = -1 // A newer pong takes the place of an older one and all behind it.
	c.w.stats.Sent++
	c.send(frame)
	return nil
}
