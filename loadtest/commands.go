package main

import (
	"context"
	"os"

	"sluice/loadtest/internal/compare"
	"sluice/loadtest/internal/floor"
	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/run"
)

// CompareCommand compares servers under one load.
type CompareCommand struct {
	load.Load
	compare.Sides
	Calm bool  `help:"Measure the first server once more without the stalled, slow and coming and going clients of the load: what those cost the others." group:"Comparison"`
	At   []int `help:"Compare with each of these numbers of clients instead of --clients, and print how the figures grow." placeholder:"N,…" group:"Comparison"`
}

// ConnectCommand compares what accepting and upgrading costs servers.
type ConnectCommand struct {
	compare.Sides
	Connections int     `help:"Connections to open in each round." default:"5000" placeholder:"N" group:"Load" short:"c"`
	Ramp        float64 `help:"Connect at most this many clients a second. 0 means as fast as the server takes them." default:"0" placeholder:"RATE" group:"Load"`
	Loops       int     `help:"Event loops of the load test. 0 means half of the cores." default:"0" placeholder:"N" group:"Tool"`
}

// Run is the command.
func (c *CompareCommand) Run(ctx context.Context, out *compare.Output) error {
	if len(c.At) > 0 {
		return c.Sides.Scale(ctx, &c.Load, c.At, out)
	}
	return c.Sides.Loads(ctx, &c.Load, c.Calm, out)
}

// Run is the command.
func (c *ConnectCommand) Run(ctx context.Context, out *compare.Output) error {
	return c.Sides.Connecting(ctx, c.Connections, c.Ramp, c.Loops, out)
}

// FloorCommand serves the physical floor.
type FloorCommand struct {
	Listen string `help:"Where to listen." default:"127.0.0.1:8081" placeholder:"HOST:PORT"`
}

// Run serves until ctx ends.
func (c *FloorCommand) Run(ctx context.Context, out *compare.Output) error {
	return floor.Serve(ctx, c.Listen, out.Stderr)
}

// HelperCommand is what the load test starts itself as; nobody else has a use for it.
type HelperCommand struct{}

// Run takes steps until standard input ends.
func (c *HelperCommand) Run(ctx context.Context, out *compare.Output) error {
	return run.Help(ctx, os.Stdin, out.Stdout)
}
