package compare

import (
	"context"
	"fmt"
	"io"
	"time"

	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/report"
)

// scaleFigures are what may grow with the number of clients.
var scaleFigures = []figure{
	{"latency p50 ms", func(r *report.Result) float64 { return r.Latency.P50 / 1e3 }},
	{"latency p99 ms", func(r *report.Result) float64 { return r.Latency.P99 / 1e3 }},
	{"server CPU µs/delivery", func(r *report.Result) float64 { return r.Server.CPUPerDelivery }},
	{"server CPU µs/connection", func(r *report.Result) float64 { return r.Server.CPUPerConnection }},
	{"resident MB", func(r *report.Result) float64 { return float64(r.Server.RSS) / 1e6 }},
	{"bytes/idle connection", func(r *report.Result) float64 { return r.Server.RSSPerConnection }},
	{"own CPU µs/delivery", func(r *report.Result) float64 { return r.Client.CPUPerDelivery }},
}

// Scale compares the sides under the load what with each of the numbers of clients in at, and tells
// how the figures grow. Errors are as those of Loads.
func (s *Sides) Scale(ctx context.Context, what *load.Load, at []int, out *Output) error {
	began := time.Now()
	var all []side
	sizes := make([][]side, len(at))
	for i, n := range at {
		cfg := *what
		cfg.Clients = n
		if err := cfg.Prepare(); err != nil {
			return err
		}
		if !s.Quiet {
			fmt.Fprintf(out.Stderr, "%d clients\n", n)
		}
		sides, err := s.compare(ctx, &cfg, false, loadFigures, out)
		if err != nil {
			return err
		}
		sizes[i] = sides
		all = append(all, sides...)
	}
	printScale(out.Stdout, at, sizes)
	return s.finish(all, func() (*comparisonPage, error) { return compareScale(at, sizes) }, began, out)
}

// printScale prints for each figure and side the median at each size, and how many times the
// smallest size's that is.
func printScale(w io.Writer, at []int, sizes [][]side) {
	fmt.Fprintln(w)
	for _, s := range sizes[0] {
		fmt.Fprintln(w, s.Name)
	}
	for _, f := range scaleFigures {
		fmt.Fprintf(w, "\n%-26s", f.name)
		for _, n := range at {
			fmt.Fprintf(w, " %12d clients", n)
		}
		fmt.Fprintln(w)
		for i, s := range sizes[0] {
			fmt.Fprintf(w, "  %-24s", s.letter())
			for _, g := range growth(sizes, i, f) {
				fmt.Fprintf(w, " %11.4g  %-7s", g.median, fmt.Sprintf("×%.3g", g.times))
			}
			fmt.Fprintln(w)
		}
	}
}

// grown is a figure at one size, and how many times the smallest size's that is.
type grown struct{ median, times float64 }

// growth is a figure of one side, at each size.
func growth(sizes [][]side, which int, f figure) (all []grown) {
	base := Median(series(&sizes[0][which], f))
	for _, sides := range sizes {
		m := Median(series(&sides[which], f))
		all = append(all, grown{m, m / base})
	}
	return all
}
