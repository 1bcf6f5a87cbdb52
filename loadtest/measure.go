package main

import (
	"context"
	"fmt"
	"time"

	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/progress"
	"sluice/loadtest/internal/server"
	"sluice/loadtest/internal/usage"
)

// measure makes one whole run against one or more servers and returns what it found. pids are the servers' processes, if
// they are known. An error means that there is no result.
func measure(ctx context.Context, cfg *load.Load, targets []*load.Target, pids []int, show *progress.Display) (*Result, error) {
	ps, err := startProcesses(ctx, cfg, targets)
	if err != nil {
		return nil, err
	}
	defer ps.release()
	ps.own.observed = pids
	before := usage.Observe(pids)
	began := time.Now()
	totals := ps.own.rank.Stats.Totals
	end := show.Follow(ctx, "connecting", "clients", int64(cfg.Clients), totals.Ended.Load)
	err = ps.step(ctx, stepConnect)
	end()
	connecting := time.Since(began)
	if err == nil && int(totals.Failed.Load()) == cfg.Clients {
		err = server.ErrUnreachable
	}
	if err != nil {
		return nil, ps.explained(ctx, err)
	}
	show.Say("%d of %d clients joined in %.2f s", cfg.Clients-int(totals.Failed.Load()), cfg.Clients, connecting.Seconds())
	p, err := ps.phases(ctx, pids, show)
	_ = ps.step(ctx, stepLeave)
	if err != nil {
		return nil, ps.explained(ctx, err)
	}
	all, err := ps.collect(ctx)
	if err != nil {
		return nil, err
	}
	res := newResult(cfg, targets, all, p)
	res.Connect.Seconds = round(connecting.Seconds(), 6)
	res.Connect.PerSecond = round(float64(cfg.Clients-res.Connect.Failed)/connecting.Seconds(), 1)
	res.addServer(before, p)
	res.addStalled(p)
	return res, nil
}

// phases is what the clock and the processes' accounts said around the measured phase.
type phases struct {
	idle, from, to usage.Observation
	seconds        float64
	processes      int
}

// phases settles, warms up and measures.
func (ps *processes) phases(ctx context.Context, pids []int, show *progress.Display) (*phases, error) {
	select {
	case <-time.After(ps.own.cfg.Settle):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := ps.step(ctx, stepReplace); err != nil {
		return nil, err
	}
	p := &phases{idle: usage.Observe(pids), processes: 1 + len(ps.helpers)}
	if err := ps.step(ctx, stepWarmUp); err != nil {
		return nil, err
	}
	if err := ps.step(ctx, stepReset); err != nil {
		return nil, err
	}
	p.from = usage.Observe(pids)
	end := ps.own.follow(ctx, show)
	began := time.Now()
	err := ps.step(ctx, stepMeasure)
	p.seconds = time.Since(began).Seconds()
	p.to = usage.Observe(pids)
	end()
	if err == nil {
		err = ps.step(ctx, stepReturn)
	}
	time.Sleep(quiet)
	if err == nil && ps.own.cfg.Stalled > 0 {
		err = ps.step(ctx, stepLookAtStalled)
	}
	return p, err
}

// follow shows the measured phase: by deliveries, or by seconds where nobody knows how many there will be.
func (r *run) follow(ctx context.Context, show *progress.Display) (end func()) {
	if r.cfg.Duration > 0 && r.cfg.Rate == 0 {
		start := time.Now()
		return show.Follow(ctx, "loading", "s", int64(r.cfg.Duration.Seconds()), func() int64 { return int64(time.Since(start).Seconds()) })
	}
	var live int64
	for _, st := range r.streams {
		live += st.room.live.Load()
	}
	progress := &r.rank.Stats.Totals.Progress
	from := progress.Load()
	return show.Follow(ctx, "loading", "deliveries", live*int64(r.cfg.Messages)/int64(len(r.streams)), func() int64 { return progress.Load() - from })
}

// explained adds the most frequent explanation of the loops' faults to err, and ends the loops.
func (ps *processes) explained(ctx context.Context, err error) error {
	all, unknown := ps.collect(ctx)
	if unknown != nil {
		return err
	}
	if words := all.Faults.explain(); len(words) > 0 {
		return fmt.Errorf("%w: %s", err, words[0])
	}
	return err
}
