package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/payload"
	"sluice/loadtest/internal/shared"
	"sluice/reactor"
	"sluice/wsproto"
)

// A run is one process's part in a load, from the first connection to the last. Its loops have it in common; what they write
// is atomic. Clients, publishers and rooms have numbers that all processes know them by.
type run struct {
	cfg      *load.Load
	rank     *shared.Rank
	headers  []string
	tag      payload.Tag
	opcode   wsproto.Opcode
	schedule schedule
	kernel   reactor.Kernel
	ahead    time.Duration // how much later our clock is to read to show the first process's time

	workers []*worker
	rooms   []*room
	streams []*stream // of all processes
	loops   sync.WaitGroup
	failure chan error

	start      time.Duration // of connecting, on the run's clock
	mine       int64         // clients of this process
	opened     atomic.Int64  // their openings that ended, well or not
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
}

// quiet is how long the run listens after the last message for what should not come.
const quiet = 100 * time.Millisecond

func newRun(cfg *load.Load, targets []*load.Target, rank *shared.Rank, tag payload.Tag) (*run, error) {
	r := &run{
		cfg:       cfg,
		rank:      rank,
		headers:   cfg.HeaderLines(),
		tag:       tag,
		opcode:    wsproto.OpText,
		failure:   make(chan error, cfg.Loops),
		allOpened: make(chan struct{}),
		phaseDone: make(chan struct{}, 1),
	}
	r.dialing, r.endDials = context.WithCancel(context.Background())
	if cfg.Binary {
		r.opcode = wsproto.OpBinary
	}
	r.makeRooms(targets)
	for range cfg.Loops {
		w, err := r.newWorker()
		if err != nil {
			r.release()
			return nil, err
		}
		r.workers = append(r.workers, w)
	}
	r.kernel = r.workers[0].kernel
	r.makeClients()
	return r, nil
}

// now is the time on the run's clock, which all of its processes read alike.
func (r *run) now() time.Duration { return r.kernel.Now() + r.ahead }

// makeRooms makes rooms and streams: each target has its own cfg.Rooms. Publisher p is in room p modulo rooms, like client
// p, which it is.
func (r *run) makeRooms(targets []*load.Target) {
	for i := range len(targets) * r.cfg.Rooms {
		t := targets[i%len(targets)]
		r.rooms = append(r.rooms, &room{index: i, target: t, path: t.Paths[i/len(targets)], live: &r.rank.Stats.Live[i]})
	}
	for i := range r.cfg.Publishers {
		room := r.rooms[i%len(r.rooms)]
		st := &stream{
			id: uint16(i), room: room, place: uint32(len(room.streams)),
			sent: &r.rank.Stats.Sent[i], slots: r.rank.Stats.Slots(i),
		}
		room.streams = append(room.streams, st)
		r.streams = append(r.streams, st)
	}
}

// processOf is the process that a client, and the publisher of the same number, belongs to. With as many processes as
// targets, or a multiple, each process keeps to one target.
func (r *run) processOf(client int) int { return client % r.rank.Count }

func (r *run) makeClients() {
	for i := r.rank.Index; i < r.cfg.Clients; i += r.rank.Count {
		w := r.workers[i/r.rank.Count%len(r.workers)]
		c := &client{w: w, index: i, room: r.rooms[i%len(r.rooms)], fd: -1, kind: r.cfg.KindOf(i)}
		c.check.next = make([]uint32, len(c.room.streams))
		if i < len(r.streams) {
			st := r.streams[i]
			st.home, st.client = w, c
			w.streams = append(w.streams, st)
		}
		w.clients = append(w.clients, c)
		w.clientsToOpen = append(w.clientsToOpen, c)
		if c.kind == load.KindGuest {
			w.guests = append(w.guests, c)
		}
		r.mine++
	}
}

// connect starts the loops and returns when every client of this process has joined or failed.
func (r *run) connect(ctx context.Context, at time.Duration) error {
	r.start = at
	if err := r.rank.Watch(r.workers[0].loop, r.wakeLoops); err != nil {
		return err
	}
	for _, w := range r.workers {
		r.loops.Go(func() {
			if err := w.loop.Run(); err != nil {
				r.failure <- err
			}
		})
		w.loop.Wake()
	}
	return r.await(ctx, r.allOpened)
}

