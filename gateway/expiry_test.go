package gateway

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/wsproto"
)

// A08. A connection ends with its token: 4001, and no message of the room's comes behind that time.
// The wall clock decides, and the loop's where that is set back.
func TestA08_ConnectionsEndWithTheirToken(t *testing.T) {
	const start = 1_800_000_000 // what the wall clock says at first
	for _, tc := range []struct {
		name    string
		expires int64           // zero: never
		passes  []time.Duration // on the loop's clock, and the wall's moves likewise
		jumps   int64           // seconds that the wall clock is set by before that
		isOver  bool
	}{
		{"in time", start + 2, []time.Duration{1900 * time.Millisecond}, 0, false},
		{"over", start + 2, []time.Duration{1900 * time.Millisecond, 200 * time.Millisecond}, 0, true},
		{"set back", start + 5, []time.Duration{4 * time.Second, 2 * time.Second}, -3600, true},
		{"set back, in time", start + 5, []time.Duration{4 * time.Second}, -3600, false},
		{"stood still for long", start + 3600, []time.Duration{31 * time.Second}, 4000, true}, // It looks when it pings.
		{"set forward, in time", start + 3600, []time.Duration{31 * time.Second}, 3000, false},
		{"never", 0, []time.Duration{31 * time.Second}, 1 << 40, false},
		{"in thousands of years", 253402300799, []time.Duration{31 * time.Second}, 0, false},
		{"never mind how far", 1<<62 - 1, []time.Duration{31 * time.Second}, 0, true}, // Not a time: the way that is safe.
	} {
		t.Run(tc.name, func(t *testing.T) {
			var wall atomic.Int64
			wall.Store(1000 * start)
			cfg := testConfig()
			cfg.PingInterval, cfg.PongTimeout = 30*time.Second, time.Hour
			cfg.wallClock = wall.Load
			cfg.Auth = scriptedAuth{judge: func(h *Handshake) (Principal, error) {
				p := Principal{Kind: KindToken, Grants: grants(t, "*=read,publish")}
				if h.Token == "short" {
					p.Expires = tc.expires
				}
				return p, nil
			}}
			s, kernel := startStopped(t, cfg, slog.New(slog.DiscardHandler))
			addr := s.Addrs()[0].String()
			c := wstest.Connect(t, addr)
			c.Send(wstest.UpgradeHead("/ws/r?token=short"))
			c.ExpectUpgrade()
			other := wstest.Connect(t, addr)
			other.Send(wstest.UpgradeHead("/ws/r?token=long"))
			other.ExpectUpgrade()
			wall.Add(1000 * tc.jumps)
			for _, d := range tc.passes {
				wall.Add(d.Milliseconds())
				kernel.Pass(d)
			}
			if tc.isOver {
				expectClosing(t, s)
			}
			other.Send(wstest.MaskedText("behind"))
			for f := other.Frame(); string(f.Payload) != "behind"; f = other.Frame() { // but for pings
			}
			if !tc.isOver {
				for f := c.Frame(); string(f.Payload) != "behind"; f = c.Frame() {
				}
				return
			}
			code, before := wstest.CloseCode(c)
			for _, f := range before {
				if string(f.Payload) == "behind" {
					t.Error("it gets a message behind its time")
				}
			}
			if code != 4001 {
				t.Errorf("closed with %d", code)
			}
			c.Close()
			expectClosed(t, s, ClosedExpired, 1)
		})
	}
}

// expectClosing waits until one of the connections has been told its end.
func expectClosing(t *testing.T, s *Server) {
	t.Helper()
	testenv.Eventually(t, "one is closing", func() bool { return livesIn(t, s, finishing, parting, lingering, dead)+int(closedOf(t, s)) == 1 })
}

func closedOf(t *testing.T, s *Server) uint64 { return testenv.StatsOf(t, s).Closed[ClosedExpired] }

// The close reason is in words.
func TestA08_ExpiryHasAName(t *testing.T) {
	if r := reasons[ClosedExpired]; r.code != wsproto.CodeTokenExpired || r.text != "token expired" || ClosedExpired.String() != "expired" {
		t.Errorf("%+v", r)
	}
}
