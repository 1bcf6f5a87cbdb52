package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/hub"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor/reactortest"
	"sluice/wsproto"
)

func TestPausedReaderGetsEveryByteAndDisturbsNobody(t *testing.T) {
	for _, loops := range []int{1, 2} {
		t.Run(fmt.Sprintf("loops=%d", loops), func(t *testing.T) {
			const size, flood = 4 << 10, 2 << 10 // 8 MiB: half of the backlog
			cfg := testConfig()
			cfg.Loops = loops
			s, addr := startGateway(t, cfg)
			slow := wstest.Join(t, addr, "/ws/stage").Narrow()
			others := wstest.Gather(t, addr, "/ws/stage", 4, size)

			others.Publish(flood)
			others.HearAll()
			if st := testenv.StatsOf(t, s); st.Refused == 0 {
				t.Error("no write was refused: the reader was not slow enough for this test")
			}
			others.ExpectPrompt("with a paused reader")

			half := int(others.Sent) / 2
			slow.ExpectMessages(0, half, size) // in many small steps, each ended by a refused write
			others.Publish(500)
			slow.ExpectMessages(uint64(half), int(others.Sent)-half, size)
			caughtUp := others.Sent
			others.ExpectPrompt("after it has caught up")
			slow.ExpectMessages(caughtUp, int(others.Sent-caughtUp), size)
			if st := testenv.StatsOf(t, s); st.Closed != [NumCloseReasons]uint64{} {
				t.Errorf("somebody was closed: %v", st.Closed)
			}
		})
	}
}

// A reader that is behind again and again must be brought up to date each time, whenever the last
// message came: between the moment its loop looks at the room's end and the moment it has written
// that much, another loop may publish more.
func TestReaderInFitsIsAlwaysBroughtUpToDate(t *testing.T) {
	t.Parallel()
	const size, burst = 1 << 10, 700
	rounds := 15
	if testenv.IsWholeSize(t) {
		rounds = 60
	}
	s, addr := startGateway(t, testConfig())
	others := wstest.Gather(t, addr, "/ws/stage", 3, size)
	slow := wstest.Join(t, addr, "/ws/stage").Narrow()
	seq := others.Sent
	for round := range rounds {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range burst {
				if err := others.Say(); err != nil {
					t.Error(err) // Not Fatal: this is not the test's goroutine.
					return
				}
			}
		}()
		if round%10 == 0 {
			<-done // So that it is behind for certain: a reader may be faster than a sender that has to wait for a processor.
		}
		time.Sleep(time.Millisecond)
		slow.ExpectMessages(seq, burst, size)
		<-done
		seq += burst
	}
	if st := testenv.StatsOf(t, s); st.Refused == 0 {
		t.Error("no write was refused: the reader was not slow enough for this test")
	}
}

func TestOverrunClientIsClosedAfterWholeFrames(t *testing.T) {
	const size = 4 << 10
	cfg := testConfig()
	cfg.RoomBacklog = 4 << 20
	cfg.CloseTimeout = time.Hour // It begins to read when the others have been looked after.
	s, addr := startGateway(t, cfg)
	slow := wstest.Join(t, addr, "/ws/stage").Narrow()
	others := wstest.Gather(t, addr, "/ws/stage", 4, size)
	room, _ := s.hub.Room("stage")
	before := testenv.LiveHeap()
	var most int64
	for range 10 {
		others.Publish(1 << 20 / size)
		others.HearAll()
		most = max(most, testenv.LiveHeap()-before)
	}
	const segment, slack = 256 << 10, 1 << 20
	if bound := int64(cfg.RoomBacklog+cfg.PublishWindow) + segment + slack; most > bound {
		t.Errorf("live heap grew by %d bytes, want at most %d", most, bound)
	}
	if n := room.Stats().Members; n != 4 {
		t.Fatalf("%d members, want 4: it is 10 MiB behind", n)
	}
	others.ExpectPrompt("while one is being closed")

	n := uint64(0)
	for {
		f := slow.Frame()
		if f.Header.OpCode == ws.OpClose {
			if code, reason := ws.ParseCloseFrameData(f.Payload); code != 4008 || reason == "" {
				t.Errorf("closed with %d %q, want 4008", code, reason)
			}
			break
		}
		if !wstest.IsMessage(f.Payload, n, size) {
			t.Fatalf("got %s, want message %d or a Close frame", wstest.Describe(f), n)
		}
		n++
	}
	slow.ExpectEnd()
	if n == 0 || n == others.Sent {
		t.Errorf("it got %d messages of %d before the Close frame", n, others.Sent)
	}
	slow.Close()
	expectClosed(t, s, ClosedSlow, 1)
	others.ExpectPrompt("after it was closed")
}

