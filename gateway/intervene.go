package gateway

import (
	"context"
	"errors"
	"strings"

	"sluice/gateway/centrifuge"
	"sluice/wsproto"
)

// What an operator does to connections. Each is done on the connection's loop.

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

// A Reach is how far it has come what was to be done to clients.
type Reach struct {
	Clients  int // to whom it was done, or who were so already
	Nodes    int // gateways that had to: all of the cluster, or this one
	Answered int // … and that have said so in time. Another one may have done it, or may not have heard of it
}

// IsWhole reports whether all have done it.
func (r *Reach) IsWhole() bool { return r.Answered == r.Nodes }

// Disconnect closes one connection, by its id in the log or in a ConnInfo, if it is of this subject
// or none is named. Its client gets what was published before, if it takes that within
// Options.CloseTimeout, and the Close frame. In a cluster the connection may be another node's, if
// it is named as subscribers are told their ids, with the run behind it. The error is ErrUnanswered
// if the connection was not found, and may be on a node that did not answer.
func (s *Server) Disconnect(ctx context.Context, id, subject string, f Farewell) (Reach, error) {
	return s.end(ctx, &ending{Client: id, Subject: subject, Farewell: f})
}

// DisconnectRoom takes every client out of a room, on all nodes, and returns how many there were. A
// client without a protocol is in its room for as long as it is connected: it is disconnected, with
// f. One of the Centrifuge protocol is told so, by a code with which it does not subscribe anew by
// itself, and stays in its other rooms. Clients that join meanwhile may be among them or not.
func (s *Server) DisconnectRoom(ctx context.Context, room string, f Farewell) (Reach, error) {
	if !isRoomName(room) {
		return Reach{}, ErrRoomName
	}
	return s.end(ctx, &ending{Room: room, IsUnsubscribe: true, Farewell: f})
}

// DisconnectSubject closes every connection of one subject, by its token; if a room is named, it is
// UnsubscribeSubject.
func (s *Server) DisconnectSubject(ctx context.Context, subject, room string, f Farewell) (Reach, error) {
	switch {
	case room != "":
		return s.UnsubscribeSubject(ctx, subject, room, f)
	case subject == "": // A client that is not known is nobody's.
		return Reach{Nodes: 1, Answered: 1}, f.check()
	}
	return s.end(ctx, &ending{Subject: subject, Farewell: f})
}

// Unsubscribe takes one client out of a room as DisconnectRoom does, by its id; without an error if
// it is not in it. It has to be of this subject, if one is named.
func (s *Server) Unsubscribe(ctx context.Context, id, subject, room string, f Farewell) (Reach, error) {
	return s.end(ctx, &ending{Client: id, Subject: subject, Room: room, IsUnsubscribe: true, Farewell: f})
}

// UnsubscribeSubject is Unsubscribe for the clients of one subject, and returns how many were in
// the room.
func (s *Server) UnsubscribeSubject(ctx context.Context, subject, room string, f Farewell) (Reach, error) {
	if !isRoomName(room) {
		return Reach{}, ErrRoomName
	}
	if subject == "" {
		return Reach{Nodes: 1, Answered: 1}, f.check()
	}
	return s.end(ctx, &ending{Subject: subject, Room: room, IsUnsubscribe: true, Farewell: f})
}

// end has it done here and on all other nodes: a client that is named by its run, here or there.
func (s *Server) end(ctx context.Context, e *ending) (Reach, error) {
	if err := e.check(); err != nil {
		return Reach{}, err
	}
	return s.everywhere(ctx, &nodeQuestion{Do: askEnd, ending: *e}, func() (int, error) { return s.endHere(ctx, e) })
}

// everywhere has done what a question says: on all other nodes, and here. If it names a client it
// is done where that is.
func (s *Server) everywhere(ctx context.Context, q *nodeQuestion, here func() (int, error)) (r Reach, err error) {
	r = Reach{Nodes: 1, Answered: 1}
	var failed error // of another node
	if s.nodes != nil && (q.Client == "" || s.isElsewhere(q.Client)) {
		asked, answered, err := s.askNodes(ctx, q, func(_ string, a *nodeAnswer) {
			r.Clients += a.Clients
			if failing := nodeFaults[a.Fault]; failing != nil {
				failed = failing
			}
		})
		if err != nil {
			return r, err
		}
		r.Nodes, r.Answered = asked+1, answered+1
	}
	n, err := here()
	if r.Clients += n; errors.Is(err, ErrNoConnection) {
		switch {
		case r.Clients > 0, failed != nil:
			err = nil
		case !r.IsWhole():
			err = ErrUnanswered
		}
	}
	if err == nil {
		err = failed
	}
	return r, err
}

// isElsewhere reports whether an id is of a run, and not of this one.
func (s *Server) isElsewhere(id string) bool {
	_, _, isHere := s.parseID(id)
	return !isHere && strings.Contains(id, "-")
}

// endHere has it done to the clients of this gateway.
func (s *Server) endHere(ctx context.Context, e *ending) (n int, err error) {
	do := func(c *conn) { c.dismiss(e.Farewell) }
	if e.IsUnsubscribe {
		do = func(c *conn) { c.remove(e.Room, e.Farewell) }
	}
	switch {
	case e.check() != nil:
		return 0, e.check()
	case e.Client != "":
		return askConn(ctx, s, e.Client, func(c *conn) (int, error) {
			switch {
			case !c.isSubject(e.Subject), !e.IsUnsubscribe && !c.isIn(e.Room):
				return 0, ErrNoConnection
			case c.isIn(e.Room):
				do(c)
			}
			return 1, nil
		})
	case e.Room == "" && e.Subject == "": // That is everybody, and nobody means it.
		return 0, nil
	case e.Room != "":
		if r, _ := s.hub.Room(e.Room); r == nil {
			return 0, nil
		}
	}
	return s.endAll(ctx, func(c *conn) bool { return c.isIn(e.Room) && c.isSubject(e.Subject) }, do)
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

// endAll makes the connections end that something is true of, or what else end does.
func (s *Server) endAll(ctx context.Context, is func(*conn) bool, end func(*conn)) (n int, err error) {
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
