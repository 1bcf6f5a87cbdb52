//go:build linux

package gateway

import (
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/gobwas/ws"

	"sluice/gateway/internal/simclient"
	"sluice/hub"
	"sluice/reactor"
	"sluice/reactor/reactortest"
)

// A world is one whole gateway on a simulated kernel, and its clients. Loops are coroutines: one
// thread of control runs all, and hands itself on between system calls.
type world struct {
	*simclient.World // what clients know of it
	seed             uint64
	server           *Server
	loops            []*simLoop

	current     *simLoop
	calls       int          // since it runs
	clients     []*simClient // each with what the gateway made of it
	readers     []*simReader
	actors      []actor // clients, readers and subscribers
	subscribers subscriberTally
	questions   map[*simclient.Asked]*simQuestion // of subscribers, about who is in a room
	builder     *simBuilder
	chronicles  map[string]*chronicle  // by epoch
	expired     time.Duration          // when rooms last let go of what was too old
	fullFor     map[*hub.Room]fullLook // those that are seen to be full for nobody
	wasPaused   bool                   // the whole process has stood still
	resets      int                    // streams that began with one …
	resumed     int                    // … or where they asked
	overran     int                    // resets in their midst
	removals    int                    // of what a room kept
	told        int                    // messages whose positions are known
	attended    int                    // places of clients in rooms that were looked at
	views       map[*conn]*connView
	rooms       map[*hub.Room]bool // those that were seen, gone or not
	pins        map[*byte]int      // step at which each copy of a dropped frame was first seen
	goroutines  int
	fixed       int           // descriptors open without any connection
	answersAt   time.Duration // from when on whoever is pinged answers at once; zero: they need not
	homely      int           // times rooms were looked at that are each on one loop
	quiet       int           // times everything slept and was looked through
	longest     time.Duration // tick of any loop
	judgements  []func()      // put off until every loop has ended its tick
}

// An actor is whoever has turns of its own.
type actor interface{ Act() bool }

// A simClient is a client, and what the gateway made of it.
type simClient struct {
	*simclient.Client
	w       *world
	reason  CloseReason // why the gateway ended it
	isVague bool        // that is the reason of somebody who ended in the same tick

	asked   hub.Position // where its room stood when it asked …
	joined  hub.Position // … and when its loop had let it in; without an epoch it is not known
	removed uint64       // what had been removed of the history when it asked
}

// The oracle judges what a client hears. A Close frame or an end is judged when it is known what
// the loops did it for.

func (c *simClient) Heard(op ws.OpCode, payload []byte) { c.gotMessage(op, payload) }

func (c *simClient) Asks() {
	if c.asked = c.w.standing(c.Room); c.asked.Epoch != "" {
		c.removed = c.w.chronicleOf(c.Room, c.asked.Epoch).removed
	}
}
func (c *simClient) Refused()           { c.judgeStatus() }
func (c *simClient) Told(bye int)       { c.w.later(func() { c.judgeCode(bye) }) }
func (c *simClient) Ended(byReset bool) { c.w.later(func() { c.judgeEnd(byReset) }) }

// simLoop is a loop of the gateway as a coroutine.
type simLoop struct {
	w        *worker
	epfd     int
	resume   func() (struct{}, bool)
	stop     func()
	yield    func(struct{}) bool
	isAsleep bool          // in a wait, which is the start of a tick
	until    time.Duration // when that wait ends
	hasEnded bool
	counter  *deliveryCounter // of what subscribers are handed; nil: they are not counted
	err      error

	views         []*connView
	blamed        []*connView             // closed for want of memory in the tick that is looked at
	reported      [NumCloseReasons]uint64 // how many it had closed at the last look
	overrunBefore uint64                  // at the last look …
	stoppedBefore uint64                  // … and how often connections were not read on
	elsewhere     int                     // copies of dropped frames that other loops may have had within its present tick, and gave up
	hasRun        bool
	began         time.Duration // when its present tick began

	pausedAt, pausedFor time.Duration // the pause of the whole process that it noticed
}