func TestK01_OverrunClientThatNeverReadsIsGoneAfterTheCloseTimeout(t *testing.T) {
	cfg := testConfig()
	cfg.RoomBacklog = 4 << 20
	cfg.CloseTimeout = 300 * time.Millisecond
	s, addr := startGateway(t, cfg)
	wstest.Join(t, addr, "/ws/stage").Narrow()
	others := wstest.Gather(t, addr, "/ws/stage", 4, 4<<10)
	for range 8 {
		others.Publish(256)
		others.HearAll() // A minority that lags is not waited for, whoever it is: none of these must.
	}
	testenv.Eventually(t, "it is gone", func() bool { return s.Open() == 4 })
	// Whether the kernel still had room for the Close frame decides which of the two it is.
	st := testenv.StatsOf(t, s)
	if st.Hub.Overrun[hub.Disconnect] != 1 || st.Closed[ClosedSlow]+st.Closed[ClosedCloseTimeout] != 1 {
		t.Errorf("overrun %d, closed as slow %d, in the close timeout %d", st.Hub.Overrun[hub.Disconnect], st.Closed[ClosedSlow], st.Closed[ClosedCloseTimeout])
	}
	others.ExpectPrompt("after it was closed")
}

func TestK19_StalledClientIsAborted(t *testing.T) {
	cfg := testConfig()
	kernel := reactortest.New()
	kernel.StopClock() // Or one of the others is taken for stalled when it has to wait for a processor.
	s, addr := startGatewayOn(t, cfg, kernel)
	stalled := wstest.Join(t, addr, "/ws/stage").Narrow()
	others := wstest.Gather(t, addr, "/ws/stage", 4, 1<<10)
	for range 4 {
		others.Publish(1 << 10) // within the backlog: nobody is overrun
		others.HearAll()
	}
	passed := time.Duration(0)
	for ; s.Open() == 5 && passed < 3*cfg.StallTimeout; passed += time.Second {
		kernel.Pass(time.Second) // The kernel may take a few more bytes, from which on its time counts.
	}
	if passed < cfg.StallTimeout {
		t.Errorf("somebody was closed after %v", passed)
	}
	expectClosed(t, s, ClosedStalled, 1)
	if _, err := stalled.Rest(); err == nil || errors.Is(err, wstest.ErrTimeout) {
		t.Errorf("its stream ended with %v, want a reset", err)
	}
	others.ExpectPrompt("after it was cut")
	if n := s.Open(); n != 4 {
		t.Errorf("%d connections are open, want 4", n)
	}
}

// One that takes some bytes now and then is slow, not stalled.
func TestClientThatTakesSomeBytesIsNotStalled(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	kernel := reactortest.New()
	kernel.StopClock()
	s, addr := startGatewayOn(t, cfg, kernel)
	slow, want := wstest.Stick(t, addr)
	var all []byte
	for _, m := range want {
		all = append(all, ws.MustCompileFrame(ws.NewBinaryFrame([]byte(m)))...)
	}
	testenv.Eventually(t, "it is alone", func() bool { return s.Open() == 1 })
	look := func() (took time.Duration, isBlocked bool) {
		s.each(t, func(c *conn) { took, isBlocked = c.reader.Took(), c.reader.IsBlocked() })
		return took, isBlocked
	}
	start := kernel.Now()
	for took, isBlocked := look(); len(all) > 0; {
		if isBlocked && took == kernel.Now() { // It has taken some since the last time.
			kernel.Pass(cfg.StallTimeout * 9 / 10) // How often it does is the kernel's matter, three times at least.
		}
		step := make([]byte, min(16<<10, len(all)))
		if _, err := io.ReadFull(slow.In, step); err != nil || !bytes.Equal(step, all[:len(step)]) {
			t.Fatalf("%d bytes before the end: other bytes than were sent, or %v", len(all), err)
		}
		all = all[len(step):]
		took, isBlocked = look()
	}
	if took := kernel.Now() - start; took < 3*cfg.StallTimeout/2 {
		t.Errorf("read all in %v: not slow enough for this test", took)
	}
	if n := s.Open(); n != 1 {
		t.Errorf("%d connections are open, want 1", n)
	}
}

