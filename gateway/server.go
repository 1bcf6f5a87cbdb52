package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"sluice/hub"
	"sluice/wsproto"
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

// config is what the server runs by at this moment. A worker has its own, w.cfg.
func (s *Server) config() *config { return s.live.Load() }

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

// enter changes the phase. The caller holds mu.
func (s *Server) enter(p phase) {
	s.phase = p
	s.isOpen.Store(p == phaseServing)
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

// follows reports whether the rooms' order comes from a cluster.
func (s *Server) follows() bool { return s.cluster != nil }

// admit counts a new connection in, or returns the reason why it may not be.
func (s *Server) admit(key netip.Addr, now time.Duration) (reason wsproto.Reason) {
	switch {
	case s.open.Add(1) > int64(s.config().MaxConnections):
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

// Open is the number of connections at this moment, those that ordinary HTTP has included. After
// Close there are none.
func (s *Server) Open() int {
	select {
	case <-s.ended: // Nobody has counted out those that were cut.
		return 0
	default:
		return int(s.open.Load())
	}
}
