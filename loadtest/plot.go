package main

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A figurePlot is one drawing of the page.
type figurePlot struct {
	Title string
	Keys  []key // of its lines
	SVG   template.HTML
	Wide  template.HTML // the same for the page's whole width, where that is more than a phone's; may be empty
}

// A key says what a line is.
type key struct{ Class, Name string }

// inks are the colours that plots are drawn in, and the CSS properties that stand in for them in the page, so that one
// drawing serves light, dark and print. None is black, which SVG leaves out.
var inks = []struct {
	class string
	drawn color.NRGBA
}{
	{"ink", color.NRGBA{1, 1, 1, 255}},
	{"grid", color.NRGBA{2, 2, 2, 255}},
	{"a", color.NRGBA{10, 0, 0, 255}},
	{"b", color.NRGBA{0, 10, 0, 255}},
	{"c", color.NRGBA{0, 0, 10, 255}},
	{"d", color.NRGBA{10, 10, 0, 255}},
	{"e", color.NRGBA{0, 10, 10, 255}},
}

func ink(class string) color.Color {
	for _, i := range inks {
		if i.class == class {
			return i.drawn
		}
	}
	panic("loadtest: no ink " + class)
}

// Sizes of drawings. The page scales them, but not so far that labels could not be read.
const plotWidth, wideWidth, plotHeight = 480, 990, 250

// plots are all drawings that the result has the numbers for.
func plots(res *Result) (all []figurePlot, err error) {
	draw := func(title string, p *plot.Plot, keys ...key) {
		svg, problem := svgOf(p, title, plotWidth)
		err = errors.Join(err, problem)
		all = append(all, figurePlot{Title: title, Keys: keys, SVG: svg})
	}
	if res.latency.Count() > 0 {
		p := percentilePlot(res)
		draw("Latency by percentile", p)
		if all[0].Wide, err = svgOf(p, all[0].Title, wideWidth); err != nil {
			return nil, err
		}
	}
	if len(res.Series) == 0 {
		return all, err
	}
	draw("Latency over time", latencyPlot(res.Series), key{"a", "p50"}, key{"b", "p99"}, key{"c", "max"})
	draw("Deliveries per second", linePlot(res.Series, func(s *Sample) float64 { return s.PerSecond }, countLabel))
	if res.Server != nil {
		draw("Server: processors busy", linePlot(res.Series, func(s *Sample) float64 { return s.ServerCores }, plainLabel))
		draw("Server: resident memory", linePlot(res.Series, func(s *Sample) float64 { return float64(s.ServerRSS) }, bytesLabel))
	}
	return all, err
}

// newPlot is an empty plot in our style.
func newPlot() *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.LineStyle.Color = ink("ink")
		axis.LineStyle.Width = 1
		axis.Padding = 0
		axis.Tick.LineStyle.Color = ink("ink")
		axis.Tick.Length = 4
		axis.Tick.Label.Color = ink("ink")
		axis.Tick.Label.Font = font.Font{Typeface: "Liberation", Variant: "Sans", Size: 12}
	}
	p.X.Tick.Length = 8 // The corner has a label on either side.
	grid := plotter.NewGrid()
	grid.Horizontal = draw.LineStyle{Color: ink("grid"), Width: 1}
	grid.Vertical = grid.Horizontal
	p.Add(grid)
	return p
}

func addLine(p *plot.Plot, xys plotter.XYs, class string) {
	line, err := plotter.NewLine(xys)
	if err != nil {
		return // There is nothing to draw.
	}
	line.LineStyle = draw.LineStyle{Color: ink(class), Width: 2}
	p.Add(line)
}

// percentilePlot has the axis that people know from HdrHistogram: each nine takes the same width.
func percentilePlot(res *Result) *plot.Plot {
	h := res.latency
	nines := math.Log10(float64(h.Count()))
	var xys plotter.XYs
	for x := 0.0; x < nines; x += 0.02 {
		xys = append(xys, plotter.XY{X: x, Y: float64(h.Percentile(100 * (1 - math.Pow(10, -x))))})
	}
	xys = append(xys, plotter.XY{X: nines, Y: float64(h.Max())})
	p := newPlot()
	addLine(p, xys, "a")
	p.X.Min, p.X.Max = 0, max(1, nines)
	p.Y.Min, p.Y.Max = 0, 1.05*float64(h.Max())
	p.X.Tick.Marker = plot.TickerFunc(func(_, high float64) (ticks []plot.Tick) {
		for n := 0.0; n <= high; n++ {
			digits := max(0, int(n)-2)
			ticks = append(ticks, plot.Tick{Value: n, Label: fmt.Sprintf("%.*f%%", digits, 100*(1-math.Pow(10, -n)))})
		}
		return ticks
	})
	p.Y.Tick.Marker = apart(evenly(durationLabel))
	return p
}