// passUntilPinged lets time pass until the gateway has pinged the only client once more since a
// time, and returns how long ago, and the time at which it did.
func passUntilPinged(t *testing.T, s *Server, kernel *reactortest.Kernel, since time.Duration) (passed, at time.Duration) {
	t.Helper()
	for at = since; at == since; {
		if passed += time.Second; passed > 2*s.config().PingInterval {
			t.Fatalf("no ping in %v", passed)
		}
		kernel.Pass(time.Second)
		s.each(t, func(c *conn) { at = max(at, c.pinged) })
	}
	return passed, at
}

func TestSilentClientIsPingedAndClosedWithoutAnAnswer(t *testing.T) {
	cfg := testConfig()
	cfg.PingInterval, cfg.PongTimeout = 40*time.Second, 10*time.Second
	kernel := reactortest.New()
	kernel.StopClock()
	s, addr := startGatewayOn(t, cfg, kernel)
	c := wstest.Join(t, addr, "/ws")
	// Its time begins up to a half earlier, and is up to a quarter shorter.
	if passed, _ := passUntilPinged(t, s, kernel, 0); passed < cfg.PingInterval/4 || passed > cfg.PingInterval+time.Second {
		t.Errorf("pinged after %v", passed)
	}
	c.ExpectFrame(ws.OpPing, "")
	kernel.Pass(cfg.PongTimeout - 2*time.Second)
	if n := s.Open(); n != 1 {
		t.Error("closed early")
	}
	kernel.Pass(3 * time.Second)
	c.ExpectClose(4009)
	c.Close()
	expectClosed(t, s, ClosedNoPong, 1)
}

func TestClientThatAnswersPingsStays(t *testing.T) {
	cfg := testConfig()
	cfg.PingInterval, cfg.PongTimeout = 10*time.Second, 10*time.Second
	kernel := reactortest.New()
	kernel.StopClock()
	s, addr := startGatewayOn(t, cfg, kernel)
	c := wstest.Join(t, addr, "/ws")
	for at, i := time.Duration(0), 0; i < 8; i++ {
		_, at = passUntilPinged(t, s, kernel, at)
		c.ExpectFrame(ws.OpPing, "")
		kernel.Pass(time.Second) // What comes in the instant of the ping may be the kernel's doing.
		c.Send(wstest.Masked(ws.OpPong, true, ""))
		testenv.Eventually(t, "the pong is heard", func() bool {
			isHeard := false
			s.each(t, func(c *conn) { isHeard = c.heard > at })
			return isHeard
		})
	}
	c.Send(wstest.MaskedText("still here"))
	c.ExpectFrame(ws.OpText, "still here")
	if n := s.Open(); n != 1 {
		t.Errorf("%d connections are open, want 1", n)
	}
}

// A listener need not say anything: what it takes from the kernel counts as life.
func TestClientThatOnlyTakesBytesIsNotPinged(t *testing.T) {
	cfg := testConfig()
	cfg.PingInterval, cfg.PongTimeout = 40*time.Second, 10*time.Second
	kernel := reactortest.New()
	kernel.StopClock()
	_, addr := startGatewayOn(t, cfg, kernel)
	listener := wstest.Join(t, addr, "/ws")
	publisher := wstest.Join(t, addr, "/ws")
	for i := range 30 {
		m := fmt.Sprint(i)
		publisher.Send(wstest.MaskedText(m))
		listener.ExpectFrame(ws.OpText, m)
		publisher.ExpectFrame(ws.OpText, m)
		kernel.Pass(cfg.PingInterval / 10)
	}
}

