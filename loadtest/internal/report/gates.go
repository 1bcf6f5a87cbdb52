package report

import (
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

// gateFigures are what gates can ask about. Times are in microseconds.
var gateFigures = map[string]func(*Result) float64{
	"lost":       func(r *Result) float64 { return float64(r.Lost) },
	"duplicated": func(r *Result) float64 { return float64(r.Duplicated) },
	"reordered":  func(r *Result) float64 { return float64(r.Reordered) },
	"corrupted":  func(r *Result) float64 { return float64(r.Corrupted) },
	"foreign":    func(r *Result) float64 { return float64(r.Foreign) },
	"closed":     func(r *Result) float64 { return float64(r.Closed) },
	"violations": func(r *Result) float64 { return float64(r.Violations) },
	"failed":     func(r *Result) float64 { return float64(r.Connect.Failed) },
	"timeouts":   func(r *Result) float64 { return float64(r.Timeouts) },
	"orders":     func(r *Result) float64 { return float64(r.Orders) },
	"backlog":    func(r *Result) float64 { return float64(r.Backlog) },
	"reach":      func(r *Result) float64 { return r.Reach },
	"rate":       func(r *Result) float64 { return r.DeliveriesPerSecond },
	"p50":        func(r *Result) float64 { return r.Latency.P50 },
	"p90":        func(r *Result) float64 { return r.Latency.P90 },
	"p99":        func(r *Result) float64 { return r.Latency.P99 },
	"p999":       func(r *Result) float64 { return r.Latency.P999 },
	"max":        func(r *Result) float64 { return r.Latency.Max },
	"skew":       func(r *Result) float64 { return r.Skew.P99 },
	"connect":    func(r *Result) float64 { return r.Connect.Seconds * 1e6 },
	"storm":      func(r *Result) float64 { return r.Crowd.StormSeconds * 1e6 },
	"busy":       func(r *Result) float64 { return r.Client.Busy },

	"stalled_closed": func(r *Result) float64 { return float64(r.Crowd.StalledClosed) },
	"slow_closed":    func(r *Result) float64 { return float64(r.Crowd.SlowClosed) },

	"cpu": func(r *Result) float64 {
		return r.serverFigure(func(s *ServerCost) float64 { return s.CPUPerDelivery })
	},
	"rss": func(r *Result) float64 { return r.serverFigure(func(s *ServerCost) float64 { return float64(s.RSS) }) },
	"rss_idle": func(r *Result) float64 {
		return r.serverFigure(func(s *ServerCost) float64 { return s.RSSPerConnection })
	},
	"rss_stalled": func(r *Result) float64 {
		return r.serverFigure(func(s *ServerCost) float64 { return s.RSSPerStalled })
	},
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

// UnmarshalText parses a figure, a comparison and a number or a time.
func (g *Gate) UnmarshalText(text []byte) error {
	g.text = strings.ReplaceAll(string(text), " ", "")
	at := strings.IndexAny(g.text, "<>=!")
	if at < 0 {
		return fmt.Errorf("%q is not a condition: write lost>0 or p99>50ms", text)
	}
	g.name = g.text[:at]
	rest := g.text[at:]
	g.op = rest[:len(rest)-len(strings.TrimLeft(rest, "<>=!"))]
	if gateFigures[g.name] == nil {
		return fmt.Errorf("%q is not a figure; there are %s", g.name, strings.Join(GateNames(), ", "))
	}
	if !slices.Contains([]string{"<", "<=", ">", ">=", "==", "!="}, g.op) {
		return fmt.Errorf("%q compares by %q: use <, <=, >, >=, == or !=", text, g.op)
	}
	value := rest[len(g.op):]
	if d, err := time.ParseDuration(value); err == nil && value != "0" {
		g.value = float64(d) / 1e3
		return nil
	}
	n, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return fmt.Errorf("%q is neither a number nor a time such as 50ms", value)
	}
	g.value = n
	return nil
}

// holds reports whether the condition is met, and the run failed by it.
func (g *Gate) holds(res *Result) bool {
	v := gateFigures[g.name](res)
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
			lines = append(lines, fmt.Sprintf("failed by --fail-if %q: %s is %.6g", g.text, g.name, gateFigures[g.name](res)))
		}
	}
	return lines
}
