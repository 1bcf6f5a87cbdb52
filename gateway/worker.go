package gateway

import (
	"container/list"
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	"sluice/hub"
	"sluice/reactor"
	"sluice/wsproto"
)

// A worker is one loop and what its connections share. Everything in it belongs to the loop, but
// for server and log.
type worker struct {
	server *Server
	no     int // among the server's loops
	cfg    *config
	log    *slog.Logger
	kernel reactor.Kernel
	loop   *reactor.Loop
	fan    *hub.Fanout
	conns  atomic.Int64 // connections that are here or on their way: whoever sends one counts it

	buf     []byte          // what was read last
	header  []byte          // a frame header or a control frame being made
	replies []byte          // of the commands of a subscriber's turn
	request wsproto.Request // the head being judged
	decoder wsproto.Decoder // for connections that hold no part of a message
	ping    []byte
	outbox  *outbox // an empty one, for the next connection that needs one; nil: it is made
	drain   *drain  // set when the gateway stops

	judged      int           // tokens, in the present turn of a connection
	told        int           // bytes of histories that were looked at in it
	inflated    int           // work of inflating in the present turn of a connection, in bytes
	frames      int           // … that began in it
	taken       int           // bytes that were read in it, or of a message that it published
	isBrief     bool          // it may do nothing that takes long, see brief.go …
	spent       time.Duration // … because those of this tick that did have taken so much
	encoder     encoder
	ring        *reactor.Ring  // nil: deliveries go plain
	sends       []reactor.Send // the batch being sent
	sendPlaces  []int          // of each among the batch's deliveries
	inputBudget inputBudget
	headBudget  headBudget
	replyBudget replyBudget
	shaking     int             // TLS handshakes under way …
	parked      list.List       // … and of them those that wait for their clients, the first in front
	tellings    []telling       // rooms whose clients are to be told of who came and went
	offering    string          // the room that a client publishes to which is not in it, for a panic
	reviewed    reactor.Token   // of the last source that has followed the config
	putOff      []reactor.Token // of connections that the kernel lacked memory for, some of them twice
	acks        acks            // of the cluster, for subscribers
	hasPut      bool            // something was handed to the cluster, and is to go out
	held        holding

	random *rand.Rand // for jitter; a simulation seeds it

	stats Stats
}

func (s *Server) newWorker(kernel reactor.Kernel) (*worker, error) {
	w := new(worker)
	cfg := s.config()
	o := reactor.Options{Kernel: kernel, SourcesMax: s.sourcesMax, KeepsProcessor: runtime.GOMAXPROCS(0) > cfg.Loops}
	if cfg.survives() {
		o.OnPanic = w.panicked
	}
	l, err := reactor.NewLoop(o)
	if err != nil {
		return nil, err
	}
	*w = worker{
		server: s, no: len(s.workers), cfg: cfg, log: s.log, kernel: l.Kernel(), loop: l,
		buf:         make([]byte, readBufferSize),
		ping:        wsproto.AppendFrame(nil, wsproto.OpPing, nil),
		inputBudget: inputBudget{limit: cfg.assemblyShare(), addresses: map[netip.Addr]*addressShare{}},
		headBudget:  headBudget{limit: cfg.headShare()},
		replyBudget: replyBudget{limit: cfg.replyShare()},
	}
	w.encoder.setTo(cfg)
	w.fan = s.hub.NewFanout(l.Wake, w)
	w.decoder = w.newDecoder()
	w.random = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	if cfg.Cluster != nil {
		l.BeforeSleep(func() time.Duration { w.flushPut(); return -1 }) // No hook publishes.
		l.BeforeSleep(w.takeAcks)
	}
	l.BeforeSleep(w.flush)
	l.AtEnd(w.cutAll)
	l.BeforeSleep(w.retry)
	l.BeforeSleep(w.tell)
	return w, nil
}

func (w *worker) newDecoder() wsproto.Decoder {
	return wsproto.Decoder{Limit: int(w.cfg.MaxMessage), Fragments: w.cfg.MaxFragments, Slice: w.cfg.readBudget}
}

// take has the worker go on by another config. What a connection has begun by the one before it
// finishes so: a message by its limits, a wait by its time.
func (w *worker) take(cfg *config) {
	w.cfg, w.reviewed = cfg, 0
	w.encoder.setTo(cfg)
	w.inputBudget.limit = cfg.assemblyShare()
	w.headBudget.limit = cfg.headShare()
	w.replyBudget.limit = cfg.replyShare()
	w.decoder = w.newDecoder() // Between two turns it holds nothing.
	for _, source := range w.loop.Sources {
		if l, ok := source.(*listener); ok && l.isTCP {
			cfg.setOptions(w.kernel, l.fd)
		}
	}
}

// jitter is a random part of the ping interval.
func (w *worker) jitter() time.Duration {
	return time.Duration(w.random.Int64N(int64(max(1, w.cfg.PingInterval/2))))
}

// adopt makes conns of freshly accepted connections.
func (w *worker) adopt(taken []arrival) {
	for _, a := range taken {
		if c := w.newConn(a); c != nil {
			w.stats.Accepted++
			w.loop.SetTimer(c.token, w.cfg.HandshakeTimeout)
		}
	}
}

// newConn watches a new connection. If the kernel will not, the descriptor is closed and the others
// go on.
func (w *worker) newConn(a arrival) *conn {
	c := &conn{w: w, fd: int32(a.fd)}
	t, err := w.loop.Register(a.fd, reactor.Readable, reactor.Edge, c)
	if err != nil {
		if skipped, ok := w.server.samples.unwatched.Take(w.kernel.Now()); ok {
			w.log.Error("cannot watch a connection", "error", err, "and_more", skipped)
		}
		w.stats.RegisterFailed++
		w.conns.Add(-1)
		_ = w.kernel.Close(a.fd)
		w.server.leave(a.key)
		return nil
	}
	if a.key.IsValid() || a.from.IsValid() {
		c.meter = &meter{key: a.key, from: a.from}
	}
	switch {
	case a.secured != nil:
		a.secured.attach(c)
	case a.speaks.ProxyProtocol:
		c.awaitProxy(a.speaks.TLS)
	case a.speaks.TLS:
		c.secure()
	}
	c.token = t
	if w.drain != nil {
		w.drain.leavers = append(w.drain.leavers, leaver{token: t})
	}
	return c
}

// cutAll ends whoever is still there when the loop has ended, on the goroutine that it ran on:
// inflating ends where it began. Their descriptors close with the loop's.
func (w *worker) cutAll() {
	for _, source := range w.loop.Sources {
		if c, ok := source.(*conn); ok {
			r := ClosedCut
			if c.life == lingering { // It was told all.
				r = c.end.reason
			}
			c.forget(r)
		}
	}
}

// onEachLoop runs a task on every loop, and returns when all have.
func (s *Server) onEachLoop(ctx context.Context, task func(w *worker)) error {
	done := make(chan struct{}, len(s.workers))
	for _, w := range s.workers {
		if err := post(ctx, w.loop, func(*reactor.Loop) { task(w); done <- struct{}{} }); err != nil {
			return err
		}
	}
	for range s.workers {
		select {
		case <-done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// post insists while a loop's mailbox is full.
func post(ctx context.Context, l *reactor.Loop, task func(*reactor.Loop)) error {
	retry := time.NewTicker(time.Millisecond)
	defer retry.Stop()
	for !l.Post(task) {
		select {
		case <-retry.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
