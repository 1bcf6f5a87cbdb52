package gateway

import (
	"fmt"
	"time"

	"sluice/hub"
	"sluice/reactor"
)

// flush runs the hub's part of a tick.
func (w *worker) flush() (sleep time.Duration) {
	if w.cfg.survives() {
		defer w.recoverFlush(&sleep)
	}
	w.encoder.done()
	w.spent = 0
	return w.fan.Flush(w.loop.Elapsed)
}

// openRing makes the worker's deliveries go by a ring, if they are to and can.
func (w *worker) openRing() (err error) {
	if w.cfg.Flush == FlushPlain {
		return nil
	}
	if w.ring, err = reactor.OpenRing(w.kernel); err == nil {
		w.fan.WidenBatches(true)
	}
	return err
}

// closeRing makes them go plain from here on.
func (w *worker) closeRing() {
	if w.ring != nil {
		w.ring.Close()
		w.ring = nil
		w.fan.WidenBatches(false)
	}
}

// openRings opens one for each loop. It is an error only where there have to be.
func (s *Server) openRings() error {
	for _, w := range s.workers {
		if err := w.openRing(); err != nil {
			s.noRing = err
		}
	}
	if s.noRing != nil && s.config().Flush == FlushRing {
		return fmt.Errorf("gateway: there is no io_uring: %w", s.noRing)
	}
	return nil
}

// sayFlush logs, once, how messages are handed to the kernel.
func (s *Server) sayFlush() {
	switch {
	case s.config().Flush == FlushPlain:
		s.log.Info("messages go to the kernel one at a time, as it was told to")
	case s.noRing != nil:
		s.log.Info("messages go to the kernel one at a time: there is no io_uring", "reason", s.noRing)
	default:
		s.log.Info("messages go to the kernel many at a time where that costs less, by io_uring")
	}
}

// fitsRing reports whether c's delivery of a wide batch may go by the ring. Clients that have bytes
// of their own to send or are being closed are few, and a copy does not stay what it is for a write
// that does not end in its call: all of them are written to as ever.
func (c *conn) fitsRing(d *hub.Delivery) bool { return c.life == open && c.own == nil && !d.IsCopy }

// ringLeast is how many writes make a batch for the ring: one alone costs a tenth more by it than
// as ever (reactor's BenchmarkBatch).
const ringLeast = 2

// sendByRing makes all writes of the batch by the ring. If it fails they are made all the same, but
// for those that it has begun and not ended: such a client is cut, because what it has got is not
// known.
func (w *worker) sendByRing(batch []reactor.Send) {
	if len(batch) < ringLeast {
		reactor.SendBatch(w.kernel, batch)
		return
	}
	w.stats.RingCalls++
	w.stats.RingWrites += uint64(len(batch))
	if err := w.ring.SendBatch(batch); err != nil {
		w.log.Warn("messages go to the kernel one at a time from here on: io_uring has failed", "error", err, "loop", w.no)
		w.closeRing()
	}
}
