package gateway

import (
	"context"
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
	// lastAccepts bounds whom a closing listener still takes: as many as the system queues by
	// default.
	lastAccepts = 4096
)

// Drain stops accepting, closes every WebSocket with 1001, spread over at most half of
// Options.DrainTimeout, lets ordinary requests finish, and returns when nobody is left or ctx ends.
// Connections that are left are then for Close to cut. Whoever was in the accept queue is taken and
// told like the others. Serve goes on until its own context ends.
//
// A Server that has not begun to serve has nobody to tell and is closed; for one that is closed
// there is nothing to do.
func (s *Server) Drain(ctx context.Context) error {
	if !s.stopAccepting() {
		s.Close()
		return nil
	}
	ctx, cancel := s.whileRunning(ctx)
	defer cancel()
	if err := s.startDrain(ctx); err != nil {
		return err
	}
	err := s.http.Shutdown(ctx)
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
		// The loops have descriptors of their own; with this one open the kernel would go on queueing
		// behind them.
		l.Close()
	}
	return true
}

// startDrain returns when all loops have begun: until then those in an accept queue are not among
// the connections to wait for.
func (s *Server) startDrain(ctx context.Context) error {
	spreadMax := s.cfg.DrainTimeout / 2
	started := make(chan struct{}, len(s.workers))
	for _, w := range s.workers {
		if err := post(ctx, w.loop, func(*reactor.Loop) { w.startDrain(spreadMax); started <- struct{}{} }); err != nil {
			return err
		}
	}
	for range s.workers {
		select {
		case <-started:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// post insists while a loop's mailbox is full.
func post(ctx context.Context, l *reactor.Loop, task func(*reactor.Loop)) error {
	retry := time.NewTicker(time.Millisecond)
	defer retry.Stop()
	for !l.Post(task) {
		select {
		case <-retry.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (w *worker) startDrain(spreadMax time.Duration) {
	if w.drain != nil {
		return // Drain was called another time.
	}
	w.closeListeners()
	d := &drain{start: w.loop.Now()}
	for t, source := range w.loop.Sources {
		if _, ok := source.(*conn); ok {
			d.tokens = append(d.tokens, t)
		}
	}
	d.spread = min(spreadMax, time.Duration(len(d.tokens))*drainEach)
	w.drain = d
	w.loop.BeforeSleep(func(*reactor.Loop) time.Duration { return w.drainSome() })
}

// closeListeners takes whoever waits to be accepted, so that nobody is reset, and closes.
func (w *worker) closeListeners() {
	for t, source := range w.loop.Sources {
		l, ok := source.(*listener)
		if !ok {
			continue
		}
		for range lastAccepts / acceptsPerTick {
			if l.accept(acceptsPerTick) {
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
	if d.done == len(d.tokens) {
		return -1
	}
	due := len(d.tokens)
	if passed := w.loop.Now() - d.start + drainTick; passed < d.spread {
		due = int(int64(len(d.tokens)) * int64(passed) / int64(d.spread))
	}
	for ; d.done < due; d.done++ {
		if source, ok := w.loop.Source(d.tokens[d.done]); ok {
			source.(*conn).goAway()
		}
	}
	return drainTick
}

// goAway closes a connection because the gateway stops.
func (c *conn) goAway() {
	switch c.life {
	case open:
		c.close(ClosedDrain)
	case reading:
		if c.silence(ClosedDrain) == ClosedAnswered {
			c.die(ClosedAnswered) // It has not asked for anything.
			return
		}
		c.refuse(wsproto.Refuse(wsproto.ReasonUnavailable), nil)
	}
}
