package gateway

import (
	"io"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor"
	"sluice/wsproto"
)

func TestLentConnectionsLeaveNothingBehind(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	were := runtime.NumGoroutine()
	for i := range 100 {
		c := wstest.Connect(t, addr)
		c.Send(wstest.PlainGet("/"))
		c.Response()
		if i%3 == 1 {
			c.Send(wstest.UpgradeHead("/ws"))
			c.ExpectUpgrade()
		}
		if i%2 == 0 {
			c.Reset()
		} else {
			c.Close()
		}
	}
	testenv.Eventually(t, "all are gone", func() bool { return s.Open() == 0 && s.lent.Load() == 0 })
	testenv.ExpectGoroutines(t, were)
}

// Where there is no descriptor left to lend a connection with, its client gets 503, a line a second
// says why, and nothing is left behind.
func TestConnectionThatCannotBeLentIsRefused(t *testing.T) {
	var log journal
	cfg := testConfig()
	s := makeServer(t, cfg, slog.New(slog.NewTextHandler(&log, nil)), nil)
	t.Cleanup(s.Close)
	for range 3 {
		r, w, err := os.Pipe() // Nothing that package net takes.
		if err != nil {
			t.Fatal(err)
		}
		fd, err := reactor.Duplicate(int(w.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
		s.lent.Add(1)
		s.stay(netip.Addr{})
		s.lending.take(fd, &lentConn{server: s, request: wstest.PlainGet("/")})
		if _, err := io.ReadAll(r); err != nil { // It ends: the descriptor is closed.
			t.Error(err)
		}
		r.Close()
	}
	st, err := s.Stats(t.Context())
	if err != nil || st.Refusals[wsproto.ReasonUnavailable] != 3 || s.lent.Load() != 0 || s.Open() != 0 {
		t.Errorf("%d refused, %d lent, %d open; %v", st.Refusals[wsproto.ReasonUnavailable], s.lent.Load(), s.Open(), err)
	}
	if lines := log.lines("refused"); len(lines) != 1 || !strings.Contains(lines[0], "reason=unavailable") || !strings.Contains(lines[0], "error=") {
		t.Errorf("logged %q", lines)
	}
}
