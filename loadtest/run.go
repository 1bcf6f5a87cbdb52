package main

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"sluice/reactor"
	"sluice/wsproto"
)

// A run is one load on one server, from the first connection to the last. Its loops have it in common; what they write
// is atomic.
type run struct {
	cfg      *Load
	target   *target
	headers  []string
	tag      runTag
	opcode   wsproto.Opcode
	schedule schedule

	workers []*worker
	rooms   []*room
	lanes   []*lane
	loops   sync.WaitGroup
	failure chan error

	start      time.Duration // of connecting, on the run's clock
	connects   atomic.Int64  // begun, for the ramp
	ended      atomic.Int64  // openings that ended, well or not
	failed     atomic.Int64
	allOpened  chan struct{}
	publishing atomic.Int64  // lanes that are not done with the phase
	phaseDone  chan struct{} // sent to when the last one is
	arrival    atomic.Int64  // about when a message last arrived anywhere
	progress   atomic.Int64  // deliveries so far, about
}

// errUnreachable says that not one client could connect.
var errUnreachable = errors.New("the server could not be reached")

// openSlots is how many messages of an open loop, of all publishers, can be followed on their way.
const openSlots = 1 << 14

// quiet is how long the run listens after the last message for what should not come.
const quiet = 100 * time.Millisecond

func newRun(cfg *Load, t *target) (*run, error) {
	r := &run{
		cfg:       cfg,
		target:    t,
		headers:   cfg.headerLines(),
		opcode:    wsproto.OpText,
		failure:   make(chan error, cfg.Loops),
		allOpened: make(chan struct{}),
		phaseDone: make(chan struct{}, 1),
	}
	if cfg.Binary {
		r.opcode = wsproto.OpBinary
	}
	appendDigits(r.tag[:0], rand.Uint32())
	r.makeRooms()
	for range cfg.Loops {
		w, err := r.newWorker()
		if err != nil {
			r.release()
			return nil, err
		}
		r.workers = append(r.workers, w)
	}
	r.makeClients()
	return r, nil
}

// makeRooms makes rooms and lanes. Publisher p is in room p modulo rooms, like client p, which it is.
func (r *run) makeRooms() {
	for i := range r.cfg.Rooms {
		r.rooms = append(r.rooms, &room{index: i})
	}
	window := uint(r.cfg.Window)
	if r.cfg.Rate > 0 {
		window = max(window, openSlots/uint(r.cfg.Publishers))
	}
	slots := 1 << bits.Len(window)
	for i := range r.cfg.Publishers {
		room := r.rooms[i%len(r.rooms)]
		l := &lane{id: uint16(i), room: room, place: uint32(len(room.lanes)), slots: make([]slot, slots)}
		room.lanes = append(room.lanes, l)
		r.lanes = append(r.lanes, l)
	}
}

func (r *run) makeClients() {
	for i := range r.cfg.Clients {
		w := r.workers[i%len(r.workers)]
		c := &client{w: w, index: i, room: r.rooms[i%len(r.rooms)], fd: -1, kind: r.cfg.kindOf(i)}
		c.ledger.next = make([]uint32, len(c.room.lanes))
		if i < len(r.lanes) {
			l := r.lanes[i]
			l.home, l.client = w, c
			w.lanes = append(w.lanes, l)
		}
		w.clients = append(w.clients, c)
		w.clientsToOpen = append(w.clientsToOpen, c)
		if c.kind == guest {
			w.guests = append(w.guests, c)
		}
	}
}

// connect starts the loops and returns when every client has joined or failed.
func (r *run) connect(ctx context.Context) error {
	r.start = r.workers[0].kernel.Now()
	for _, w := range r.workers {
		r.loops.Go(func() {
			if err := w.loop.Run(); err != nil {
				r.failure <- err
			}
		})
		w.loop.Wake()
	}
	if err := r.await(ctx, r.allOpened); err != nil {
		return err
	}
	if int(r.failed.Load()) == r.cfg.Clients {
		return errUnreachable
	}
	return nil
}

// replacePublishers gives the lanes of clients that could not join to others of their rooms. Nothing has been sent yet.
func (r *run) replacePublishers(ctx context.Context) error {
	var mu sync.Mutex
	spare := make(map[*room][]*client)
	var orphans []*lane
	err := r.onLoops(ctx, func(w *worker) {
		mu.Lock()
		defer mu.Unlock()
		for _, l := range w.lanes {
			if l.client.state != joined {
				orphans = append(orphans, l)
			}
		}
		for _, c := range w.clients {
			if c.state == joined && c.kind == reader && c.index >= len(r.lanes) {
				spare[c.room] = append(spare[c.room], c)
			}
		}
	})
	if err != nil {
		return err
	}
	for _, l := range orphans {
		if n := len(spare[l.room]); n > 0 {
			l.client = spare[l.room][n-1]
			spare[l.room] = spare[l.room][:n-1]
			l.home = l.client.w
		}
	}
	return r.onLoops(ctx, func(w *worker) {
		w.lanes = nil
		for _, l := range r.lanes {
			if l.home == w {
				w.lanes = append(w.lanes, l)
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
	turn := r.connects.Add(1) - 1
	due := r.start + time.Duration(float64(turn)/r.cfg.Ramp*float64(time.Second))
	if due > now {
		r.connects.Add(-1)
	}
	return due - now
}

func (r *run) clientOpened() {
	if r.ended.Add(1) == int64(r.cfg.Clients) {
		close(r.allOpened)
	}
}

func (r *run) laneDone() {
	if r.publishing.Add(-1) == 0 {
		r.phaseDone <- struct{}{}
	}
}

// publish runs one phase: total messages, spread over the lanes, each followed until everybody has it.
func (r *run) publish(ctx context.Context, total int) error {
	if total == 0 {
		return nil
	}
	r.publishing.Store(int64(len(r.lanes)))
	err := r.onLoops(ctx, func(w *worker) {
		for _, l := range w.lanes {
			share := total / len(r.lanes)
			if int(l.id) < total%len(r.lanes) {
				share++
			}
			l.begin(uint32(share))
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

// leave says goodbye on every connection and waits a moment for the server to end them.
func (r *run) leave(ctx context.Context) {
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
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// stop ends the loops; from here on everything they had is the caller's.
func (r *run) stop() {
	for _, w := range r.workers {
		w.loop.Stop()
	}
	r.loops.Wait()
}

func (r *run) release() {
	for _, w := range r.workers {
		w.loop.Release()
	}
}
