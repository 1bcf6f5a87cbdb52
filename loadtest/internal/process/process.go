// Package process is one process's part in a run: event loops, the clients on them, what publishers
// send, and what every client was found to have got. It opens connections and judges messages; it
// starts no servers and no processes, and prints nothing.
package process

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"sluice/loadtest/internal/centrifuge"
	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/payload"
	"sluice/loadtest/internal/shared"
	"sluice/reactor"
	"sluice/wsproto"
)

// A Process is one process's part in a run, from the first connection to the last. Its loops have
// it in common; what they write is atomic. Clients, publishers and rooms have numbers that all
// processes know them by. Its exported methods are called by one goroutine, but for Now, which all
// may call.
type Process struct {
	cfg      *load.Load
	rank     *shared.Rank
	headers  []string // of upgrades …
	askLines []string // … and of requests for events
	tag      payload.Tag
	format   centrifuge.Format // of frames, where the protocol has any …
	opcode   wsproto.Opcode    // … and what our messages go out in
	schedule schedule
	kernel   reactor.Kernel
	ahead    time.Duration // how much later our clock is to read to show the first process's time

	workers []*worker
	rooms   []*room
	targets int            // each has the same number of rooms, and one after the other comes here
	numbers map[string]int // of a room among its target's, by name
	streams []*stream      // of all processes
	loops   sync.WaitGroup
	failure chan error

	mine       int64        // clients of this process
	opened     atomic.Int64 // their openings that ended, well or not
	allOpened  chan struct{}
	publishing atomic.Int64   // streams of this process that are not done with the phase
	phaseDone  chan struct{}  // sent to when the last one is
	dials      sync.WaitGroup // TLS handshakes under way …
	dialing    context.Context
	endDials   context.CancelFunc // … and what ends them
	warmupLost atomic.Uint64
	observed   []int    // the servers' processes, where the first process samples them too
	sampler    *sampler // nil: no series is asked for
	storming   *storming
	spent      time.Duration // of processor time, in the measured phase
	waited     time.Duration // for a processor, by all threads, in the measured phase
}

// New makes a process's clients and loops; they do nothing until StepConnect. cfg must be prepared
// and is only read. Messages bear tag, the same in all processes of the run. The process is to be
// released, after StepCollect if it took StepConnect.
func New(cfg *load.Load, targets []*load.Target, rank *shared.Rank, tag payload.Tag) (*Process, error) {
	p := &Process{
		cfg:       cfg,
		targets:   len(targets),
		numbers:   make(map[string]int),
		rank:      rank,
		headers:   cfg.HeaderLines(),
		askLines:  cfg.EventsHeaderLines(),
		tag:       tag,
		opcode:    wsproto.OpText,
		failure:   make(chan error, cfg.Loops),
		allOpened: make(chan struct{}),
		phaseDone: make(chan struct{}, 1),
	}
	p.dialing, p.endDials = context.WithCancel(context.Background())
	if cfg.Format == load.Protobuf {
		p.format = centrifuge.Protobuf
	}
	if cfg.Binary || cfg.Format == load.Protobuf {
		p.opcode = wsproto.OpBinary
	}
	p.makeRooms(targets)
	for range cfg.Loops {
		w, err := p.newWorker()
		if err != nil {
			p.Release()
			return nil, err
		}
		p.workers = append(p.workers, w)
	}
	p.kernel = p.workers[0].kernel
	p.makeClients()
	return p, nil
}

// Now is the time on the run's clock, which all of its processes read alike.
func (p *Process) Now() time.Duration { return p.kernel.Now() + p.ahead }

// ClockOffset is how far the loops' clock, which begins with the process, is behind the system's.
// The two are read one after the other, so of several readings the one that was interrupted least
// is right.
func (p *Process) ClockOffset() time.Duration {
	least := time.Duration(1<<63 - 1)
	var offset time.Duration
	for range 100 {
		before := p.kernel.Now()
		wall := time.Now().UnixNano()
		if after := p.kernel.Now(); after-before < least {
			least = after - before
			offset = time.Duration(wall) - before - least/2
		}
	}
	return offset
}

