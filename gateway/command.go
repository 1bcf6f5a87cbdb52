package gateway

import (
	"errors"

	"github.com/centrifugal/protocol"

	"sluice/gateway/centrifuge"
	"sluice/reactor"
	"sluice/wsproto"
)

// A frame of a subscriber holds commands, which are carried out in their order. One that has to
// wait, for its room, an answer or the next turn, stays with those behind it in inbound.commands,
// and the subscriber is not read on. Replies of one turn go out in one frame, behind everything
// that the subscriber was sent before and, because rooms are swept at the tick's end, before
// anything of a room that a command has brought it to.

const (
	// commandsTurn is how many commands of one subscriber a turn carries out: what a turn's reading
	// may hold at most, near enough.
	commandsTurn = 256
	// commandBytesTurn is how many bytes of commands end a turn, however few they are: one of
	// CommandMax can take some milliseconds to decode, and a message has room for many.
	commandBytesTurn = 64 << 10
	// repliesTurn is how many bytes of replies end a turn.
	repliesTurn = 64 << 10
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

// take carries out the commands of a frame that has come, and returns those that have to wait.
func (s *subscriber) take(p []byte) (rest []byte) {
	if s.w.isBrief && len(p) > briefRead {
		s.standInLine()
		return p
	}
	s.w.inflated += len(p) // It is work of the same kind.
	return s.obey(p, nil)
}

// resume goes on with commands that had to wait, and reports whether all of them are done.
func (s *subscriber) resume() bool {
	in := s.in
	rest := s.obey(in.commands[in.obeyed:], s.takeAnswer())
	if s.life != open {
		return false
	}
	if len(rest) > 0 {
		in.obeyed = len(in.commands) - len(rest)
		return false
	}
	in.commands, in.obeyed = nil, 0
	return true
}

// obey carries out the commands of a frame, and returns those that have to wait. answer is for the
// first.
func (s *subscriber) obey(p []byte, answer *verdict) (rest []byte) {
	s.w.replies = s.w.replies[:0]
	whole := len(p)
	for n := 0; n == 0 || len(p) > 0; n++ {
		if answer == nil && s.waitsBefore(n, whole-len(p)) {
			rest = p
			break
		}
		command, behind, err := s.format.NextCommand(p)
		if err != nil {
			s.malformed(err.Error())
			break
		}
		if done := s.carryOut(&order{command, answer}); done == stepWaits {
			rest = p
			break
		}
		if s.charge(); s.life != open {
			break
		}
		p, answer = behind, nil
	}
	s.sendReplies()
	if s.life != open {
		return nil
	}
	return rest
}

// waitsBefore pauses reading before the command behind n others of a turn, which are of so many
// bytes, if it has to wait, and reports whether it does.
func (s *subscriber) waitsBefore(n, bytes int) bool {
	switch {
	case s.isThrottled():
		return true
	case n >= commandsTurn, n >= briefCommands && s.w.isBrief, bytes >= commandBytesTurn,
		len(s.w.replies) >= repliesTurn, s.w.judged >= judgedTurn, s.w.told >= historyTaken:
		s.standInLine()
		return true
	}
	return false
}

// carryOut carries out one command.
func (s *subscriber) carryOut(o *order) orderStep {
	switch {
	case centrifuge.IsPong(o.Command):
		return s.ponged()
	case o.Connect != nil:
		return s.connect(o)
	case !s.isConnected:
		return s.malformed("its first command is not connect")
	case o.Subscribe != nil:
		return s.subscribe(o)
	case o.Unsubscribe != nil:
		return s.unsubscribe(o)
	case o.Publish != nil:
		return s.publish(o)
	case o.Send != nil:
		s.closeFor(ClosedUnsupported)
		return stepEnded
	case o.History != nil:
		return s.history(o)
	case o.Presence != nil:
		return s.presence(o)
	case o.PresenceStats != nil:
		return s.presenceStats(o)
	case o.Refresh != nil:
		return s.refresh(o)
	case o.SubRefresh != nil:
		return s.subRefresh(o)
	case o.Rpc != nil:
		return s.fail(o, centrifuge.ErrorNotAvailable)
	}
	return s.fail(o, centrifuge.ErrorMethodNotFound)
}

// charge counts a command that has been carried out. It is a message where those have a rate.
func (s *subscriber) charge() {
	w := s.w
	w.frames++
	w.stats.Commands++
	rate := int64(w.cfg.MessageRate)
	if rate == 0 || s.life != open {
		return
	}
	lacks := s.metered().messages.take(1, rate, w.loop.Now())
	if lacks > 0 { // Its connection may end for that, and what it is told first is that this one is done.
		s.sendReplies()
	}
	if s.life == open {
		s.throttle(lacks, ClosedMessageRate)
	}
}

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

// awaitTurn has a command whose answer takes long to make wait for a turn in the line of those that
// do, and reports whether it has to: each of a crowd takes some, and nobody is to wait for all of
// them. What came of a question before is there in that turn.
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

var errTooLate = errors.New("gateway: nobody has answered in time")

// giveUp has a command go on that has waited for an answer for too long.
func (s *subscriber) giveUp() {
	q := s.in.question
	q.desk.drop(q)
	s.in.question = &question{desk: q.desk, answer: verdict{err: errTooLate}} // The other may be being written to.
	s.resumeReading(pauseParked)
}

// sendReplies sends the replies of the commands so far, in one frame. One that asks and does not
// read is closed when more than Options.ReplyBacklog waits for it, or cut when all that do hold too
// much.
func (s *subscriber) sendReplies() {
	p := s.w.replies
	s.w.replies = p[:0]
	if len(p) > 0 && s.life == open {
		s.sendMessage(p)
		s.w.replyBudget.enforce()
	}
	if cap(p) > 4*repliesTurn {
		s.w.replies = nil
	}
}

// sendMessage sends the subscriber a message of its own, if it has taken enough of those before.
func (s *subscriber) sendMessage(p []byte) {
	o := s.outboxed()
	if int64(len(o.bytes)) > s.w.cfg.ReplyBacklog {
		s.close(ClosedReplies)
		return
	}
	o.pongAt = -1 // A newer pong takes the place of an older one and all behind it.
	o.bytes = wsproto.AppendFrame(o.bytes, s.op(), p)
	s.flushOwn()
}

// push sends the subscriber something that is for it alone.
func (s *subscriber) push(r *protocol.Reply) {
	s.sendMessage(s.format.AppendReply(nil, r))
}

// appendMessage appends the frame of a message that is for the subscriber alone.
func (s *subscriber) appendMessage(dst []byte, m *message) []byte {
	data, _ := centrifuge.AppendData(nil, kindOf(m.Op == wsproto.OpBinary, m.isValue), m.Payload)
	push := &protocol.Reply{Push: &protocol.Push{Message: &protocol.Message{Data: data}}}
	return wsproto.AppendFrame(dst, s.op(), s.format.AppendReply(nil, push))
}

func (s *subscriber) op() wsproto.Opcode {
	if s.format == centrifuge.Protobuf {
		return wsproto.OpBinary
	}
	return wsproto.OpText
}
