package gateway

import (
	"github.com/centrifugal/protocol"

	"sluice/gateway/centrifuge"
	"sluice/wsproto"
)

// repliesTurn is how many bytes of replies end a turn.
const repliesTurn = 64 << 10

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

// enforce cuts subscribers until the others are within the limit. Nobody is cut for what it holds
// alone.
func (b *replyBudget) enforce() {
	for b.held > b.limit && len(b.largest) > 1 {
		c, r := b.largest[0], ClosedReplies
		if c.end != nil { // It is closing for another reason already.
			r = c.end.reason
		}
		c.abort(r)
	}
}
