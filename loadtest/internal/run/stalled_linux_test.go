package run

import (
	"net"
	"slices"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/report"
	"sluice/loadtest/internal/servertest"
)

// endStalled ends three of the connections that do not publish, each in another way, and keeps the
// others.
func endStalled(t *testing.T, s *servertest.Server) func(message int) {
	return func(message int) {
		if message != 10 {
			return
		}
		way := 0
		for id, c := range s.Conns {
			if id == s.Sender || c == nil {
				continue
			}
			switch way {
			case 0: // A Close frame, behind little.
				reason := websocket.FormatCloseMessage(4008, "too slow")
				_ = c.WriteControl(websocket.CloseMessage, reason, time.Now().Add(time.Second))
				s.Drop(id)
			case 1: // A reset.
				if err := c.NetConn().(*net.TCPConn).SetLinger(0); err != nil {
					t.Error(err)
				}
				s.Drop(id)
			// An end behind more than the kernel takes: it can be seen only once that is read.
			case 2:
				_ = c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
				for junk := make([]byte, 64<<10); c.WriteMessage(websocket.BinaryMessage, junk) == nil; {
				}
				s.Drop(id)
			}
			way++
		}
	}
}

func TestStalledClientsThatTheServerEndedAreToldFromOthers(t *testing.T) {
	t.Parallel()
	s := &servertest.Server{}
	s.Before = endStalled(t, s)
	cfg := testLoad()
	cfg.Clients, cfg.Stalled, cfg.Messages, cfg.Size, cfg.LossTimeout = 6, 5, 50, load.FixedSize(100), 20*time.Second
	res := loadServer(t, cfg, servertest.Start(t, s))
	// What the stalled ones left unread is no delivery.
	if each := res.BytesPerDelivery; each < 100 || each > 110 {
		t.Errorf("%v bytes a delivery", each)
	}
	if c := res.Crowd; c.StalledClosed != 3 || c.StalledOpen != 2 || res.Faulty() {
		t.Errorf("crowd %+v, faults %+v: %q", c, faultsOf(res), res.Explanations)
	}
	for _, why := range []string{
		`1 × of a stalled client: the server closed with 4008 slow consumer "too slow"`,
		"1 × of a stalled client: connection reset by peer",
		"1 × of a stalled client: the server ended the connection without a Close frame",
	} {
		if !slices.Contains(res.Explanations, why) {
			t.Errorf("explanations %q lack %q", res.Explanations, why)
		}
	}
	for text, holds := range map[string]bool{"stalled_closed>0": true, "stalled_closed>3": false} {
		gates := make([]report.Gate, 1)
		if err := gates[0].UnmarshalText([]byte(text)); err != nil || len(report.Failures(gates, res)) > 0 != holds {
			t.Errorf("%s: %v, holds is not %v", text, err, holds)
		}
	}
}

func TestSecureStalledClientsAreLookedAt(t *testing.T) {
	t.Parallel()
	s := &servertest.Server{}
	s.Before = func(message int) {
		for id, dropped := 0, 0; message == 10 && dropped < 2; id++ {
			if id != s.Sender {
				s.Drop(id)
				dropped++
			}
		}
	}
	cfg := secureLoad()
	cfg.Clients, cfg.Stalled, cfg.Messages, cfg.LossTimeout = 6, 5, 50, 20*time.Second
	res := loadServer(t, cfg, servertest.StartSecure(t, s))
	if c := res.Crowd; c.StalledClosed != 2 || c.StalledOpen != 3 || res.Faulty() {
		t.Errorf("crowd %+v, faults %+v: %q", c, faultsOf(res), res.Explanations)
	}
}
