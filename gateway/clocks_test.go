//go:build linux

package gateway

import (
	"fmt"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/hub"
	"sluice/internal/wstest"
	"sluice/reactor/reactortest"
)

// A halted is a client in the middle of a message, and what holds it.
type halted struct {
	*stepped
	client  *steppedClient
	readers []*steppedClient
}

// newHalted has a client on loop 0 and two others on loop 1 that read nothing, so that the room is
// full of one message.
func newHalted(t *testing.T) *halted {
	cfg := testConfig()
	cfg.Loops, cfg.PublishWindow, cfg.MessageRate = 2, 1<<10, 1
	cfg.AssemblyTimeout, cfg.PingInterval, cfg.PongTimeout = 2*time.Second, 3*time.Second, 2*time.Second
	h := &halted{stepped: newStepped(t, cfg, nil)}
	h.kernel.SetBuffers(reactortest.Buffers{Send: 1 << 10, PeerReceive: 1 << 10, PeerSend: 4 << 10, Receive: 4 << 10})
	h.readers = []*steppedClient{h.join(1, "/ws/r"), h.join(1, "/ws/r")}
	h.kernel.SetBuffers(reactortest.Buffers{Send: 64 << 10, PeerReceive: 64 << 10, PeerSend: 64 << 10, Receive: 64 << 10})
	h.client = h.join(0, "/ws/r")
	return h
}

// fill fills the room from elsewhere.
func (h *halted) fill() {
	h.t.Helper()
	message := hub.Frame{Head: []byte{0x82, 126, 0x20, 0}, Payload: make([]byte, 8<<10)}
	if _, err := hub.Offer(h.s.hub, "r", h.kernel.Now(), frames{message}); err != nil {
		h.t.Fatal(err)
	}
	if !h.client.c.reader.Room().IsFull() {
		h.t.Fatal("the room is not full")
	}
}

// frames is a message whose frame was made before.
type frames struct{ plain hub.Frame }

func (f frames) Encode(hub.Encoding) hub.Frame { return f.plain }

// stand lets time pass in which the room stays full: its readers take a little, and so are not
// taken for stalled.
func (h *halted) stand(d time.Duration) {
	h.t.Helper()
	for ; d > 0; d -= 100 * time.Millisecond {
		h.kernel.Advance(100 * time.Millisecond)
		for _, r := range h.readers {
			_, _ = r.Read(make([]byte, 8))
		}
		h.client.take()
		h.tickAll(1)
	}
}

func (h *halted) mustBeOpen(when string) {
	h.t.Helper()
	if c := h.client.c; c.life != open {
		h.t.Fatalf("%s: closed as %v", when, c.end)
	}
}

// While a connection is not read, whatever for, no clock runs against its client: neither that of
// the message it is in the middle of nor that of its silence. They go on when the last pause ends.
//
// Relatives: the room is full before, behind and between its fragments, at a ping in one read with
// both; it is over its rate; its turn does not come; it waits for others' turns; two of these at a
// time, of which one ends.
func TestN79_ClocksStandWhileAConnectionIsNotRead(t *testing.T) {
	first, rest := wstest.Masked(ws.OpText, false, "one, "), wstest.Masked(ws.OpContinuation, true, "two")
	const long = 6 * time.Second
	halts := []struct {
		name string
		halt func(h *halted)
		end  func(h *halted)
	}{
		{"the room is filled at a ping between fragments of one read", func(h *halted) {
			// What decode does with the three, but for the moment in between.
			c := h.client.c
			p := append(append(append([]byte{}, first...), wstest.MaskedPing("?")...), rest...)
			msg, n, err := c.pickDecoder().Next(p)
			if err != nil {
				h.t.Fatal(err)
			}
			if _, goOn := c.handle(msg); !goOn {
				h.t.Fatal(err)
			}
			h.fill()
			c.decode(p[n:])
		}, nil},
		{"the room is filled between fragments", func(h *halted) {
			h.client.send(first)
			h.tick(0, 2)
			h.fill()
			h.client.send(rest)
			h.tick(0, 2)
		}, nil},
		{"the room is full before the message", func(h *halted) {
			h.fill()
			h.client.send(first, rest)
			h.tick(0, 2)
		}, nil},
		{"over its rate", func(h *halted) {
			for range 3 {
				h.client.send(wstest.MaskedText("x"))
			}
			h.client.send(first, rest)
			h.tick(0, 3)
			if !h.client.c.isThrottled() {
				h.t.Fatal("it is not over its rate")
			}
			h.client.c.meter.until = h.kernel.Now() + 2*long
		}, func(h *halted) { h.client.c.resumeReading(pauseRate) }},
		{"its turn does not come", func(h *halted) {
			h.client.send(first)
			h.tick(0, 2)
			h.client.c.pauseReading(pauseTurn) // In a line that is long.
		}, func(h *halted) { h.client.send(rest); h.client.c.standInLine() }},
		{"its turn does not come, and it is over its rate no more", func(h *halted) {
			h.client.send(first)
			h.tick(0, 2)
			h.client.c.pauseReading(pauseRate | pauseTurn)
			h.client.c.pauses &^= pauseTurn
			h.client.c.metered().until = h.kernel.Now() + 2*long
			h.client.c.pauseReading(pauseTurn)
			h.client.c.resumeReading(pauseTurn)
		}, func(h *halted) { h.client.send(rest); h.client.c.resumeReading(pauseRate) }},
	}
	for _, halt := range halts {
		t.Run(halt.name, func(t *testing.T) {
			h := newHalted(t)
			halt.halt(h)
			if h.client.c.pauses == 0 {
				t.Fatal("it is read on")
			}
			before := h.s.workers[0].stats.Messages
			h.stand(long)
			h.mustBeOpen(fmt.Sprintf("after %v without being read", long))
			if h.client.c.pauses == 0 || h.s.workers[0].stats.Messages != before {
				t.Fatal("it was read on meanwhile")
			}
			if halt.end != nil {
				halt.end(h)
			}
			for i := 0; h.s.workers[0].stats.Messages == before; i++ {
				if i > 3000 {
					t.Fatalf("its message does not come, pauses %b", h.client.c.pauses)
				}
				for _, r := range h.readers {
					r.take()
				}
				h.client.take()
				h.tickAll(1)
				h.kernel.Advance(time.Millisecond)
			}
			h.mustBeOpen("when its message has come")
		})
	}
	t.Run("they go on behind a pause", func(t *testing.T) {
		h := newHalted(t)
		h.client.send(first)
		h.tick(0, 2)
		h.kernel.Advance(1500 * time.Millisecond)
		h.tick(0, 1)
		h.client.c.pauseReading(pauseTurn)
		h.stand(long)
		h.client.c.resumeReading(pauseTurn)
		h.kernel.Advance(400 * time.Millisecond)
		h.tick(0, 2)
		h.mustBeOpen("400 of 500 ms that were left have passed")
		h.kernel.Advance(200 * time.Millisecond)
		h.tick(0, 2)
		if c := h.client.c; c.life == open {
			t.Error("its message is not finished 2.1 s after it began, and it is open")
		}
	})
}
