//go:build linux

package simclient

import (
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/centrifugal/protocol"
	"github.com/gobwas/ws"

	"sluice/hub"
	"sluice/internal/wstest"
)

// An Asked is a command that was sent and is not answered.
type Asked struct {
	Command *protocol.Command
	Room    int
	Message *Message      // that it publishes
	Sub     *Subscription // that it begins
	Token   *Token        // that it brings
	At      time.Duration // when it was sent
}

// compose thinks of something to say: the request, then frames of one command or several.
func (s *Socket) compose() {
	w := s.Subscriber.w
	if !s.isComposed {
		s.isComposed = true
		s.ask()
		return
	}
	if !s.IsUpgraded {
		return
	}
	if s.Pinged > s.Ponged && (!s.Subscriber.isMute || w.IsHealing) {
		s.pong()
	}
	if w.Random.IntN(200) == 0 && !w.IsHealing && s.isConnected {
		s.IsBad = true
		s.frame([]byte("{\"id\":0,\"nonsense\":"))
		return
	}
	var frame []byte
	for range s.commandsNow() {
		a := s.think()
		if a == nil {
			break
		}
		longer := s.append(frame, a.Command)
		if len(frame) > 0 && len(longer) > w.Plan.Message {
			s.frame(frame)
			longer = s.append(nil, a.Command)
		}
		frame = longer
	}
	if len(frame) > 0 {
		s.frame(frame)
	}
}

// commandsNow is how many commands a frame has now at most. One that was sent away for too many of
// them sends one a second from then on.
func (s *Socket) commandsNow() int {
	r := s.Subscriber
	if !r.isPatient {
		return 1 + r.w.Random.IntN(5)
	}
	now := r.w.Kernel.Now()
	if now < r.saidAt+time.Second {
		return 0
	}
	r.saidAt = now
	return 1
}

// ask sends the upgrade.
func (s *Socket) ask() {
	var lines []string
	if s.Subscriber.isProtobuf {
		lines = append(lines, "Sec-WebSocket-Protocol: centrifuge-protobuf")
	}
	if s.Subscriber.offers {
		lines = append(lines, deflateOffer)
	}
	s.out = wstest.UpgradeHead("/connection/websocket", lines...)
}

// append adds a command to a frame, by an independent encoder.
func (s *Socket) append(frame []byte, c *protocol.Command) []byte {
	frame = frame[:len(frame):len(frame)]
	if s.Subscriber.isProtobuf {
		one, err := protocol.NewProtobufCommandEncoder().Encode(c)
		if err != nil {
			s.Fail("%v", err)
		}
		return append(frame, one...)
	}
	one, err := protocol.NewJSONCommandEncoder().Encode(c)
	if err != nil {
		s.Fail("%v", err)
	}
	if len(frame) > 0 {
		frame = append(frame, '\n')
	}
	return append(frame, one...)
}

// frame puts a frame of commands into what is to be sent, as one message of one fragment or
// several.
func (s *Socket) frame(commands []byte) {
	op, r := ws.OpText, s.Subscriber.w.Random
	if s.Subscriber.isProtobuf {
		op = ws.OpBinary
	}
	for !s.Subscriber.isPatient && r.IntN(4) == 0 && len(commands) > 1 && (op != ws.OpText || utf8.Valid(commands)) {
		n := 1 + r.IntN(len(commands)-1)
		s.out = append(s.out, wstest.Masked(op, false, string(commands[:n]))...)
		commands, op = commands[n:], ws.OpContinuation
	}
	s.out = append(s.out, wstest.Masked(op, true, string(commands))...)
}

// pong answers the pings that have come.
func (s *Socket) pong() {
	for ; s.Ponged < s.Pinged; s.Ponged++ {
		if s.Subscriber.isProtobuf {
			s.frame([]byte{0})
		} else {
			s.frame([]byte("{}"))
		}
	}
}

// think is the next command, nil if there is none to send.
func (s *Socket) think() *Asked {
	r, calm := s.Subscriber.w.Random, s.Subscriber.w.IsHealing
	if !s.isGreeting {
		s.isGreeting = true
		return s.greet()
	}
	if s.Subscriber.isLeaving {
		return nil
	}
	if s.Subscriber.lasts > 0 {
		if !s.isConnected { // Its token may be refused, and what is behind that comes too early.
			return nil
		}
		if a := s.refresh(); a != nil {
			return a
		}
	}
	room := r.IntN(len(s.rooms))
	if calm && r.IntN(2) == 0 {
		room = max(0, s.lacking())
	}
	p := &s.rooms[room]
	if s.isWanted(room) && !p.will && r.IntN(2) == 0 {
		return s.subscribe(room)
	}
	if s.Subscriber.whims > 0 && r.IntN(3) == 0 {
		s.Subscriber.whims--
		if s.Subscriber.w.Plan.AsksWho && r.IntN(2) == 0 {
			return s.askWho(room)
		}
		switch n := r.IntN(5); {
		case p.will && n < 2:
			return s.unsubscribe(room)
		case p.will && n == 2:
			return s.subscribe(room) // A second time.
		default:
			return s.history(room)
		}
	}
	if s.Subscriber.quota > 0 && s.mayPublish(room) {
		s.Subscriber.quota--
		return s.publish(room)
	}
	return nil
}

