package main

import (
	"context"
	"fmt"
	"sync"
)

// A crew is the processes of one run: this one, and helpers where descriptors do not suffice. Each has its share of the
// clients and of the publishers. They take every step of the run together, told over pipes, and meanwhile tell each other
// what arrived on a board that all of them map. So a room may have its clients in several processes: each publisher still
// waits for all of them, and each client still checks every publisher's numbers.
type crew struct {
	own     *run
	helpers []*helper
	commons *commons // nil without helpers
}

const (
	// processesMax bounds --processes: each holds a pipe to each other.
	processesMax = 64
	// descriptorsKept are not for clients: pipes, pollers, files, and the second descriptor that a TLS handshake takes.
	descriptorsKept = 512
)

// muster makes this process's run, and starts the helpers if it takes any.
func muster(ctx context.Context, cfg *Load, targets []*target) (c *crew, err error) {
	n := cfg.Processes
	c = &crew{}
	rooms, tag, own := cfg.Rooms*len(targets), newTag(), alone()
	b := newBoard(cfg, rooms, n, nil)
	if n > 1 {
		if c.commons, err = newCommons(b.size, n); err != nil {
			return nil, fmt.Errorf("memory for %d processes: %w", n, err)
		}
		b = newBoard(cfg, rooms, n, c.commons.memory)
		own = &seat{index: 0, count: n, ears: c.commons.ears(0)}
	}
	if c.own, err = newRun(cfg, targets, own, b, tag); err != nil {
		c.dismiss()
		return nil, err
	}
	var urls []string
	for _, t := range targets {
		urls = append(urls, t.url)
	}
	for i := 1; i < n; i++ {
		j := job{Load: cfg, Targets: urls, Index: i, Count: n, Size: b.size, Tag: tag, Offset: clockOffset(c.own.kernel)}
		h, err := startHelper(ctx, j, c.commons.files(i))
		if err != nil {
			c.dismiss()
			return nil, fmt.Errorf("process %d of %d: %w", i+1, n, err)
		}
		c.helpers = append(c.helpers, h)
	}
	return c, nil
}

// step makes all processes take a step. When one fails, the others are not waited for.
func (c *crew) step(ctx context.Context, s step) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	at := c.own.now()
	var waiting sync.WaitGroup
	for _, h := range c.helpers {
		waiting.Go(func() {
			if err := h.take(order{s, at}); err != nil {
				cancel(err)
			}
		})
	}
	err := steps[s](c.own, ctx, at)
	if err != nil {
		cancel(err)
		c.killHelpers()
	}
	waiting.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// collect ends the loops of all processes and adds up what they found.
func (c *crew) collect(ctx context.Context) (*part, error) {
	if err := c.step(ctx, stepCollect); err != nil {
		return nil, err
	}
	all := c.own.part()
	for _, h := range c.helpers {
		all.add(h.part)
	}
	return all, nil
}

// dismiss ends the helpers and frees what the run held.
func (c *crew) dismiss() {
	c.killHelpers()
	for _, h := range c.helpers {
		h.end()
	}
	if c.own != nil {
		c.own.release()
	}
	if c.commons != nil {
		c.commons.close()
	}
}

func (c *crew) killHelpers() {
	for _, h := range c.helpers {
		_ = h.cmd.Process.Kill() // It may have ended, which is as well.
	}
}
