package run

import (
	"context"
	"fmt"
	"sync"

	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/payload"
	"sluice/loadtest/internal/process"
	"sluice/loadtest/internal/shared"
)

// processes are the processes of one run: this one, and helpers where descriptors do not suffice.
// Each has its share of the clients and of the publishers. They take every step of the run
// together, told over pipes, and meanwhile tell each other what arrived in stats that all of them
// map. So a room may have its clients in several processes: each publisher still waits for all of
// them, and each client still checks every publisher's numbers.
type processes struct {
	cfg     *load.Load
	totals  *shared.Totals
	own     *process.Process
	helpers []*helper
	shared  *shared.Memory // nil without helpers
}

// startProcesses makes this process's run, and starts the helpers if it takes any.
func startProcesses(ctx context.Context, cfg *load.Load, targets []*load.Target) (ps *processes, err error) {
	n := cfg.Processes
	ps = &processes{cfg: cfg}
	layout, tag := layoutOf(cfg, len(targets), n), payload.NewTag()
	rank := shared.Alone(layout)
	if n > 1 {
		if ps.shared, err = shared.NewMemory(layout); err != nil {
			return nil, fmt.Errorf("memory for %d processes: %w", n, err)
		}
		rank = ps.shared.Rank()
	}
	ps.totals = rank.Stats.Totals
	if ps.own, err = process.New(cfg, targets, rank, tag); err != nil {
		ps.release()
		return nil, err
	}
	var urls []string
	for _, t := range targets {
		urls = append(urls, t.URL)
	}
	for i := 1; i < n; i++ {
		j := job{Load: cfg, Targets: urls, Index: i, Count: n, Tag: tag, Offset: ps.own.ClockOffset()}
		h, err := startHelper(ctx, j, ps.shared.Files(i))
		if err != nil {
			ps.release()
			return nil, fmt.Errorf("process %d of %d: %w", i+1, n, err)
		}
		ps.helpers = append(ps.helpers, h)
	}
	return ps, nil
}

// layoutOf is that of a run against this number of targets, by this number of processes.
func layoutOf(cfg *load.Load, targets, processes int) shared.Layout {
	return shared.Layout{
		Rooms: cfg.Rooms * targets, Streams: cfg.Publishers, SlotsPerStream: cfg.SlotsPerStream(), Processes: processes,
	}
}

// step makes all processes take a step. When one fails, the others are not waited for.
func (ps *processes) step(ctx context.Context, s process.Step) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	at := ps.own.Now()
	var waiting sync.WaitGroup
	for _, h := range ps.helpers {
		waiting.Go(func() {
			if err := h.take(order{s, at}); err != nil {
				cancel(err)
			}
		})
	}
	err := ps.own.Take(ctx, s, at)
	if err != nil {
		cancel(err)
		ps.killHelpers()
	}
	waiting.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// collect ends the loops of all processes and adds up what they found.
func (ps *processes) collect(ctx context.Context) (*process.Findings, error) {
	if err := ps.step(ctx, process.StepCollect); err != nil {
		return nil, err
	}
	all := ps.own.Findings()
	for _, h := range ps.helpers {
		all.Add(h.part)
	}
	return all, nil
}

// release ends the helpers and frees what the run held.
func (ps *processes) release() {
	ps.killHelpers()
	for _, h := range ps.helpers {
		h.end()
	}
	if ps.own != nil {
		ps.own.Release()
	}
	if ps.shared != nil {
		ps.shared.Close()
	}
}

func (ps *processes) killHelpers() {
	for _, h := range ps.helpers {
		_ = h.cmd.Process.Kill() // It may have ended, which is as well.
	}
}
