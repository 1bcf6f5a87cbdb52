package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"sluice/hub"
	"sluice/reactor"
	"sluice/wsproto"
)

// A Server is the gateway: listeners, loops, the hub, and net/http for what is not a WebSocket. Its
// methods may be called from any goroutine.
//
//	New ──▶ Listen … ──▶ Serve, until its context ends or Close ──▶ Stats
//	                       └──▶ Drain, from another goroutine
type Server struct {
	cfg     *config
	log     *slog.Logger
	hub     *hub.Hub
	workers []*worker

	listeners []net.Listener // kept open for their descriptors' sake
	handover  *handover
	http      *http.Server

	admission *admission
	pressure  *pressure
	samples   samples

	invariants atomic.Uint64 // that did not hold

	open   atomic.Int64  // connections that exist, lent ones included
	lent   atomic.Int64  // those in net/http's hands
	turn   atomic.Uint64 // which loop the next returning connection goes to
	loops  sync.WaitGroup
	failed chan error // of loops that could not go on

	stopWatching context.CancelFunc
	closing      sync.Once
	isClosed     atomic.Bool // the loops have ended: what they counted may be read
}

// New makes a gateway that does not listen yet. It takes descriptors, which Close gives back. A nil log
// is no log. The error is that of o.Validate, or of the system.
func New(o Options, log *slog.Logger) (*Server, error) {
	cfg := &config{Options: o}
	if err := cfg.prepare(); err != nil {
		return nil, err
	}
	return newServer(cfg, log, nil)
}

