package gateway

import (
	"context"
	"errors"
	"time"

	"sluice/hub"
	"sluice/reactor"
)

// A Cluster gives rooms an order that several gateways share; package hub/cluster has one. A
// message is published into it, and comes back to all gateways, this one included, by Rooms. All
// methods may be called from any goroutine.
type Cluster interface {
	// Publish hands a message over, and does not wait; what m refers to is copied. A message under
	// a key is published once, whoever sends it again soon. done may be nil; otherwise it is called
	// once, must not wait, and tells the message's position, or hub.ErrTooLarge if it is refused
	// for its size after all, or why nobody knows whether it will be published. The errors at once
	// are hub.ErrFull, when nothing was taken because too much waits in the room, and its
	// Rooms.Hold is or will be called; hub.ErrTooLarge; and others, when nothing is taken any more.
	Publish(room string, m hub.Source, key string, done func(hub.Position, error)) error
	// Put is Publish for a loop, which reads several messages in a tick: they go out together, with
	// the next Flush.
	Put(room string, m hub.Source, key string, done func(hub.Position, error)) error
	// Flush has what was put go out. It does not wait.
	Flush()
	// Open has the room's messages come, and Rooms.Fill be called before it returns. It waits.
	Open(ctx context.Context, room string) error
	// Release says that nobody is in the room. It does not wait, and may be called with locks held.
	Release(room string)
	// Purge removes what the others keep of a room; this gateway's rooms it leaves alone. It waits.
	Purge(ctx context.Context, room string) error
	// Ready returns why the others cannot be reached, nil if they can.
	Ready() error
}

// Rooms are a server's rooms, as its Cluster calls them: from one goroutine, with no lock held that
// the Cluster's own methods take. They do not wait. What Sources refer to is copied.
type Rooms interface {
	// Append publishes the room's next messages, each at its offset.
	Append(room, epoch string, all []hub.Source)
	// Fill gives a room that keeps messages what there is of it, the oldest first: who stands at
	// the offset before, or behind it, misses nothing. See hub.Hub.Fill.
	Fill(room, epoch string, before uint64, kept []hub.Source)
	// Reset says that continuity is not proved: what the room keeps is void, and Fill comes next.
	Reset(room, epoch string)
	// Proved says that the room had no message behind its last one up to an offset. See
	// hub.Hub.Proved.
	Proved(room, epoch string, offset uint64)
	// Oldest is the oldest message that the room is to keep still. See hub.Hub.Oldest.
	Oldest(room string) (offset uint64, age time.Duration, ok bool)
	// Close asks whether the room may be followed no more: nobody is in it.
	Close(room string) bool
	// Hold has the room's publishers wait, or no longer.
	Hold(room string, isOn bool)
	// Outage says that the others cannot be reached, or can be again.
	Outage(isOn bool)
	// HistoryOf is what a room keeps, by the rules of the moment. Any goroutine may ask.
	HistoryOf(room string) hub.History
}

// Errors of what a Cluster has a part in.
var (
	ErrUnacknowledged = errors.New("the cluster has not acknowledged the message: it may be published all the same, and only under an Idempotency-Key is it safe to send it again")
	ErrUnfilled       = errors.New("what the room keeps cannot be had from the cluster at the moment")
)

// clusterRooms are the server's rooms as Rooms. Package cluster's goroutine calls them.
type clusterRooms Server

// Append implements Rooms.
func (c *clusterRooms) Append(room, _ string, all []hub.Source) {
	s := (*Server)(c)
	if s.hasEnded() {
		return
	}
	if !s.config().panics {
		defer s.recoverOrder(room, "sluice/gateway.(*clusterRooms).Append")
	}
	e := s.outside.encoder(s.config())
	defer s.outside.giveBack(e)
	err := hub.Append(s.hub, room, s.workers[0].loop.Elapsed(), func(yield func(hub.Encoder) bool) {
		for i := range all {
			if !yield(e.ofSource(room, &all[i])) {
				return
			}
		}
	})
	if err != nil {
		s.broken("a message of " + room + " was to be appended: " + err.Error())
	}
}

// Fill implements Rooms.
func (c *clusterRooms) Fill(room, epoch string, before uint64, kept []hub.Source) {
	s := (*Server)(c)
	if s.hasEnded() {
		return
	}
	if !s.config().panics {
		defer s.recoverOrder(room, "sluice/gateway.(*clusterRooms).Fill")
	}
	s.opener.holdAgain(room)
	f := hub.Fill{Epoch: epoch, Before: before, End: before}
	if n := len(kept); n > 0 {
		f.End = max(before, kept[n-1].Offset)
	}
	f.Kept = func(yield func(time.Duration, hub.Encoder) bool) {
		e := s.outside.encoder(s.config())
		defer s.outside.giveBack(e)
		now, wall := s.workers[0].loop.Elapsed(), s.config().wallClock()
		for i := range kept {
			age := time.Duration(max(0, wall-kept[i].Time/1e6)) * time.Millisecond
			if !yield(now-age, e.ofSource(room, &kept[i])) {
				return
			}
		}
	}
	s.hub.Fill(room, f)
	s.opener.filled(room)
}

// recoverOrder has a panic end the room that has not got what was to come to it.
func (s *Server) recoverOrder(room, deferredBy string) {
	if value := recover(); value != nil {
		p := reactor.RecoveredPanic(value, deferredBy)
		s.notePanic(&p, "of", "the cluster's order", "room", room)
		s.endInDoubt(room, max(ofRoom, extentOf(&p)), value)
	}
}

// Reset implements Rooms.
func (c *clusterRooms) Reset(room, epoch string) { c.hub.Reset(room, epoch) }

// Proved implements Rooms.
func (c *clusterRooms) Proved(room, epoch string, offset uint64) { c.hub.Proved(room, epoch, offset) }

// Oldest implements Rooms.
func (c *clusterRooms) Oldest(room string) (offset uint64, age time.Duration, ok bool) {
	return c.hub.Oldest(room, c.workers[0].loop.Elapsed())
}

// Close implements Rooms.
func (c *clusterRooms) Close(room string) bool {
	_, isThere := c.hub.Room(room)
	return !isThere
}

// Hold implements Rooms.
func (c *clusterRooms) Hold(room string, isOn bool) { c.opener.hold(room, isOn) }

// HistoryOf implements Rooms.
func (c *clusterRooms) HistoryOf(room string) hub.History {
	return (*Server)(c).config().historyOf(room)
}

// Outage implements Rooms.
func (c *clusterRooms) Outage(isOn bool) {
	s := (*Server)(c)
	if !isOn {
		s.cutOffAt.Store(0)
		s.isCutOff.Store(false)
		return
	}
	s.cutOffAt.CompareAndSwap(0, max(1, int64(s.workers[0].loop.Elapsed())))
}

// checkOutage ends the connections that hear rooms, if an outage has lasted for so long that they
// are to look for another gateway, and refuses new ones until it is over.
func (s *Server) checkOutage() {
	since, cfg := s.cutOffAt.Load(), s.config()
	if since == 0 || !cfg.CloseOnOutage || s.isCutOff.Load() || s.workers[0].loop.Elapsed()-time.Duration(since) < cfg.outageTime {
		return
	}
	s.isCutOff.Store(true)
	s.log.Warn("the cluster cannot be reached: all clients are closed, and new ones refused", "after", cfg.outageTime)
	s.loops.Go(func() {
		_, _ = s.endAll(s.life, func(c *conn) bool { return c.life == open }, func(c *conn) { c.close(ClosedOutage) })
	})
}
