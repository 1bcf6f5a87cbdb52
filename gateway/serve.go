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
	"time"

	"sluice/hub"
	"sluice/reactor"
)

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
		s.opener.init(s.life, s.hub, s.loops.Go, func() time.Duration { return s.config().ClusterTimeout })
		s.cluster = cfg.Cluster((*clusterRooms)(s))
		s.opener.cluster = s.cluster
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

// watchMemory looks at memory until ctx ends.
func (s *Server) watchMemory(ctx context.Context) {
	looks := time.NewTicker(s.config().lookEvery)
	defer looks.Stop()
	if !s.config().memory.isLimited() {
		looks.Stop()
	}
	house := time.NewTicker(houseEvery)
	defer house.Stop()
	old := time.NewTicker(expireEvery)
	defer old.Stop()
	if !s.config().keepsHistory() {
		old.Stop()
	}
	for {
		select {
		case <-looks.C:
			s.pressure.look()
		case <-house.C:
			s.housekeeper.look()
			s.checkOutage()
		case <-old.C:
			s.hub.Expire(s.workers[0].loop.Elapsed())
		case <-ctx.Done():
			return
		}
	}
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

// needed is how many bytes the gateway knows that it needs at this moment.
func (s *Server) needed() int64 {
	sum := s.hub.Retained() + s.open.Load()*idleConnection + int64(s.hub.Rooms())*emptyRoom
	for _, w := range s.workers {
		sum += w.inputBudget.shown.Load() + w.replyBudget.shown.Load() + w.subscribed.Load()*idleSubscription
	}
	return sum
}

// What one is taken to need, whatever else it holds.
const (
	idleConnection   = 1 << 10
	emptyRoom        = 1 << 10
	idleSubscription = 256
)

// restore returns the encoder of a message that a room has kept. The builder calls it alone.
func (s *Server) restore(room string, r *hub.Record) hub.Encoder {
	e := &s.restored
	s.outside.take(e) // What the one before has counted.
	e.setTo(s.config())
	e.of(room, messageOf(&r.Source))
	e.isKept = true
	return e
}
