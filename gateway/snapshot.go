package gateway

import (
	"context"
	"errors"

	"sluice/reactor"
)

// Stats sums up what was counted since New. While the loops run it asks each of them, and waits for
// the answers unless ctx ends first, which is the only error. Before Serve and after Close nobody
// is asked.
func (s *Server) Stats(ctx context.Context) (Stats, error) {
	if sum, ok := s.statsBefore(); ok {
		return sum, nil
	}
	running, cancel := s.whileRunning(ctx)
	defer cancel()
	sum, err := s.askLoops(running)
	if !errors.Is(err, ErrClosed) {
		return sum, err
	}
	select {
	case <-s.ended:
		return s.final(), nil
	case <-ctx.Done():
		return Stats{}, ctx.Err()
	}
}

// statsBefore returns what was counted before Serve, if it has yet to be called.
func (s *Server) statsBefore() (sum Stats, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != phaseMade {
		return Stats{}, false
	}
	return s.final(), true
}

func (s *Server) askLoops(ctx context.Context) (sum Stats, err error) {
	answers := make(chan Stats, len(s.workers))
	for _, w := range s.workers {
		if err := post(ctx, w.loop, func(*reactor.Loop) { answers <- w.snapshot() }); err != nil {
			return Stats{}, err
		}
	}
	for range s.workers {
		select {
		case one := <-answers:
			sum.add(&one)
		case <-ctx.Done():
			return Stats{}, context.Cause(ctx)
		}
	}
	s.addTo(&sum)
	return sum, nil
}

// final sums up what the loops counted, while they do not run.
func (s *Server) final() Stats {
	var sum Stats
	for _, w := range s.workers {
		one := w.snapshot()
		sum.add(&one)
	}
	s.addTo(&sum)
	return sum
}

// addTo adds what is counted beside the loops.
func (s *Server) addTo(sum *Stats) {
	sum.Broken, sum.Panics = s.invariants.Load(), s.panics.Load()
	sum.Hub.Owed += s.hub.OwedOutside()
	sum.Untold = s.hub.Untold()
	sum.TLS.Running, sum.TLS.Expires = len(s.handshakeSlots), s.certificates.expires.Load()
	s.refusals.addTo(sum)
	s.outside.addTo(sum)
	// What was lent has come back, is still there, or has ended there.
	sum.Closed[ClosedLent] = uint64(max(0, int64(sum.Lent-sum.Returned)-s.lent.Load()))
}

func (w *worker) snapshot() Stats {
	one := w.stats
	one.Loop = w.loop.Stats()
	one.Hub = w.fan.Stats()
	one.Deliveries, one.Bytes, one.Writes = one.Hub.Delivered, one.Hub.Bytes, one.Hub.Writes
	one.Refused += one.Hub.Refused
	now := w.loop.Now()
	one.HeldByRoom, one.HeldByRate = w.held.byRoom.until(now), w.held.byRate.until(now)
	one.TLS.Parked = w.parked.Len()
	one.Deflated, one.DeflatedFrom, one.DeflatedTo = w.encoder.deflations, w.encoder.deflatedFrom, w.encoder.deflatedTo
	return one
}
