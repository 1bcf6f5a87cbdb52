// Package compare measures servers in turns under one load, and tells by what ratio they differ and
// by how much chance would make them differ.
package compare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"sluice/loadtest/internal/limits"
	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/payload"
	"sluice/loadtest/internal/report"
)

// Sides are the servers of a comparison and how they are compared: the flags that all comparisons
// have.
type Sides struct {
	Spawn  []string `help:"A server to compare, as for loadtest --spawn. Repeatable; ratios are to the first." required:"" sep:"none" placeholder:"COMMAND" group:"Comparison"`
	Rounds int      `help:"How often each server is measured. They take turns, and each time it is a new process." default:"9" placeholder:"N" group:"Comparison"`
	Noise  bool     `help:"Measure the first server as a further side of its own, to show what ratio equals give." default:"true" negatable:"" group:"Comparison"`
	URL    string   `name:"url" help:"Path and query to connect to; host and port do not matter." default:"ws://127.0.0.1/ws" group:"Comparison"`
	JSON   string   `name:"json" help:"Write all rounds of all sides to this file." placeholder:"FILE" group:"Report" type:"path"`
	HTML   string   `name:"html" help:"Write the comparison to this file as a page with plots." placeholder:"FILE" group:"Report" type:"path"`
	Quiet  bool     `help:"Print the table alone." short:"q" group:"Report"`
}

// An Output is where a comparison goes.
type Output struct {
	Stdout io.Writer // the tables
	Stderr io.Writer // a line for each round
	Args   []string  // of the command, for the page
}

// A figure is a row of the table.
type figure struct {
	name string
	of   func(*report.Result) float64
}

var loadFigures = []figure{
	{"server CPU µs/delivery", func(r *report.Result) float64 { return r.Server.CPUPerDelivery }},
	{"deliveries/s", func(r *report.Result) float64 { return r.DeliveriesPerSecond }},
	{"latency p50 µs", func(r *report.Result) float64 { return r.Latency.P50 }},
	{"latency p99 µs", func(r *report.Result) float64 { return r.Latency.P99 }},
	{"bytes/delivery", func(r *report.Result) float64 { return r.BytesPerDelivery }},
	{"resident MB", func(r *report.Result) float64 { return float64(r.Server.RSS) / 1e6 }},
	{"messages/write", func(r *report.Result) float64 { return r.Server.Said["deliveries"] / r.Server.Said["writes"] }},
	{"own CPU µs/delivery", func(r *report.Result) float64 { return r.Client.CPUPerDelivery }},
}

var connectFigures = []figure{
	{"server CPU µs/connection", func(r *report.Result) float64 { return r.Server.CPUPerConnection }},
	{"connections/s", func(r *report.Result) float64 { return r.Connect.PerSecond }},
	{"bytes/connection", func(r *report.Result) float64 { return r.Server.RSSPerConnection }},
}

// Loads compares the sides under one load, which it prepares. With calm, the first server is
// measured once more without the load's crowd. The error is a load.UsageError where flags cannot
// be, report.ErrFaulty where everything was measured and a server failed its clients.
func (s *Sides) Loads(ctx context.Context, cfg *load.Load, calm bool, out *Output) error {
	if err := cfg.Prepare(); err != nil {
		return err
	}
	return s.report(ctx, cfg, calm, loadFigures, out)
}

// Connecting compares what accepting and upgrading connections costs the sides. ramp is how many
// are opened a second at most, 0 for as fast as the server takes them; loops are those of the load
// test, 0 for half of the cores. Errors are as those of Loads.
func (s *Sides) Connecting(ctx context.Context, connections int, ramp float64, loops int, out *Output) error {
	cfg := load.Load{
		Clients: connections, Publishers: 1, Rooms: 1, Size: load.FixedSize(payload.SizeMin), Messages: 1, Window: 1, Loops: loops, Ramp: ramp,
		Settle: 200 * time.Millisecond, ConnectTimeout: 10 * time.Second, LossTimeout: time.Second,
	}
	if err := cfg.Prepare(); err != nil {
		return err
	}
	cfg.Messages = 0 // Nothing is sent: opening is all.
	return s.report(ctx, &cfg, false, connectFigures, out)
}

// report compares and tells what it found.
func (s *Sides) report(ctx context.Context, cfg *load.Load, calm bool, figures []figure, out *Output) error {
	began := time.Now()
	sides, err := s.compare(ctx, cfg, calm, figures, out)
	if err != nil {
		return err
	}
	printSides(out.Stdout, sides, figures)
	return s.finish(sides, func() (*comparisonPage, error) { return compareSides(sides, figures) }, began, out)
}

// checkFiles says before the rounds what could not be written after them.
func (s *Sides) checkFiles() error {
	if err := report.CheckFiles(report.File{Flag: "--json", Path: s.JSON}, report.File{Flag: "--html", Path: s.HTML}); err != nil {
		return load.UsageError{Err: err}
	}
	return nil
}

