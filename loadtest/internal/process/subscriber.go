package process

import (
	"fmt"

	"sluice/loadtest/internal/centrifuge"
	"sluice/loadtest/internal/eventstream"
	"sluice/wsproto"
)

// A subscriber is what a client has that speaks the Centrifuge protocol.
type subscriber struct {
	missing int    // replies before it is in its rooms
	last    uint32 // the number of the last command but subscribes, whose numbers are their rooms'
	pongs   bool   // pings are to be answered
}

const (
	connectID   = 1
	subscribeID = 2 // … and those behind it, by the order of the rooms
	publishID   = 1 << 20
	// batchMax is how many bytes of commands go into a frame.
	batchMax = 16 << 10
	// resubscribes is from which code on an unsubscribe push means that one should subscribe anew.
	resubscribes = 2500
)

// subscribeTo makes the client one that subscribes to further rooms of its target, those behind its
// own.
func (c *client) subscribeTo(rooms []*room, targets int) {
	c.subscriber = &subscriber{last: publishID}
	c.at = new(standing)
	for i := 1; i < c.w.process.cfg.RoomsPerClient; i++ {
		m := newMembership(rooms[(c.room.index+i*targets)%len(rooms)])
		m.at = new(standing)
		c.others = append(c.others, &m)
	}
}

// introduce connects and subscribes by the protocol.
func (c *client) introduce() {
	c.subscriber.missing = 2 + len(c.others)
	f := c.w.process.format
	batch := f.AppendConnect(nil, connectID)
	id := uint32(subscribeID)
	for m := range c.each {
		if len(batch) > batchMax {
			c.say(batch)
			batch = batch[:0]
		}
		batch = m.appendSubscribe(f, batch, id)
		id++
	}
	c.say(batch)
	c.flush()
}

// appendSubscribe asks to go on where the client was, if it knows.
func (m *membership) appendSubscribe(f centrifuge.Format, frame []byte, id uint32) []byte {
	var from *centrifuge.Place
	if m.at.isKnown {
		from = &centrifuge.Place{Epoch: string(m.at.epoch), Offset: m.at.offset}
	}
	return f.AppendSubscribe(frame, id, m.room.name, from)
}

// say sends a frame at the next flush.
func (c *client) say(frame []byte) {
	c.out = wsproto.AppendMaskedFrame(c.out, c.w.process.opcode, true, newMask(), frame)
}

// publish puts a payload into a command.
func (c *client) publish(text []byte) []byte {
	c.subscriber.last++
	c.w.command = c.w.process.format.AppendPublish(c.w.command[:0], c.subscriber.last, c.room.name, text)
	return c.w.command
}

// hearFrame takes what a message holds, which is of one kind in each format.
func (c *client) hearFrame(m wsproto.Message, now int64) {
	f := c.w.process.format
	if m.Op != c.w.process.opcode {
		c.end(FaultProtocol, "a frame of the protocol came in a message of the other kind, text or binary")
		return
	}
	for object, rest := f.Next(m.Payload); object != nil && c.isOpen(); object, rest = f.Next(rest) {
		if h := c.w.heard.Publication(object); h != nil {
			c.published(c.in(h.Room), h.Text, h.Offset, now)
		} else if f.IsPing(object) {
			c.ponged()
		} else {
			c.heardReply(object, now)
		}
	}
}

func (c *client) ponged() {
	if c.subscriber.pongs {
		c.say(c.w.process.format.Pong())
		c.flush()
	}
}

// in is the client's membership in the room of this name; nil if it has none.
func (c *client) in(name []byte) *membership {
	if string(name) == c.room.name { // Mostly.
		return &c.membership
	}
	p := c.w.process
	number, isRoom := p.numbers[string(name)]
	if !isRoom {
		return nil
	}
	rooms := len(p.rooms)
	at := (number*p.targets + c.room.index%p.targets - c.room.index + rooms) % rooms / p.targets
	switch {
	case at == 0:
		return &c.membership
	case at <= len(c.others):
		return c.others[at-1]
	}
	return nil
}

