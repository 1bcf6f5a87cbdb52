package gateway

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"testing"

	"github.com/coder/websocket"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor"
)

// startGateway runs a gateway on a loopback port until the test ends, and returns it with its
// host:port.
func startGateway(t testing.TB, cfg *config) (*Server, string) {
	t.Helper()
	return startGatewayOn(t, cfg, nil)
}

// startGatewayOn is startGateway on a scripted kernel.
func startGatewayOn(t testing.TB, cfg *config, kernel reactor.Kernel) (*Server, string) {
	t.Helper()
	return startGatewayLogging(t, cfg, kernel, testenv.LogTo(t))
}

// startGatewayLogging is startGatewayOn with a log that the test reads.
func startGatewayLogging(t testing.TB, cfg *config, kernel reactor.Kernel, log io.Writer) (*Server, string) {
	t.Helper()
	s := newGateway(t, cfg, kernel, log)
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(func() { s.Close(); checkAccounts(t, s) })
	return s, s.Addrs()[0].(*net.TCPAddr).String()
}

// newGateway makes one that does not listen yet.
func newGateway(t testing.TB, cfg *config, kernel reactor.Kernel, log io.Writer) *Server {
	t.Helper()
	testenv.RaiseProcessors()
	return makeServer(t, cfg, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelInfo})), kernel)
}

// makeServer makes a server that does not serve yet, nor listen.
func makeServer(t testing.TB, cfg *config, log *slog.Logger, kernel reactor.Kernel) *Server {
	t.Helper()
	if err := cfg.prepare(); err != nil {
		t.Fatal(err)
	}
	s, err := newServer(cfg, log, kernel)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTwoClientsTalk(t *testing.T) {
	_, addr := startGateway(t, testConfig())
	a, b := wstest.Dial(t, addr, "/ws"), wstest.Dial(t, addr, "/ws/lobby")
	other := wstest.Dial(t, addr, "/ws/other")
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	if err := a.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*websocket.Conn{a, b} {
		kind, p, err := c.Read(ctx)
		if err != nil || kind != websocket.MessageText || string(p) != "hello" {
			t.Fatalf("got %v %q, %v", kind, p, err)
		}
	}
	if err := other.Write(ctx, websocket.MessageBinary, []byte("mine")); err != nil {
		t.Fatal(err)
	}
	if kind, p, err := other.Read(ctx); err != nil || kind != websocket.MessageBinary || string(p) != "mine" {
		t.Fatalf("the other room got %v %q, %v; it must get its own message alone", kind, p, err)
	}
}

// CheckMetrics does so by what /metrics tells. Tests inside this package cannot import what tells
// it, and metrics_test.go sets it.
var CheckMetrics func(testing.TB, *Server)

// checkAccounts holds what a closed gateway has counted against itself: every connection has ended
// once, and every message that was owed to a member became something.
func checkAccounts(t testing.TB, s *Server) {
	t.Helper()
	sum, closed := s.final(), uint64(0)
	for _, n := range sum.Closed {
		closed += n
	}
	if closed != sum.Accepted || sum.Hub.Due() != 0 {
		t.Errorf("%d connections were accepted and %d closed; of messages %+v, and %d came to nothing", sum.Accepted, closed, sum.Hub.Account, int64(sum.Hub.Due()))
	}
	CheckMetrics(t, s)
}

// expectClosed waits until n connections have ended for a reason.
func expectClosed(t testing.TB, s *Server, r CloseReason, n uint64) {
	t.Helper()
	testenv.Eventually(t, fmt.Sprintf("%d connections closed as %v", n, r), func() bool { return testenv.StatsOf(t, s).Closed[r] == n })
}

// each calls look for every connection, on its loop.
func (s *Server) each(t testing.TB, look func(c *conn)) {
	t.Helper()
	for _, w := range s.workers {
		done := make(chan struct{})
		err := post(t.Context(), w.loop, func(l *reactor.Loop) {
			defer close(done)
			for _, source := range l.Sources {
				if c, ok := source.(*conn); ok {
					look(c)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		<-done
	}
}
