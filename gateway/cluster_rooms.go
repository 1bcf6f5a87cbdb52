package gateway

import (
	"time"

	"sluice/hub"
	"sluice/reactor"
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

// recoverOrder makes a panic end the room that has not got what was to come to it.
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
