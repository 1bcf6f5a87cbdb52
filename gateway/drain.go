package gateway

import (
	"context"
	"errors"
	"time"

	"sluice/reactor"
	"sluice/wsproto"
)

const (
	// drainEach spreads the closes: a client's reconnect costs somebody about this much, so they should not all come at once.
	drainEach = time.Millisecond
	// drainTick is how often the next few are closed.
	drainTick = 10 * time.Millisecond
	// lastAccepts bounds whom a closing listener still takes: as many as the system queues by default.
	lastAccepts = 4096
)

// A drain closes a loop's connections one after the other.
type drain struct {
	tokens []reactor.Token
	start  time.Duration
	spread time.Duration
	done   int
}

// Drain stops accepting, closes every WebSocket with 1001, spread over at most half of the time that ctx leaves, lets
// ordinary requests finish, and returns when nobody is left or ctx ends. Connections that are left are then for Close to
// cut. Whoever was in the accept queue is taken and told like the others.
func (s *Server) Drain(ctx context.Context) error {
	for _, l := range s.listeners {
		l.Close() // The loops have descriptors of their own; with this one open the kernel would go on queueing behind them.
	}
	spreadMax := s.cfg.DrainTimeout / 2
	started := make(chan struct{}, len(s.workers))
	for _, w := range s.workers {
		if err := post(ctx, w.loop, func(*reactor.Loop) { w.startDrain(spreadMax); started <- struct{}{} }); err != nil {
			return err
		}
	}
	for range s.workers { // Until then whoever is in an accept queue is not among those to wait for.
		select {
		case <-started:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err := s.http.Shutdown(ctx)
	if !s.waitEmpty(ctx) {
		return errors.Join(err, ctx.Err())
	}
	return err
}

// post insists while a loop's mailbox is full.
func post(ctx context.Context, l *reactor.Loop, task func(*reactor.Loop)) error {
	retry := time.NewTicker(time.Millisecond)
	defer retry.Stop()
	for !l.Post(task) {
		select {
		case <-retry.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (w *worker) startDrain(spreadMax time.Duration) {
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
		c.refuse(wsproto.Refuse(wsproto.ReasonUnavailable), nil)
	}
}
