package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/loadtest/internal/latency"
)

func TestGates(t *testing.T) {
	res := &Result{Lost: 3, Latency: latency.Quantiles{P99: 50_000}, Reach: 0.5}
	for text, holds := range map[string]bool{
		"lost>0": true, "lost > 3": false, "lost>=3": true, "lost==3": true, "lost!=3": false, "p99>50ms": false,
		"p99>=50ms": true, "p99>49.9ms": true, "p99 < 1s": true, "p99<=50000us": true, "reach<1": true, "reach<0.5": false,
		"cpu>1000us": true, "cpu<1us": true, // Nobody measured it.
	} {
		var g Gate
		if err := g.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		} else if g.holds(res) != holds {
			t.Errorf("%s: holds is %v", text, !holds)
		}
	}
	for _, text := range []string{"", "lost", "lost>", "lost>x", "nothing>1", "lost=>1", "lost>1ms2", ">1"} {
		if err := new(Gate).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

// Series that drawing must survive: none, one point, nothing delivered, extremes.
func TestPlotsOfOddSeries(t *testing.T) {
	sample := func(at, us float64, n int64) Sample {
		s := Sample{At: at, Seconds: at, Deliveries: n, PerSecond: float64(n) * 1e9}
		s.Latency.P50, s.Latency.P99, s.Latency.Max = us, us, us
		return s
	}
	one := latency.New()
	one.Record(1)
	for name, res := range map[string]*Result{
		"nothing":                  {},
		"no histogram but points":  {Series: []Sample{sample(1, 5, 1)}},
		"one delivery":             {Histogram: one, Series: []Sample{sample(1e-4, 0.001, 1)}},
		"no delivery in any":       {Histogram: latency.New(), Series: []Sample{sample(1, 0, 0), sample(2, 0, 0)}},
		"a gap":                    {Histogram: one, Series: []Sample{sample(1, 3, 1), sample(2, 0, 0), sample(3, 3, 1)}},
		"the longest and shortest": {Histogram: one, Server: &ServerCost{}, Series: []Sample{sample(1, 0, 1), sample(2, latency.Longest.Seconds()*1e6, 1e9)}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "report.html")
			if err := WritePage(path, res, time.Now(), nil, nil); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(path)
			if err != nil || strings.Contains(string(b), "NaN") || strings.Contains(string(b), "Inf") {
				t.Errorf("%v, or a number that is none:\n%.2000s", err, b)
			}
		})
	}
}
