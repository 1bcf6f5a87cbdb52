package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/centrifugal/protocol"

	"sluice/gateway/centrifuge"
	"sluice/hub"
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

	pending *pendingReplies // to what it has published by the cluster; nil: it has published nothing, or there is none

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

// A subscription is a subscriber's place in one room. There are many; what a few have beside is in
// subscriber.terms.
type subscription struct{ hub.Reader }

// A welcome is what has been done of a command to connect which has to wait, for what a room keeps
// or for the next turn.
type welcome struct {
	who  *Principal
	subs map[string]*protocol.SubscribeResult
	next int // of the rooms that the client is in from the beginning
}

// terms are what a subscription has of its own, by a token or in a room that keeps who is there.
type terms struct {
	granted  Permission
	info     centrifuge.Info // what others are told of the client here; empty: as everywhere
	expires  int64           // when the token does, in seconds of Unix time; zero: never
	endsAt   time.Duration   // … by the loop's clock, and a while later
	attendee *attendee       // nil: who is in the room is not kept
}

// ErrTooManySubscriptions is of a client that is in as many rooms as Options.MaxSubscriptions
// allows, or that would make a room beyond Options.MaxRooms.
var ErrTooManySubscriptions = errors.New("the client is in as many rooms as it may be, or there are as many as there may be")

// logSubscribed says for debugging that a subscriber is in a room.
func (s *subscriber) logSubscribed(sub *subscription) {
	if s.w.log.Enabled(context.Background(), slog.LevelDebug) {
		s.w.log.Debug("client subscribed", "id", s.id(), "room", clipText([]byte(sub.Room().Name())))
	}
}
