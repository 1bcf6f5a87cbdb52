package gateway

import (
	"errors"
	"syscall"
	"time"

	"sluice/reactor"
)

// The kernel may lack memory for a call at one moment and have it at the next. That says nothing of
// the peer, so what failed is put off: tried again, at a time and not at an edge, of which there is
// none to come. In the meantime events that would try it do nothing. A connection that has failed
// once more than retryAfter is long ends.
var retryAfter = [...]time.Duration{10 * time.Millisecond, 100 * time.Millisecond, time.Second}

// isShortage reports whether it was the kernel that a call failed for want of: ENOSPC is a shortage
// of epoll_ctl(2), beyond max_user_watches.
func isShortage(err error) bool {
	return errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.ENOSPC)
}

// lacksReads and lacksWrites report whether the connection waits until it is tried again.
func (c *conn) lacksReads() bool  { return c.meter != nil && c.meter.reads.due != 0 }
func (c *conn) lacksWrites() bool { return c.meter != nil && c.meter.writes.due != 0 }

// putOffReads makes the connection read on later.
func (c *conn) putOffReads(err error) { c.putOff(&c.metered().reads, err) }

// putOffWrites makes the connection write on later, or what belongs to that.
func (c *conn) putOffWrites(err error) {
	s := &c.metered().writes
	if c.reader.Took() > s.failedAt {
		s.failures = 0
	}
	c.putOff(s, err)
}

func (c *conn) putOff(s *shortage, err error) {
	w, now := c.w, c.w.loop.Now()
	if s.failures == len(retryAfter) {
		if skipped, ok := w.server.samples.shortage.Take(w.kernel.Now()); ok {
			w.log.Warn("closed because the kernel has no memory for it", "error", err, "id", c.id(), "from", c.from(), "and_more", skipped)
		}
		c.die(ClosedShortage)
		return
	}
	w.stats.PutOff++
	if s.due == 0 {
		w.putOff = append(w.putOff, c.token)
		w.loop.Wake() // For retry, which may have run in this tick: hooks behind it write, too.
	}
	s.failedAt, s.due = now, now+retryAfter[s.failures]
	s.failures++
}

// retry has those try again whose time has come, and says when to be called again.
func (w *worker) retry() time.Duration {
	now, next := w.loop.Now(), time.Duration(-1)
	kept := w.putOff[:0]
	for _, t := range w.putOff {
		source, ok := w.loop.Source(t)
		if !ok {
			continue
		}
		m := source.(*conn).meter
		waits := false
		for _, s := range []struct {
			*shortage
			in reactor.Interest
		}{{&m.reads, reactor.Readable}, {&m.writes, reactor.Writable}} {
			switch left := s.due - now; {
			case s.due == 0:
			case left > 0:
				waits = true
				if next < 0 || left < next {
					next = left
				}
			default:
				s.due = 0
				w.loop.Requeue(t, s.in)
			}
		}
		if waits {
			kept = append(kept, t)
		}
	}
	w.putOff = kept
	return next
}