// Follow makes Now show the time of the process whose ClockOffset is given. It is called before the
// first step.
func (p *Process) Follow(offset time.Duration) { p.ahead = p.ClockOffset() - offset }

// Observe makes the series of this process show what the processes of these ids use. It is called
// before the measured phase.
func (p *Process) Observe(pids []int) { p.observed = pids }

// Audience is how many deliveries one message of each publisher makes, by the clients that are
// connected in all processes.
func (p *Process) Audience() (n int64) {
	for _, st := range p.streams {
		n += st.room.live.Load()
	}
	return n
}

// makeRooms makes rooms and streams: each target has its own cfg.Rooms. Publisher p is in room p
// modulo rooms, like client p, which it is.
func (p *Process) makeRooms(targets []*load.Target) {
	for i := range len(targets) * p.cfg.Rooms {
		t := targets[i%len(targets)]
		r := &room{index: i, target: t, name: load.RoomName(i / len(targets)), path: t.Paths[i/len(targets)], live: &p.rank.Stats.Live[i]}
		p.numbers[r.name] = i / len(targets)
		if t.EventPaths != nil {
			r.eventPath = t.EventPaths[i/len(targets)]
		}
		p.rooms = append(p.rooms, r)
	}
	for i := range p.cfg.Publishers {
		room := p.rooms[i%len(p.rooms)]
		st := &stream{
			id: uint16(i), room: room, place: uint32(len(room.streams)),
			sent: &p.rank.Stats.Sent[i], cut: &p.rank.Stats.Cut[i], slots: p.rank.Stats.Slots(i),
		}
		room.streams = append(room.streams, st)
		p.streams = append(p.streams, st)
	}
}

// processOf is the process that a client, and the publisher of the same number, belongs to. With as
// many processes as targets, or a multiple, each process keeps to one target.
func (p *Process) processOf(client int) int { return client % p.rank.Count }

func (p *Process) makeClients() {
	for i := p.rank.Index; i < p.cfg.Clients; i += p.rank.Count {
		w := p.workers[i/p.rank.Count%len(p.workers)]
		c := &client{w: w, index: i, membership: newMembership(p.rooms[i%len(p.rooms)]), fd: -1, kind: p.cfg.KindOf(i)}
		if p.cfg.HearsEvents(i) {
			c.events, c.at = newEvents(), new(standing)
		} else if p.cfg.Protocol == load.Centrifuge {
			c.subscribeTo(p.rooms, p.targets)
		}
		if i < len(p.streams) {
			st := p.streams[i]
			st.home, st.client = w, c
			w.streams = append(w.streams, st)
		}
		w.clients = append(w.clients, c)
		w.clientsToOpen = append(w.clientsToOpen, c)
		if c.kind == load.KindGuest || c.kind == load.KindResumer {
			w.guests = append(w.guests, c)
		}
		p.mine++
	}
}

// connect starts the loops and returns when every client of this process has joined or failed.
func (p *Process) connect(ctx context.Context, _ time.Duration) error {
	if err := p.rank.Watch(p.workers[0].loop, p.wakeLoops); err != nil {
		return err
	}
	for _, w := range p.workers {
		p.loops.Go(func() {
			if err := w.loop.Run(); err != nil {
				p.failure <- err
			}
		})
		w.loop.Wake()
	}
	return p.await(ctx, p.allOpened)
}

// wakeLoops makes all loops look at the stats.
func (p *Process) wakeLoops() {
	for _, w := range p.workers {
		w.loop.Wake()
	}
}

