package gateway

import (
	"errors"
	"time"

	"github.com/centrifugal/protocol"

	"sluice/gateway/centrifuge"
	"sluice/hub"
	"sluice/wsproto"
)

// addAck brings an answer to the loop, from any goroutine.
func (w *worker) addAck(a ack) {
	w.acks.mu.Lock()
	w.acks.list = append(w.acks.list, a)
	isFirst := len(w.acks.list) == 1
	w.acks.mu.Unlock()
	if isFirst {
		w.loop.Wake()
	}
}

// put hands a message over to the cluster, for flushPut.
func (w *worker) put(room string, m hub.Source, done func(hub.Position, error)) error {
	w.hasPut = true
	return w.server.cluster.Put(room, m, "", done)
}

// flushPut makes what the tick has published go out: all that was read of a room in one pack, not
// the first message in one and the others behind its acknowledgement in the next.
func (w *worker) flushPut() {
	if w.hasPut {
		w.hasPut = false
		w.server.cluster.Flush()
	}
}

// takeAcks hands answers to their subscribers, for as long as a tick has for it, and says when to
// be called again.
func (w *worker) takeAcks() time.Duration {
	k := &w.acks
	if !k.take() {
		return -1
	}
	for until := w.loop.Elapsed() + w.cfg.walkTime; k.take(); {
		a := k.taken[0]
		k.taken = k.taken[1:]
		source, _ := w.loop.Source(a.of)
		if c, ok := source.(*conn); ok && c.life == open {
			c.subscriber().acknowledged(a)
		}
		if w.loop.Elapsed() >= until {
			return 0
		}
	}
	return -1
}

// publishAround publishes a message by the cluster; sub is nil if the client is not in the room.
func (s *subscriber) publishAround(o *order, sub *subscription) orderStep {
	if s.pending == nil {
		s.pending = new(pendingReplies)
	}
	p := s.pending
	if len(p.list) >= pendingRepliesMax {
		p.isFull = true
		s.pauseForRoom()
		return stepWaits
	}
	m := s.published(o.Publish, sub)
	a := ack{of: s.token, no: p.first + uint64(len(p.list))}
	w := s.w
	err := w.put(o.Publish.Channel, m.source(w.cfg), func(_ hub.Position, err error) {
		a.err = err
		w.addAck(a)
	})
	switch {
	case err == nil:
	case errors.Is(err, hub.ErrTooLarge):
		s.closeFor(ClosedTooBig)
		return stepEnded
	case sub == nil && errors.Is(err, hub.ErrFull):
		return s.fail(o, centrifuge.ErrorTooManyRequests)
	case errors.Is(err, hub.ErrFull):
		return s.awaitRoom(sub)
	default:
		return s.fail(o, centrifuge.ErrorInternal)
	}
	if sub != nil {
		sub.Published(len(o.Publish.Data))
	}
	s.w.stats.Messages++
	p.list = append(p.list, pendingReply{id: o.Id})
	return stepDone
}

// awaitRoom makes the subscriber's commands wait for a room whose publishers are held, or for the
// next turn, by which they will be.
func (s *subscriber) awaitRoom(sub *subscription) orderStep {
	if !sub.AwaitRoom() {
		s.standInLine()
		return stepWaits
	}
	s.isAwaiting = true
	s.pauseForRoom()
	return stepWaits
}

// acknowledged takes the cluster's answer for a message, and replies to its command and to those
// behind it that were answered before.
func (s *subscriber) acknowledged(a ack) {
	p := s.pending
	one := &p.list[a.no-p.first]
	one.isAnswered, one.err = true, a.err
	var replies []byte
	for len(p.list) > 0 && p.list[0].isAnswered {
		replies = s.appendAcknowledgement(replies, &p.list[0])
		p.list = p.list[1:]
		p.first++
	}
	if len(p.list) == 0 {
		p.list = nil
	}
	if len(replies) > 0 {
		s.sendMessage(replies)
		s.w.replyBudget.enforce()
	}
	if p.isFull && s.life == open && len(p.list) < pendingRepliesMax {
		p.isFull = false
		s.resumeReading(pauseRoom)
	}
}

func (s *subscriber) appendAcknowledgement(dst []byte, one *pendingReply) []byte {
	if one.err == nil {
		return s.format.AppendReply(dst, &protocol.Reply{Id: one.id, Publish: &protocol.PublishResult{}})
	}
	s.w.stats.Unacknowledged++
	s.w.stats.CommandErrors++
	return s.format.AppendReply(dst, centrifuge.ErrorInternal.Reply(one.id))
}

// publishAround publishes the client's message by the cluster, and reports whether to go on. One
// that it does not take at present the connection keeps, and is not read on.
func (c *conn) publishAround(m wsproto.Message) bool {
	one := message{Message: m}
	switch err := c.w.put(c.reader.Room().Name(), one.source(c.w.cfg), nil); {
	case err == nil:
		c.reader.Published(len(m.Payload))
		return true
	case errors.Is(err, hub.ErrFull):
		in := c.holdInput()
		if in.unsent == nil {
			in.unsent = &wsproto.Message{Op: m.Op, Payload: append([]byte(nil), m.Payload...)}
		}
		if c.reader.AwaitRoom() {
			c.pauseForRoom()
		} else {
			c.standInLine() // Its publishers will be held in a moment.
		}
		return false
	case errors.Is(err, hub.ErrTooLarge):
		c.close(ClosedTooBig)
		return false
	}
	c.close(ClosedOutage)
	return false
}

// publishUnsent goes on with a message that the cluster did not take, and reports whether it has
// now.
func (c *conn) publishUnsent() bool {
	if !c.publishAround(*c.in.unsent) {
		return false
	}
	c.in.unsent = nil
	return true
}
