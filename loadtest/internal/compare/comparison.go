package compare

import (
	"embed"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"

	"sluice/loadtest/internal/page"
	"sluice/loadtest/internal/report"
)

//go:embed comparison.html
var comparisonFiles embed.FS

var comparisonTemplate = page.Parse(comparisonFiles, "comparison.html")

// A comparisonPage is a comparison to look at, like that of a report.
type comparisonPage struct {
	Began   time.Time
	System  string
	Rounds  int
	Faulty  string // letters of the sides that failed their clients
	Sides   []pageSide
	Legend  string
	Head    []string // of each figure's table
	Figures []pageFigure
	Command string
}

type pageSide struct{ Class, Letter, Command string }

type pageFigure struct {
	Title string
	SVG   template.HTML
	Rows  [][]string
}

// sideInks are the colours of the sides; from the sixth on they repeat, and the letters tell them
// apart.
const sideInks = "abcde"

func sideInk(i int) string { return string(sideInks[i%len(sideInks)]) }

func newComparisonPage(sides []side) *comparisonPage {
	p := &comparisonPage{System: page.Machine()}
	for i := range sides {
		s := &sides[i]
		p.Sides = append(p.Sides, pageSide{sideInk(i), s.letter(), strings.TrimSpace(s.Name[2:])})
	}
	p.addFaulty(sides)
	return p
}

func (p *comparisonPage) addFaulty(sides []side) {
	for i := range sides {
		if letter := sides[i].letter(); slices.ContainsFunc(sides[i].Rounds, (*report.Result).Faulty) && !slices.Contains(strings.Fields(p.Faulty), letter) {
			p.Faulty = strings.TrimSpace(p.Faulty + " " + letter)
		}
	}
}

// compareSides shows the ratios of the sides to the first.
func compareSides(sides []side, figures []figure) (*comparisonPage, error) {
	p := newComparisonPage(sides)
	p.Head = []string{"", "median", "ratio", "spread"}
	p.Legend = "Each dot is the ratio to A in one round, each stroke the median of them. How far A' is spread, which is A once more, is what ratio chance gives."
	for _, f := range figures {
		all := compared(sides, f)
		if len(all) == 0 || all[0].ratios == nil {
			continue
		}
		svg, err := page.SVG(ratioPlot(sides, all), f.name, page.Width)
		if err != nil {
			return nil, err
		}
		figure := pageFigure{Title: f.name, SVG: svg}
		for _, c := range all {
			figure.Rows = append(figure.Rows, []string{
				c.side.letter(), short(c.median), fmt.Sprintf("%.3f", Median(c.ratios)),
				fmt.Sprintf("%.3f to %.3f", slices.Min(c.ratios), slices.Max(c.ratios)),
			})
		}
		p.Figures = append(p.Figures, figure)
	}
	return p, nil
}

// short writes a figure with what matters of it.
func short(v float64) string {
	if v >= 1e4 && v < 1e18 {
		return page.Thousands(uint64(v + 0.5))
	}
	return fmt.Sprintf("%.3g", v)
}

// ratioPlot has a line of dots for each side, the first at the top.
func ratioPlot(sides []side, all []comparison) *plot.Plot {
	p := page.NewPlot()
	low, high := 0.95, 1.05
	place := func(s *side) float64 {
		return float64(len(sides) - slices.IndexFunc(sides, func(o side) bool { return o.Name == s.Name }))
	}
	for _, c := range all {
		y, class := place(c.side), sideInk(len(sides)-int(place(c.side)))
		var dots plotter.XYs
		for _, r := range c.ratios {
			if math.IsNaN(r) || math.IsInf(r, 0) {
				continue // The first side had nothing of it in that round.
			}
			dots = append(dots, plotter.XY{X: r, Y: y})
			low, high = min(low, r), max(high, r)
		}
		if len(dots) == 0 {
			continue
		}
		scatter, err := plotter.NewScatter(dots)
		if err != nil {
			continue // There is nothing to draw.
		}
		scatter.GlyphStyle = draw.GlyphStyle{Color: page.Ink(class), Radius: 3, Shape: draw.CircleGlyph{}}
		p.Add(scatter)
		if m := Median(c.ratios); !math.IsNaN(m) && !math.IsInf(m, 0) {
			page.AddLine(p, plotter.XYs{{X: m, Y: y - 0.3}, {X: m, Y: y + 0.3}}, class)
		}
	}
	margin := 0.05 * (high - low)
	p.X.Min, p.X.Max = low-margin, high+margin
	p.X.Tick.Marker = page.Evenly(func(v, _ float64) string { return fmt.Sprintf("×%.4g", v) })
	p.Y.Min, p.Y.Max = 0.5, float64(len(sides))+0.5
	p.Y.Tick.Marker = plot.TickerFunc(func(_, _ float64) (ticks []plot.Tick) {
		for i := range sides {
			ticks = append(ticks, plot.Tick{Value: place(&sides[i]), Label: sides[i].letter() + " "})
		}
		return ticks
	})
	return p
}

// compareScale shows how the figures of each side grow with the number of clients.
func compareScale(at []int, sizes [][]side) (*comparisonPage, error) {
	p := newComparisonPage(sizes[0])
	p.Legend = "Medians by number of clients, and how many times the first of them that is."
	p.Head = []string{""}
	for i, n := range at {
		p.Head = append(p.Head, page.Thousands(uint64(n)))
		p.addFaulty(sizes[i])
	}
	for _, f := range scaleFigures {
		svg, err := page.SVG(growthPlot(at, sizes, f), f.name, page.Width)
		if err != nil {
			return nil, err
		}
		figure := pageFigure{Title: f.name, SVG: svg}
		for i := range sizes[0] {
			row := []string{sizes[0][i].letter()}
			for _, g := range growth(sizes, i, f) {
				row = append(row, short(g.median)+" ×"+short(g.times))
			}
			figure.Rows = append(figure.Rows, row)
		}
		p.Figures = append(p.Figures, figure)
	}
	return p, nil
}

// growthPlot has a line for each side over the logarithm of the number of clients.
func growthPlot(at []int, sizes [][]side, f figure) *plot.Plot {
	p := page.NewPlot()
	high := 0.0
	for i := range sizes[0] {
		var xys plotter.XYs
		for j, g := range growth(sizes, i, f) {
			xys = append(xys, plotter.XY{X: float64(at[j]), Y: max(0, g.median)})
			high = max(high, g.median)
		}
		slices.SortFunc(xys, func(a, b plotter.XY) int { return int(a.X - b.X) })
		page.AddLine(p, xys, sideInk(i))
	}
	if high == 0 {
		high = 1
	}
	p.Y.Min, p.Y.Max = 0, 1.05*high
	p.Y.Tick.Marker = page.Apart(page.Evenly(page.CountLabel))
	p.X.Min, p.X.Max = float64(slices.Min(at)), float64(slices.Max(at))
	if p.X.Min == p.X.Max {
		p.X.Max++
	}
	p.X.Scale = plot.LogScale{}
	p.X.Tick.Marker = plot.TickerFunc(func(_, _ float64) (ticks []plot.Tick) {
		for _, n := range at {
			ticks = append(ticks, plot.Tick{Value: float64(n), Label: fmt.Sprint(n)})
		}
		return ticks
	})
	return p
}

func (p *comparisonPage) write(path string, began time.Time, args []string, rounds int) error {
	p.Began, p.Command, p.Rounds = began, page.CommandLine(args), rounds
	return page.Write(path, comparisonTemplate, p)
}
