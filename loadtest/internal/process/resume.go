package process

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/shared"
)

// ErrNothingToResume says that the server tells no positions.
var ErrNothingToResume = errors.New("--resume: the server tells no positions, so nobody knows where to go on: " +
	"the room has to keep some messages (gateway --history). One that gives ids with messages alone needs --warmup")

// resumePoll is how often it is looked whether the resumers have what they want.
const resumePoll = 20 * time.Millisecond

// awaitPositions waits until every resumer knows where it is and has what came of the warm-up, for
// as long as a message is waited for elsewhere.
func (p *Process) awaitPositions(ctx context.Context) error {
	if !p.cfg.Resume {
		return nil
	}
	for began := p.Now(); p.Now()-began < p.cfg.LossTimeout; time.Sleep(resumePoll) {
		n, err := p.countResumers(ctx, func(c *client) bool { return c.isUnplaced() || c.isMissing() })
		if err != nil || n == 0 {
			return err
		}
	}
	n, err := p.countResumers(ctx, (*client).isUnplaced)
	p.rank.Stats.Totals.Unplaced.Add(n)
	return err
}

// isUnplaced says that the client does not know its position in some room.
func (c *client) isUnplaced() bool {
	for m := range c.each {
		if !m.at.isKnown {
			return true
		}
	}
	return false
}

// isMissing says that the client has not got everything that was sent.
func (c *client) isMissing() bool {
	for m := range c.each {
		if lost, unfinished := m.check.missing(m.room.streams, c); lost+unfinished > 0 {
			return true
		}
	}
	return false
}

// Resumable is ErrNothingToResume if the resumers of any process have been told no position before
// the measured phase.
func Resumable(totals *shared.Totals) error {
	if totals.Unplaced.Load() > 0 {
		return ErrNothingToResume
	}
	return nil
}

// countResumers counts those that are in the room and of which is holds.
func (p *Process) countResumers(ctx context.Context, is func(*client) bool) (int64, error) {
	var n atomic.Int64
	err := p.onLoops(ctx, func(w *worker) {
		for _, c := range w.guests {
			if c.kind == load.KindResumer && c.state == joined && is(c) {
				n.Add(1)
			}
		}
	})
	return n.Load(), err
}

// noteOwed counts what a resumer that is back has to get.
func (c *client) noteOwed() {
	if c.kind != load.KindResumer {
		return
	}
	now := int64(c.w.process.Now())
	for m := range c.each {
		m.at.owed = 0
		for place, st := range m.room.streams {
			m.at.owed += uint64(st.sent.Load() - m.check.next[place])
		}
		if m.at.owed == 0 {
			c.w.caughtUpAt = time.Duration(now)
		}
		c.tookOwed(m, 0, now)
	}
}

// tookOwed counts messages that came to a resumer, or never will. With the last one it has all that
// had been sent when it returned.
func (c *client) tookOwed(m *membership, n uint64, now int64) {
	if c.kind != load.KindResumer {
		return
	}
	c.w.resumedAt = time.Duration(now)
	if owed := &m.at.owed; *owed > 0 {
		if *owed -= min(n, *owed); *owed == 0 {
			c.w.caughtUpAt = max(time.Duration(now), c.w.backAt) // It may be of a read that began before.
		}
	}
}

// awaitResumers waits until every resumer has everything that was sent: until nothing has come to
// any of them for as long as patience lasts, and the rest is lost; or until the time for it is over
// while some still came, and nobody knows.
func (p *Process) awaitResumers(ctx context.Context) error {
	if !p.cfg.Resume {
		return ctx.Err()
	}
	for began := p.Now(); ; time.Sleep(resumePoll) {
		n, err := p.countResumers(ctx, (*client).isMissing)
		if err != nil || n == 0 {
			return err
		}
		var latest atomic.Int64
		err = p.onLoops(ctx, func(w *worker) {
			for at := latest.Load(); int64(w.resumedAt) > at && !latest.CompareAndSwap(at, int64(w.resumedAt)); at = latest.Load() {
			}
		})
		now := p.Now()
		if err != nil || now-max(began, time.Duration(latest.Load())) >= p.cfg.LossTimeout {
			return err
		}
		if now-began >= max(p.cfg.Drain, p.cfg.LossTimeout) {
			return p.onLoops(ctx, func(w *worker) { w.isRestCut = true })
		}
	}
}
