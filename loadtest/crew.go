package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"sluice/reactor"
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

// A helper is another process of this program that has a share of the run.
type helper struct {
	cmd     *exec.Cmd
	orders  io.WriteCloser
	answers *json.Decoder
	part    *part // after collect
}

// A job is what a helper has to know before the first step.
type job struct {
	Load    *Load
	Targets []string
	Index   int
	Count   int
	Size    int // of the board
	Tag     runTag
	Offset  time.Duration // of the first process's clock
}

type order struct {
	Step step
	At   time.Duration
}

type answer struct {
	Error string `json:",omitempty"`
	Part  *part  `json:",omitempty"`
}

func startHelper(ctx context.Context, j job, files []*os.File) (*helper, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	h := &helper{cmd: exec.CommandContext(ctx, exe, "helper")}
	h.cmd.Stderr = os.Stderr
	h.cmd.ExtraFiles = files
	if h.orders, err = h.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := h.cmd.Start(); err != nil {
		return nil, err
	}
	h.answers = json.NewDecoder(out)
	if err := json.NewEncoder(h.orders).Encode(j); err != nil {
		h.end()
		return nil, err
	}
	return h, nil
}

// take makes the helper take a step and waits until it has.
func (h *helper) take(o order) error {
	if err := json.NewEncoder(h.orders).Encode(o); err != nil {
		return fmt.Errorf("a process of the load test ended: %w", err)
	}
	var a answer
	if err := h.answers.Decode(&a); err != nil {
		return fmt.Errorf("a process of the load test ended: %w", err)
	}
	if a.Error != "" {
		return errors.New(a.Error)
	}
	h.part = a.Part
	return nil
}

// end waits for a helper that has its orders closed: it ends then.
func (h *helper) end() {
	h.orders.Close()
	_ = h.cmd.Wait()
}

// HelperCommand is what the load test starts itself as; nobody else has a use for it.
type HelperCommand struct{}

// Run takes the steps that come in at standard input, until that ends.
func (c *HelperCommand) Run(ctx context.Context, out *output) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := json.NewDecoder(os.Stdin)
	var j job
	if err := in.Decode(&j); err != nil {
		return err
	}
	r, err := j.begin()
	if err != nil {
		return err
	}
	defer r.release()
	orders := make(chan order)
	go func() { // Its end is the program's, if not the input's.
		defer cancel()
		for {
			var o order
			if in.Decode(&o) != nil {
				close(orders)
				return
			}
			orders <- o
		}
	}()
	for o := range orders {
		var a answer
		if err := steps[o.Step](r, ctx, o.At); err != nil {
			a.Error = err.Error()
		}
		if o.Step == stepCollect {
			a.Part = r.part()
		}
		if err := json.NewEncoder(out.stdout).Encode(a); err != nil {
			return err
		}
	}
	return nil
}

// begin makes the helper's run.
func (j *job) begin() (*run, error) {
	raiseLimits(j.Load.Loops)
	memory, e, err := inherit(j.Size, j.Count)
	if err != nil {
		return nil, err
	}
	var targets []*target
	for _, raw := range j.Targets {
		t, err := parseTarget(raw, j.Load.Rooms, j.Load.Insecure)
		if err != nil {
			return nil, err
		}
		targets = append(targets, t)
	}
	b := newBoard(j.Load, j.Load.Rooms*len(targets), j.Count, memory)
	r, err := newRun(j.Load, targets, &seat{index: j.Index, count: j.Count, ears: e}, b, j.Tag)
	if err != nil {
		return nil, err
	}
	r.ahead = clockOffset(r.kernel) - j.Offset
	return r, nil
}

// clockOffset is how far the loops' clock, which begins with the process, is behind the system's. The two are read one
// after the other, so of several readings the one that was interrupted least is right.
func clockOffset(k reactor.Kernel) time.Duration {
	least := time.Duration(1<<63 - 1)
	var offset time.Duration
	for range 100 {
		before := k.Now()
		wall := time.Now().UnixNano()
		if after := k.Now(); after-before < least {
			least = after - before
			offset = time.Duration(wall) - before - least/2
		}
	}
	return offset
}
