package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"

	"sluice/hub"
	"sluice/reactor"
)

// A Server is the gateway: listeners, loops, the hub, and net/http for what is not a WebSocket. Its
// methods may be called from any goroutine.
//
//	         Listen …                   Drain
//	New ──▶ made ──Serve──▶ serving ──────────▶ draining
//	          │                │                   │
//	          └─ Close, Drain ─┴──── Close, or ────┴──▶ closed
//	                          the end of Serve's context
//
// A Server that was made has descriptors, so it is to be closed, whether it has served or not. One
// that only takes requests from another server, by ServeHTTP, listens nowhere and serves all the
// same.
type Server struct {
	live    atomic.Pointer[config] // what it runs by: each loop has its own, see Reload
	log     *slog.Logger
	hub     *hub.Hub
	workers []*worker

	listeners []net.Listener // kept open for their descriptors' sake
	lending   *lending
	http      *http.Server

	admission   *admission
	desk        desk    // asks Options.Auth
	builder     desk    // makes rooms' histories in other encodings …
	restored    encoder // … with this
	filler      desk    // waits for what the cluster has of rooms …
	chaser      desk    // … and for what it has brought to others first
	cluster     Cluster // nil: none
	opener      opener
	pressure    *pressure
	housekeeper *housekeeper
	samples     samples
	refusals    httpRefusals
	outside     outside
	walking     chan struct{} // one walk at a time
	presences   presences
	nodes       Nodes // Options.Nodes
	surveyors   desk  // ask them

	judgesHosts atomic.Bool // set by start, before anybody comes, and by Reload
	reloading   sync.Mutex  // held by Reload
	sourcesMax  int         // that a loop can have
	run         uint32      // at random: part of what subscribers are called, so that none is called as one of another run

	noRing error // why a loop has none that was to have one, at its start

	certificates   *certificates
	handshakeSlots chan struct{} // one in it for each TLS handshake that runs

	cutOffAt atomic.Int64 // by the loops' clock, since when the cluster cannot be reached; zero: it can be
	isCutOff atomic.Bool  // for so long that clients are refused

	invariants atomic.Uint64 // that did not hold
	panics     atomic.Uint64 // that were survived

	open   atomic.Int64  // connections that exist, lent ones included
	lent   atomic.Int64  // those in net/http's hands
	turn   atomic.Uint64 // which loop the next returning connection goes to
	loops  sync.WaitGroup
	failed chan error // of loops that could not go on, and of net/http

	mu        sync.Mutex              // held to change phase or listeners, and to spawn loops
	phase     phase                   // guarded by mu
	isOpen    atomic.Bool             // phase is phaseServing
	isLeaving atomic.Bool             // Drain was called
	started   chan struct{}           // closed when it first was
	life      context.Context         // ends when Close begins, with ErrClosed as its cause …
	endLife   context.CancelCauseFunc // … by this
	closing   sync.Once
	ended     chan struct{} // closed when the loops have ended: what they counted may be read
}

// A phase is where a Server is in its life, as drawn above.
type phase uint8

const (
	phaseMade phase = iota
	phaseServing
	phaseDraining
	phaseClosed
)

// ErrClosed is what Serve and Listen return after Close, and Drain if Close cuts it short.
var ErrClosed = errors.New("gateway: the server is closed")

// New makes a gateway that does not listen yet. It takes descriptors, which Close gives back. A nil
// log is no log. The error is that of o.Validate, or of the system.
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
		log: log, admission: newAdmission(cfg), run: rand.Uint32(),
		failed: make(chan error, cfg.Loops+1), started: make(chan struct{}), ended: make(chan struct{}),
		walking:        make(chan struct{}, 1),
		handshakeSlots: make(chan struct{}, cfg.TLSRunning),
	}
	s.live.Store(cfg)
	var err error
	if s.certificates, err = newCertificates(cfg); err != nil {
		return nil, fmt.Errorf("gateway: TLS: %w", err)
	}
	if s.hub, err = s.newHub(cfg); err != nil {
		return nil, err
	}
	s.openDesks()
	s.nodes, s.presences.isShared = cfg.Nodes, cfg.Nodes != nil
	s.pressure = newPressure(cfg, s.hub, log)
	s.housekeeper = &housekeeper{needed: s.needed, open: s.open.Load, give: cfg.memory.free}
	s.life, s.endLife = context.WithCancelCause(context.Background())
	s.sourcesMax = cfg.sourcesMax()
	if err := s.openLoops(cfg.Loops, kernel); err != nil {
		s.release()
		return nil, err
	}
	if cfg.Cluster != nil {
		s.opener.init(s)
		s.cluster = cfg.Cluster((*clusterRooms)(s))
	}
	s.lending = newLending(s)
	s.http = s.newHTTP()
	return s, nil
}

// newHub makes the directory of rooms. It asks for a room's rules when they count: Reload may
// change them.
func (s *Server) newHub(cfg *config) (*hub.Hub, error) {
	o := hub.Options{
		Limits: cfg.limits(), Encodings: encodings, OnBroken: s.broken,
		PolicyOf: func(room string) hub.Policy { return s.config().policyOf(room) },
	}
	if cfg.keepsHistory() {
		o.HistoryOf = func(room string) hub.History { return s.config().historyOf(room) }
		o.Restore, o.NewEpoch = s.restore, cfg.newEpoch
	}
	if cfg.Cluster != nil {
		o.Follows, o.OnRoom = true, s.opener.onRoom
	}
	return hub.New(o)
}

