package main

import (
	"context"
	"time"

	"sluice/loadtest/internal/latency"
	"sluice/loadtest/internal/usage"
)

// A sampler cuts the measured phase of one process into intervals. The loops go on recording one number per delivery: at
// the end of an interval each hands over its histogram for an empty one.
type sampler struct {
	run    *run
	server *usage.Watcher // nil: no server is observed
	start  time.Duration
	every  time.Duration
	points []point
	total  latency.Histogram // of all intervals
	stop   context.CancelFunc
	done   chan struct{}

	isEnded bool
}

// A point is what one interval saw.
type point struct {
	End     time.Duration // since the phase began; the interval begins where the one before it ends
	Latency latency.Packed
	server  usage.Observation
}

const (
	// pointsMax bounds the points of a run. When there are so many, each two become one, and the interval doubles.
	pointsMax = 240
	// sampleMin is the shortest interval: looking at a server's processes takes a good part of a millisecond.
	sampleMin = 100 * time.Millisecond
)

// startSampler begins with the phase. A phase of known length gets half of the points.
func (r *run) startSampler(start time.Duration) *sampler {
	ctx, cancel := context.WithCancel(context.Background())
	s := &sampler{
		run: r, server: usage.Watch(r.observed), start: start, every: max(sampleMin, r.cfg.Duration/(pointsMax/2)),
		total: latency.New(), stop: cancel, done: make(chan struct{}),
	}
	go s.follow(ctx)
	return s
}

// end takes the last interval. The loops must still run. It may be called again.
func (s *sampler) end() {
	if s.isEnded {
		return
	}
	s.isEnded = true
	s.stop()
	<-s.done
	if n := len(s.points); n > 1 && s.length(n-1) < s.every/2 { // Too short to tell a rate by.
		s.points[n-2].absorb(&s.points[n-1])
		s.points = s.points[:n-1]
	}
}

func (s *sampler) follow(ctx context.Context) {
	defer close(s.done)
	for next := s.start + s.every; ; {
		select {
		case <-time.After(next - s.run.now()):
		case <-ctx.Done():
			s.take()
			return
		}
		s.take()
		if len(s.points) >= pointsMax {
			s.thin()
		}
		for now := s.run.now(); next < now+s.every/2; { // Behind a late one, a short one would show a rate of chance.
			next += s.every
		}
	}
}

// take ends an interval. Merging happens here, not on the loops.
func (s *sampler) take() {
	err := s.run.onLoops(context.Background(), func(w *worker) { w.latency, w.taken = w.taken, w.latency })
	if err != nil {
		return // The loops have failed, and the run with them.
	}
	p := point{End: s.run.now() - s.start, Latency: latency.NewPacked(), server: s.server.Observe()}
	for _, w := range s.run.workers {
		p.Latency.Add(w.taken)
		s.total.Merge(w.taken)
		w.taken.Reset()
	}
	s.points = append(s.points, p)
}

// thin makes one point of each two.
func (s *sampler) thin() {
	half := s.points[:0]
	for i := 0; i+1 < len(s.points); i += 2 {
		s.points[i].absorb(&s.points[i+1])
		half = append(half, s.points[i])
	}
	clear(s.points[len(half):])
	s.points = half
	s.every *= 2
}

func (s *sampler) length(i int) time.Duration {
	if i == 0 {
		return s.points[0].End
	}
	return s.points[i].End - s.points[i-1].End
}

// absorb adds the interval that follows.
func (p *point) absorb(next *point) {
	p.End = next.End
	p.Latency.Merge(next.Latency)
	p.server = next.server
}

// join adds another process's points, each to the interval in the middle of which it falls.
func join(points, others []point) {
	var from time.Duration
	i := 0
	for j := range others {
		middle := (from + others[j].End) / 2
		from = others[j].End
		for i < len(points)-1 && points[i].End <= middle {
			i++
		}
		if i < len(points) {
			points[i].Latency.Merge(others[j].Latency)
		}
	}
}

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
func samples(points []point, before usage.Observation) []Sample {
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
		if p.server.OK {
			s.ServerCores = round((p.server.CPU-before.CPU).Seconds()/max(length, 1e-9), 3)
			s.ServerRSS = p.server.RSS
			before = p.server
		}
		all = append(all, s)
		from = p.End
	}
	return all
}
