package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"sluice/loadtest/internal/limits"
	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/payload"
	"sluice/loadtest/internal/process"
	"sluice/loadtest/internal/shared"
)

// A helper is another process of this program that has a share of the run.
type helper struct {
	cmd     *exec.Cmd
	orders  io.WriteCloser
	answers *json.Decoder
	part    *process.Findings // after collect
}

// A job is what a helper has to know before the first step.
type job struct {
	Load    *load.Load
	Targets []string
	Index   int
	Count   int
	Tag     payload.Tag
	Offset  time.Duration // of the first process's clock
}

type order struct {
	Step process.Step
	At   time.Duration
}

type answer struct {
	Error string            `json:",omitempty"`
	Part  *process.Findings `json:",omitempty"`
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

// Help is a further process of a run: it takes the steps that come in at r, until that ends, and
// answers to w. The process must have been started by another that makes the run, whose memory it
// inherits.
func Help(ctx context.Context, r io.Reader, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := json.NewDecoder(r)
	var j job
	if err := in.Decode(&j); err != nil {
		return err
	}
	p, err := j.begin()
	if err != nil {
		return err
	}
	defer p.Release()
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
		if err := p.Take(ctx, o.Step, o.At); err != nil {
			a.Error = err.Error()
		}
		if o.Step == process.StepCollect {
			a.Part = p.Findings()
		}
		if err := json.NewEncoder(w).Encode(a); err != nil {
			return err
		}
	}
	return nil
}

// begin makes the helper's run.
func (j *job) begin() (*process.Process, error) {
	limits.Raise(j.Load.Loops)
	var targets []*load.Target
	for _, raw := range j.Targets {
		t, err := j.Load.ParseTarget(raw)
		if err != nil {
			return nil, err
		}
		targets = append(targets, t)
	}
	rank, err := shared.Inherit(layoutOf(j.Load, len(targets), j.Count), j.Index)
	if err != nil {
		return nil, err
	}
	p, err := process.New(j.Load, targets, rank, j.Tag)
	if err != nil {
		return nil, err
	}
	p.Follow(j.Offset)
	return p, nil
}