// openLoops makes the loops and their rings. After an error some of them may be open.
func (s *Server) openLoops(n int, kernel reactor.Kernel) error {
	for range n {
		w, err := s.newWorker(kernel)
		if err != nil {
			return err
		}
		s.workers = append(s.workers, w)
	}
	return s.openRings()
}

// config is what the server runs by at this moment. A worker has its own, w.cfg.
func (s *Server) config() *config { return s.live.Load() }

// newHTTP makes the server of what is no WebSocket, to which loops lend connections.
func (s *Server) newHTTP() *http.Server {
	return &http.Server{
		Handler:        s.guard(http.HandlerFunc(s.servePage)),
		ReadTimeout:    httpReadTimeout,
		WriteTimeout:   httpWriteTimeout,
		MaxHeaderBytes: headMax, // The loop has held it to MaxHead.
		ConnState:      func(c net.Conn, state http.ConnState) { c.(*lentConn).changed(state) },
		ConnContext:    func(ctx context.Context, c net.Conn) context.Context { return c.(*lentConn).context(ctx) },
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// servePage answers what is no WebSocket. Pages do not hear of the prefix; the links of theirs that
// are relative want a slash behind it.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	cfg := s.config()
	pages := cfg.Pages
	switch {
	case pages == nil:
		pages = http.NotFoundHandler()
	case cfg.PathPrefix != "" && r.URL.Path == cfg.PathPrefix:
		to := url.URL{Path: cfg.PathPrefix + "/", RawQuery: r.URL.RawQuery}
		pages = http.RedirectHandler(to.String(), http.StatusPermanentRedirect)
	case cfg.PathPrefix != "":
		pages = http.StripPrefix(cfg.PathPrefix, pages)
	}
	pages.ServeHTTP(w, r)
}

// beMade returns why what comes before Serve comes too late. The caller holds mu.
func (s *Server) beMade() error {
	switch s.phase {
	case phaseMade:
		return nil
	case phaseClosed:
		return ErrClosed
	}
	return errors.New("gateway: the server has begun to serve")
}

// Serving is closed when Serve has begun: from then on Drain answers those who have connected.
func (s *Server) Serving() <-chan struct{} { return s.started }

// Serve runs the gateway until ctx ends or Close is called, which cut the connections that are
// there and are no error, or until it cannot go on, which is one. When it returns the Server is
// closed. It is called once: another time, and after Close, it returns an error at once. A program
// that wants connections to end in order calls Drain before ctx ends.
func (s *Server) Serve(ctx context.Context) error {
	if err := s.start(); err != nil {
		return err
	}
	var err error
	select {
	case <-ctx.Done():
	case <-s.life.Done():
	case err = <-s.failed:
	}
	s.Close()
	return err
}

// start runs the loops, net/http and the watch over memory on goroutines of their own.
func (s *Server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.beMade(); err != nil {
		return err
	}
	s.judgesHosts.Store(s.needsHosts())
	s.sayFlush()
	for _, w := range s.workers {
		s.loops.Go(func() {
			if err := w.loop.Run(); err != nil {
				s.failed <- err
			}
		})
	}
	s.loops.Go(func() {
		if err := s.http.Serve(s.lending); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	})
	s.loops.Go(func() { s.watchMemory(s.life) })
	if cfg := s.config(); len(cfg.TLSPairs) > 0 || cfg.TLSClientCA != "" {
		s.loops.Go(func() { s.watchCertificates(s.life, cfg.certificatesEvery) })
	}
	s.enter(phaseServing)
	close(s.started)
	return nil
}

// enter changes the phase. The caller holds mu.
func (s *Server) enter(p phase) {
	s.phase = p
	s.isOpen.Store(p == phaseServing)
}

// Close stops at once: connections are cut. It returns when the loops have ended and all
// descriptors are given back. It may be called more than once, and before Serve or instead of it.
func (s *Server) Close() { s.closing.Do(s.close) }

func (s *Server) close() {
	s.mu.Lock()
	s.enter(phaseClosed)
	s.mu.Unlock()
	s.endLife(ErrClosed)
	for _, w := range s.workers {
		w.loop.Stop()
	}
	s.http.Close()
	s.lending.Close()
	s.loops.Wait()
	s.release()
	close(s.ended)
}

func (s *Server) release() {
	for _, w := range s.workers {
		w.loop.Release()
		w.closeRing()
	}
	for _, l := range s.listeners {
		l.Close()
	}
}

// whileRunning returns a context that ends with ctx, or with ErrClosed as its cause when Close
// begins.
func (s *Server) whileRunning(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.life, func() { cancel(ErrClosed) })
	return ctx, func() { stop(); cancel(nil) }
}

// broken notes that an invariant of the gateway or its hub does not hold. It goes on, and says so
// once.
func (s *Server) broken(what string) {
	if s.invariants.Add(1) == 1 || s.config().panics {
		s.log.Error("a fault of the gateway: please report it", "broken", what)
	}
	if s.config().panics {
		panic("gateway: " + what)
	}
}