// wakeLoops makes all loops look at the stats.
func (r *run) wakeLoops() {
	for _, w := range r.workers {
		w.loop.Wake()
	}
}

// replacePublishers gives the streams of clients that could not join to others of their rooms. Nothing has been sent yet.
func (r *run) replacePublishers(ctx context.Context, _ time.Duration) error {
	var mu sync.Mutex
	spare := make(map[*room][]*client)
	var orphans []*stream
	err := r.onLoops(ctx, func(w *worker) {
		mu.Lock()
		defer mu.Unlock()
		for _, st := range w.streams {
			if st.client.state != joined {
				orphans = append(orphans, st)
			}
		}
		for _, c := range w.clients {
			if c.state == joined && c.kind == load.KindReader && c.index >= len(r.streams) {
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
	return r.onLoops(ctx, func(w *worker) {
		w.streams = nil
		for _, st := range r.streams {
			if st.home == w {
				w.streams = append(w.streams, st)
			}
		}
	})
}

func (r *run) await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case err := <-r.failure:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rampWait is how long the next connection has to wait; zero takes its turn.
func (r *run) rampWait(now time.Duration) time.Duration {
	if r.cfg.Ramp == 0 {
		return 0
	}
	turn := r.rank.Stats.Totals.Connects.Add(1) - 1
	due := r.start + time.Duration(float64(turn)/r.cfg.Ramp*float64(time.Second))
	if due > now {
		r.rank.Stats.Totals.Connects.Add(-1)
	}
	return due - now
}

func (r *run) clientOpened() {
	r.rank.Stats.Totals.Ended.Add(1)
	if r.opened.Add(1) == r.mine {
		close(r.allOpened)
	}
}

func (r *run) streamDone() {
	if r.publishing.Add(-1) == 0 {
		r.phaseDone <- struct{}{}
	}
}

// publish runs one phase: total messages, spread over the streams of all processes, ours followed until everybody has them.
func (r *run) publish(ctx context.Context, total int) error {
	mine := 0
	for _, st := range r.streams {
		if st.home != nil {
			mine++
		}
	}
	if total == 0 || mine == 0 {
		return nil
	}
	r.publishing.Store(int64(mine))
	err := r.onLoops(ctx, func(w *worker) {
		for _, st := range w.streams {
			share := total / len(r.streams)
			if int(st.id) < total%len(r.streams) {
				share++
			}
			st.begin(uint32(share))
		}
	})
	if err != nil {
		return err
	}
	return r.await(ctx, r.phaseDone)
}

// onLoops runs task on every loop and waits for all of them.
func (r *run) onLoops(ctx context.Context, task func(*worker)) error {
	done := make(chan struct{}, len(r.workers))
	for _, w := range r.workers {
		if !w.loop.Post(func(*reactor.Loop) { task(w); done <- struct{}{} }) {
			return fmt.Errorf("a loop ended: %w", reactor.ErrClosed)
		}
	}
	for range r.workers {
		if err := r.await(ctx, done); err != nil {
			return err
		}
	}
	return nil
}

// goodbyeTime bounds how long the server has to answer Close frames.
const goodbyeTime = time.Second

// leave says goodbye on every connection and waits a moment for the server to end them. What fails here has been said
// before, or does not matter any more.
func (r *run) leave(ctx context.Context, _ time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, goodbyeTime)
	defer cancel()
	for say := (*client).sayGoodbye; ; say = nil {
		open := atomic.Int64{}
		err := r.onLoops(ctx, func(w *worker) {
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
func (r *run) stop() {
	r.endWatching()
	for _, w := range r.workers {
		w.loop.Stop()
	}
	r.loops.Wait()
	r.endDials()
	r.dials.Wait()
}

func (r *run) release() {
	for _, w := range r.workers {
		w.loop.Release()
	}
}