// replacePublishers gives the streams of clients that could not join to others of their rooms.
// Nothing has been sent yet.
func (p *Process) replacePublishers(ctx context.Context, _ time.Duration) error {
	var mu sync.Mutex
	spare := make(map[*room][]*client)
	var orphans []*stream
	err := p.onLoops(ctx, func(w *worker) {
		mu.Lock()
		defer mu.Unlock()
		for _, st := range w.streams {
			if st.client.state != joined {
				orphans = append(orphans, st)
			}
		}
		for _, c := range w.clients {
			if c.state == joined && c.kind == load.KindReader && c.events == nil && c.index >= len(p.streams) {
				spare[c.room] = append(spare[c.room], c)
			}
		}
	})
	if err != nil {
		return err
	}
	for _, st := range orphans {
		if n := len(spare[st.room]); n > 0 {
			st.client = spare[st.room][n-1]
			spare[st.room] = spare[st.room][:n-1]
			st.home = st.client.w
		}
	}
	return p.onLoops(ctx, func(w *worker) {
		w.streams = nil
		for _, st := range p.streams {
			if st.home == w {
				w.streams = append(w.streams, st)
			}
		}
	})
}

func (p *Process) await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case err := <-p.failure:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rampWait is how long the next connection has to wait; zero takes its turn.
func (p *Process) rampWait(now time.Duration) time.Duration {
	if p.cfg.Ramp == 0 {
		return 0
	}
	next := &p.rank.Stats.Totals.NextConnect
	every := time.Duration(float64(time.Second) / p.cfg.Ramp)
	for {
		due := time.Duration(next.Load())
		if due > now {
			return due - now
		}
		// What was not taken long ago is not made up for: a storm's clients return by the ramp,
		// too.
		from := max(due, now-rampBurst)
		if next.CompareAndSwap(int64(due), int64(from+every)) {
			return 0
		}
	}
}

// rampBurst is for how long the ramp makes up for turns that nobody took: some ticks.
const rampBurst = 20 * time.Millisecond

func (p *Process) clientOpened() {
	p.rank.Stats.Totals.Ended.Add(1)
	if p.opened.Add(1) == p.mine {
		close(p.allOpened)
	}
}

func (p *Process) streamDone() {
	if p.publishing.Add(-1) == 0 {
		p.phaseDone <- struct{}{}
	}
}

// publish runs one phase: total messages, spread over the streams of all processes, ours followed
// until everybody has them.
func (p *Process) publish(ctx context.Context, total int) error {
	mine := 0
	for _, st := range p.streams {
		if st.home != nil {
			mine++
		}
	}
	if total == 0 || mine == 0 {
		return nil
	}
	p.publishing.Store(int64(mine))
	err := p.onLoops(ctx, func(w *worker) {
		for _, st := range w.streams {
			share := total / len(p.streams)
			if int(st.id) < total%len(p.streams) {
				share++
			}
			st.begin(uint32(share))
		}
	})
	if err != nil {
		return err
	}
	return p.await(ctx, p.phaseDone)
}

// onLoops runs task on every loop and waits for all of them.
func (p *Process) onLoops(ctx context.Context, task func(*worker)) error {
	done := make(chan struct{}, len(p.workers))
	for _, w := range p.workers {
		if !w.loop.Post(func(*reactor.Loop) { task(w); done <- struct{}{} }) {
			return fmt.Errorf("a loop ended: %w", reactor.ErrClosed)
		}
	}
	for range p.workers {
		if err := p.await(ctx, done); err != nil {
			return err
		}
	}
	return nil
}

// goodbyeTime bounds how long the server has to answer Close frames.
const goodbyeTime = time.Second

// leave says goodbye on every connection and waits a moment for the server to end them. What fails
// here has been said before, or does not matter any more.
func (p *Process) leave(ctx context.Context, _ time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, goodbyeTime)
	defer cancel()
	for say := (*client).sayGoodbye; ; say = nil {
		open := atomic.Int64{}
		err := p.onLoops(ctx, func(w *worker) {
			w.isClosing = true
			for _, c := range w.clients {
				if say != nil {
					say(c)
				}
				if c.state == leaving {
					open.Add(1)
				}
			}
		})
		if err != nil || open.Load() == 0 {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// stop ends the loops; from here on everything they had is the caller's.
func (p *Process) stop() {
	p.endWatching()
	for _, w := range p.workers {
		w.loop.Stop()
	}
	p.loops.Wait()
	p.endDials()
	p.dials.Wait()
}

// Release frees the loops and closes what connections are left.
func (p *Process) Release() {
	for _, w := range p.workers {
		w.loop.Release()
	}
}
