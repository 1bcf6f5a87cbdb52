package page

import (
	"bytes"
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

// inks are the colours that plots are drawn in, and the CSS properties that stand in for them in
// the page, so that one drawing serves light, dark and print. None is black, which SVG leaves out.
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

// Ink is the colour of a class: ink, grid, or a to e for lines. Another class is a panic.
func Ink(class string) color.Color {
	for _, i := range inks {
		if i.class == class {
			return i.drawn
		}
	}
	panic("loadtest: no ink " + class)
}

// Width, WideWidth and height are sizes of drawings. The page scales them, but not so far that
// labels could not be read.
const Width, WideWidth, height = 480, 990, 250

// NewPlot is an empty plot in our style. Nothing of gonum's plots is safe for concurrent use.
func NewPlot() *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.LineStyle.Color = Ink("ink")
		axis.LineStyle.Width = 1
		axis.Padding = 0
		axis.Tick.LineStyle.Color = Ink("ink")
		axis.Tick.Length = 4
		axis.Tick.Label.Color = Ink("ink")
		axis.Tick.Label.Font = font.Font{Typeface: "Liberation", Variant: "Sans", Size: 12}
	}
	p.X.Tick.Length = 8 // The corner has a label on either side.
	grid := plotter.NewGrid()
	grid.Horizontal = draw.LineStyle{Color: Ink("grid"), Width: 1}
	grid.Vertical = grid.Horizontal
	p.Add(grid)
	return p
}

// AddLine draws a line in the ink of a class. Coordinates that cannot be drawn, such as NaN, leave
// it out.
func AddLine(p *plot.Plot, xys plotter.XYs, class string) {
	line, err := plotter.NewLine(xys)
	if err != nil {
		return // There is nothing to draw.
	}
	line.LineStyle = draw.LineStyle{Color: Ink(class), Width: 2}
	p.Add(line)
}

// A Labeller writes the number v on an axis that ends at high, so that all labels have one unit.
type Labeller func(v, high float64) string

// Evenly puts four to eight round numbers on an axis.
func Evenly(label Labeller) plot.Ticker {
	return plot.TickerFunc(func(low, high float64) (ticks []plot.Tick) {
		step := RoundTo125((high-low)/8, math.Ceil)
		for n := math.Ceil(low / step); n*step <= high; n++ {
			v := n*step + 0 // Not minus zero.
			ticks = append(ticks, plot.Tick{Value: v, Label: label(v, high)})
		}
		return ticks
	})
}

// Apart keeps the labels of a vertical axis a little off it.
func Apart(t plot.Ticker) plot.Ticker {
	return plot.TickerFunc(func(low, high float64) []plot.Tick {
		ticks := t.Ticks(low, high)
		for i := range ticks {
			ticks[i].Label += " "
		}
		return ticks
	})
}

// RoundTo125 rounds v, above zero, to one, two or five times a power of ten: up or down as
// direction, math.Ceil or math.Floor, does.
func RoundTo125(v float64, direction func(float64) float64) float64 {
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

// DurationLabel writes nanoseconds.
func DurationLabel(v, high float64) string {
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

// CountLabel writes a number, with k or M where it is large.
func CountLabel(v, high float64) string {
	switch {
	case high < 1e4 || v == 0:
		return fmt.Sprintf("%.6g", v)
	case high < 1e6:
		return fmt.Sprintf("%.4gk", v/1e3)
	}
	return fmt.Sprintf("%.4gM", v/1e6)
}

// BytesLabel writes bytes as megabytes.
func BytesLabel(v, _ float64) string { return fmt.Sprintf("%.4g MB", v/1e6) }

// PlainLabel writes a number as it is.
func PlainLabel(v, _ float64) string { return fmt.Sprintf("%.4g", v) }

// SVG draws a plot as an element to put into a page, width wide in the page's own units and named
// by title for people that cannot see it.
func SVG(p *plot.Plot, title string, width vg.Length) (template.HTML, error) {
	canvas := vgsvg.New(width, height)
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
