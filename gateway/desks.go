package gateway

import (
	"context"
	"time"

	"sluice/hub"
)

// surveyorsMax is how many questions of clients to all nodes wait for answers at a time.
const surveyorsMax = 32

// fillersMax is how many at a time wait for the cluster to fill a room: those that are filled
// already are not to wait for others.
const fillersMax = 64

const (
	// chasersMax is how many at a time wait for a room to come as far as their clients, who were on
	// another node.
	chasersMax = 256
	// chaseTime is how much further behind than another a node is taken to be at most. A client
	// that makes up positions waits for as long, and is told that there are none.
	chaseTime = 2 * time.Second
	// chaseEvery is how often it is looked whether the room has.
	chaseEvery = 2 * time.Millisecond
)

// openDesks makes all: who asks Options.Auth, at most Options.AuthRequests at a time; who makes
// histories, one after the other: that takes a processor and not time; who asks Options.Nodes; and
// who waits for the cluster.
func (s *Server) openDesks() {
	s.desk.server, s.builder.server, s.surveyors.server, s.filler.server = s, s, s, s
	s.chaser.server = s
	s.desk.hands = func(cfg *config) int { return cfg.AuthRequests }
	s.desk.of = "an authenticator"
	s.desk.answer = func(ctx context.Context, q *question) (err error) {
		q.answer.who, err = s.config().Auth.Ask(ctx, q.handshake)
		return err
	}
	s.builder.hands = func(*config) int { return 1 }
	s.builder.of = "the builder of histories"
	s.builder.answer = func(ctx context.Context, q *question) error {
		s.hub.Build(ctx, q.room, q.encoding)
		s.restored.done()
		return nil
	}
	s.surveyors.hands = func(*config) int { return surveyorsMax }
	s.surveyors.of = "who asks other nodes"
	s.surveyors.answer = func(ctx context.Context, q *question) (err error) {
		q.answer.infos, err = s.attendees(ctx, q.room)
		return err
	}
	s.filler.hands = func(*config) int { return fillersMax }
	s.filler.of = "who waits for the cluster"
	s.filler.answer = func(ctx context.Context, q *question) error {
		ctx, cancel := context.WithTimeout(ctx, s.config().HandshakeTimeout/2)
		defer cancel()
		q.answer.isLate = s.opener.await(ctx, q.room) != nil
		return nil
	}
	s.chaser.hands = func(*config) int { return chasersMax }
	s.chaser.of = "who waits for other nodes' messages"
	s.chaser.answer = func(ctx context.Context, q *question) error {
		s.chase(ctx, q.room, q.since)
		return nil
	}
}

// chase waits until what comes of a room has come as far as a position, or for long enough.
func (s *Server) chase(ctx context.Context, room string, at hub.Position) {
	ctx, cancel := context.WithTimeout(ctx, chaseTime)
	defer cancel()
	looks := time.NewTicker(chaseEvery)
	defer looks.Stop()
	for {
		if r, isThere := s.hub.Room(room); !isThere || !r.IsAhead(at) {
			return
		}
		select {
		case <-looks.C:
		case <-ctx.Done():
			return
		}
	}
}