// newServer is New for a config that was prepared. kernel is nil for the operating system.
func newServer(cfg *config, log *slog.Logger, kernel reactor.Kernel) (*Server, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		cfg: cfg, log: log, admission: newAdmission(cfg),
		failed: make(chan error, cfg.Loops), stopWatching: func() {},
	}
	var err error
	s.hub, err = hub.New(hub.Options{Limits: cfg.limits(), Encodings: encodings, PolicyOf: cfg.policyOf, OnBroken: s.broken})
	if err != nil {
		return nil, err
	}
	s.pressure = newPressure(cfg, s.hub, log)
	for range cfg.Loops {
		w, err := s.newWorker(kernel)
		if err != nil {
			s.release()
			return nil, err
		}
		s.workers = append(s.workers, w)
	}
	s.handover = newHandover(s)
	s.http = &http.Server{
		Handler:           s.route(cfg.Pages),
		ReadHeaderTimeout: httpHeaderTimeout,
		ReadTimeout:       httpReadTimeout,
		WriteTimeout:      httpWriteTimeout,
		IdleTimeout:       httpIdleTimeout,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

func (s *Server) route(pages http.Handler) http.Handler {
	if pages == nil {
		pages = http.NotFoundHandler()
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, isSocket := roomOf(r.URL.Path); isSocket {
			s.socketHandler(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	})
}

// Listen opens an address: host:port, [v6]:port, :port for all interfaces, or unix:/path. A port of
// zero is one that the system chooses. All addresses are opened before Serve.
func (s *Server) Listen(address string) error {
	opened, err := openListener(address)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", address, err)
	}
	for _, l := range opened {
		w := s.workers[len(s.listeners)%len(s.workers)]
		s.listeners = append(s.listeners, l)
		fd, err := s.cfg.descriptor(l, w.kernel)
		if err == nil {
			if err = w.newListener(fd, isTCP(l)); err != nil {
				_ = w.kernel.Close(fd)
			}
		}
		if err != nil {
			return fmt.Errorf("cannot listen on %s: %w", address, err)
		}
	}
	return nil
}

// Addrs are the addresses listened on, with the ports that were chosen.
func (s *Server) Addrs() []net.Addr {
	var all []net.Addr
	for _, l := range s.listeners {
		all = append(all, l.Addr())
	}
	return all
}

// Serve runs the gateway until ctx ends, which cuts the connections that are there, or until it cannot
// go on, which is the error. It is called once. Whoever wants connections to end in order calls Drain
// before ctx ends.
func (s *Server) Serve(ctx context.Context) error {
	s.start()
	var err error
	select {
	case <-ctx.Done():
	case err = <-s.failed:
	}
	s.Close()
	return err
}

// start runs the loops, net/http and, if memory is limited, the watch over it on goroutines of their own.
func (s *Server) start() {
	for _, w := range s.workers {
		s.loops.Go(func() {
			if err := w.loop.Run(); err != nil {
				s.failed <- err
			}
			w.assembly.release() // Inflating ends with the goroutine that it began on.
		})
	}
	s.loops.Go(func() {
		if err := s.http.Serve(s.handover); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	})
	if s.cfg.memory.isLimited() {
		ctx, cancel := context.WithCancel(context.Background())
		s.stopWatching = cancel
		s.loops.Go(func() { s.pressure.watch(ctx) })
	}
}

// Close stops at once: connections are cut. It returns when the loops have ended and all descriptors
// are given back. It may be called more than once, and instead of Serve.
func (s *Server) Close() { s.closing.Do(s.close) }

func (s *Server) close() {
	for _, w := range s.workers {
		w.loop.Stop()
	}
	s.http.Close()
	s.handover.Close()
	s.stopWatching()
	s.loops.Wait()
	s.isClosed.Store(true)
	s.release()
}

func (s *Server) release() {
	for _, w := range s.workers {
		w.loop.Release()
	}
	for _, l := range s.listeners {
		l.Close()
	}
}

// Stats sums up what the loops counted. While they run it asks each of them, and waits for the answers
// unless ctx ends first, which is the only error.
func (s *Server) Stats(ctx context.Context) (Stats, error) {
	if s.isClosed.Load() {
		return s.final(), nil
	}
	answers := make(chan Stats, len(s.workers))
	for _, w := range s.workers {
		if err := post(ctx, w.loop, func(*reactor.Loop) { answers <- w.snapshot() }); err != nil {
			return Stats{}, err
		}
	}
	var sum Stats
	for range s.workers {
		select {
		case one := <-answers:
			sum.add(&one)
		case <-ctx.Done():
			return Stats{}, ctx.Err()
		}
	}
	sum.Broken = s.invariants.Load()
	return sum, nil
}

// final sums up what the loops counted, after they have ended.
func (s *Server) final() Stats {
	var sum Stats
	for _, w := range s.workers {
		one := w.snapshot()
		sum.add(&one)
	}
	sum.Broken = s.invariants.Load()
	return sum
}

func (w *worker) snapshot() Stats {
	one := w.stats
	one.Loop = w.loop.Stats()
	one.Hub = w.fan.Stats()
	one.Deliveries, one.Bytes, one.Writes = one.Hub.Deliveries, one.Hub.Bytes, one.Hub.Writes
	one.Refused += one.Hub.Refused
	one.Deflated, one.DeflatedFrom, one.DeflatedTo = w.encoder.deflations, w.encoder.deflatedFrom, w.encoder.deflatedTo
	return one
}

// broken notes that an invariant of the gateway or its hub does not hold. It goes on, and says so once.
func (s *Server) broken(what string) {
	if s.invariants.Add(1) == 1 || s.cfg.panics {
		s.log.Error("a fault of the gateway: please report it", "broken", what)
	}
	if s.cfg.panics {
		panic("gateway: " + what)
	}
}

// admit counts a new connection in, or returns the reason why it may not be.
func (s *Server) admit(key netip.Addr, now time.Duration) (reason wsproto.Reason) {
	switch {
	case s.open.Add(1) > int64(s.cfg.MaxConnections):
		reason = wsproto.ReasonUnavailable
	case s.pressure.step() >= stepConnections:
		reason = wsproto.ReasonMemory
	default:
		reason = s.admission.enter(key, now)
	}
	if reason != 0 {
		s.open.Add(-1)
	}
	return reason
}

// stay counts a connection in that changes hands: whoever had it counts it out.
func (s *Server) stay(key netip.Addr) {
	s.open.Add(1)
	s.admission.stay(key)
}

// leave counts a connection out.
func (s *Server) leave(key netip.Addr) {
	s.admission.leave(key)
	s.open.Add(-1) // Last: whoever sees that there is one connection less finds its address's place free.
}

// Open is the number of connections at this moment, lent ones included.
func (s *Server) Open() int { return int(s.open.Load()) }

// waitEmpty returns true when no connection is left, false when ctx ended first.
func (s *Server) waitEmpty(ctx context.Context) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for s.Open() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}
