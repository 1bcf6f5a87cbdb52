package gateway

import (
	"context"
	"math"
	"time"

	"sluice/reactor"
	"sluice/wsproto"
)

const (
	// drainEach spreads the closes: a client's reconnect costs somebody about this much, so they
	// should not all come at once.
	drainEach = time.Millisecond
	// drainTick is how often the next few are closed.
	drainTick = 10 * time.Millisecond
	// arrivalTime is how long a connection that has yet to ask for anything may take to do so
	// before it is told to go: it may have been accepted a moment ago, and its request be on its
	// way.
	arrivalTime = 500 * time.Millisecond
	// lastAccepts bounds whom a closing listener still takes: as many as the system queues by
	// default.
	lastAccepts = 4096
)

// Drain lets Ready and /readyz say that no new clients are wanted and goes on serving for
// Options.DrainDelay. Then it stops accepting, and closes every WebSocket with 1001 and every other
// request when it is answered. It returns when nobody is left, which is Options.DrainTimeout later
// at the latest, or when ctx ends; connections that are left then are for Close to cut. Whoever was
// in the accept queue is taken and told like the others. Serve goes on until its own context ends.
//
//	0 ──── turns, 1 ms each ──── 1/2 ──────────── 3/4 ───────────── DrainTimeout
//	│                                              │                    │
//	│ at its turn a client gets what was published │ who is behind gets │ who has not taken
//	│ until then, if it is behind what stood when  │ the rest of its    │ that is cut off:
//	│ the drain began, then Close 1001             │ frame and the 1001 │ ClosedCut
//
// From its turn on what a client sends is read and dropped, until it has closed, has taken all and
// been silent for a second, or the drain is over: a reset would take what it has yet to read.
//
// A Server that has not begun to serve has nobody to tell and is closed; for one that is closed
// there is nothing to do.
func (s *Server) Drain(ctx context.Context) error {
	ctx, cancel := s.whileRunning(ctx)
	defer cancel()
	if err := s.takeLeave(ctx); err != nil {
		return err
	}
	if !s.stopAccepting() {
		s.Close()
		return nil
	}
	if err := s.startDrain(ctx); err != nil {
		return err
	}
	err := s.shutDownHTTP(ctx)
	if cut := s.waitEmpty(ctx); cut != nil {
		return cut
	}
	return err
}

// stopAccepting reports whether there is anything to drain.
func (s *Server) stopAccepting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == phaseMade || s.phase == phaseClosed {
		s.enter(phaseClosed) // Serve comes too late from here on.
		return false
	}
	s.enter(phaseDraining)
	for _, l := range s.listeners {
		// The loops have descriptors of their own; with this one open the kernel would go on
		// queueing behind them.
		l.Close()
	}
	return true
}

// startDrain returns when all loops have begun: until then those in an accept queue are not among
// the connections to wait for.
func (s *Server) startDrain(ctx context.Context) error {
	return s.onEachLoop(ctx, func(w *worker) { w.startDrain(w.cfg.DrainTimeout) })
}

// shutDownHTTP lets ordinary requests finish within the drain's time.
func (s *Server) shutDownHTTP(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.config().DrainTimeout)
	defer cancel()
	return s.http.Shutdown(ctx)
}

// startDrain makes the loop's connections close one after the other, and takes no more.
func (w *worker) startDrain(timeout time.Duration) {
	if w.drain != nil {
		return // Drain was called another time.
	}
	w.closeListeners()
	now := w.loop.Now()
	d := &drain{start: now, cutAt: now + timeout - timeout/4, end: now + timeout}
	for t, source := range w.loop.Sources {
		if c, ok := source.(*conn); ok {
			one := leaver{token: t}
			if c.reader.IsIn() && c.past != subscribes { // Whose place is in many rooms.
				one.stood = c.reader.End()
			}
			d.leavers = append(d.leavers, one)
		}
	}
	d.arriveBy = now + min(arrivalTime, timeout/4)
	d.spread = min(timeout/2, time.Duration(len(d.leavers))*drainEach)
	w.drain = d
	w.loop.BeforeSleep(w.drainSome)
}

// closeListeners takes whoever waits to be accepted, so that nobody is reset, and closes. Where
// somebody else has the socket too they can wait for that.
func (w *worker) closeListeners() {
	for t, source := range w.loop.Sources {
		l, ok := source.(*listener)
		if !ok {
			continue
		}
		for range lastAccepts / acceptsPerTick {
			if l.isShared || l.accept(acceptsPerTick) {
				break
			}
		}
		l.hand()
		w.loop.Close(t)
	}
}

// drainSome closes those whose turn has come, and says when to be called again.
func (w *worker) drainSome() time.Duration {
	d := w.drain
	if d.done == len(d.leavers) && len(d.arriving) == 0 {
		return -1
	}
	due := len(d.leavers)
	if passed := w.loop.Now() - d.start + drainTick; passed < d.spread {
		due = int(int64(len(d.leavers)) * int64(passed) / int64(d.spread))
	}
	waited := d.arriving
	d.arriving = d.arriving[:0]
	for _, one := range waited {
		w.sendAway(one)
	}
	for ; d.done < due; d.done++ {
		w.sendAway(d.leavers[d.done])
	}
	return drainTick
}

// sendAway closes one whose turn has come, or has it wait if it has only just arrived.
func (w *worker) sendAway(one leaver) {
	source, ok := w.loop.Source(one.token)
	if !ok {
		return
	}
	c, d := source.(*conn), w.drain
	if c.life == reading && c.past != wasAnswered && w.loop.Now() < d.arriveBy {
		d.arriving = append(d.arriving, one)
		return
	}
	c.goAway(one.stood)
}

// goAway closes a connection because the gateway stops. One that is behind is owed no more than
// stood when the drain began: what others go on publishing does not keep it.
func (c *conn) goAway(stood int64) {
	switch c.life {
	case open:
		upTo := int64(math.MaxInt64)
		if c.reader.IsBlocked() && c.past != subscribes {
			upTo = stood
		}
		if c.pauses&(pauseRoom|pauseRate) != 0 { // It may not read before what it sends is taken.
			c.w.loop.Requeue(c.token, reactor.Readable)
		}
		code, text := c.wordsFor(ClosedDrain)
		c.closeUpTo(upTo, ClosedDrain, code, text)
	case reading:
		if c.silence(ClosedDrain) == ClosedAnswered {
			c.die(ClosedAnswered) // It has not asked for anything.
			return
		}
		c.refuse(wsproto.Refuse(wsproto.ReasonUnavailable), nil)
	}
}

// waitEmpty returns nil when no connection is left, and why ctx ended if that was first. Close
// leaves none either.
func (s *Server) waitEmpty(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for s.open.Load() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return context.Cause(s.life)
}