// latencyPlot shows quantiles of each interval, on an axis that shows small and large ones.
func latencyPlot(series []Sample) *plot.Plot {
	p := newPlot()
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
			addLine(p, xys, line.class)
		}
	}
	if high == 0 {
		low, high = 1, 10
	}
	p.Y.Min, p.Y.Max = roundTo125(low, math.Floor), roundTo125(high*1.01, math.Ceil)
	p.Y.Scale = plot.LogScale{}
	p.Y.Tick.Marker = apart(plot.TickerFunc(func(low, high float64) (ticks []plot.Tick) {
		isDense := math.Log10(high/low) < 3
		for decade := math.Pow(10, math.Floor(math.Log10(low))); decade <= high; decade *= 10 {
			for _, digit := range []float64{1, 2, 5} {
				if v := decade * digit; v >= low*0.999 && v <= high*1.001 && (digit == 1 || isDense) {
					ticks = append(ticks, plot.Tick{Value: v, Label: durationLabel(v, v)})
				}
			}
		}
		return ticks
	}))
	timeAxis(p, series)
	return p
}

// linePlot shows one figure of each interval, from zero.
func linePlot(series []Sample, of func(*Sample) float64, label labeller) *plot.Plot {
	p := newPlot()
	high := 0.0
	for _, xys := range levels(series, func(s *Sample) (float64, bool) { return of(s), true }) {
		for _, xy := range xys {
			high = max(high, xy.Y)
		}
		addLine(p, xys, "a")
	}
	if high == 0 {
		high = 1
	}
	p.Y.Min, p.Y.Max = 0, 1.05*high
	p.Y.Tick.Marker = apart(evenly(label))
	timeAxis(p, series)
	return p
}

func timeAxis(p *plot.Plot, series []Sample) {
	p.X.Min, p.X.Max = 0, max(series[len(series)-1].At, 1e-3)
	p.X.Tick.Marker = evenly(func(v, _ float64) string { return fmt.Sprintf("%.4g s", v) })
}

// levels draws a figure as level over each interval: what is known is the interval as a whole. Intervals without a value
// leave a gap between two lines.
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

// A labeller writes the number v of an axis that ends at high.
type labeller func(v, high float64) string

// evenly puts four to eight round numbers on an axis.
func evenly(label labeller) plot.Ticker {
	return plot.TickerFunc(func(low, high float64) (ticks []plot.Tick) {
		step := roundTo125((high-low)/8, math.Ceil)
		for n := math.Ceil(low / step); n*step <= high; n++ {
			v := n*step + 0 // Not minus zero.
			ticks = append(ticks, plot.Tick{Value: v, Label: label(v, high)})
		}
		return ticks
	})
}

// apart keeps the labels of a vertical axis a little off it.
func apart(t plot.Ticker) plot.Ticker {
	return plot.TickerFunc(func(low, high float64) []plot.Tick {
		ticks := t.Ticks(low, high)
		for i := range ticks {
			ticks[i].Label += " "
		}
		return ticks
	})
}

// roundTo125 rounds to one, two or five times a power of ten, up or down as direction does.
func roundTo125(v float64, direction func(float64) float64) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(v)))
	options := []float64{1, 2, 5, 10}
	isUp := direction(0.5) == 1
	best := options[0]
	for _, o := range options {
		if isUp && o >= v/decade*0.9999 {
			return o * decade
		}
		if o <= v/decade*1.0001 {
			best = o
		}
	}
	return best * decade
}

// durationLabel writes nanoseconds.
func durationLabel(v, high float64) string {
	switch {
	case high < 1e3:
		return fmt.Sprintf("%.4g ns", v)
	case high < 1e6:
		return fmt.Sprintf("%.4g µs", v/1e3)
	case high < 1e9:
		return fmt.Sprintf("%.4g ms", v/1e6)
	}
	return fmt.Sprintf("%.4g s", v/1e9)
}

func countLabel(v, high float64) string {
	switch {
	case high < 1e4 || v == 0:
		return fmt.Sprintf("%.6g", v)
	case high < 1e6:
		return fmt.Sprintf("%.4gk", v/1e3)
	}
	return fmt.Sprintf("%.4gM", v/1e6)
}

func bytesLabel(v, _ float64) string { return fmt.Sprintf("%.4g MB", v/1e6) }

func plainLabel(v, _ float64) string { return fmt.Sprintf("%.4g", v) }

// svgOf draws a plot as an element to put into a page.
func svgOf(p *plot.Plot, title string, width vg.Length) (template.HTML, error) {
	canvas := vgsvg.New(width, plotHeight)
	p.Draw(draw.Crop(draw.New(canvas), 0, -8, 4, -8)) // Room for labels that stick out.
	var buf bytes.Buffer
	if _, err := canvas.WriteTo(&buf); err != nil {
		return "", err
	}
	_, svg, _ := strings.Cut(buf.String(), "<svg ")
	_, svg, isThere := strings.Cut(svg, "viewBox=")
	if !isThere {
		return "", fmt.Errorf("the plot of %q is not as expected", title)
	}
	for _, i := range inks {
		drawn := i.drawn
		svg = strings.ReplaceAll(svg, fmt.Sprintf("#%02X%02X%02X", drawn.R, drawn.G, drawn.B), "var(--"+i.class+")")
	}
	return template.HTML(fmt.Sprintf("<svg role=\"img\" aria-label=%q viewBox=%s", title, svg)), nil
}
