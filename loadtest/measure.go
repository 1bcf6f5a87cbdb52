package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// measure makes one whole run against a server and returns what it found. pid is the server's process, or zero. An error
// means that there is no result.
func measure(ctx context.Context, cfg *Load, t *target, pid int, show *progress) (*Result, error) {
	r, err := newRun(cfg, t)
	if err != nil {
		return nil, err
	}
	defer r.release()
	before := observe(pid)
	began := time.Now()
	end := show.follow(ctx, "connecting", "clients", int64(cfg.Clients), r.ended.Load)
	err = r.connect(ctx)
	end()
	connecting := time.Since(began)
	if err != nil {
		r.stop()
		return nil, r.explained(err)
	}
	show.say("%d of %d clients joined in %.2f s", cfg.Clients-int(r.failed.Load()), cfg.Clients, connecting.Seconds())
	phases, err := r.phases(ctx, pid, show)
	r.leave(ctx)
	r.stop()
	if err != nil {
		return nil, r.explained(err)
	}
	res := r.result(phases)
	res.Connect.Seconds = round(connecting.Seconds(), 6)
	res.Connect.PerSecond = round(float64(cfg.Clients-res.Connect.Failed)/connecting.Seconds(), 1)
	res.addServer(before, phases)
	res.addStalled(phases)
	return res, nil
}

// phases is what the clock and the processes' accounts said around the measured phase.
type phases struct {
	idle, from, to observation
	self           [2]time.Duration // the tool's own CPU time
	seconds        float64
	warmupLost     uint64
}

// phases settles, warms up and measures.
func (r *run) phases(ctx context.Context, pid int, show *progress) (*phases, error) {
	select {
	case <-time.After(r.cfg.Settle):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := r.replacePublishers(ctx); err != nil {
		return nil, err
	}
	p := &phases{idle: observe(pid)}
	warmup := &closedLoop{window: 1, patience: r.cfg.LossTimeout}
	r.schedule = warmup
	if err := r.publish(ctx, r.cfg.Warmup); err != nil {
		return nil, err
	}
	lost := make([]uint64, len(r.workers))
	err := r.onLoops(ctx, func(w *worker) {
		for i := range r.workers {
			if r.workers[i] == w {
				lost[i] = w.lost()
			}
		}
		w.reset()
	})
	if err != nil {
		return nil, err
	}
	for _, n := range lost {
		p.warmupLost += n
	}
	p.from, p.self[0] = observe(pid), ownCPU()
	end := r.follow(ctx, show)
	began := time.Now()
	err = r.measured(ctx)
	p.seconds = time.Since(began).Seconds()
	p.to, p.self[1] = observe(pid), ownCPU()
	end()
	if err == nil {
		err = r.awaitGuests(ctx)
	}
	time.Sleep(quiet)
	return p, err
}

// follow shows the measured phase: by deliveries, or by seconds where nobody knows how many there will be.
func (r *run) follow(ctx context.Context, show *progress) (end func()) {
	if r.cfg.Duration > 0 && r.cfg.Rate == 0 {
		start := time.Now()
		return show.follow(ctx, "loading", "s", int64(r.cfg.Duration.Seconds()), func() int64 { return int64(time.Since(start).Seconds()) })
	}
	var live int64
	for _, l := range r.lanes {
		live += l.room.live.Load()
	}
	from := r.progress.Load()
	return show.follow(ctx, "loading", "deliveries", live*int64(r.cfg.Messages)/int64(len(r.lanes)), func() int64 { return r.progress.Load() - from })
}

// awaitGuests waits until whoever left is back, or has failed to come back.
func (r *run) awaitGuests(ctx context.Context) error {
	for away := int64(1); away > 0 && ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		var n atomic.Int64
		err := r.onLoops(ctx, func(w *worker) {
			w.churnEvery = 0
			for _, c := range w.guests {
				if c.returning {
					n.Add(1)
				}
			}
		})
		if err != nil {
			return err
		}
		away = n.Load()
	}
	return ctx.Err()
}

// startDelay is how far ahead an open loop's first message is due, so that all loops know of it by then.
const startDelay = 10 * time.Millisecond

// measured runs the measured phase.
func (r *run) measured(ctx context.Context) error {
	total, now := r.cfg.Messages, r.workers[0].kernel.Now()
	switch {
	case r.cfg.Rate > 0:
		r.schedule = newOpenLoop(r.cfg, now+startDelay)
	case r.cfg.Duration > 0:
		total = 1 << 30
		r.schedule = &closedLoop{window: uint32(r.cfg.Window), patience: r.cfg.LossTimeout, until: now + r.cfg.Duration}
	default:
		r.schedule = &closedLoop{window: uint32(r.cfg.Window), patience: r.cfg.LossTimeout}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if r.cfg.Churn > 0 {
		every := time.Duration(float64(len(r.workers)) / r.cfg.Churn * float64(time.Second))
		if err := r.onLoops(ctx, func(w *worker) { w.churnEvery, w.churnDue = every, w.kernel.Now()+every }); err != nil {
			return err
		}
	}
	if r.cfg.Storm > 0 {
		go r.stormHalfway(ctx, total, now)
	}
	return r.publish(ctx, total)
}

// stormHalfway makes the storm's share of the clients drop when half of the phase is over.
func (r *run) stormHalfway(ctx context.Context, total int, start time.Duration) {
	sent := func() (n int) {
		for _, l := range r.lanes {
			n += int(l.sent.Load())
		}
		return n
	}
	from := sent()
	for ctx.Err() == nil {
		elapsed := r.workers[0].kernel.Now() - start
		if sent()-from >= total/2 || r.cfg.Duration > 0 && elapsed >= r.cfg.Duration/2 {
			_ = r.onLoops(ctx, (*worker).storm) // A run that ended meanwhile has no storm.
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// lost counts what the worker's clients have missed so far.
func (w *worker) lost() (n uint64) {
	for _, c := range w.clients {
		switch {
		case !c.wasJoined:
		case c.kind == reader:
			n += c.ledger.lost(c.room.lanes, c)
		case c.kind == guest:
			n += c.ledger.holes()
		}
	}
	return n
}

// explained adds the most frequent explanation of the workers' faults to err. The loops have ended.
func (r *run) explained(err error) error {
	var all faults
	for _, w := range r.workers {
		all.merge(&w.faults)
	}
	if words := all.explain(); len(words) > 0 {
		return fmt.Errorf("%w: %s", err, words[0])
	}
	return err
}
