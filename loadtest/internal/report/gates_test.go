package report

import (
	"strings"
	"testing"

	"sluice/loadtest/internal/latency"
)

// Relatives: every figure that is a time or a size, a unit on what has none, a unit of another
// measure, zero, and every figure in the line that says what it was.
func TestN67_ConditionsAndFiguresHaveTheirUnit(t *testing.T) {
	for _, text := range []string{
		"p50>5", "p90>5", "p99>5", "p999>5", "max>5", "skew>5", "connect>5", "storm>5", "cpu>5", "rss>5", "rss_idle>5", "rss_stalled>5",
		"p99>5MB", "p99>5%", "p99>5hours", "p99>ms", "p99>-", "rss>5ms", "rss>5mb", "lost>5ms", "orders>1s", "lost>5%", "reach<90ms", "busy>1s", "rate<5ms",
		"p99>1e400ms", "p99>NaNms",
	} {
		err := new(Gate).UnmarshalText([]byte(text))
		if err == nil {
			t.Errorf("%s is accepted", text)
		} else if !strings.Contains(err.Error(), "write it as") {
			t.Errorf("%s: %v: does not say how to write it", text, err)
		}
	}
	res := &Result{
		Lost: 3, Latency: latency.Quantiles{P99: 8_550, Max: 2_500_000}, Reach: 0.5, DeliveriesPerSecond: 77_976,
		Server: &ServerCost{CPUPerDelivery: 6.553, RSS: 13_800_000, RSSPerConnection: 860},
	}
	res.Client.Busy = 0.95
	for text, says := range map[string]string{
		"p99>5ms": "p99 is 8.55ms", "p99>5000us": "p99 is 8.55ms", "p99>5000µs": "p99 is 8.55ms", "max>=2.5s": "max is 2.5s", "p99>0": "p99 is 8.55ms",
		"cpu>5us": "cpu is 6.553µs", "rss>10MB": "rss is 13.8 MB", "rss>1MiB": "rss is 13.8 MB", "rss_idle>0.5KB": "rss_idle is 860 B",
		"reach<100%": "reach is 50 %", "reach<1": "reach is 50 %", "busy>90%": "busy is 95 %", "rate<100000/s": "rate is 77976/s", "rate<100000": "rate is 77976/s",
		"lost>0": "lost is 3",
	} {
		gates := make([]Gate, 1)
		if err := gates[0].UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		} else if lines := Failures(gates, res); len(lines) != 1 || !strings.HasSuffix(lines[0], says) {
			t.Errorf("%s: %q, want %q", text, lines, says)
		}
	}
	unmeasured := make([]Gate, 1)
	if err := unmeasured[0].UnmarshalText([]byte("rss>1MB")); err != nil {
		t.Fatal(err)
	}
	if lines := Failures(unmeasured, &Result{}); len(lines) != 1 || !strings.HasSuffix(lines[0], "rss was not measured") {
		t.Errorf("%q", lines)
	}
}

// The share is of the loops' time in the measured phase.
func TestN87_WaitingForAProcessorIsSaid(t *testing.T) {
	var res Result
	res.Client.Waiting = 0.43
	if lines := strings.Join(res.warnings(), "\n"); !strings.Contains(lines, "wait for a processor for 43 % of its loops' time") {
		t.Errorf("%s", lines)
	}
	res.Client.Waiting = 0.02
	if lines := res.warnings(); len(lines) > 0 {
		t.Errorf("%q although there is nothing to warn of", lines)
	}
}
