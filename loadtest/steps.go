package main

import (
	"context"
	"sync/atomic"
	"time"

	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/usage"
)

// A step is a part of a run that all processes begin together; the next one begins when all have ended it.
type step string

const (
	stepConnect       step = "connect"
	stepReplace       step = "replace publishers"
	stepWarmUp        step = "warm up"
	stepReset         step = "reset"
	stepMeasure       step = "measure"
	stepReturn        step = "await guests"
	stepLookAtStalled step = "look at stalled clients"
	stepLeave         step = "leave"
	stepCollect       step = "collect"
)

// steps are what each process does, from an instant on the run's clock that all of them are told.
var steps = map[step]func(r *run, ctx context.Context, at time.Duration) error{
	stepConnect:       (*run).connect,
	stepReplace:       (*run).replacePublishers,
	stepWarmUp:        (*run).warmUp,
	stepReset:         (*run).reset,
	stepMeasure:       (*run).measured,
	stepReturn:        (*run).awaitGuests,
	stepLookAtStalled: (*run).lookAtStalled,
	stepLeave:         (*run).leave,
	stepCollect:       func(r *run, _ context.Context, _ time.Duration) error { r.stop(); return nil },
}

func (r *run) warmUp(ctx context.Context, _ time.Duration) error {
	r.schedule = &closedLoop{window: 1, patience: r.cfg.LossTimeout}
	return r.publish(ctx, r.cfg.Warmup)
}

// reset begins the measured phase. Nobody sends while it is taken.
func (r *run) reset(ctx context.Context, _ time.Duration) error {
	return r.onLoops(ctx, func(w *worker) {
		r.warmupLost.Add(w.lost())
		w.reset()
	})
}

// startDelay is how far ahead an open loop's first message is due, so that all loops know of it by then.
const startDelay = 10 * time.Millisecond

// measured runs the measured phase: it ends when everybody has this process's messages.
func (r *run) measured(ctx context.Context, at time.Duration) error {
	r.spent = -usage.OwnCPU()
	if r.cfg.Sample {
		r.sampler = r.startSampler(at)
	}
	total := r.cfg.Messages
	switch {
	case r.cfg.Rate > 0:
		r.schedule = newOpenLoop(r.cfg, at+startDelay)
	case r.cfg.Duration > 0:
		total = 1 << 30
		r.schedule = &closedLoop{window: uint32(r.cfg.Window), patience: r.cfg.LossTimeout, until: at + r.cfg.Duration}
	default:
		r.schedule = &closedLoop{window: uint32(r.cfg.Window), patience: r.cfg.LossTimeout}
	}
	if r.cfg.Churn > 0 {
		loops := len(r.workers) * r.rank.Count
		every := time.Duration(float64(loops) / r.cfg.Churn * float64(time.Second))
		if err := r.onLoops(ctx, func(w *worker) { w.churnEvery, w.churnDue = every, r.now()+every }); err != nil {
			return err
		}
	}
	if r.cfg.Storm > 0 {
		r.storming = r.startStorming(total, at)
	}
	return r.publish(ctx, total)
}

// storming waits for the middle of the measured phase, to which all processes' messages count.
type storming struct {
	stop context.CancelFunc
	done chan struct{}
}

func (r *run) startStorming(total int, start time.Duration) *storming {
	ctx, cancel := context.WithCancel(context.Background())
	s := &storming{cancel, make(chan struct{})}
	go func() {
		defer close(s.done)
		for ; ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
			if r.sentSinceReset() >= total/2 || r.cfg.Duration > 0 && r.now()-start >= r.cfg.Duration/2 {
				_ = r.onLoops(ctx, (*worker).storm) // A run that ended meanwhile has no storm.
				return
			}
		}
	}()
	return s
}

// sentSinceReset is how many messages all processes have sent in the measured phase.
func (r *run) sentSinceReset() (n int) {
	for i, st := range r.streams {
		n += int(st.sent.Load() - r.workers[0].warm[i])
	}
	return n
}

// endWatching ends what goes on beside the loops in the measured phase. They must still run. It may be called again.
func (r *run) endWatching() {
	if r.storming != nil {
		r.storming.stop()
		<-r.storming.done
	}
	if r.sampler != nil {
		r.sampler.end()
	}
}

// awaitGuests ends the measured phase for all processes, and waits until whoever left is back, or has failed to come back.
func (r *run) awaitGuests(ctx context.Context, _ time.Duration) error {
	r.spent += usage.OwnCPU()
	r.endWatching()
	for away := int64(1); away > 0 && ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		var n atomic.Int64
		err := r.onLoops(ctx, func(w *worker) {
			w.churnEvery = 0
			for _, c := range w.guests {
				if c.returning {
					n.Add(1)
				}
			}
		})
		if err != nil {
			return err
		}
		away = n.Load()
	}
	return ctx.Err()
}

// lost counts what the worker's clients have missed so far.
func (w *worker) lost() (n uint64) {
	for _, c := range w.clients {
		switch {
		case !c.wasJoined:
		case c.kind == load.KindReader:
			n += c.check.lost(c.room.streams, c)
		case c.kind == load.KindGuest:
			n += c.check.holes()
		}
	}
	return n
}
