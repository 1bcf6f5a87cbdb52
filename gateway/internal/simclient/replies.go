//go:build linux

package simclient

import (
	"errors"
	"io"

	"github.com/centrifugal/protocol"
)

// gotReplies takes a frame of replies and pushes apart, with the decoder that SDKs use.
func (s *Socket) gotReplies(frame []byte) {
	var d protocol.ReplyDecoder = protocol.NewJSONReplyDecoder(frame)
	if s.Subscriber.isProtobuf {
		d = protocol.NewProtobufReplyDecoder(frame)
	}
	for n := 0; s.Subscriber.w.Err == nil; n++ {
		r, err := d.Decode()
		switch {
		case errors.Is(err, io.EOF) && (r == nil || n > 0):
			if n == 0 {
				s.Fail("a frame with nothing in it: %q", frame)
			}
			return
		case err != nil:
			s.Fail("%v in %q", err, frame)
			return
		}
		s.gotReply(r)
	}
}

func (s *Socket) gotReply(r *protocol.Reply) {
	switch {
	case r.Id == 0 && r.Push != nil:
		s.gotPush(r.Push)
	case r.Id == 0:
		s.Pinged++
		if !s.isConnected || r.Error != nil {
			s.Fail("a ping before it is connected, or an error of nothing: %v", r)
		}
	case len(s.asked) == 0 || s.asked[0].Command.Id != r.Id:
		s.Fail("an answer to command %d, of those that it has sent %d wait for one", r.Id, len(s.asked))
	default:
		a := s.asked[0]
		s.asked = s.asked[1:]
		s.gotAnswer(a, r)
	}
}

func (s *Socket) gotPush(p *protocol.Push) {
	room := s.roomOf(p.Channel)
	if room < 0 || s.rooms[room].now == nil {
		s.Fail("a push of a room that it is not in: %v", p)
		return
	}
	sub := s.rooms[room].now
	switch {
	case p.Pub != nil:
		s.Subscriber.Judge.Hears(sub, p.Pub)
		s.Subscriber.places[room].At = sub.At
	case p.Unsubscribe != nil:
		s.Subscriber.Judge.Dropped(sub, p.Unsubscribe)
		s.rooms[room].now = nil
		if s.rooms[room].pending == 0 {
			s.rooms[room].will = false
		}
	default:
		s.Fail("a push that it has not asked for: %v", p)
	}
}

func (s *Socket) roomOf(channel string) int {
	for room := range s.rooms {
		if RoomName(room) == channel {
			return room
		}
	}
	return -1
}

// gotAnswer takes the answer to the oldest command.
func (s *Socket) gotAnswer(a *Asked, r *protocol.Reply) {
	c, p := a.Command, &s.rooms[a.Room]
	if c.Subscribe != nil || c.Unsubscribe != nil {
		p.pending--
	}
	switch {
	case r.Error != nil:
		s.gotError(a, r.Error)
	case c.Connect != nil && r.Connect != nil:
		s.isConnected, s.ID = true, r.Connect.Client
		s.takeToken(a, r.Connect.Expires, r.Connect.Ttl)
	case c.Refresh != nil && r.Refresh != nil:
		s.takeToken(a, r.Refresh.Expires, r.Refresh.Ttl)
	case c.Presence != nil && r.Presence != nil, c.PresenceStats != nil && r.PresenceStats != nil:
		s.Subscriber.Judge.HearsWho(s, a, r)
	case c.Subscribe != nil && r.Subscribe != nil:
		if p.now != nil {
			s.Fail("it is in room %d twice", a.Room)
		}
		a.Sub.hears()
		s.Subscriber.Judge.Begins(a.Sub, r.Subscribe)
		p.now = a.Sub
		s.Subscriber.places[a.Room].At = a.Sub.At
	case c.Unsubscribe != nil && r.Unsubscribe != nil:
		p.now = nil
	case c.Publish != nil && r.Publish != nil:
		p.unheard--
	case c.History != nil && r.History != nil:
		s.Subscriber.Judge.Reads(s, a, r.History)
	default:
		s.Fail("its command %v is answered with %v", c, r)
	}
}

// hears notes what everybody had said when the subscription began: what comes behind that is for
// it. What its own connection has said behind the command to subscribe is, too.
func (sub *Subscription) hears() {
	own := sub.Socket.rooms[sub.Room].voice
	for i, c := range sub.Socket.Subscriber.w.Clients {
		n := len(c.Sent)
		if c == own {
			n = 0
			if i < len(sub.Said) {
				n = sub.Said[i]
			}
		}
		sub.Heard = append(sub.Heard, n)
	}
}

// gotError takes an error. A message that was refused nobody has said.
func (s *Socket) gotError(a *Asked, e *protocol.Error) {
	p := &s.rooms[a.Room]
	s.Subscriber.Judge.Denied(s, a, e)
	switch c := a.Command; {
	case c.Connect != nil && a.Token != nil: // It says so again with another one.
		s.isGreeting = false
	case c.Connect != nil:
		s.Fail("it may not connect: %v", e)
	case c.Subscribe != nil && p.now == nil && p.pending == 0:
		p.will = false
	case c.Publish != nil:
		p.unheard--
		s.Subscriber.quota++
		if sent := p.voice.Sent; sent[len(sent)-1] == a.Message {
			p.voice.Sent = sent[:len(sent)-1]
		} else {
			s.Fail("it is refused a message, and not the next one: %v", e)
		}
	}
}

// IsIn says whether the subscriber is in a room, as far as it knows.
func (s *Socket) IsIn(room int) bool { return s.rooms[room].now != nil }
