package main

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"sluice/loadtest/internal/load"
)

// endStalled ends three of the connections that do not publish, each in another way, and keeps the others.
func endStalled(t *testing.T, s *badServer) func(message int) {
	return func(message int) {
		if message != 10 {
			return
		}
		way := 0
		for id, c := range s.conns {
			if id == s.sender || c == nil {
				continue
			}
			switch way {
			case 0: // A Close frame, behind little.
				reason := websocket.FormatCloseMessage(4008, "too slow")
				_ = c.WriteControl(websocket.CloseMessage, reason, time.Now().Add(time.Second))
				s.drop(id)
			case 1: // A reset.
				if err := c.NetConn().(*net.TCPConn).SetLinger(0); err != nil {
					t.Error(err)
				}
				s.drop(id)
			case 2: // An end behind more than the kernel takes: it can be seen only once that is read.
				_ = c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
				for junk := make([]byte, 64<<10); c.WriteMessage(websocket.BinaryMessage, junk) == nil; {
				}
				s.drop(id)
			}
			way++
		}
	}
}

func TestStalledClientsThatTheServerEndedAreToldFromOthers(t *testing.T) {
	s := &badServer{}
	s.before = endStalled(t, s)
	cfg := testLoad()
	cfg.Clients, cfg.Stalled, cfg.Messages, cfg.Size, cfg.LossTimeout = 6, 5, 50, load.FixedSize(100), 20*time.Second
	res := loadServer(t, cfg, startServer(t, s))
	if each := res.BytesPerDelivery; each < 100 || each > 110 { // What the stalled ones left unread is no delivery.
		t.Errorf("%v bytes a delivery", each)
	}
	if c := res.Crowd; c.StalledClosed != 3 || c.StalledOpen != 2 || res.faulty() {
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
		var g Gate
		if err := g.UnmarshalText([]byte(text)); err != nil || g.holds(res) != holds {
			t.Errorf("%s: %v, holds is not %v", text, err, holds)
		}
	}
}

func TestSecureStalledClientsAreLookedAt(t *testing.T) {
	s := &badServer{}
	s.before = func(message int) {
		for id, dropped := 0, 0; message == 10 && dropped < 2; id++ {
			if id != s.sender {
				s.drop(id)
				dropped++
			}
		}
	}
	cfg := secureLoad()
	cfg.Clients, cfg.Stalled, cfg.Messages, cfg.LossTimeout = 6, 5, 50, 20*time.Second
	res := loadServer(t, cfg, startSecure(t, s))
	if c := res.Crowd; c.StalledClosed != 2 || c.StalledOpen != 3 || res.faulty() {
		t.Errorf("crowd %+v, faults %+v: %q", c, faultsOf(res), res.Explanations)
	}
}

func TestReportNamesWhatHappenedToConnections(t *testing.T) {
	s := &badServer{refuse: func(request int) bool { return request == 3 }}
	s.before = func(message int) {
		for id := 0; message == 10 && id < 2; id++ {
			reason := websocket.FormatCloseMessage(1008, "not you")
			_ = s.conns[id].WriteControl(websocket.CloseMessage, reason, time.Now().Add(time.Second))
		}
	}
	var said strings.Builder
	args := []string{"--clients=10", "--publishers=5", "--rate=100", "--messages=50", "--warmup=0", "--settle=0s", "--loss-timeout=1s", startServer(t, s)}
	if status := runMain(t.Context(), args, &said, &said); status != exitFaulty {
		t.Errorf("exit status %d", status)
	}
	if strings.Contains(said.String(), "different orders") {
		t.Errorf("who missed the end is said to have seen another order:\n%s", said.String())
	}
	for _, words := range []string{"1 failed", "2 closed", `1 × handshake: server answered "HTTP/1.1 503 Service Unavailable"`, `2 × the server closed with 1008 policy violation "not you"`} {
		if !strings.Contains(said.String(), words) {
			t.Errorf("the report does not say %q:\n%s", words, said.String())
		}
	}
}
