package process

import (
	"context"
	"sync/atomic"
	"time"

	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/usage"
)

// A Step is a part of a run that all processes begin together; the next one begins when all have
// ended it.
type Step string

const (
	StepConnect       Step = "connect"                 // until every client has joined or failed
	StepReplace       Step = "replace publishers"      // that failed to join
	StepWarmUp        Step = "warm up"                 // messages that do not count
	StepReset         Step = "reset"                   // what has been found so far
	StepMeasure       Step = "measure"                 // until everybody has what this process sends
	StepReturn        Step = "await guests"            // until all are back
	StepLookAtStalled Step = "look at stalled clients" // how their connections have ended
	StepLeave         Step = "leave"                   // with Close frames, a second at most
	StepCollect       Step = "collect"                 // ends the loops; Findings may be asked for
)

// steps are what each process does, from an instant on the run's clock that all of them are told.
var steps = map[Step]func(p *Process, ctx context.Context, at time.Duration) error{
	StepConnect:       (*Process).connect,
	StepReplace:       (*Process).replacePublishers,
	StepWarmUp:        (*Process).warmUp,
	StepReset:         (*Process).reset,
	StepMeasure:       (*Process).measured,
	StepReturn:        (*Process).awaitGuests,
	StepLookAtStalled: (*Process).lookAtStalled,
	StepLeave:         (*Process).leave,
	StepCollect:       func(p *Process, _ context.Context, _ time.Duration) error { p.stop(); return nil },
}

// Take takes a step, which begins at the instant at of the run's clock, and returns when it has
// ended: with an error when a loop has failed, or ctx has ended.
func (p *Process) Take(ctx context.Context, s Step, at time.Duration) error {
	return steps[s](p, ctx, at)
}

func (p *Process) warmUp(ctx context.Context, _ time.Duration) error {
	p.schedule = &closedLoop{window: 1, patience: p.cfg.LossTimeout}
	return p.publish(ctx, p.cfg.Warmup)
}

// reset begins the measured phase. Nobody sends while it is taken.
func (p *Process) reset(ctx context.Context, _ time.Duration) error {
	if err := p.awaitPositions(ctx); err != nil {
		return err
	}
	return p.onLoops(ctx, func(w *worker) {
		lost, _ := w.missing()
		p.warmupLost.Add(lost)
		w.reset()
	})
}

// startDelay is how far ahead an open loop's first message is due, so that all loops know of it by
// then.
const startDelay = 10 * time.Millisecond

// measured runs the measured phase: it ends when everybody has this process's messages.
func (p *Process) measured(ctx context.Context, at time.Duration) error {
	p.spent, p.waited = -usage.OwnCPU(), -usage.OwnWaiting()
	if p.cfg.Sample {
		p.sampler = p.startSampler(at)
	}
	total := p.cfg.Messages
	switch {
	case p.cfg.Rate > 0:
		p.schedule = newOpenLoop(p.cfg, at+startDelay)
	case p.cfg.Duration > 0:
		total = 1 << 30
		p.schedule = &closedLoop{window: uint32(p.cfg.Window), patience: p.cfg.LossTimeout, until: at + p.cfg.Duration}
	default:
		p.schedule = &closedLoop{window: uint32(p.cfg.Window), patience: p.cfg.LossTimeout}
	}
	if p.cfg.Churn > 0 {
		loops := len(p.workers) * p.rank.Count
		every := time.Duration(float64(loops) / p.cfg.Churn * float64(time.Second))
		if err := p.onLoops(ctx, func(w *worker) { w.churnEvery, w.churnDue = every, p.Now()+every }); err != nil {
			return err
		}
	}
	if p.cfg.Storm > 0 {
		p.storming = p.startStorming(total, at)
	}
	return p.publish(ctx, total)
}

// storming waits for the middle of the measured phase, to which all processes' messages count.
type storming struct {
	stop context.CancelFunc
	done chan struct{}
}

func (p *Process) startStorming(total int, start time.Duration) *storming {
	ctx, cancel := context.WithCancel(context.Background())
	s := &storming{cancel, make(chan struct{})}
	go func() {
		defer close(s.done)
		for ; ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
			if p.sentSinceReset() >= total/2 || p.cfg.Duration > 0 && p.Now()-start >= p.cfg.Duration/2 {
				_ = p.onLoops(ctx, (*worker).storm) // A run that ended meanwhile has no storm.
				return
			}
		}
	}()
	return s
}

// sentSinceReset is how many messages all processes have sent in the measured phase.
func (p *Process) sentSinceReset() (n int) {
	for i, st := range p.streams {
		n += int(st.sent.Load() - p.workers[0].warm[i])
	}
	return n
}

// endWatching ends what goes on beside the loops in the measured phase. They must still run. It may
// be called again.
func (p *Process) endWatching() {
	if p.storming != nil {
		p.storming.stop()
		<-p.storming.done
	}
	if p.sampler != nil {
		p.sampler.end()
	}
}

// awaitGuests ends the measured phase for all processes, and waits until every client that left is
// back, or has failed to come back, and has what it missed if it resumes.
func (p *Process) awaitGuests(ctx context.Context, _ time.Duration) error {
	p.spent += usage.OwnCPU()
	p.waited += usage.OwnWaiting()
	p.endWatching()
	for away := int64(1); away > 0 && ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		var n atomic.Int64
		err := p.onLoops(ctx, func(w *worker) {
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
	return p.awaitResumers(ctx)
}

// missing counts what the worker's clients have missed so far.
func (w *worker) missing() (lost, unfinished uint64) {
	for _, c := range w.clients {
		for m := range c.each {
			switch {
			case !c.wasJoined:
			case c.isJudged():
				l, u := m.check.missing(m.room.streams, c)
				lost += l
				unfinished += u
			case c.kind == load.KindGuest:
				lost += m.check.holes()
			}
		}
	}
	return lost, unfinished
}
