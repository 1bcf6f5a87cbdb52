package gateway

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"sluice/internal/wstest"
	"sluice/reactor/reactortest"
	"sluice/wsproto"
)

// One write alone is a system call in any case, and the ring's is the dearer one.
func TestRingIsNotForOneAlone(t *testing.T) {
	for members := 1; members <= 3; members++ {
		h := newHall(t, reactortest.New(), FlushRing, members)
		h.say([]byte("hello"))
		want := uint64(members)
		if members < ringLeast {
			want = 0
		}
		if n := h.w.stats.RingWrites; n != want {
			t.Errorf("a room of %d: %d writes by the ring, want %d", members, n, want)
		}
		buf := make([]byte, 100)
		for i := range h.conns {
			if n := len(h.got(i, buf)); n != 7 {
				t.Errorf("a room of %d: member %d got %d bytes", members, i, n)
			}
		}
	}
}

// A client that a ring does not suit is written to as ever, in the same batch, and gets the same.
func TestRingLeavesOutWhoIsNotOnlyARoomsMember(t *testing.T) {
	h := newHall(t, reactortest.New(), FlushRing, 6)
	const busy, closing = 2, 4
	h.say([]byte("before")) // A client that finishes is owed what was published before: this, which all have, and the next.
	buf := make([]byte, 100)
	for i := range h.conns {
		h.got(i, buf)
	}
	byRing := h.w.stats.RingWrites
	h.conns[busy].outboxed()
	h.publish([]byte("hello"))
	h.conns[closing].closeWith(ClosedDrain, 1001, "")
	for h.w.fan.Flush(h.w.loop.Elapsed) == 0 {
	}
	frame := wsproto.AppendFrame(nil, wsproto.OpBinary, []byte("hello"))
	for i := range h.conns {
		if got := h.got(i, buf); !bytes.HasPrefix(got, frame) {
			t.Errorf("connection %d got %q", i, got)
		}
	}
	if n := h.w.stats.RingWrites - byRing; n != 4 {
		t.Errorf("%d writes by the ring, want 4 of 6", n)
	}
}

// What a subscriber gets of one room goes by the ring as what other members get. What it gets of
// two at once is a copy that does not stay what it is, and goes as ever, were the ring for all
// batches.
func TestRingTakesWhatSubscribersGetOfOneRoom(t *testing.T) {
	for _, isForAll := range []bool{false, true} {
		cfg := testConfig()
		cfg.Loops, cfg.Flush, cfg.ringsAll = 1, FlushRing, isForAll
		st := newStepped(t, cfg, nil)
		w := st.s.workers[0]
		var all []*steppedClient
		for range 4 {
			c := st.join(0, "/connection/websocket")
			c.send(wstest.MaskedText(`{"id":1,"connect":{}}` + "\n" + `{"id":2,"subscribe":{"channel":"a"}}`))
			st.tick(0, 10)
			all = append(all, c)
		}
		publish := func(rooms ...string) (byRing uint64) {
			t.Helper()
			before := w.stats.RingWrites
			for _, c := range all {
				c.take()
			}
			want := 0
			for _, name := range rooms {
				mustPublish(t, st.s, name, "hello")
				want += 2 + len(`{"push":{"channel":"a","pub":{"data":"hello"}}}`)
			}
			st.tick(0, 5)
			for i, c := range all {
				if n := c.take(); n != want {
					t.Errorf("of %v subscriber %d has %d bytes, want %d", rooms, i, n, want)
				}
			}
			return w.stats.RingWrites - before
		}
		if n := publish("a"); n != 4 {
			t.Errorf("to those in one room %d writes went by the ring", n)
		}
		for _, c := range all {
			c.send(wstest.MaskedText(`{"id":3,"subscribe":{"channel":"b"}}`))
		}
		st.tick(0, 10)
		if n := publish("a"); (n == 4) != isForAll {
			t.Errorf("of one room of two %d writes went by the ring", n)
		}
		if n := publish("a", "b"); n != 0 {
			t.Errorf("of two rooms at once %d writes went by the ring", n)
		}
	}
}

// A ring that the kernel refuses in the middle of a run, or that is open and takes none of a batch:
// nobody misses anything, State and Stats tell, and it is said once.
func TestK30_RingThatFailsIsDoneWithout(t *testing.T) {
	cfg := testConfig()
	cfg.Loops, cfg.Flush = 1, FlushRing
	st := newStepped(t, cfg, nil)
	var said strings.Builder
	w := st.s.workers[0]
	w.log = slog.New(slog.NewTextHandler(&said, nil))
	var all []*steppedClient
	for range 5 {
		all = append(all, st.join(0, "/ws/r"))
	}
	for i, want := range []uint64{5, 10, 10, 10} { // By the ring, after each message.
		if i == 2 {
			st.kernel.ForbidRings()
		}
		all[0].send(wstest.MaskedText("hello"))
		st.tick(0, 5)
		for _, c := range all {
			if n := c.take(); n != 2+len("hello") {
				t.Fatalf("of message %d a client has %d bytes", i, n)
			}
		}
		if n := w.stats.RingWrites; n < want || i < 2 && w.ring == nil || i >= 2 && w.ring != nil {
			t.Errorf("after message %d: %d writes by the ring, which is open: %v", i, n, w.ring != nil)
		}
	}
	if n := strings.Count(said.String(), "io_uring has failed"); n != 1 || !strings.Contains(said.String(), syscall.EPERM.Error()) {
		t.Errorf("logged %q", said.String())
	}
}

func TestFlushIsOneOfThree(t *testing.T) {
	for text, want := range map[string]Flush{"auto": FlushAuto, "Plain": FlushPlain, "RING": FlushRing} {
		var f Flush
		if err := f.UnmarshalText([]byte(text)); err != nil || f != want || !strings.EqualFold(f.String(), text) {
			t.Errorf("%q is %v, %v", text, f, err)
		}
	}
	var f Flush
	if err := f.UnmarshalText([]byte("fast")); err == nil {
		t.Error("fast is taken")
	}
	if err := (Options{Flush: 3}).Validate(); err == nil || !strings.Contains(err.Error(), "Flush") {
		t.Errorf("3 is taken: %v", err)
	}
}

// An operator that asks for a ring where there is none is told, and one that leaves it to the
// gateway is served.
func TestRingThatThereIsNot(t *testing.T) {
	for _, flush := range []Flush{FlushAuto, FlushRing} {
		cfg := testConfig()
		cfg.Loops, cfg.Flush = 2, flush
		if err := cfg.prepare(); err != nil {
			t.Fatal(err)
		}
		kernel := reactortest.NewSim(1)
		kernel.ForbidRings()
		s, err := newServer(cfg, simLog, kernel)
		if (err != nil) != (flush == FlushRing) {
			t.Errorf("%v: %v", flush, err)
		}
		if err != nil {
			if n := kernel.Open(); n != 0 {
				t.Errorf("%v: %d descriptors are left", flush, n)
			}
			continue
		}
		if state, err := s.State(context.Background()); err != nil || state.Loops[0].HasRing {
			t.Errorf("%v: %+v, %v", flush, state.Loops, err)
		}
		s.release()
	}
}
