package gateway

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"sluice/hub"
)

const (
	// calmLooks is for how many looks in a row there must be less in use before a step is taken
	// back.
	calmLooks = 10
	// collectAfter is after how many looks without a collection one is asked for while memory is
	// short: without traffic the runtime makes none for two minutes, and would not see what has
	// become free.
	collectAfter = 30
	// expireEvery is how often rooms with a history let go of what is too old.
	expireEvery = time.Second
	// slack is how many percent of the limit lie between a step's beginning and its end.
	slack = 5
	// leastForRooms is how many percent of the limit rooms may have, whatever else takes: with
	// nothing at all whoever is blocked for a moment would be overrun.
	leastForRooms = 5
)

// A step is what is done about memory running short, all lower steps included.
type step int32

const (
	stepNone        step = iota
	stepSaving           // rooms let go of what no client has yet to get
	stepRooms            // no rooms are made
	stepConnections      // no connections are taken
	stepCursors          // rooms drop their oldest, whoever has yet to get it
	numSteps
)

// steps say from how many percent of the limit on each is taken, and what the log says of it.
var steps = [numSteps]struct {
	from int64
	text string
}{
	stepNone:        {0, "there is memory again"},
	stepSaving:      {70, "there is memory again"}, // Nobody notices this step.
	stepRooms:       {80, "memory runs short: new rooms are refused"},
	stepConnections: {85, "memory runs short: new rooms and connections are refused"},
	stepCursors:     {90, "memory runs short: new rooms and connections are refused, the slowest clients overtaken"},
}

// A pressure keeps the process within the memory limit of Go's runtime (GOMEMLIMIT), which by
// itself only collects garbage harder as memory runs short. What counts is live memory, not memory
// mapped: with a limit the runtime lets garbage grow up to it.
//
// At each collection it learns what lives beside the backlogs, and lets all backlogs together have
// the rest, up to the last step. They report each segment, the newest too, so this bound holds
// however fast they grow.
type pressure struct {
	source memorySource
	hub    *hub.Hub
	log    *slog.Logger
	total  int64 // --backlog-memory, and --history-memory if there is any

	taken atomic.Int32 // the step; read by all loops

	// Owned by watch's goroutine.
	cycles   uint64
	retained int64  // bytes of all backlogs at the last look
	others   int64  // bytes of all else, at the last collection
	drops    uint64 // segments dropped until the last look
	unseen   int    // looks since the last collection
	calm     int    // looks in a row that would take the step back
}

func newPressure(cfg *config, h *hub.Hub, log *slog.Logger) *pressure {
	p := &pressure{source: cfg.memory, hub: h, log: log, total: h.Limit()}
	if p.source.isLimited() {
		h.Tighten(p.allowance()) // Or they might have more than all of it before the first look.
	}
	return p
}

// step is the one taken at present. It may be called from any goroutine.
func (p *pressure) step() step { return step(p.taken.Load()) }

func (p *pressure) share(percent int64) int64 { return p.source.limit / 100 * percent }

func (p *pressure) look() {
	if now := p.source.read(); now.cycles != p.cycles {
		p.weigh(now)
	} else if p.unseen++; p.unseen >= collectAfter && p.step() >= stepRooms {
		p.unseen = 0
		p.source.collect() // To be weighed at the next look.
	}
	p.retained = p.hub.Retained()
	p.take(p.next())
}

// weigh takes what a collection has left apart, and tells the backlogs how much they may have.
func (p *pressure) weigh(now liveMemory) {
	p.cycles, p.unseen = now.cycles, 0
	// It was at some time since the last look. The fewer bytes were the backlogs' then, the more
	// were others': that is assumed.
	p.others = max(0, now.bytes-min(p.retained, p.hub.Retained()))
	p.hub.Tighten(p.allowance())
}

// allowance is how many bytes all backlogs together may have.
func (p *pressure) allowance() int64 {
	return max(p.share(leastForRooms), p.share(steps[stepCursors].from)-p.others)
}

// next is the step to be taken now.
func (p *pressure) next() step {
	is, used := p.step(), p.others+p.retained
	to := is
	for to > stepNone && used < p.share(steps[to].from-slack) {
		to--
	}
	if to == is {
		p.calm = 0
	} else if p.calm++; p.calm < calmLooks {
		to = is
	} else {
		p.calm = 0
	}
	for to < stepCursors && used >= p.share(steps[to+1].from) {
		to++
	}
	// The backlogs stop short of the last step's beginning, and have then dropped something for it.
	if drops := p.hub.Drops(); drops != p.drops {
		p.drops = drops
		if p.allowance() < p.total {
			to, p.calm = stepCursors, 0
		}
	}
	return to
}

func (p *pressure) take(to step) {
	is := p.step()
	if to == is {
		return
	}
	p.hub.SaveMemory(to >= stepSaving)
	p.hub.RefuseRooms(to >= stepRooms)
	p.taken.Store(int32(to))
	if max(is, to) < stepRooms {
		return
	}
	level := slog.LevelWarn
	if to < is {
		level = slog.LevelInfo
	}
	p.log.Log(context.Background(), level, steps[to].text, "bytes", p.others+p.retained, "of_backlogs", p.retained, "limit", p.source.limit)
}
