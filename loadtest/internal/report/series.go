package report

import (
	"time"

	"sluice/loadtest/internal/process"
	"sluice/loadtest/internal/usage"
)

// A Sample is one interval of the series in the report.
type Sample struct {
	At         float64 `json:"at"`      // its end, seconds since the measurement began
	Seconds    float64 `json:"seconds"` // its length
	Deliveries int64   `json:"deliveries"`
	PerSecond  float64 `json:"deliveries_per_second"`
	Latency    struct {
		P50 float64 `json:"p50"`
		P99 float64 `json:"p99"`
		Max float64 `json:"max"`
	} `json:"latency_us"`
	ServerCores float64 `json:"server_cores,omitempty"` // CPU time ÷ time
	ServerRSS   int64   `json:"server_rss_bytes,omitempty"`
}

// samples puts points into the words of the report. before is the server at the beginning.
func samples(points []process.Point, before usage.Observation) []Sample {
	all := make([]Sample, 0, len(points))
	var from time.Duration
	for _, p := range points {
		length := (p.End - from).Seconds()
		s := Sample{At: round(p.End.Seconds(), 3), Seconds: round(length, 3), Deliveries: p.Latency.Count()}
		s.PerSecond = round(float64(s.Deliveries)/max(length, 1e-9), 1)
		if s.Deliveries > 0 {
			s.Latency.P50 = float64(p.Latency.Percentile(50)) / 1e3
			s.Latency.P99 = float64(p.Latency.Percentile(99)) / 1e3
			s.Latency.Max = float64(p.Latency.Max()) / 1e3
		}
		if p.Server.OK {
			s.ServerCores = round((p.Server.CPU-before.CPU).Seconds()/max(length, 1e-9), 3)
			s.ServerRSS = p.Server.RSS
			before = p.Server
		}
		all = append(all, s)
		from = p.End
	}
	return all
}
