package process

import (
	"math"
	"slices"
	"sync/atomic"
	"time"

	"sluice/loadtest/internal/centrifuge"
	"sluice/loadtest/internal/latency"
	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/payload"
	"sluice/loadtest/internal/shared"
	"sluice/reactor"
	"sluice/wsproto"
)

// A worker is one loop and the clients on it. Its fields belong to the loop's goroutine, and to the
// run once that ended.
type worker struct {
	process *Process
	loop    *reactor.Loop
	kernel  reactor.Kernel
	clients []*client
	streams []*stream // of the publishers here

	buf     []byte // what was read last
	plain   []byte // … and came out of TLS; nil without
	payload []byte // the message being sent …
	command []byte // … and what it is sent in, where the protocol has commands
	decoder wsproto.Decoder
	heard   *centrifuge.Memory // nil without publications
	unsent  []*client          // publishers with bytes that wait for the end of the tick

	tallies     [][]shared.Tally // by stream and slot: what this tick saw
	touched     []touch
	wakePending atomic.Bool // some slot of a stream here is complete

	clientsToOpen []*client // in this order, and those that return behind them
	opened        int       // how many openings have begun
	opening       int       // … and not ended

	later []retry // clients whose return was refused for the moment, the next one last

	guests     []*client     // and resumers
	nextGuest  int           // the next to leave
	churnEvery time.Duration // zero: nobody leaves
	churnDue   time.Duration
	stormAt    time.Duration
	backAt     time.Duration // when the last guest returned
	caughtUpAt time.Duration // … and when the last one had what it had missed
	resumedAt  time.Duration // when something last came to a resumer
	isRestCut  bool          // what resumers miss at the end is not waited for any more
	isClosing  bool          // the run is over: a client that leaves stays away
	isLooking  bool          // the measurement is over: stalled clients read
	lookedAt   time.Duration // when one of them last found something
	crowd      Crowd
	pacer      *pacer

	latency  latency.Histogram // of the present interval, if there are intervals
	taken    latency.Histogram // of the one before, for the sampler; empty
	skew     latency.Histogram
	warm     []uint32 // by stream: numbers below belong to the warm-up
	wire     uint64   // bytes of frames that came to readers
	timeouts int      // messages that some receiver did not get in time
	faults   Faults
}

// touch names a tally in use.
type touch struct {
	stream uint16
	seq    uint32
}

const (
	readBuffer = 64 << 10
	// readsPerTurn bounds what one client reads in one turn, so that a flood to one does not make
	// the others look slow.
	readsPerTurn = 8
	// openingMax is how many clients of one loop may be on their way in at a time: well below a
	// listener's backlog.
	openingMax = 128
)

func (p *Process) newWorker() (*worker, error) {
	loop, err := reactor.NewLoop(reactor.Options{})
	if err != nil {
		return nil, err
	}
	w := &worker{
		process: p,
		loop:    loop,
		kernel:  loop.Kernel(),
		buf:     make([]byte, readBuffer),
		latency: latency.New(),
		taken:   latency.New(),
		skew:    latency.New(),
	}
	if slices.ContainsFunc(p.rooms, func(r *room) bool { return r.target.TLS != nil }) {
		w.plain = make([]byte, recordMax)
	}
	w.decoder = w.newDecoder()
	if p.cfg.Protocol == load.Centrifuge {
		w.heard = centrifuge.NewMemory(p.format)
	}
	for _, st := range p.streams {
		w.tallies = append(w.tallies, make([]shared.Tally, len(st.slots)))
		w.warm = append(w.warm, 0)
	}
	loop.BeforeSleep(w.endTick)
	if w.pacer, err = newPacer(loop); err != nil {
		loop.Release()
		return nil, err
	}
	return w, nil
}

func (w *worker) newDecoder() wsproto.Decoder {
	return wsproto.Decoder{Client: true, Limit: payload.SizeMax + payload.SizeMax/2}
}

// endTick reports what the tick saw, lets the streams go on, and opens further clients.
func (w *worker) endTick() time.Duration {
	w.report()
	now := w.process.Now()
	sleep := shorter(w.churn(now), w.retry(now))
	sleep = shorter(sleep, w.openMore(now))
	// Before looking: a loop that completes a slot from here on wakes us again.
	w.wakePending.Store(false)
	for _, st := range w.streams {
		st.step(now)
		if st.active {
			sleep = shorter(sleep, w.process.schedule.wait(st, now))
		}
	}
	for _, c := range w.unsent {
		c.flush()
	}
	w.unsent = w.unsent[:0]
	return w.pacer.wakeAfter(sleep)
}

// shorter is the shorter of two sleeps, of which negative ones have no bound.
func shorter(a, b time.Duration) time.Duration {
	if a < 0 || (b >= 0 && b < a) {
		return b
	}
	return a
}

// received notes that one client has message seq of a stream.
func (w *worker) received(st *stream, seq uint32, now int64) {
	t := w.tally(st, seq)
	t.Count++
	t.First = min(t.First, now)
	t.Last = now
}

// released notes that one client is no longer waited for.
func (w *worker) released(st *stream, seq uint32) { w.tally(st, seq).Count++ }

func (w *worker) tally(st *stream, seq uint32) *shared.Tally {
	t := &w.tallies[st.id][seq&uint32(len(st.slots)-1)]
	if t.Count > 0 && t.Seq == seq {
		return t
	}
	// Two messages in one tick that share a slot: one client is far behind another.
	if t.Count > 0 {
		w.reportOne(st, t)
	}
	*t = shared.Tally{Seq: seq, First: math.MaxInt64}
	w.touched = append(w.touched, touch{st.id, seq})
	return t
}

func (w *worker) report() {
	if len(w.touched) == 0 {
		return
	}
	w.process.rank.Stats.Totals.Arrival.Store(int64(w.process.Now()))
	for _, at := range w.touched {
		st := w.process.streams[at.stream]
		if t := &w.tallies[at.stream][at.seq&uint32(len(st.slots)-1)]; t.Count > 0 && t.Seq == at.seq {
			w.reportOne(st, t)
		}
	}
	w.touched = w.touched[:0]
}

func (w *worker) reportOne(st *stream, t *shared.Tally) {
	w.process.rank.Stats.Totals.Progress.Add(t.Count)
	if st.slot(t.Seq).Report(t) {
		w.completed(st)
	}
	t.Count = 0
}

// completed tells the loop of a stream, maybe in another process, that everybody has one of its
// messages.
func (w *worker) completed(st *stream) {
	if st.home == nil {
		w.process.rank.Wake(w.process.processOf(int(st.id)))
	} else if !st.home.wakePending.Swap(true) && st.home != w {
		st.home.loop.Wake()
	}
}

// openMore begins as many openings as the ramp and openingMax allow.
func (w *worker) openMore(now time.Duration) (sleep time.Duration) {
	for w.opened < len(w.clientsToOpen) && w.opening < openingMax {
		if wait := w.process.rampWait(now); wait > 0 {
			return wait
		}
		c := w.clientsToOpen[w.opened]
		w.opened++
		w.opening++
		c.open()
	}
	return -1
}

// reset begins the measured phase: what came before is forgotten, and what still comes of it is
// ignored.
func (w *worker) reset() {
	w.latency.Reset()
	w.skew.Reset()
	w.timeouts, w.wire = 0, 0
	for i, st := range w.process.streams {
		w.warm[i] = st.sent.Load()
	}
	for _, c := range w.clients {
		for m := range c.each {
			m.reset()
		}
	}
}
