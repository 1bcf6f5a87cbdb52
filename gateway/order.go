package gateway

import (
	"errors"
	"unicode/utf8"

	"github.com/centrifugal/protocol"

	"sluice/gateway/centrifuge"
	"sluice/reactor"
	"sluice/wsproto"
)

// An order is a command, and what came of the question that it has waited for; nil: it has not.
type order struct {
	*protocol.Command
	answer *verdict
}

// An orderStep is what became of an order.
type orderStep uint8

const (
	stepDone  orderStep = iota // it is answered, or needs no answer
	stepWaits                  // reading is paused; it is carried out again afterwards
	stepEnded                  // it was the last of its connection
)

// reply answers a command.
func (s *subscriber) reply(o *order, r *protocol.Reply) orderStep {
	r.Id = o.Id
	s.w.replies = s.format.AppendReply(s.w.replies, r)
	return stepDone
}

// fail answers a command with an error.
func (s *subscriber) fail(o *order, code centrifuge.ErrorCode) orderStep {
	s.w.stats.CommandErrors++
	s.w.replies = s.format.AppendReply(s.w.replies, code.Reply(o.Id))
	return stepDone
}

// malformed ends the connection for a command that cannot be one. detail is in words of ours.
func (s *subscriber) malformed(detail string) orderStep {
	s.sendReplies()
	s.logAbuse(ClosedBadCommand, detail)
	code, text := s.wordsFor(ClosedBadCommand)
	s.closeWith(ClosedBadCommand, code, text)
	return stepEnded
}

// closeFor ends the connection behind the replies that are due.
func (s *subscriber) closeFor(r CloseReason) {
	s.sendReplies()
	s.close(r)
}

// ask has a command wait until a question is answered.
func (s *subscriber) ask(q *question) orderStep {
	c := s.conn
	q.c = c
	c.holdInput()
	c.in.question = q
	c.pauseReading(pauseParked)
	s.due = c.w.loop.Now() + c.w.cfg.HandshakeTimeout
	c.setTimer()
	q.desk.ask(q)
	return stepWaits
}

// awaitTurn makes a command whose answer takes long to make wait for a turn in the line of those
// that do, and reports whether it has to: each of a crowd takes some, and nobody is to wait for all
// of them. What came of a question before is there in that turn.
func (s *subscriber) awaitTurn(o *order) (waits bool) {
	if s.hasStood = !s.hasStood; s.hasStood {
		if o.answer != nil {
			s.in.question = &question{answer: *o.answer}
		}
		s.pauseReading(pauseTurn)
		s.w.loop.RequeueCostly(s.token, reactor.Readable)
	}
	return s.hasStood
}

// giveUp makes a command go on that has waited for an answer for too long.
func (s *subscriber) giveUp() {
	q := s.in.question
	q.desk.drop(q)
	s.in.question = &question{desk: q.desk, answer: verdict{err: errTooLate}} // The other may be being written to.
	s.resumeReading(pauseParked)
}

var errTooLate = errors.New("gateway: nobody has answered in time")

// published is what a client publishes: JSON, or any bytes where the protocol is protobuf, of which
// text is what is UTF-8.
func (s *subscriber) published(r *protocol.PublishRequest, sub *subscription) message {
	m := message{info: s.infoIn(sub), isValue: s.format == centrifuge.JSON}
	m.Op, m.Payload = wsproto.OpText, r.Data
	if !m.isValue && !utf8.Valid(r.Data) {
		m.Op = wsproto.OpBinary
	}
	return m
}