// newWorld builds the gateway that the seed says.
func newWorld(seed uint64) (*world, error) {
	w := &world{
		World: &simclient.World{Random: rand.New(rand.NewPCG(seed, 1)), Kernel: reactortest.NewSim(seed)},
		seed:  seed,
		views: map[*conn]*connView{}, rooms: map[*hub.Room]bool{}, pins: map[*byte]int{}, chronicles: map[string]*chronicle{}, fullFor: map[*hub.Room]fullLook{},
	}
	w.Plan = simclient.NewPlan(w.Random)
	w.Plan.DrawLimits(rand.New(rand.NewPCG(seed, simclient.LimitsStream)))
	w.Plan.DrawBrake(rand.New(rand.NewPCG(seed, simclient.BrakeStream)))
	w.Plan.DrawHistory(rand.New(rand.NewPCG(seed, simclient.HistoryStream)))
	w.Plan.DrawSubscribers(rand.New(rand.NewPCG(seed, simclient.SubscribersStream)))
	w.Plan.DrawAttendance(rand.New(rand.NewPCG(seed, simclient.AttendanceStream)))
	w.Plan.DrawRing(rand.New(rand.NewPCG(seed, simclient.RingStream)))
	w.Plan.DrawHomes(rand.New(rand.NewPCG(seed, simclient.HomesStream)))
	if seed > tokenSeeds {
		w.Plan.DrawTokens(rand.New(rand.NewPCG(seed, simclient.TokensStream)))
	}
	cfg := configOf(&w.Plan)
	epochs := 0
	cfg.newEpoch = func() string { epochs++; return fmt.Sprintf("epoch%03d", epochs) }
	cfg.wallClock = func() int64 { return w.Kernel.Now().Milliseconds() }
	if w.Plan.HasTokens {
		cfg.Auth = simAuth{w.Kernel}
	}
	if err := cfg.prepare(); err != nil {
		return nil, err
	}
	var err error
	w.server, err = newServer(cfg, slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1})), ear{w.Kernel, w})
	if err != nil {
		return nil, err
	}
	if w.Listen, err = w.Kernel.Listen(w.Plan.AcceptQueue); err != nil {
		return nil, err
	}
	if err := w.server.workers[w.Random.IntN(len(w.server.workers))].newListener(w.Listen, true, false, ListenOptions{}); err != nil {
		return nil, err
	}
	w.server.run = 0 // It is at random.
	w.fixed = w.Kernel.Open()
	for i, worker := range w.server.workers {
		worker.random = rand.New(rand.NewPCG(seed, uint64(2+i)))
		l := newSimLoop(worker)
		switch {
		case w.Plan.Limits.IsLate:
			newLateTransport(worker, rand.New(rand.NewPCG(seed, uint64(100+i))))
		case w.Plan.HasWholeTurns():
			l.counter = countDeliveries(worker)
		}
		w.loops = append(w.loops, l)
	}
	w.Kernel.OnCall(w.preempt)
	w.Kernel.OnSleep(w.sleep)
	w.MakeClients()
	for _, c := range w.World.Clients {
		judged := &simClient{Client: c, w: w}
		c.Judge = judged
		w.clients = append(w.clients, judged)
		w.actors = append(w.actors, c)
	}
	w.Outside = w
	for _, r := range w.World.Readers {
		judged := &simReader{Reader: r, w: w, streams: map[int]*simStream{}}
		r.Judge = judged
		w.readers = append(w.readers, judged)
		w.actors = append(w.actors, r)
	}
	for _, s := range w.World.Subscribers {
		s.Judge = &simSubscriber{
			Subscriber: s, w: w, sockets: map[int]*simSocket{}, subs: map[*simclient.Subscription]*simSubscription{},
		}
		w.actors = append(w.actors, s, s, s) // It has more to do than others.
	}
	if w.Plan.History.Rooms > 0 {
		w.builder = newSimBuilder(w.server)
	}
	w.goroutines = runtime.NumGoroutine()
	return w, nil
}

// newSimLoop makes a coroutine that runs a loop to its end.
func newSimLoop(worker *worker) *simLoop {
	l := &simLoop{w: worker}
	l.resume, l.stop = iter.Pull(func(yield func(struct{}) bool) {
		l.yield = yield
		defer func() {
			if p := recover(); p != nil {
				l.err = panicked(p) // Here the stack still shows where.
			}
		}()
		l.err = l.w.loop.Run()
	})
	return l
}

