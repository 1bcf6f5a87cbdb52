package gateway

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/gateway/centrifuge"
	"sluice/hub"
	"sluice/wsproto"
)

// serverVersion is what a client is told of us; it compares it with nothing.
const serverVersion = "Sluice"

// A subscriber is a connection that speaks the Centrifuge client protocol. It is in any number of
// rooms, each by a subscription, and what it gets of all of them goes through one bundle: the
// connection's own member is that bundle's trunk, so that all a connection asks of its reader is
// answered for its rooms together. It begins with the upgrade and ends with the connection.
type subscriber struct {
	*conn
	bundle hub.Bundle

	subscriptions []*subscription          // by the names of their rooms
	publishing    *subscription            // to whose room it has published in this turn; nil: to none
	terms         map[*subscription]*terms // what some of them have of their own; nil: none

	who       *Principal      // nil: it is not known
	info      centrifuge.Info // what others are told of it with its publications; empty until it publishes
	handshake *Handshake      // what its upgrade said of who it is; nil behind the reply to connect …
	welcome   *welcome        // … and what was done for it so far; nil: nothing, or all
	gaps      *gaps           // nil: it was never told of one

	promises *promises // of the cluster's acknowledgements; nil: it has published nothing, or there is none

	due    time.Duration // when it is to have connected, or its question to be answered; zero: nothing is
	pingAt time.Duration // when it is pinged next; zero: it has not connected

	termsEnd time.Duration // when the first of its subscriptions ends whose token does; zero: none does

	format      centrifuge.Format
	inflates    bool // permessage-deflate was agreed on
	isConnected bool
	isAwaiting  bool  // its turn to publish there, see pauseRoom
	hasStood    bool  // in line for a command that takes long, see awaitTurn
	hasSpoken   bool  // it has published since its kernel last refused what it has to get
	pongsDue    uint8 // pings that it has not answered
}

// subscriber is the subscriber that the connection is of; nil if it speaks no such protocol.
func (c *conn) subscriber() *subscriber {
	if c.past != subscribes {
		return nil
	}
	return c.reader.Client().(*subscriber)
}

// connOf is the connection behind a client of the hub.
func connOf(client hub.Client) *conn {
	if c, ok := client.(*conn); ok {
		return c
	}
	return client.(*subscriber).conn
}

// answerSubscriber answers a request for the protocol's path. Who its client is it says later, by a
// command.
func (c *conn) answerSubscriber() *wsproto.Refusal {
	r := &c.w.request
	if refusal := r.CheckUpgrade(); refusal != nil {
		return refusal
	}
	extensions, refusal := r.CheckDeflate()
	if refusal != nil {
		return refusal
	}
	if refusal := c.heedForwarded(r); refusal != nil {
		return refusal
	}
	if refusal := c.w.server.judgePage(r.Header("Origin"), r.Host); refusal != nil {
		return refusal
	}
	s := &subscriber{conn: c, due: c.w.loop.Now() + c.w.cfg.HandshakeTimeout}
	if c.w.cfg.Auth != nil {
		if s.handshake, refusal = c.handshake(""); refusal != nil {
			return refusal
		}
	}
	subprotocol, format := c.w.cfg.protocolOf(r)
	if c.w.cfg.NoCompression {
		extensions = ""
	}
	s.format, s.inflates = format, extensions != ""
	c.w.fan.JoinBundle(&s.bundle, &c.reader, s.encoding(), s, (*readers)(s))
	c.setLife(open)
	c.past = subscribes
	c.w.stats.Upgrades++
	c.w.stats.Subscribers++
	c.logJoined("")
	c.w.header = wsproto.AppendSwitchingProtocols(c.w.header[:0], r.Key, subprotocol, extensions)
	c.send(c.w.header)
	c.startClocks()
	return nil
}

// protocolOf is the subprotocol to answer a subscriber with, and how it writes: the first of the
// protocol's own that it offers, or what a client of a room would get. A browser whose offer is
// answered with none fails.
func (c *config) protocolOf(r *wsproto.Request) (subprotocol string, format centrifuge.Format) {
	for offered := range r.Subprotocols {
		if format, ok := centrifuge.FormatOf(string(offered)); ok && len(offered) > 0 {
			return string(offered), format
		}
	}
	return c.subprotocol(r), centrifuge.JSON
}

// principal is who the subscriber is.
func (s *subscriber) principal() *Principal {
	if s.who == nil {
		return &s.w.cfg.anonymous
	}
	return s.who
}

// encoding is what the subscriber reads all its rooms' messages in.
func (s *subscriber) encoding() hub.Encoding {
	switch {
	case s.format == centrifuge.Protobuf && s.inflates:
		return encodingPushProtobufDeflated
	case s.format == centrifuge.Protobuf:
		return encodingPushProtobuf
	case s.inflates:
		return encodingPushDeflated
	}
	return encodingPush
}

// clientID is what the subscriber is called among clients: its connection's id in the log, and what
// no other run of the gateway had beside it.
func (c *conn) clientID() string { return fmt.Sprintf("%s-%08x", c.id(), c.w.server.run) }

// at is where the subscription of a room stands, or would.
func (s *subscriber) at(room string) (i int, isThere bool) {
	return slices.BinarySearchFunc(s.subscriptions, room, func(sub *subscription, room string) int {
		return strings.Compare(sub.Room().Name(), room)
	})
}

// find is the subscription of a room; nil: there is none.
func (s *subscriber) find(room string) *subscription {
	if i, isThere := s.at(room); isThere {
		return s.subscriptions[i]
	}
	return nil
}

// begin puts a subscription, which is in its room, among the subscriber's.
func (s *subscriber) begin(sub *subscription) {
	i, _ := s.at(sub.Room().Name())
	if n := len(s.subscriptions); n == cap(s.subscriptions) {
		s.subscriptions = append(make([]*subscription, 0, n+n/8+1), s.subscriptions...) // Idle ones keep what it has.
	}
	s.subscriptions = slices.Insert(s.subscriptions, i, sub)
	s.enter(sub)
	s.w.stats.Subscribed++
	s.logSubscribed(sub)
}

// drop ends a subscription: nothing of its room follows but the rest of a frame that is partly
// sent.
func (s *subscriber) drop(sub *subscription) {
	if i, isThere := s.at(sub.Room().Name()); isThere {
		s.subscriptions = slices.Delete(s.subscriptions, i, i+1)
	}
	s.end(sub)
	sub.Leave()
}

// end is the last of a subscription, whichever way it ends.
func (s *subscriber) end(sub *subscription) {
	s.absentFrom(sub)
	delete(s.terms, sub)
	s.w.stats.Unsubscribed++
	if s.publishing != sub {
		return
	}
	s.publishing = nil
	if s.isAwaiting {
		s.isAwaiting = false
		s.resumeReading(pauseRoom) // Nobody would say that its turn has come.
	}
}

// dropAll ends all subscriptions, because the connection ends. The trunk leaves their rooms.
func (s *subscriber) dropAll() {
	s.isAwaiting = false               // Nobody reads on.
	s.w.frames += len(s.subscriptions) // It is work of the same kind.
	for _, sub := range s.subscriptions {
		s.end(sub)
	}
	s.subscriptions = nil
}
