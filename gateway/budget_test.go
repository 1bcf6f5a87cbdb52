package gateway

import (
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/hub"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor"
	"sluice/reactor/reactortest"
	"sluice/wsproto"
)

// swap gives the loop's one open connection another transport, made from its own.
func swap(t *testing.T, w *worker, turn func(*conn) transport) {
	t.Helper()
	n := make(chan int)
	if err := post(t.Context(), w.loop, func(l *reactor.Loop) {
		found := 0
		for _, source := range l.Sources {
			if c, ok := source.(*conn); ok && c.life == open {
				swapped := turn(c)
				c.other = &swapped
				found++
			}
		}
		n <- found
	}); err != nil {
		t.Fatal(err)
	}
	if found := <-n; found != 1 {
		t.Fatalf("%d connections are open, want 1", found)
	}
}

// mostPerTick counts something by the loop's ticks.
type mostPerTick struct {
	w             *worker
	tick          uint64
	inTick, total int
	most          int
}

func (m *mostPerTick) add(n int) {
	if now := m.w.loop.Stats().Ticks; now != m.tick {
		m.tick, m.inTick = now, 0
	}
	m.inTick += n
	m.total += n
	m.most = max(m.most, m.inTick)
}

// ask reads a counter on its loop.
func (m *mostPerTick) ask(t *testing.T) (most, total int) {
	t.Helper()
	answer := make(chan [2]int)
	if err := post(t.Context(), m.w.loop, func(*reactor.Loop) { answer <- [2]int{m.most, m.total} }); err != nil {
		t.Fatal(err)
	}
	both := <-answer
	return both[0], both[1]
}

// frameByFrame hands out one frame a read, as a client has it that sends each message when the last
// one is dealt with.
type frameByFrame struct {
	transport
	size  int
	reads *mostPerTick
}

func (f *frameByFrame) Read(fd int, p []byte) (int, error) {
	n, err := f.transport.Read(fd, p[:min(len(p), f.size)])
	if n > 0 {
		f.reads.add(1)
	}
	return n, err
}

// A turn is over when it has inflated as much as it might have read, however few bytes that were,
// and in however many reads.
func TestTurnEndsWhenItHasInflatedItsBudget(t *testing.T) {
	const messages = 60
	cfg := testConfig()
	cfg.Loops = 1
	s, addr := startGateway(t, cfg)
	c := wstest.JoinDeflated(t, addr, "/ws/r")
	frame := wstest.MaskedDeflated(ws.OpBinary, wstest.Deflated(string(make([]byte, 256<<10))))
	reads := &mostPerTick{w: s.workers[0]}
	swap(t, s.workers[0], func(c *conn) transport { return &frameByFrame{c.transport(), len(frame), reads} })
	for range messages {
		c.Send(frame)
	}
	testenv.Eventually(t, "all are heard", func() bool { return testenv.StatsOf(t, s).Messages == messages })
	// A tick may have two turns of a connection: its event's, and as one of those visited again.
	if most, total := reads.ask(t); most > 2 || total != messages {
		t.Errorf("%d messages of 256 KiB were inflated in one tick, of %d in all", most, total)
	}
}

// A valve takes 100 bytes, then nothing until it is opened, then all it is given, in its time.
type valve struct {
	transport
	left   int
	isOpen bool
	wrote  *mostPerTick
}

func (v *valve) Write(_ int, p []byte) (int, error) {
	if v.isOpen {
		time.Sleep(time.Millisecond) // A slice.
		v.wrote.add(len(p))
		return len(p), nil
	}
	if v.left == 0 {
		return 0, syscall.EAGAIN
	}
	n := min(v.left, len(p))
	v.left -= n
	return n, nil
}

// hasten makes the clock go some twenty times as fast, until stop is called.
func hasten(kernel *reactortest.Kernel) (stop func()) {
	var running sync.WaitGroup
	isOver := make(chan struct{})
	running.Go(func() {
		for {
			select {
			case <-isOver:
				return
			case <-time.After(5 * time.Millisecond):
				kernel.Advance(100 * time.Millisecond)
			}
		}
	})
	return func() { close(isOver); running.Wait() }
}