// isWanted says whether the subscriber wants to be in a room.
func (s *Socket) isWanted(room int) bool {
	return (room+len(s.rooms)-s.Subscriber.shift)%len(s.rooms) < s.Subscriber.wants
}

// lacking is a room that it wants to be in and has not asked for; negative: none.
func (s *Socket) lacking() int {
	for room := range s.rooms {
		if s.isWanted(room) && !s.rooms[room].will {
			return room
		}
	}
	return -1
}

func (s *Socket) wantsMore() bool { return s.lacking() >= 0 }

// sends numbers a command.
func (s *Socket) sends(a *Asked) *Asked {
	s.lastID++
	a.Command.Id, a.At = s.lastID, s.Subscriber.w.Kernel.Now()
	s.asked = append(s.asked, a)
	return a
}

func (s *Socket) subscribe(room int) *Asked {
	w, p := s.Subscriber.w, &s.rooms[room]
	sub := &Subscription{Socket: s, Room: room, Asked: w.Steps}
	r := &protocol.SubscribeRequest{Channel: RoomName(room)}
	switch at := s.Subscriber.places[room].At; {
	case at.Epoch != "" && w.Random.IntN(8) > 0:
		sub.IsRecovering, sub.Since = true, at
	case w.Random.IntN(4) == 0:
		sub.IsRecovering, sub.Since = true, s.Subscriber.Judge.Position(room)
	case w.Random.IntN(8) == 0:
		sub.IsRecovering, sub.Since = true, hub.Position{Epoch: "elsewhen", Offset: 7}
	}
	r.Recover, r.Epoch, r.Offset = sub.IsRecovering, sub.Since.Epoch, sub.Since.Offset
	p.will = true
	p.pending++
	for _, c := range w.Clients {
		sub.Said = append(sub.Said, len(c.Sent))
	}
	s.Subscriber.Judge.Asks(sub)
	return s.sends(&Asked{Command: &protocol.Command{Subscribe: r}, Room: room, Sub: sub})
}

func (s *Socket) unsubscribe(room int) *Asked {
	p := &s.rooms[room]
	p.will = false
	p.pending++
	return s.sends(&Asked{Command: &protocol.Command{Unsubscribe: &protocol.UnsubscribeRequest{Channel: RoomName(room)}}, Room: room})
}

// history asks for some of what a room keeps.
func (s *Socket) history(room int) *Asked {
	r := &protocol.HistoryRequest{Channel: RoomName(room), Limit: int32(s.Subscriber.w.Random.IntN(20))}
	if at := s.Subscriber.places[room].At; at.Epoch != "" && s.Subscriber.w.Random.IntN(2) == 0 {
		r.Since = &protocol.StreamPosition{Epoch: at.Epoch, Offset: at.Offset}
	}
	return s.sends(&Asked{Command: &protocol.Command{History: r}, Room: room})
}

// mayPublish says whether it is known what becomes of a message. As a member it is taken, sooner or
// later; from outside of the room it may be refused, and then another one takes its place. Where
// members may be sent away none is sent before that of the last one is known.
func (s *Socket) mayPublish(room int) bool {
	p := &s.rooms[room]
	return p.unheard == 0 || p.now != nil && p.will && p.pending == 0 && !s.Subscriber.w.Plan.IsLossy()
}

func (s *Socket) publish(room int) *Asked {
	w, p := s.Subscriber.w, &s.rooms[room]
	if p.voice == nil {
		p.voice = w.newVoice(room)
		w.Kernel.Note("what connection %d says in room %d is client %d", s.Peer.No(), room, p.voice.No)
	}
	m := w.newMessage(p.voice)
	s.encode(m)
	p.unheard++
	r := &protocol.PublishRequest{Channel: RoomName(room), Data: m.Payload}
	return s.sends(&Asked{Command: &protocol.Command{Publish: r}, Room: room, Message: m})
}

// encode makes what a subscriber can publish of a message: a value in JSON, and where the protocol
// is protobuf text, or bytes that are none.
func (s *Socket) encode(m *Message) {
	text := m.Payload[:min(len(m.Payload), max(40, s.Subscriber.w.Plan.Message-120))]
	for !utf8.Valid(text) {
		text = text[:len(text)-1]
	}
	switch isBinary := m.Op == ws.OpBinary; {
	case s.Subscriber.isProtobuf && isBinary:
		m.Payload = append(text, 0xff)
	case s.Subscriber.isProtobuf:
		m.Payload = text
	case isBinary: // Some other kind of value.
		m.Payload, m.IsValue, m.Op = fmt.Appendf(nil, `["%s",{"no":%d}]`, text, m.No), true, ws.OpText
	default:
		m.Payload, m.IsValue = fmt.Appendf(nil, `"%s"`, text), true
	}
}