// callsMax is more system calls than any loop makes before it hands over.
const callsMax = 100_000

// preempt is called around system calls, at moments when no lock is held.
func (w *world) preempt() {
	l := w.current
	if l == nil {
		return
	}
	if w.calls++; w.calls > callsMax {
		panic("a loop makes calls without end")
	}
	if w.Random.IntN(1000) < w.Plan.Preempt {
		l.yield(struct{}{})
	}
}

// sleep is called by waits: each hands over once, and one that has nothing to report until it has,
// or its time is up.
func (w *world) sleep(epfd int, until time.Duration) {
	l := w.current
	if l == nil {
		return
	}
	l.epfd, l.isAsleep, l.until = epfd, true, until
	l.yield(struct{}{})
	l.isAsleep = false
}

func (w *world) canRun(l *simLoop) bool {
	return !l.hasEnded && (!l.isAsleep || w.Kernel.Now() >= l.until || w.Kernel.Ready(l.epfd))
}

// run lets a loop go on until it hands over.
func (w *world) run(l *simLoop) {
	if l.isAsleep {
		l.began = w.Kernel.Now()
	}
	w.current, w.calls = l, 0
	w.Kernel.SetActor(l.epfd)
	if _, ok := l.resume(); !ok {
		l.hasEnded = true
	}
	w.current = nil
	w.Kernel.SetActor(0)
	if l.err != nil {
		w.Fail("a loop ended: %w", l.err)
	}
	w.followQuestions()
	w.inspect(l)
	w.inspectBounds()
	w.judge()
}

// runnable appends the loops that can go on.
func (w *world) runnable() (some []*simLoop) {
	for _, l := range w.loops {
		if w.canRun(l) {
			some = append(some, l)
		}
	}
	return some
}

// idle is what happens when every loop sleeps: something arrives, or a client acts, or time passes
// until one of them wakes.
func (w *world) idle() {
	w.inspectQuiet()
	if w.Random.IntN(8) > 0 && (w.stepBuilder() || w.Kernel.Step() || w.actors[w.Random.IntN(len(w.actors))].Act()) {
		return
	}
	w.passTime()
}

// passTime moves the clock to when the first loop wakes, and not by much at a time.
func (w *world) passTime() {
	next := w.Kernel.Now() + 200*time.Millisecond
	for _, l := range w.loops {
		if l.isAsleep && !l.hasEnded {
			next = min(next, l.until)
		}
	}
	w.Kernel.Advance(max(time.Millisecond, next-w.Kernel.Now()))
	w.expire()
}

// step lets one thing happen.
func (w *world) step() {
	w.Steps++
	p := &w.Plan
	if p.History.Rooms > 0 && w.Random.IntN(10) == 0 {
		w.stepBuilder()
		w.expire()
		return
	}
	switch n := w.Random.IntN(p.LoopWeight + p.WireWeight + p.ClientWeight + 2); {
	case n < p.LoopWeight:
		if some := w.runnable(); len(some) > 0 {
			w.run(some[w.Random.IntN(len(some))])
		} else {
			w.idle()
		}
	case n < p.LoopWeight+p.WireWeight:
		w.Kernel.Step()
	case n < p.LoopWeight+p.WireWeight+p.ClientWeight:
		w.actors[w.Random.IntN(len(w.actors))].Act()
	case n == p.LoopWeight+p.WireWeight+p.ClientWeight:
		w.Kernel.Advance(time.Duration(w.Random.Int64N(int64(p.Leap))))
	default:
		w.changeLuck()
	}
}

// changeLuck makes descriptors scarce for a while, or lets the faults rest.
func (w *world) changeLuck() {
	f := w.Plan.Faults
	if w.Plan.Scarce && w.Random.IntN(2) == 0 {
		f.DescriptorMax = max(w.fixed, w.Kernel.Open()+w.Random.IntN(2))
	}
	if w.Random.IntN(4) == 0 {
		f = reactortest.Faults{Late: f.Late}
	}
	w.Kernel.SetFaults(f)
}

type reactorLoop = reactor.Loop