// What is left of a dropped frame may be a whole message. It goes out in turns like everything
// else.
func TestRestOfADroppedFrameGoesOutWithinTheBudget(t *testing.T) {
	t.Parallel()
	const size = 2 << 20
	cfg := testConfig()
	cfg.Loops, cfg.SlowPolicy, cfg.MaxMessage, cfg.RoomBacklog, cfg.PublishWindow = 1, hub.Skip, size, 3<<20, 3<<20
	kernel := reactortest.New()
	s, addr := startGatewayOn(t, cfg, kernel)
	w := s.workers[0]
	wstest.Join(t, addr, "/ws/r")
	var v *valve
	var slow *conn
	swap(t, w, func(c *conn) transport {
		slow, v = c, &valve{transport: c.transport(), left: 100, wrote: &mostPerTick{w: w}}
		return v
	})
	a := wstest.Join(t, addr, "/ws/r")
	stop := hasten(kernel) // The sender waits some seconds until it is clear that somebody does not read.
	for range 3 {
		a.Send(wstest.Masked(ws.OpBinary, true, string(make([]byte, size))))
		a.Frame()
	}
	testenv.Eventually(t, "it is overrun", func() bool { return testenv.StatsOf(t, s).Hub.Overrun[hub.Skip] > 0 })
	stop()
	if err := post(t.Context(), w.loop, func(*reactor.Loop) { v.isOpen = true; slow.writable() }); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "all is taken", func() bool { _, total := v.wrote.ask(t); return total >= size })
	if most, _ := v.wrote.ask(t); most > 5*writeBudget {
		t.Errorf("%d KiB went out in one tick", most>>10)
	}
}

func TestClientMayInflateAsMuchAsItPaysFor(t *testing.T) {
	w := &worker{cfg: &config{Options: Options{MaxMessage: 64 << 20}.Defaults()}}
	loop, err := reactor.NewLoop(reactor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer loop.Release()
	w.loop = loop
	for _, test := range []struct {
		sent, inflated int
		want           bool
	}{{20 << 20, 40 << 20, true}, {1 << 10, 150 << 20, true}, {1 << 10, 200 << 20, false}} {
		c := &conn{w: w}
		c.metered().read(test.sent)
		if got := c.chargeInflated(test.inflated); got != test.want {
			t.Errorf("%d bytes that come to %d: allowed %v", test.sent, test.inflated, got)
		}
	}
}

// A sender that waits for its room holds what it has yet to publish, not what it has published.
func TestWaitingSenderDoesNotHoldThePublishedMessage(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.Loops, cfg.PublishWindow = 1, 1000
	s, addr := startGateway(t, cfg)
	c := wstest.Join(t, addr, "/ws/r")
	large := wstest.Masked(ws.OpBinary, true, string(make([]byte, 600_000)))
	c.Send(append(large, wstest.MaskedText("x")...))
	w, held := s.workers[0], make(chan int)
	for range 200 {
		if err := post(t.Context(), w.loop, func(*reactor.Loop) {
			if w.stats.Messages == 1 {
				held <- w.inputBudget.held
			} else {
				held <- 0
			}
		}); err != nil {
			t.Fatal(err)
		}
		if n := <-held; n > readBufferSize {
			t.Fatalf("%d bytes are held behind a message that is published", n)
		}
		time.Sleep(time.Millisecond)
	}
	c.ExpectFrame(ws.OpBinary, string(make([]byte, 600_000)))
	c.ExpectFrame(ws.OpText, "x")
}

func TestMemoryLimitsThatCannotHoldAMessageAreRefused(t *testing.T) {
	for name, turn := range map[string]func(*config){
		"pinned":   func(c *config) { c.PinnedMemory = c.MaxMessage + wsproto.MaxServerHeader - 1 },
		"assembly": func(c *config) { c.AssemblyMemory = c.MaxMessage - 1 },
		"backlog":  func(c *config) { c.BacklogMemory = c.RoomBacklog - 1 },
	} {
		cfg := testConfig()
		turn(cfg)
		if err := cfg.prepare(); err == nil {
			t.Errorf("too little %s memory is taken", name)
		}
	}
	many := testConfig()
	many.Loops = 192 // A large machine starts with the defaults, too.
	if err := many.prepare(); err != nil {
		t.Error(err)
	}
	if n, want := many.assemblyShare(), wsproto.DeflatedMax(int(many.MaxMessage))+2*int(many.MaxMessage)+inflaterSize+readBufferSize+wsproto.MaxControlPayload+1; n != want {
		t.Errorf("a loop's share is %d, want %d", n, want)
	}
}
