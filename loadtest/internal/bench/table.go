package bench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// print writes the table: a row for each server of each cell, in columns that are two spaces or
// more apart, and below it what the columns mean.
func (r *result) print(w io.Writer) {
	fmt.Fprintln(w, &r.Machine)
	if words := r.Machine.warning(); words != "" {
		fmt.Fprintln(w, words)
	}
	if r.Small {
		fmt.Fprintln(w, "warning: --small: the figures mean nothing")
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(columns ...string) { fmt.Fprintln(table, strings.Join(columns, "\t")) }
	row("cell", "server", "median", "unit", "ratio", "lowest", "highest", "verdict", "deliveries/s", "p99", "faults")
	for i := range r.Cells {
		o := &r.Cells[i]
		for j := range o.Sides {
			row(o.row(j, r.Rounds)...)
		}
	}
	table.Flush()
	for _, o := range r.Cells {
		if o.LeftOut != "" {
			fmt.Fprintf(w, "%s is left out: %s\n", o.Name, o.LeftOut)
		}
	}
	fmt.Fprintf(w, `
Rounds in turn: %d, of which the median. Ratios are to the cell's first server in the same round; what that one
has to itself, measured again, is the noise. Verdict: even is a ratio whose rounds overlap with those of the
noise, which takes %d rounds to say.
`, r.Rounds, roundsToJudge)
}

// row is what one side of a cell had.
func (o *outcome) row(which, rounds int) []string {
	s := &o.Sides[which]
	columns := []string{o.Name, s.Name, fmt.Sprintf("%.4g", s.Median), o.Unit}
	switch {
	case which == 0:
		columns = append(columns, "1", "-", "-", "-")
	case s.Ratio == nil:
		columns = append(columns, "-", "-", "-", "-")
	default:
		verdict := "noise"
		if which > 1 {
			verdict = s.Ratio.verdict(o.Sides[1].Ratio, rounds)
		}
		columns = append(columns, fmt.Sprintf("%.2f", s.Ratio.Median), fmt.Sprintf("%.2f", s.Ratio.Lowest), fmt.Sprintf("%.2f", s.Ratio.Highest), verdict)
	}
	faults := "none"
	if s.FaultyRounds > 0 {
		faults = fmt.Sprintf("in %d of %d rounds", s.FaultyRounds, rounds)
	}
	return append(columns, fmt.Sprintf("%.0f", s.DeliveriesPerSecond), fmt.Sprintf("%.2f ms", s.LatencyP99/1e3), faults)
}