func TestF33_PongsWaitForTheFramesEnd(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	c, want := wstest.Stick(t, addr)
	testenv.Eventually(t, "a write was refused", func() bool { return testenv.StatsOf(t, s).Refused > 0 })
	const pings = 50
	for i := range pings {
		c.Send(wstest.Masked(ws.OpPing, true, fmt.Sprint(i)))
	}
	c.Send(wstest.MaskedText("end"))
	want = append(want, "end")
	testenv.Eventually(t, "the pings are read", func() bool { return testenv.StatsOf(t, s).Messages == 4 })
	var got, pongs []string
	for len(got) < len(want) || len(pongs) == 0 {
		f := c.Frame()
		if !f.Header.Fin {
			t.Fatalf("got %s", wstest.Describe(f))
		}
		if f.Header.OpCode == ws.OpPong {
			pongs = append(pongs, string(f.Payload))
		} else {
			got = append(got, string(f.Payload))
		}
	}
	if !slices.Equal(got, want) {
		t.Error("the messages are not what was sent")
	}
	if len(pongs) != 1 || pongs[0] != fmt.Sprint(pings-1) {
		t.Errorf("pongs %q, want the newest alone", pongs)
	}
}

func TestF33_CloseWaitsForTheFramesEnd(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	c, want := wstest.Stick(t, addr)
	testenv.Eventually(t, "a write was refused", func() bool { return testenv.StatsOf(t, s).Refused > 0 })
	c.Send(wstest.MaskedText("mine"), wstest.FrameBytes(0x83, 0x80, wstest.ZeroMask))
	for _, m := range append(want, "mine") {
		if f := c.Frame(); string(f.Payload) != m {
			t.Fatalf("got %s, want %q", wstest.Describe(f), wstest.Clip(m))
		}
	}
	c.ExpectClose(1002)
}

// A pong is cut by a short write and then the room overruns its client: what is left of the pong
// goes before the Close.
func TestOverrunClientGetsTheRestOfAHalfSentPong(t *testing.T) {
	kernel := reactortest.New()
	var isShut atomic.Bool
	var victim, until atomic.Int64 // the first descriptor written to, and the offset at which it takes no more
	kernel.Limit(reactortest.Write, func(fd int, off int64, want int) int {
		victim.CompareAndSwap(0, int64(fd))
		if int64(fd) != victim.Load() || !isShut.Load() {
			return want
		}
		until.CompareAndSwap(0, off+5)
		return int(min(int64(want), max(0, until.Load()-off)))
	})
	cfg := testConfig()
	cfg.RoomBacklog = 2 << 20
	cfg.CloseTimeout = time.Hour
	s, addr := startGatewayOn(t, cfg, kernel)
	slow := wstest.Join(t, addr, "/ws/r")
	readers := []*wstest.Client{wstest.Join(t, addr, "/ws/r"), wstest.Join(t, addr, "/ws/r"), wstest.Join(t, addr, "/ws/r")}
	isShut.Store(true)
	slow.Send(wstest.Masked(ws.OpPing, true, "0123456789"))
	testenv.Eventually(t, "a refused write", func() bool { return testenv.StatsOf(t, s).Refused > 0 })
	m := strings.Repeat("m", 100<<10)
	for i := 0; i < 60 && testenv.StatsOf(t, s).Hub.Overrun[hub.Disconnect] == 0; i++ {
		readers[0].Send(wstest.Masked(ws.OpBinary, true, m))
		for _, r := range readers {
			r.ExpectFrame(ws.OpBinary, m)
		}
	}
	if testenv.StatsOf(t, s).Hub.Overrun[hub.Disconnect] != 1 {
		t.Fatal("not overrun")
	}
	isShut.Store(false)
	slow.ExpectFrame(ws.OpPong, "0123456789")
	slow.ExpectClose(ws.StatusCode(wsproto.CodeSlowConsumer))
}
