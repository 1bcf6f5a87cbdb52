package gateway

import (
	"bytes"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"sluice/hub"
	"sluice/internal/testenv"
	"sluice/reactor"
	"sluice/reactor/reactortest"
	"sluice/wsproto"
)

// A hall is a gateway of one loop that is stepped by hand, and connections in one room, each with
// the other end of its socket.
type hall struct {
	*testing.T
	w     *worker
	conns []*conn
	peers []int
}

func newHall(t *testing.T, kernel reactor.Kernel, flush Flush, members int) *hall {
	t.Helper()
	cfg := testConfig()
	cfg.Loops, cfg.Flush = 1, flush
	if err := cfg.prepare(); err != nil {
		t.Fatal(err)
	}
	s, err := newServer(cfg, nil, kernel)
	if err != nil && flush == FlushRing && kernel == nil {
		testenv.LeaveOut(t, "%v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	h := &hall{T: t, w: s.workers[0]}
	for range members {
		ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		s.open.Add(1)
		c := h.w.newConn(arrival{fd: ends[0]})
		if _, err := h.w.fan.Join(0, "r", encodingPlain, hub.Start{}, &c.reader, c); err != nil {
			t.Fatal(err)
		}
		c.setLife(open)
		h.conns, h.peers = append(h.conns, c), append(h.peers, ends[1])
	}
	t.Cleanup(func() {
		s.Close()
		for i, c := range h.conns {
			syscall.Close(h.peers[i])
			if c.life != dead { // The loop, which never ran, closes nobody.
				syscall.Close(int(c.fd))
			}
		}
	})
	return h
}

// publish publishes a message, which nobody in the room says.
func (h *hall) publish(payload []byte) {
	m := h.w.encoder.of("r", message{Message: wsproto.Message{Op: wsproto.OpBinary, Payload: payload}})
	if _, err := hub.Offer(h.w.server.hub, "r", h.w.loop.Now(), m); err != nil {
		h.Fatal(err)
	}
}

// say publishes a message and has the loop deliver it.
func (h *hall) say(payload []byte) {
	h.publish(payload)
	for h.w.fan.Flush(h.w.loop.Elapsed) == 0 {
	}
}

// got is what has come at the other end of connection i.
func (h *hall) got(i int, into []byte) []byte {
	n, err := syscall.Read(h.peers[i], into)
	if err != nil && err != syscall.EAGAIN {
		h.Fatal(err)
	}
	return into[:max(n, 0)]
}

func TestDeliveryAllocatesNothing(t *testing.T) {
	for _, flush := range []Flush{FlushPlain, FlushRing} {
		t.Run(flush.String(), func(t *testing.T) { deliveryAllocatesNothing(t, flush) })
	}
}

func deliveryAllocatesNothing(t *testing.T, flush Flush) {
	if testenv.RaceEnabled {
		t.Skip("the race detector allocates")
	}
	h := newHall(t, nil, flush, 40)
	payload, buf := make([]byte, 64), make([]byte, 4096)
	allocs := testing.AllocsPerRun(500, func() {
		h.say(payload)
		for i := range h.peers {
			if len(h.got(i, buf)) != 66 {
				t.Fatal("a message did not come")
			}
		}
	})
	// A segment takes about a thousand such frames or more and costs three allocations.
	if allocs > 0.1 {
		t.Errorf("%v allocations for a message to 40 clients", allocs)
	}
	if byRing := h.w.stats.RingWrites > 0; byRing != (flush == FlushRing) {
		t.Errorf("%d writes by the ring", h.w.stats.RingWrites)
	}
	for _, one := range h.w.sends[:cap(h.w.sends)] {
		if one.Bytes != nil {
			t.Fatal("a batch that was sent keeps a segment alive")
		}
	}
}

// A batch meets every kind of answer at once, and each is its own client's.
func TestEachDeliveryOfABatchHasItsOwnAnswer(t *testing.T) {
	for _, flush := range []Flush{FlushPlain, FlushRing} {
		t.Run(flush.String(), func(t *testing.T) { eachDeliveryHasItsOwnAnswer(t, flush) })
	}
}

func eachDeliveryHasItsOwnAnswer(t *testing.T, flush Flush) {
	kernel := reactortest.New()
	h := newHall(t, kernel, flush, 9)
	const gone, refused, interrupted, short, other, killed, otherGone = 1, 2, 3, 4, 5, 6, 7
	at := func(i int) int { return int(h.conns[i].fd) }
	kernel.Fail(reactortest.Write, at(gone), syscall.EPIPE)
	kernel.Fail(reactortest.Write, at(refused), syscall.EAGAIN)
	kernel.Fail(reactortest.Write, at(interrupted), syscall.EINTR, syscall.EINTR, syscall.EINTR, syscall.EINTR)
	kernel.Limit(reactortest.Write, func(fd int, _ int64, want int) int {
		if fd == at(short) {
			return 3
		}
		return want
	})
	record := &recorder{}
	for _, i := range []int{other, otherGone} {
		var t transport = record
		h.conns[i].other = &t
	}
	// Two die when they have been handed bytes and before those are sent.
	h.w.fan = nil
	fan := h.w.server.hub.NewFanout(h.w.loop.Wake, killing{h.w, []*conn{h.conns[killed], h.conns[otherGone]}})
	fan.WidenBatches(h.w.ring != nil)
	for _, c := range h.conns {
		c.reader.Leave()
		if _, err := fan.Join(0, "r", encodingPlain, hub.Start{}, &c.reader, c); err != nil {
			t.Fatal(err)
		}
	}
	h.w.fan = fan
	h.say([]byte("hello"))

	frame := wsproto.AppendFrame(nil, wsproto.OpBinary, []byte("hello"))
	buf := make([]byte, 100)
	for i, c := range h.conns {
		want, life, isBlocked := frame, open, false
		switch i {
		case gone, killed, otherGone:
			want, life = nil, dead
		case refused:
			want, isBlocked = nil, true
		case short:
			want, isBlocked = frame[:3], true
		case other:
			want = nil
			if !bytes.Equal(record.got, frame) {
				t.Errorf("the other transport was given %q", record.got)
			}
		}
		if got := h.got(i, buf); !bytes.Equal(got, want) || c.life != life || c.reader.IsBlocked() != isBlocked || c.isArmed != isBlocked {
			t.Errorf("connection %d got %q, is %v, blocked %v, armed %v", i, got, c.life, c.reader.IsBlocked(), c.isArmed)
		}
	}
	if n := h.w.fan.Stats().Delivered; n != 4 {
		t.Errorf("%d deliveries are counted, want 4", n)
	}
	if byRing := h.w.stats.RingWrites > 0; byRing != (flush == FlushRing) {
		t.Errorf("%d writes by the ring", h.w.stats.RingWrites)
	}
}

// A recorder takes everything.
type recorder struct{ got []byte }

func (r *recorder) Read(int, []byte) (int, error) { return 0, syscall.EAGAIN }

func (r *recorder) Write(_ int, p []byte) (int, error) {
	r.got = append(r.got, p...)
	return len(p), nil
}

func (r *recorder) CloseWrite(int) error { return nil }

type killing struct {
	*worker
	victims []*conn
}

func (k killing) Send(b *hub.Batch) {
	for _, c := range k.victims {
		c.die(ClosedGone)
	}
	k.worker.Send(b)
}

// A fault of our own is counted each time and said once, and the gateway goes on.
func TestBrokenInvariantIsCountedAndSaidOnce(t *testing.T) {
	var said strings.Builder
	cfg := testConfig()
	cfg.panics = false
	if err := cfg.prepare(); err != nil {
		t.Fatal(err)
	}
	s, err := newServer(cfg, slog.New(slog.NewTextHandler(&said, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := s.workers[0]
	c := &conn{w: w, life: lingering}
	if c.setLife(open); c.life != open {
		t.Error("it does not go on")
	}
	c.life = dead
	c.setLife(parting)
	if n := s.final().Broken; n != 2 {
		t.Errorf("%d broken invariants are counted, want 2", n)
	}
	if n := strings.Count(said.String(), "level=ERROR"); n != 1 || !strings.Contains(said.String(), "lingering becomes open") {
		t.Errorf("said %d times: %s", n, said.String())
	}
}

// Pings, pongs and the answers to upgrades go out by an outbox that all connections of a loop share
// in turn, so that idle connections make no garbage. One that the kernel took in part, or that was
// large, is not shared.
func TestOwnBytesAllocateNothing(t *testing.T) {
	h := newHall(t, reactortest.New(), FlushPlain, 2)
	buf := make([]byte, 100)
	allocs := testing.AllocsPerRun(100, func() {
		for i, c := range h.conns {
			c.send(h.w.ping)
			if got := h.got(i, buf); !bytes.Equal(got, h.w.ping) {
				t.Fatalf("client %d got %q", i, got)
			}
		}
	})
	if allocs > 0 && !testenv.RaceEnabled {
		t.Errorf("%v allocations for two pings", allocs)
	}
	h.conns[0].send(make([]byte, outboxKept+1))
	if h.w.outbox != nil {
		t.Errorf("%d bytes are kept for the next ping", cap(h.w.outbox.bytes))
	}
}
