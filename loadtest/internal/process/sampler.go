package process

import (
	"context"
	"time"

	"sluice/loadtest/internal/latency"
	"sluice/loadtest/internal/usage"
)

// A sampler cuts the measured phase of one process into intervals. The loops go on recording one
// number per delivery: at the end of an interval each hands over its histogram for an empty one.
type sampler struct {
	process *Process
	server  *usage.Watcher // nil: no server is observed
	start   time.Duration
	every   time.Duration
	points  []Point
	total   latency.Histogram // of all intervals
	stop    context.CancelFunc
	done    chan struct{}

	isEnded bool
}

// A Point is what one interval saw.
type Point struct {
	End     time.Duration // since the phase began; the interval begins where the one before it ends
	Latency latency.Packed
	Server  usage.Observation `json:"-"` // The first process alone observes.
}

const (
	// pointsMax bounds the points of a run. When there are as many, each two become one, and the
	// interval doubles.
	pointsMax = 240
	// sampleMin is the shortest interval: looking at a server's processes takes a good part of a
	// millisecond.
	sampleMin = 100 * time.Millisecond
)

// startSampler begins with the phase. A phase of known length gets half of the points.
func (p *Process) startSampler(start time.Duration) *sampler {
	ctx, cancel := context.WithCancel(context.Background())
	s := &sampler{
		process: p, server: usage.Watch(p.observed), start: start, every: max(sampleMin, p.cfg.Duration/(pointsMax/2)),
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
		case <-time.After(next - s.process.Now()):
		case <-ctx.Done():
			s.take()
			return
		}
		s.take()
		if len(s.points) >= pointsMax {
			s.thin()
		}
		// Behind a late one, a short one would show a rate of chance.
		for now := s.process.Now(); next < now+s.every/2; {
			next += s.every
		}
	}
}

// take ends an interval. Merging happens here, not on the loops.
func (s *sampler) take() {
	err := s.process.onLoops(context.Background(), func(w *worker) { w.latency, w.taken = w.taken, w.latency })
	if err != nil {
		return // The loops have failed, and the run with them.
	}
	p := Point{End: s.process.Now() - s.start, Latency: latency.NewPacked(), Server: s.server.Observe()}
	for _, w := range s.process.workers {
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
func (p *Point) absorb(next *Point) {
	p.End = next.End
	p.Latency.Merge(next.Latency)
	p.Server = next.Server
}

// join adds another process's points, each to the interval in the middle of which it falls.
func join(points, others []Point) {
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
