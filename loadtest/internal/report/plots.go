package report

import (
	"errors"
	"fmt"
	"html/template"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"

	"sluice/loadtest/internal/page"
)

// A figurePlot is one drawing of the page.
type figurePlot struct {
	Title string
	Keys  []key // of its lines
	SVG   template.HTML
	Wide  template.HTML // the same for the whole width of a wide page; may be empty
}

// A key says what a line is.
type key struct{ Class, Name string }

// plots are all drawings that the result has the numbers for.
func plots(res *Result) (all []figurePlot, err error) {
	draw := func(title string, p *plot.Plot, keys ...key) {
		svg, problem := page.SVG(p, title, page.Width)
		err = errors.Join(err, problem)
		all = append(all, figurePlot{Title: title, Keys: keys, SVG: svg})
	}
	if res.Histogram.Count() > 0 {
		p := percentilePlot(res)
		draw("Latency by percentile", p)
		if all[0].Wide, err = page.SVG(p, all[0].Title, page.WideWidth); err != nil {
			return nil, err
		}
	}
	if len(res.Series) == 0 {
		return all, err
	}
	draw("Latency over time", latencyPlot(res.Series), key{"a", "p50"}, key{"b", "p99"}, key{"c", "max"})
	draw("Deliveries per second", linePlot(res.Series, func(s *Sample) float64 { return s.PerSecond }, page.CountLabel))
	if res.Server != nil {
		draw("Server: processors busy", linePlot(res.Series, func(s *Sample) float64 { return s.ServerCores }, page.PlainLabel))
		draw("Server: resident memory", linePlot(res.Series, func(s *Sample) float64 { return float64(s.ServerRSS) }, page.BytesLabel))
	}
	return all, err
}

// percentilePlot has the axis that people know from HdrHistogram: each nine takes the same width.
func percentilePlot(res *Result) *plot.Plot {
	h := res.Histogram
	nines := math.Log10(float64(h.Count()))
	var xys plotter.XYs
	for x := 0.0; x < nines; x += 0.02 {
		xys = append(xys, plotter.XY{X: x, Y: float64(h.Percentile(100 * (1 - math.Pow(10, -x))))})
	}
	xys = append(xys, plotter.XY{X: nines, Y: float64(h.Max())})
	p := page.NewPlot()
	page.AddLine(p, xys, "a")
	p.X.Min, p.X.Max = 0, max(1, nines)
	p.Y.Min, p.Y.Max = 0, 1.05*float64(h.Max())
	p.X.Tick.Marker = plot.TickerFunc(func(_, high float64) (ticks []plot.Tick) {
		for n := 0.0; n <= high; n++ {
			digits := max(0, int(n)-2)
			ticks = append(ticks, plot.Tick{Value: n, Label: fmt.Sprintf("%.*f%%", digits, 100*(1-math.Pow(10, -n)))})
		}
		return ticks
	})
	p.Y.Tick.Marker = page.Apart(page.Evenly(page.DurationLabel))
	return p
}

// latencyPlot shows quantiles of each interval, on an axis that shows small and large ones.
func latencyPlot(series []Sample) *plot.Plot {
	p := page.NewPlot()
	low, high := math.Inf(1), 0.0
	for _, line := range []struct {
		class string
		of    func(*Sample) float64
	}{
		{"c", func(s *Sample) float64 { return s.Latency.Max }},
		{"b", func(s *Sample) float64 { return s.Latency.P99 }},
		{"a", func(s *Sample) float64 { return s.Latency.P50 }},
	} {
		for _, xys := range levels(series, func(s *Sample) (float64, bool) {
			ns := max(1, 1e3*line.of(s)) // A logarithm needs more than nothing.
			return ns, s.Deliveries > 0
		}) {
			for _, xy := range xys {
				low, high = min(low, xy.Y), max(high, xy.Y)
			}
			page.AddLine(p, xys, line.class)
		}
	}
	if high == 0 {
		low, high = 1, 10
	}
	p.Y.Min, p.Y.Max = page.RoundTo125(low, math.Floor), page.RoundTo125(high*1.01, math.Ceil)
	p.Y.Scale = plot.LogScale{}
	p.Y.Tick.Marker = page.Apart(plot.TickerFunc(func(low, high float64) (ticks []plot.Tick) {
		isDense := math.Log10(high/low) < 3
		for decade := math.Pow(10, math.Floor(math.Log10(low))); decade <= high; decade *= 10 {
			for _, digit := range []float64{1, 2, 5} {
				if v := decade * digit; v >= low*0.999 && v <= high*1.001 && (digit == 1 || isDense) {
					ticks = append(ticks, plot.Tick{Value: v, Label: page.DurationLabel(v, v)})
				}
			}
		}
		return ticks
	}))
	timeAxis(p, series)
	return p
}

// linePlot shows one figure of each interval, from zero.
func linePlot(series []Sample, of func(*Sample) float64, label page.Labeller) *plot.Plot {
	p := page.NewPlot()
	high := 0.0
	for _, xys := range levels(series, func(s *Sample) (float64, bool) { return of(s), true }) {
		for _, xy := range xys {
			high = max(high, xy.Y)
		}
		page.AddLine(p, xys, "a")
	}
	if high == 0 {
		high = 1
	}
	p.Y.Min, p.Y.Max = 0, 1.05*high
	p.Y.Tick.Marker = page.Apart(page.Evenly(label))
	timeAxis(p, series)
	return p
}

func timeAxis(p *plot.Plot, series []Sample) {
	p.X.Min, p.X.Max = 0, max(series[len(series)-1].At, 1e-3)
	p.X.Tick.Marker = page.Evenly(func(v, _ float64) string { return fmt.Sprintf("%.4g s", v) })
}

// levels draws a figure as level over each interval: what is known is the interval as a whole.
// Intervals without a value leave a gap between two lines.
func levels(series []Sample, of func(*Sample) (float64, bool)) (lines []plotter.XYs) {
	var line plotter.XYs
	for i := range series {
		s := &series[i]
		y, isKnown := of(s)
		if isKnown {
			line = append(line, plotter.XY{X: max(0, s.At-s.Seconds), Y: y}, plotter.XY{X: s.At, Y: y})
		}
		if !isKnown || i == len(series)-1 {
			if len(line) > 0 {
				lines = append(lines, line)
			}
			line = nil
		}
	}
	return lines
}
