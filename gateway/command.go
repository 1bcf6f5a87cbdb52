package gateway

import "sluice/gateway/centrifuge"

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
)

// take carries out the commands of a frame that has come, and returns those that have to wait.
func (s *subscriber) take(p []byte) (rest []byte) {
	if s.w.isBrief && len(p) > briefRead {
		s.standInLine()
		return p
	}
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
		s.w.inflated += len(p) - len(behind) // It is work of the same kind.
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