// A side is one server's results, one a round.
type side struct {
	Name   string           `json:"name"`
	Rounds []*report.Result `json:"rounds"`
}

// letter is how tables call the side.
func (s *side) letter() string { return strings.TrimSpace(s.Name[:2]) }

// compare lets the sides take turns.
func (s *Sides) compare(ctx context.Context, cfg *load.Load, calm bool, figures []figure, out *Output) (sides []side, err error) {
	if s.Rounds < 1 {
		return nil, load.UsageError{Err: errors.New("--rounds must be at least 1")}
	}
	if err := s.checkFiles(); err != nil {
		return nil, err
	}
	limits.Raise(cfg.Loops)
	var all []Contender
	add := func(name, command string, cfg *load.Load) {
		sides = append(sides, side{Name: name})
		all = append(all, Contender{Command: command, URL: s.URL, Load: cfg})
	}
	for i, command := range s.Spawn {
		add(string(rune('A'+i))+"  "+command, command, cfg)
	}
	if s.Noise {
		add("A' "+s.Spawn[0]+"   (noise: A against itself)", s.Spawn[0], cfg)
	}
	if calm {
		add("A- "+s.Spawn[0]+"   (calm: A without the crowd)", s.Spawn[0], cfg.Calm())
	}
	err = TakeTurns(ctx, all, s.Rounds, func(round, i int, res *report.Result) {
		sides[i].Rounds = append(sides[i].Rounds, res)
		if !s.Quiet {
			fmt.Fprintf(out.Stderr, "round %d of %d  %-40.40s %s\n", round+1, s.Rounds, sides[i].Name, brief(res, figures))
		}
	})
	if err != nil {
		return nil, err
	}
	return sides, nil
}

// finish writes what was found, and says whether a server failed its clients.
func (s *Sides) finish(sides []side, draw func() (*comparisonPage, error), began time.Time, out *Output) error {
	if s.JSON != "" {
		b, err := json.MarshalIndent(sides, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(s.JSON, append(b, '\n'), 0o644); err != nil {
			return err
		}
	}
	if s.HTML != "" {
		p, err := draw()
		if err != nil {
			return err
		}
		if err := p.write(s.HTML, began, out.Args, s.Rounds); err != nil {
			return err
		}
	}
	for _, side := range sides {
		if slices.ContainsFunc(side.Rounds, (*report.Result).Faulty) {
			return report.ErrFaulty
		}
	}
	return nil
}

// brief is one round in a line.
func brief(res *report.Result, figures []figure) string {
	words := []string{fmt.Sprintf("%s %.4g", figures[0].name, figures[0].of(res)), fmt.Sprintf("%s %.4g", figures[1].name, figures[1].of(res))}
	if res.Faulty() {
		words = append(words, fmt.Sprintf("FAULTS: %d lost, %d duplicated, %d reordered, %d corrupted, %d closed, %d failed",
			res.Lost, res.Duplicated, res.Reordered, res.Corrupted, res.Closed, res.Connect.Failed))
	}
	return strings.Join(words, ", ")
}

// A comparison is what one figure was on one side: the median of all rounds, and the ratios to the
// first side in the same round. There are none where the first side does not have the figure.
type comparison struct {
	side   *side
	median float64
	ratios []float64
}

// compared is one figure of all sides that have it.
func compared(sides []side, f figure) (all []comparison) {
	base := series(&sides[0], f)
	for i := range sides {
		values := series(&sides[i], f)
		if values == nil {
			continue
		}
		c := comparison{side: &sides[i], median: Median(values)}
		for round := range base {
			c.ratios = append(c.ratios, values[round]/base[round])
		}
		all = append(all, c)
	}
	return all
}

// printSides prints for each figure and side the median, and the median and spread of its ratio to
// the first side.
func printSides(w io.Writer, sides []side, figures []figure) {
	fmt.Fprintln(w)
	for _, s := range sides {
		fmt.Fprintln(w, s.Name)
	}
	for _, f := range figures {
		fmt.Fprintf(w, "\n%-26s %10s %10s   %s\n", f.name, "median", "ratio", "spread of the ratio")
		for _, c := range compared(sides, f) {
			fmt.Fprintf(w, "  %-24s %10.4g", c.side.letter(), c.median)
			if c.ratios != nil {
				fmt.Fprintf(w, " %10.3f   %.3f .. %.3f", Median(c.ratios), slices.Min(c.ratios), slices.Max(c.ratios))
			}
			fmt.Fprintln(w)
		}
	}
}

// series is one figure of all rounds; nil when a round does not have it.
func series(s *side, f figure) []float64 {
	values := make([]float64, 0, len(s.Rounds))
	for _, res := range s.Rounds {
		v := f.of(res)
		if v != v { // Zero by zero: the server does not say.
			return nil
		}
		values = append(values, v)
	}
	return values
}

// Median is the middle of values, which are not empty.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
