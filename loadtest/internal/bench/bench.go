// Package bench measures the cells of docs/benchmarks.md: the gateway beside the physical floor,
// and beside servers on other libraries, in turn.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"sluice/loadtest/internal/compare"
	"sluice/loadtest/internal/limits"
	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/report"
	"sluice/loadtest/internal/run"
	"sluice/reactor"
)

// A Bench is what is to be measured: the flags of the command.
type Bench struct {
	Cells   string `help:"Measure the cells alone whose names match this regular expression." placeholder:"REGEXP" group:"Benchmark"`
	Rounds  int    `help:"How often each server is measured in each cell. They take turns, and each time it is a new process." default:"3" placeholder:"N" group:"Benchmark"`
	Small   bool   `help:"A few clients and messages, in one round: to see in seconds that all of it works. The figures mean nothing." group:"Benchmark"`
	Peers   bool   `help:"Build and measure the servers of loadtest/peers, too. Go fetches the libraries that they are made of, if it does not have them." group:"Benchmark"`
	Gateway string `help:"Measure this gateway instead of one that is built from the source in the working directory." placeholder:"FILE" group:"Benchmark" type:"path"`
	JSON    string `name:"json" help:"Write everything, each round by itself, to this file." placeholder:"FILE" group:"Report" type:"path"`
	Quiet   bool   `help:"Print the table alone." short:"q" group:"Report"`
}

// Help is the end of the command's --help: the cells.
func (b *Bench) Help() string {
	var text strings.Builder
	text.WriteString("Every cell is measured with the floor or another server to compare with, and that one once more: the noise. " +
		"With three rounds it takes some five minutes, twice that with --peers. Without --gateway it is run in the source. The cells:\n")
	for _, c := range cells() {
		fmt.Fprintf(&text, "\n    %-18s %s", c.name, c.about)
	}
	return text.String()
}

// Run measures, and prints a table to out. When ctx ends it prints what there is, and no process of
// its own is left. The error is a load.UsageError where flags cannot be, report.ErrFaulty where a
// gateway failed its clients or a cell could not be measured for another reason than the machine's
// limits.
func (b *Bench) Run(ctx context.Context, out *compare.Output) error {
	all, err := b.choose()
	if err != nil {
		return err
	}
	log := out.Stderr
	if b.Quiet {
		log = io.Discard
	}
	dir, err := os.MkdirTemp("", "loadtest-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	m := thisMachine()
	fmt.Fprintln(log, &m)
	fmt.Fprintln(log, "building what is to be measured")
	built, err := build(ctx, dir, b.Gateway, b.Peers)
	if err != nil {
		return err
	}
	found := result{Machine: m, Rounds: b.Rounds, Small: b.Small}
	for i := range all {
		if ctx.Err() != nil {
			break
		}
		fmt.Fprintf(log, "cell %d of %d, %s: %s\n", i+1, len(all), all[i].name, all[i].about)
		found.Cells = append(found.Cells, b.measure(ctx, &all[i], built, log))
	}
	found.print(out.Stdout)
	if b.JSON != "" {
		if err := found.writeJSON(b.JSON); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return errors.New("interrupted: the table has what was measured until then")
	}
	if slices.ContainsFunc(found.Cells, func(c outcome) bool { return c.Failed }) {
		return report.ErrFaulty
	}
	return nil
}

// choose is the cells to measure, as the flags ask for them.
func (b *Bench) choose() (chosen []cell, err error) {
	which, err := regexp.Compile(b.Cells)
	switch {
	case err != nil:
		return nil, load.UsageError{Err: fmt.Errorf("--cells: %w", err)}
	case b.Rounds < 1:
		return nil, load.UsageError{Err: errors.New("--rounds must be at least 1")}
	}
	if err := errors.Join(checkGateway(b.Gateway), report.CheckFiles(report.File{Flag: "--json", Path: b.JSON})); err != nil {
		return nil, load.UsageError{Err: err}
	}
	if b.Small {
		b.Rounds = 1
	}
	var names []string
	for _, c := range cells() {
		names = append(names, c.name)
		if which.MatchString(c.name) {
			chosen = append(chosen, b.fit(c))
		}
	}
	if len(chosen) == 0 {
		return nil, load.UsageError{Err: fmt.Errorf("--cells %s: there are %s", b.Cells, strings.Join(names, ", "))}
	}
	return chosen, nil
}

// fit completes a cell: with the peers, with its first side once more, and with small loads if
// those are asked for.
func (b *Bench) fit(c cell) cell {
	last := &c.sides[len(c.sides)-1]
	for _, name := range peerPrograms {
		if b.Peers && c.peers {
			c.sides = append(c.sides, side{name, name, "", rawPath, last.load})
		}
	}
	again := c.sides[0]
	again.name += " (again)"
	c.sides = slices.Insert(c.sides, 1, again)
	if b.Small {
		for i := range c.sides {
			shrink(&c.sides[i].load)
		}
	}
	return c
}

// measure makes the sides of a cell take turns.
func (b *Bench) measure(ctx context.Context, c *cell, built programs, log io.Writer) outcome {
	o := newOutcome(c)
	var all []compare.Contender
	for i := range c.sides {
		s := &c.sides[i]
		if why := descriptors(&s.load); why != nil {
			return o.leaveOut(why, false)
		}
		if err := s.load.Prepare(); err != nil {
			return o.leaveOut(err, true)
		}
		all = append(all, compare.Contender{Command: built.command(s), URL: "ws://127.0.0.1" + s.path, Load: &s.load})
	}
	limits.Raise(c.sides[0].load.Loops)
	err := compare.TakeTurns(ctx, all, b.Rounds, func(round, i int, res *report.Result) {
		o.add(i, c.figure, res)
		fmt.Fprintf(log, "  round %d of %d  %-22s %.4g %s\n", round+1, b.Rounds, c.sides[i].name, c.figure.of(res), c.figure.unit)
	})
	switch {
	case err == nil:
		o.finish(c)
		return o
	case ctx.Err() != nil:
		return o.leaveOut(errors.New("interrupted"), false)
	}
	return o.leaveOut(err, !errors.Is(err, run.ErrExhausted))
}

// descriptorsKept are a server's that are not for clients.
const descriptorsKept = 100

// descriptors says why a server cannot have so many clients here; nil if it can.
func descriptors(asked *load.Load) error {
	limit, err := reactor.DescriptorLimit()
	if need := uint64(asked.Clients + descriptorsKept); err == nil && need > limit {
		return fmt.Errorf("a server of %d clients takes %d descriptors, and a process may have %d here (ulimit -n)", asked.Clients, need, limit)
	}
	return nil
}