// published judges a publication. One of a room that the client has not subscribed to is foreign.
func (c *client) published(m *membership, text []byte, offset uint64, now int64) {
	if m == nil {
		c.check.counts.Foreign++
		return
	}
	at := eventstream.Position{Epoch: m.at.epoch, Offset: offset}
	c.receive(m, text, at, m.at.isKnown && offset > 0, now)
}

// heardReply acts on what is no publication that could be read at once.
func (c *client) heardReply(object []byte, now int64) {
	r, err := c.w.process.format.ParseReply(object)
	if err != nil {
		c.end(FaultProtocol, "a reply is not of the protocol: "+err.Error())
		return
	}
	switch {
	case r.Error != nil && r.ID < publishID:
		c.isPutOff = c.state == subscribing && r.Error.IsTemporary
		c.end(c.refused(), fmt.Sprintf("the server answered a %s with %d %s", commandName(r.ID), r.Error.Code, r.Error.Message))
	case r.Error != nil:
		c.w.faults.say(fmt.Sprintf("a publish was answered with %d %s", r.Error.Code, r.Error.Message), 1)
	case r.Connect != nil:
		c.subscriber.pongs = r.Connect.Pong
		c.replied()
	case r.Subscribe != nil:
		c.subscribed(r.ID, r.Subscribe, now)
	case r.Push != nil:
		c.pushed(r.Push, now)
	}
}

func commandName(id uint32) string {
	if id == connectID {
		return "connect"
	}
	return "subscribe"
}

// refused is the fault of who is not let in.
func (c *client) refused() Fault {
	if c.state == subscribing {
		return FaultConnect
	}
	return FaultClosed
}

// replied counts a reply, of which the last lets the client in.
func (c *client) replied() {
	if c.subscriber.missing--; c.subscriber.missing == 0 && c.state == subscribing {
		c.enter()
	}
}

// subscribed begins, or goes on, where the reply says.
func (c *client) subscribed(id uint32, s *centrifuge.Subscribe, now int64) {
	at := int(id) - subscribeID
	if at < 0 || at > len(c.others) {
		c.end(FaultProtocol, "a subscribe is answered that was not asked for")
		return
	}
	m := &c.membership
	if at > 0 {
		m = c.others[at-1]
	}
	position := eventstream.Position{Epoch: []byte(s.Epoch), Offset: s.Offset}
	isPosition := s.Epoch != ""
	switch {
	case m.at.isKnown && !s.Recovered: // It asked for what it has missed.
		c.wasReset(m, m.at.reset(position, isPosition), "not recovered", now)
	case isPosition: // What comes shows whether that is right.
		m.at.move(position)
	default:
		m.at.forget()
	}
	for i := range s.Publications {
		p := &s.Publications[i]
		c.published(m, centrifuge.Text(p.Data), p.Offset, now)
	}
	if c.state == subscribing {
		c.replied()
	}
}

// pushed acts on a push that is none of a message, or of one with escapes.
func (c *client) pushed(p *centrifuge.Push, now int64) {
	switch {
	case p.Pub != nil:
		c.published(c.in([]byte(p.Channel)), centrifuge.Text(p.Pub.Data), p.Pub.Offset, now)
	case p.Disconnect != nil:
		c.isPutOff = c.state == subscribing && isForNow(uint16(p.Disconnect.Code))
		c.end(FaultClosed, fmt.Sprintf("the server disconnected with %d %s", p.Disconnect.Code, p.Disconnect.Reason))
	case p.Unsubscribe != nil:
		m := c.in([]byte(p.Channel))
		why := fmt.Sprintf("the server unsubscribed with %d %s", p.Unsubscribe.Code, p.Unsubscribe.Reason)
		if m == nil || p.Unsubscribe.Code < resubscribes {
			c.end(FaultClosed, why)
			return
		}
		c.w.faults.say(why, 1)
		c.say(m.appendSubscribe(c.w.process.format, nil, c.subscribeID(m)))
		c.flush()
	}
}

// subscribeID is the number of the command that subscribes to m.
func (c *client) subscribeID(m *membership) uint32 {
	id := uint32(subscribeID)
	for other := range c.each {
		if other == m {
			break
		}
		id++
	}
	return id
}
