package run

import (
	"context"
	"fmt"
	"time"

	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/process"
	"sluice/loadtest/internal/progress"
	"sluice/loadtest/internal/report"
	"sluice/loadtest/internal/server"
	"sluice/loadtest/internal/usage"
)

// quiet is how long the run listens after the last message for what should not come.
const quiet = 100 * time.Millisecond

// measure makes one whole run against one or more servers and returns what it found. pids are the
// servers' processes, if they are known. An error means that there is no result.
func measure(ctx context.Context, cfg *load.Load, targets []*load.Target, pids []int, show *progress.Display) (*report.Result, error) {
	ps, err := startProcesses(ctx, cfg, targets)
	if err != nil {
		return nil, err
	}
	defer ps.release()
	ps.own.Observe(pids)
	before := usage.Observe(pids)
	began := time.Now()
	totals := ps.totals
	end := show.Follow(ctx, "connecting", "clients", int64(cfg.Clients), totals.Ended.Load)
	err = ps.step(ctx, process.StepConnect)
	end()
	connecting := time.Since(began)
	if err == nil {
		if err = process.Exhausted(totals); err != nil {
			_, _ = ps.collect(ctx) // It ends the loops; what they found means nothing.
			return nil, err
		}
	}
	if err == nil && int(totals.Failed.Load()) == cfg.Clients {
		err = server.ErrUnreachable
	}
	if err != nil {
		return nil, ps.explained(ctx, err)
	}
	show.Say("%d of %d clients joined in %.2f s", cfg.Clients-int(totals.Failed.Load()), cfg.Clients, connecting.Seconds())
	p, err := ps.phases(ctx, pids, show)
	_ = ps.step(ctx, process.StepLeave)
	if err != nil {
		return nil, ps.explained(ctx, err)
	}
	all, err := ps.collect(ctx)
	if err == nil {
		err = process.Exhausted(totals) // Clients that return open anew.
	}
	if err != nil {
		return nil, err
	}
	p.Before, p.Connecting = before, connecting
	return report.New(cfg, targets, all, p), nil
}

// phases settles, warms up and measures.
func (ps *processes) phases(ctx context.Context, pids []int, show *progress.Display) (*report.Phases, error) {
	select {
	case <-time.After(ps.cfg.Settle):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := ps.step(ctx, process.StepReplace); err != nil {
		return nil, err
	}
	p := &report.Phases{Idle: usage.Observe(pids), Processes: 1 + len(ps.helpers)}
	if err := ps.step(ctx, process.StepWarmUp); err != nil {
		return nil, err
	}
	if err := ps.step(ctx, process.StepReset); err != nil {
		return nil, err
	}
	if err := process.Resumable(ps.totals); err != nil {
		return nil, load.UsageError{Err: err}
	}
	p.From = usage.Observe(pids)
	end := ps.follow(ctx, show)
	began := time.Now()
	err := ps.step(ctx, process.StepMeasure)
	p.Seconds = time.Since(began).Seconds()
	p.To = usage.Observe(pids)
	end()
	if err == nil {
		err = ps.step(ctx, process.StepReturn)
	}
	time.Sleep(quiet)
	if err == nil && ps.cfg.Stalled > 0 {
		err = ps.step(ctx, process.StepLookAtStalled)
	}
	return p, err
}

// follow shows the measured phase: by deliveries, or by seconds where nobody knows how many there
// will be.
func (ps *processes) follow(ctx context.Context, show *progress.Display) (end func()) {
	if ps.cfg.Duration > 0 && ps.cfg.Rate == 0 {
		start := time.Now()
		return show.Follow(ctx, "loading", "s", int64(ps.cfg.Duration.Seconds()), func() int64 { return int64(time.Since(start).Seconds()) })
	}
	total := ps.own.Audience() * int64(ps.cfg.Messages) / int64(ps.cfg.Publishers)
	progress := &ps.totals.Progress
	from := progress.Load()
	return show.Follow(ctx, "loading", "deliveries", total, func() int64 { return progress.Load() - from })
}

// explained adds the most frequent explanation of the loops' faults to err, and ends the loops.
func (ps *processes) explained(ctx context.Context, err error) error {
	all, unknown := ps.collect(ctx)
	if unknown != nil {
		return err
	}
	if words := all.Faults.Explain(); len(words) > 0 {
		return fmt.Errorf("%w: %s", err, words[0])
	}
	return err
}
