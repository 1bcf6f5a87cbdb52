//go:build linux

package gateway

import (
	"context"
	"io"
	"log/slog"
	"syscall"
	"testing"

	"github.com/coder/websocket"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor/reactortest"
)

// What the simulation has found, each in a few lines.

var simLog = slog.New(slog.NewTextHandler(io.Discard, nil))

// A sender waits for its room with bytes read and not decoded, and more of them in its socket. A
// reset must not have those behind decoded before those in front: here they begin in the middle of
// a frame.
func TestResetOfAWaitingSenderIsNotAViolation(t *testing.T) {
	cfg := testConfig()
	cfg.Loops, cfg.readBudget, cfg.PublishWindow = 1, 50, 1
	if err := cfg.prepare(); err != nil {
		t.Fatal(err)
	}
	kernel := reactortest.NewSim(1)
	s, err := newServer(cfg, simLog, kernel)
	if err != nil {
		t.Fatal(err)
	}
	defer s.release()
	listen, err := kernel.Listen(8)
	if err != nil {
		t.Fatal(err)
	}
	w := s.workers[0]
	if err := w.newListener(listen, true, false, ListenOptions{}); err != nil {
		t.Fatal(err)
	}
	ticks := func(n int) {
		for range n {
			w.loop.Wake()
			if err := w.loop.Tick(); err != nil {
				t.Fatal(err)
			}
		}
	}
	dial := func() *reactortest.Peer {
		p, err := kernel.Dial(listen)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Write(wstest.UpgradeHead("/ws")); err != nil {
			t.Fatal(err)
		}
		ticks(20)
		return p
	}
	// Two that do not read make most of the room late.
	kernel.SetBuffers(reactortest.Buffers{Send: 150, PeerReceive: 16, PeerSend: 4096, Receive: 4096})
	dial()
	dial()
	kernel.SetBuffers(reactortest.Buffers{Send: 4096, PeerReceive: 4096, PeerSend: 4096, Receive: 4096})
	sender := dial()
	for range 40 {
		if _, err := sender.Write(wstest.MaskedText("twenty-one bytes of it")); err != nil {
			t.Fatal(err)
		}
	}
	ticks(20)
	if s.final().Paused == 0 {
		t.Fatal("the sender does not wait")
	}
	sender.Reset()
	ticks(3)
	if closed := s.final().Closed; closed[ClosedProtocol] != 0 || closed[ClosedGone] != 1 {
		t.Errorf("%d connections closed for a violation and %d as gone, want none and the sender", closed[ClosedProtocol], closed[ClosedGone])
	}
}

func TestListenerThatCannotBeRearmedTriesAgain(t *testing.T) {
	t.Parallel()
	kernel := reactortest.New()
	_, addr := startGatewayOn(t, testConfig(), kernel)
	kernel.Fail(reactortest.Accept, reactortest.AnyFD, syscall.EMFILE)
	kernel.Fail(reactortest.Rearm, reactortest.AnyFD, nil, syscall.ENOMEM) // It rests; then it may not go on.
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws://"+addr+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	// The connection was taken in the tick that failed; the next one needs a listener that hears.
	second, _, err := websocket.Dial(ctx, "ws://"+addr+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	second.CloseNow()
}

// A start that fails gives back what it has opened.
func TestServerWithoutDescriptorsLeavesNothingOpen(t *testing.T) {
	cfg := testConfig()
	cfg.Loops = 3
	if err := cfg.prepare(); err != nil {
		t.Fatal(err)
	}
	const needed = 6 // a poller and an eventfd for each loop
	for n := 1; n <= needed; n++ {
		kernel := reactortest.NewSim(1)
		kernel.SetFaults(reactortest.Faults{DescriptorMax: n})
		s, err := newServer(cfg, simLog, kernel)
		if (err == nil) != (n == needed) {
			t.Errorf("with %d descriptors: %v", n, err)
		}
		if err == nil {
			s.release()
		}
		if open := kernel.Open(); open != 0 || kernel.Err() != nil {
			t.Errorf("with %d descriptors %d are left open; %v", n, open, kernel.Err())
		}
	}
}
