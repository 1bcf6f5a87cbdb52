package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"sluice/hub"
)

// An ahead is a message that was handed to the cluster by a publisher on no loop, and may not be
// acknowledged yet.
type ahead struct {
	server    *Server
	room      string
	answer    chan aheadAnswer
	isCounted atomic.Bool
}

type aheadAnswer struct {
	at  hub.Position
	err error
}

// publishAround hands a message to the cluster. The answer is to be waited for.
func (s *Server) publishAround(room string, m *Message) (wait func() (hub.Published, error), err error) {
	if r, isThere := s.hub.Room(room); isThere && r.IsFull() {
		return nil, ErrRoomFull
	}
	if s.hub.IsShort() {
		return nil, ErrMemory
	}
	cfg := s.config()
	one := m.message()
	a := &ahead{server: s, room: room, answer: make(chan aheadAnswer, 1)}
	err = s.cluster.Publish(room, one.source(cfg), m.Key, func(at hub.Position, err error) {
		a.count(err)
		a.answer <- aheadAnswer{at, err}
	})
	switch {
	case err == nil:
		return a.wait, nil
	case errors.Is(err, hub.ErrFull):
		return nil, ErrRoomFull
	case errors.Is(err, hub.ErrTooLarge):
		return nil, ErrTooLarge
	}
	return nil, ErrClosed // Nothing is taken any more.
}

// count counts the message once, whether somebody waits for its answer or not: when the answer
// comes, or when who waits gives up. One that the cluster refuses has an answer.
func (a *ahead) count(err error) {
	switch {
	case a.isCounted.Swap(true):
	case err == nil:
		a.server.outside.published.Add(1)
	case !errors.Is(err, hub.ErrTooLarge):
		a.server.outside.unacknowledged.Add(1)
	}
}

// wait waits for the cluster's answer, for as long as publishers are to.
func (a *ahead) wait() (p hub.Published, err error) {
	s := a.server
	ctx, cancel := context.WithTimeout(s.life, s.config().ClusterTimeout)
	defer cancel()
	select {
	case got := <-a.answer:
		p.Position, err = got.at, got.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	a.count(err)
	switch {
	case errors.Is(err, hub.ErrTooLarge):
		return hub.Published{}, ErrTooLarge
	case err != nil:
		return hub.Published{}, fmt.Errorf("%w: %v", ErrUnacknowledged, err)
	}
	if r, isThere := s.hub.Room(a.room); isThere {
		p.Members = r.Stats().Members
	}
	if s.config().historyOf(a.room) == (hub.History{}) {
		p.Position = hub.Position{} // Nobody can come back to it.
	}
	return p, nil
}
