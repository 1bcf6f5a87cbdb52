package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Gate is a condition under which the run counts as failed, such as lost>0 or p99>50ms. It is
// made by UnmarshalText.
type Gate struct {
	text, name, op string
	value          float64
}

// A measure is what a figure is counted in.
type measure struct {
	units   map[string]float64 // by what a value may be followed; "" if it may be by nothing
	example string
	print   func(float64) string
}

var (
	count = &measure{map[string]float64{"": 1}, "0", func(v float64) string { return fmt.Sprintf("%.6g", v) }}
	share = &measure{map[string]float64{"": 1, "%": 0.01}, "90%", func(v float64) string { return fmt.Sprintf("%.6g %%", 100*v) }}
	rate  = &measure{map[string]float64{"": 1, "/s": 1}, "1000/s", func(v float64) string { return fmt.Sprintf("%.6g/s", v) }}
	// Microseconds.
	span = &measure{
		map[string]float64{"ns": 1e-3, "us": 1, "µs": 1, "μs": 1, "ms": 1e3, "s": 1e6, "m": 60e6},
		"50ms",
		func(v float64) string { return time.Duration(v * 1e3).String() },
	}
	// Bytes.
	size = &measure{
		map[string]float64{"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30},
		"100MB", printSize,
	}
)

func printSize(bytes float64) string {
	switch of := math.Abs(bytes); {
	case of >= 1e9:
		return fmt.Sprintf("%.6g GB", bytes/1e9)
	case of >= 1e6:
		return fmt.Sprintf("%.6g MB", bytes/1e6)
	case of >= 1e3:
		return fmt.Sprintf("%.6g KB", bytes/1e3)
	}
	return fmt.Sprintf("%.6g B", bytes)
}

// A gateFigure is something that gates can ask about.
type gateFigure struct {
	*measure
	of func(*Result) float64
}

var gateFigures = map[string]gateFigure{
	"lost":       {count, func(r *Result) float64 { return float64(r.Lost) }},
	"unfinished": {count, func(r *Result) float64 { return float64(r.Unfinished) }},
	"duplicated": {count, func(r *Result) float64 { return float64(r.Duplicated) }},
	"reordered":  {count, func(r *Result) float64 { return float64(r.Reordered) }},
	"corrupted":  {count, func(r *Result) float64 { return float64(r.Corrupted) }},
	"foreign":    {count, func(r *Result) float64 { return float64(r.Foreign) }},
	"closed":     {count, func(r *Result) float64 { return float64(r.Closed) }},
	"violations": {count, func(r *Result) float64 { return float64(r.Violations) }},
	"misplaced":  {count, func(r *Result) float64 { return float64(r.Misplaced) }},
	"resets": {count, func(r *Result) float64 {
		if r.Positions == nil {
			return math.NaN()
		}
		return float64(r.Positions.Resets)
	}},
	"failed":    {count, func(r *Result) float64 { return float64(r.Connect.Failed) }},
	"timeouts":  {count, func(r *Result) float64 { return float64(r.Timeouts) }},
	"orders":    {count, func(r *Result) float64 { return float64(r.Orders) }},
	"backlog":   {count, func(r *Result) float64 { return float64(r.Backlog) }},
	"reach":     {share, func(r *Result) float64 { return r.Reach }},
	"rate":      {rate, func(r *Result) float64 { return r.DeliveriesPerSecond }},
	"p50":       {span, func(r *Result) float64 { return r.Latency.P50 }},
	"p90":       {span, func(r *Result) float64 { return r.Latency.P90 }},
	"p99":       {span, func(r *Result) float64 { return r.Latency.P99 }},
	"p999":      {span, func(r *Result) float64 { return r.Latency.P999 }},
	"max":       {span, func(r *Result) float64 { return r.Latency.Max }},
	"skew":      {span, func(r *Result) float64 { return r.Skew.P99 }},
	"connect":   {span, func(r *Result) float64 { return r.Connect.Seconds * 1e6 }},
	"storm":     {span, func(r *Result) float64 { return r.Crowd.StormSeconds * 1e6 }},
	"caught_up": {span, func(r *Result) float64 { return r.Crowd.CaughtUpSeconds * 1e6 }},
	"busy":      {share, func(r *Result) float64 { return r.Client.Busy }},
	"waiting":   {share, func(r *Result) float64 { return r.Client.Waiting }},

	"stalled_closed": {count, func(r *Result) float64 { return float64(r.Crowd.StalledClosed) }},
	"refused":        {count, func(r *Result) float64 { return float64(r.Crowd.Refused) }},
	"slow_closed":    {count, func(r *Result) float64 { return float64(r.Crowd.SlowClosed) }},

	"cpu": {span, func(r *Result) float64 {
		return r.serverFigure(func(s *ServerCost) float64 { return s.CPUPerDelivery })
	}},
	"rss": {size, func(r *Result) float64 { return r.serverFigure(func(s *ServerCost) float64 { return float64(s.RSS) }) }},
	"rss_idle": {size, func(r *Result) float64 {
		return r.serverFigure(func(s *ServerCost) float64 { return s.RSSPerConnection })
	}},
	"rss_stalled": {size, func(r *Result) float64 {
		return r.serverFigure(func(s *ServerCost) float64 { return s.RSSPerStalled })
	}},
}

// GateNames are the figures that gates can ask about, sorted.
func GateNames() []string { return slices.Sorted(maps.Keys(gateFigures)) }

// serverFigure is not a number when the server was not measured: a gate on it then fails, because
// nobody can say that the condition does not hold.
func (res *Result) serverFigure(of func(*ServerCost) float64) float64 {
	if res.Server == nil {
		return math.NaN()
	}
	return of(res.Server)
}

// UnmarshalText parses a figure, a comparison and a value with its unit.
func (g *Gate) UnmarshalText(text []byte) error {
	g.text = strings.ReplaceAll(string(text), " ", "")
	at := strings.IndexAny(g.text, "<>=!")
	if at < 0 {
		return fmt.Errorf("%q is not a condition: write lost>0 or p99>50ms", text)
	}
	g.name = g.text[:at]
	rest := g.text[at:]
	g.op = rest[:len(rest)-len(strings.TrimLeft(rest, "<>=!"))]
	figure, isFigure := gateFigures[g.name]
	if !isFigure {
		return fmt.Errorf("%q is not a figure; there are %s", g.name, strings.Join(GateNames(), ", "))
	}
	if !slices.Contains([]string{"<", "<=", ">", ">=", "==", "!="}, g.op) {
		return fmt.Errorf("%q compares by %q: use <, <=, >, >=, == or !=", text, g.op)
	}
	value := rest[len(g.op):]
	number := strings.TrimRightFunc(value, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	unit := value[len(number):]
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsInf(n, 0) {
		return fmt.Errorf("%q has no number: write it as %s%s%s", text, g.name, g.op, figure.example)
	}
	of, isUnit := figure.units[unit]
	if !isUnit && (n != 0 || unit != "") { // Nothing is nothing in every unit.
		return fmt.Errorf("%q: %s is in one of %s: write it as %s%s%s", text, g.name, figure.unitNames(), g.name, g.op, figure.example)
	}
	g.value = n * of
	return nil
}

// unitNames lists the units that a value may have, the smallest first.
func (m *measure) unitNames() string {
	names := slices.SortedFunc(maps.Keys(m.units), func(a, b string) int {
		return cmp.Or(cmp.Compare(m.units[a], m.units[b]), cmp.Compare(a, b))
	})
	for i, name := range names {
		if name == "" {
			names[i] = "no unit"
		}
	}
	return strings.Join(names, ", ")
}

// holds reports whether the condition is met, and the run failed by it.
func (g *Gate) holds(res *Result) bool {
	v := gateFigures[g.name].of(res)
	switch g.op {
	case "<":
		return !(v >= g.value)
	case "<=":
		return !(v > g.value)
	case ">":
		return !(v <= g.value)
	case ">=":
		return !(v < g.value)
	case "==":
		return v == g.value || v != v
	default:
		return v != g.value
	}
}

// Failures says which gates the run failed by, and what it had: a line for each.
func Failures(gates []Gate, res *Result) (lines []string) {
	for i := range gates {
		if g := &gates[i]; g.holds(res) {
			figure := gateFigures[g.name]
			had := "was not measured"
			if v := figure.of(res); v == v {
				had = "is " + figure.print(v)
			}
			lines = append(lines, fmt.Sprintf("failed by --fail-if %q: %s %s", g.text, g.name, had))
		}
	}
	return lines
}
