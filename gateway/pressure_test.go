package gateway

import (
	"errors"
	"log/slog"
	"math"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/testenv"
	"sluice/internal/wstest"

	gorilla "github.com/gorilla/websocket"

	"sluice/hub"
	"sluice/wsproto"
)

// A scriptedMemory takes the runtime's place: what lives beside the backlogs is what the test says,
// and every look comes right behind a collection unless isIdle.
type scriptedMemory struct {
	hub       atomic.Pointer[hub.Hub]
	others    atomic.Int64
	isIdle    atomic.Bool
	cycles    atomic.Uint64
	collected atomic.Int64
}

func (m *scriptedMemory) source(limit int64) memorySource {
	return memorySource{
		limit: limit,
		read: func() (now liveMemory) {
			if h := m.hub.Load(); h != nil {
				now.bytes = h.Retained()
			}
			if !m.isIdle.Load() {
				m.cycles.Add(1)
			}
			now.bytes, now.cycles = now.bytes+m.others.Load(), m.cycles.Load()
			return now
		},
		collect: func() { m.collected.Add(1) },
	}
}

// newScriptedPressure is one whose looks the test makes itself, over a hub without rooms and a
// limit of 1,000 bytes.
func newScriptedPressure(t *testing.T) (*pressure, *scriptedMemory, *journal) {
	t.Helper()
	cfg, m, log := testConfig(), new(scriptedMemory), new(journal)
	cfg.memory = m.source(1000)
	if err := cfg.prepare(); err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Options{Limits: cfg.limits(), Encodings: encodings, PolicyOf: cfg.policyOf})
	if err != nil {
		t.Fatal(err)
	}
	m.hub.Store(h)
	return newPressure(cfg, h, slog.New(slog.NewTextHandler(log, nil))), m, log
}

// Each step begins and ends where the table says, up at once, down after some looks in a row, and
// is one line in the log.
func TestStepsOfPressureAreTakenInOrderAndTakenBack(t *testing.T) {
	p, m, log := newScriptedPressure(t)
	for i, stage := range []struct {
		used  int64
		looks int
		want  step
		lines int // in the log so far
	}{
		{699, 1, stepNone, 0},
		{700, 1, stepSaving, 0},
		{799, 1, stepSaving, 0},
		{800, 1, stepRooms, 1},
		{849, 50, stepRooms, 1},
		{850, 1, stepConnections, 2},
		{899, 50, stepConnections, 2},
		{900, 1, stepCursors, 3},
		{2000, 50, stepCursors, 3},
		{850, 50, stepCursors, 3},
		{849, calmLooks - 1, stepCursors, 3},
		{850, 1, stepCursors, 3}, // It begins anew.
		{849, calmLooks - 1, stepCursors, 3},
		{849, 1, stepConnections, 4},
		{800, 50, stepConnections, 4},
		{799, calmLooks, stepRooms, 5},
		{750, 50, stepRooms, 5},
		{749, calmLooks, stepSaving, 6},
		{650, 50, stepSaving, 6},
		{649, calmLooks, stepNone, 6},
		{1000, 1, stepCursors, 7}, // All of them at once,
		{0, calmLooks, stepNone, 8},
		{900, 1, stepCursors, 9}, // Down one at a time, each after as many looks.
		{849, calmLooks, stepConnections, 10},
		{799, calmLooks - 1, stepConnections, 10},
		{799, 1, stepRooms, 11},
		{749, calmLooks - 1, stepRooms, 11},
		{749, 1, stepSaving, 12},
	} {
		m.others.Store(stage.used)
		for range stage.looks {
			p.look()
		}
		if got, lines := p.step(), len(log.lines("memory")); got != stage.want || lines != stage.lines {
			t.Fatalf("stage %d, %d of 1000 bytes: step %d, %d lines; want %d and %d\n%s",
				i, stage.used, got, lines, stage.want, stage.lines, strings.Join(log.lines(""), ""))
		}
	}
	for i, want := range []string{"rooms", "connections", "slowest", "connections", "rooms", "again", "slowest", "again", "slowest", "connections", "rooms", "again"} {
		line := log.lines("memory")[i]
		if isUp := i < 3 || i == 6 || i == 8; !strings.Contains(line, want) || strings.Contains(line, "WARN") != isUp {
			t.Errorf("line %d does not tell of %q: %s", i, want, line)
		}
	}
}

// Between a step's beginning and its end, and around either, nothing flaps.
func TestPressureDoesNotFlap(t *testing.T) {
	p, m, log := newScriptedPressure(t)
	for i := range 1000 {
		m.others.Store(600 + int64(i%2)*250) // Far to either side, at every look.
		p.look()
	}
	if lines := log.lines("memory"); len(lines) != 1 || p.step() != stepConnections {
		t.Errorf("step %d, and %d lines: %s", p.step(), len(lines), lines)
	}
}

// Without traffic the runtime collects nothing for two minutes. As long as something is refused, it
// is asked to.
func TestCollectionIsAskedForWhileMemoryIsShort(t *testing.T) {
	p, m, _ := newScriptedPressure(t)
	look := func(used int64) (asked int64) {
		m.isIdle.Store(false)
		m.others.Store(used)
		p.look()
		m.isIdle.Store(true)
		m.others.Store(100) // What the next collection will find.
		before := m.collected.Load()
		for range 3 * collectAfter {
			p.look()
		}
		return m.collected.Load() - before
	}
	if n := look(790); n != 0 || p.step() != stepSaving {
		t.Errorf("asked %d times at step %d, which refuses nothing", n, p.step())
	}
	if n := look(800); n != 3 || p.step() != stepRooms {
		t.Errorf("asked %d times at step %d, want 3 and %d", n, p.step(), stepRooms)
	}
	m.isIdle.Store(false)
	for range calmLooks {
		p.look()
	}
	if p.step() != stepNone {
		t.Errorf("step %d after a collection", p.step())
	}
}

// What the runtime is asked for is what lives, not what is mapped.
func TestRuntimeMemoryIsWhatLives(t *testing.T) {
	const size = 64 << 20
	source := runtimeMemory()
	at := func() liveMemory {
		for range 3 { // What rests in a pool survives one, and what earlier tests left may have finalizers.
			runtime.GC()
		}
		return source.read()
	}
	before := at()
	if before.bytes < 1<<20 || before.cycles == 0 {
		t.Fatalf("a running process has %+v", before)
	}
	held := make([]byte, size)
	with := at()
	if grew := with.bytes - before.bytes; grew < size-8<<20 || grew > size+8<<20 || with.cycles <= before.cycles {
		t.Errorf("%d bytes more count as %d, after %d collections more", size, grew, with.cycles-before.cycles)
	}
	runtime.KeepAlive(held)
	held = nil
	after := at()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for range 16 {
		garbage = make([]byte, size/16)
	}
	garbage = nil
	if now := source.read(); max(after.bytes, now.bytes) > before.bytes+8<<20 {
		t.Errorf("%d bytes at first, %d when as much was let go of, %d with as much of garbage", before.bytes, after.bytes, now.bytes)
	}
	if _, isSet := os.LookupEnv("GOMEMLIMIT"); !isSet && source.isLimited() {
		t.Errorf("a limit of %d that nobody set", source.limit)
	}
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 40))
	if source = runtimeMemory(); source.limit != 1<<40 || !source.isLimited() {
		t.Errorf("the limit is %d, want %d", source.limit, int64(1<<40))
	}
}

var garbage []byte

func TestWithoutAMemoryLimitNobodyLooks(t *testing.T) {
	t.Parallel()
	var looks atomic.Int64
	source := memorySource{limit: math.MaxInt64, read: func() liveMemory { looks.Add(1); return liveMemory{} }}
	for _, isLimited := range []bool{false, true} {
		if isLimited {
			source.limit = 1 << 40
		}
		cfg := testConfig()
		cfg.memory = source
		_, addr := startGateway(t, cfg)
		wstest.Join(t, addr, "/ws").Send(wstest.MaskedText("hello"))
		if isLimited {
			testenv.Eventually(t, "a look with a limit", func() bool { return looks.Load() > 0 })
		} else if time.Sleep(3 * lookEvery); looks.Load() != 0 {
			t.Errorf("%d looks without a limit", looks.Load())
		}
	}
}

// startShort runs a gateway whose memory is scripted, with a limit of 100 MiB, and which does not
// look at it by itself: a step is taken back after some looks, however long a test takes for its
// own.
func startShort(t *testing.T, cfg *config) (*Server, string, *scriptedMemory, *journal) {
	t.Helper()
	m, log := new(scriptedMemory), new(journal)
	cfg.memory, cfg.lookEvery = m.source(100<<20), time.Hour
	s := makeServer(t, cfg, slog.New(slog.NewTextHandler(log, nil)), nil)
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	m.hub.Store(s.hub)
	s.start()
	t.Cleanup(s.Close)
	return s, s.Addrs()[0].(*net.TCPAddr).String(), m, log
}

// The whole order, up and down, with real clients and backlogs: new rooms, then new connections are
// refused, then the slowest are overrun, those of the largest room first and by their rooms'
// policies. Whoever reads notices nothing.
func TestE15_MemoryIsShedInOrder(t *testing.T) {
	t.Parallel()
	const size = 4 << 10
	cfg := testConfig()
	cfg.StallTimeout, cfg.CloseTimeout, cfg.PingInterval = time.Hour, time.Hour, time.Hour // Memory alone ends anybody here.
	cfg.Rooms = rules(t, "small=skip")
	s, addr, memory, log := startShort(t, cfg)
	slow, skipped := dialNarrow(t, addr, "/ws/large"), dialNarrow(t, addr, "/ws/small")
	large, small := wstest.Gather(t, addr, "/ws/large", 3, size), wstest.Gather(t, addr, "/ws/small", 3, size)
	publish := func(c *wstest.Crowd, n int) {
		t.Helper()
		for range n / 64 {
			c.Publish(64)
			c.HearAll()
		}
	}
	publish(large, 10<<20/size)
	publish(small, 7<<20/size)
	retained := s.hub.Retained()
	if retained < 16<<20 {
		t.Fatalf("the backlogs retain %d bytes: the slow ones were not slow enough for this test", retained)
	}
	reach := func(percent int64, want step) {
		t.Helper()
		// Of what the rooms gained between two looks it is not known when, so it may count twice in
		// one.
		s.pressure.look()
		memory.others.Store(percent<<20 - retained)
		if s.pressure.look(); s.pressure.step() != want {
			t.Fatalf("step %d at %d percent, want %d", s.pressure.step(), percent, want)
		}
		publish(large, 64)
		publish(small, 64)
		retained = s.hub.Retained()
	}
	expect := func(what string, a wstest.Answer, refused wsproto.Reason) {
		t.Helper()
		if refused == 0 && !a.IsIn() || refused != 0 && !a.IsRefusal(refused) {
			t.Errorf("%s: %+v, want the reason %v", what, a, refused)
		}
	}

	reach(60, stepNone)
	expect("a new room", wstest.Ask(t, addr, "/ws/new.1"), 0)
	reach(75, stepSaving)
	expect("a new room while rooms save memory", wstest.Ask(t, addr, "/ws/new.2"), 0)
	reach(82, stepRooms)
	expect("a new room", wstest.Ask(t, addr, "/ws/new.3"), wsproto.ReasonRoomMemory)
	expect("a room that exists", wstest.Ask(t, addr, "/ws/small"), 0)
	reach(87, stepConnections)
	expect("a new connection", wstest.Ask(t, addr, "/ws/small"), wsproto.ReasonMemory)
	expect("a page", wstest.Ask(t, addr, "/"), wsproto.ReasonMemory)
	if st := testenv.StatsOf(t, s); s.hub.Drops() != 0 || st.Hub.Overrun != [3]uint64{} {
		t.Errorf("%d segments dropped, overrun %v, before the last step", s.hub.Drops(), st.Hub.Overrun)
	}

	memory.others.Store(91<<20 - retained)
	s.pressure.look()
	testenv.Eventually(t, "the slow one of the large room is overrun", func() bool { return testenv.StatsOf(t, s).Hub.Overrun[hub.Disconnect] == 1 })
	if st := testenv.StatsOf(t, s); st.Hub.Overrun[hub.Skip] != 0 || s.pressure.step() != stepCursors {
		t.Errorf("step %d, overrun %v; the small room's were not due", s.pressure.step(), st.Hub.Overrun)
	}
	memory.others.Store(100 << 20)
	testenv.Eventually(t, "little is retained", func() bool { s.pressure.look(); return s.hub.Retained() <= leastForRooms<<20 })
	testenv.Eventually(t, "the slow one of the small room is overrun", func() bool { return testenv.StatsOf(t, s).Hub.Overrun[hub.Skip] > 0 })
	publish(large, 64)
	publish(small, 64)
	expectGorillaClose(t, slow, 4008)
	slow.Close()
	expectClosed(t, s, ClosedSlow, 1)

	for _, back := range []struct {
		percent int64
		step    step
	}{{82, stepConnections}, {77, stepRooms}, {72, stepSaving}, {10, stepNone}} {
		memory.others.Store(back.percent<<20 - s.hub.Retained())
		for range calmLooks + 1 {
			s.pressure.look()
		}
		if s.pressure.step() != back.step {
			t.Fatalf("step %d at %d percent, want %d", s.pressure.step(), back.percent, back.step)
		}
	}
	expect("a new connection and room", wstest.Ask(t, addr, "/ws/new.3"), 0)
	publish(large, 6<<20/size)
	publish(small, 64)
	if s.hub.Retained() < 4<<20 {
		t.Errorf("%d bytes are retained of 6 MiB: rooms still save memory", s.hub.Retained())
	}
	expectEndOf(t, skipped, small)

	var want [NumCloseReasons]uint64
	want[ClosedSlow] = 1
	st := testenv.StatsOf(t, s)
	st.Closed[ClosedGone] = 0 // The probes.
	st.Closed[ClosedRefused] = 0
	if st.Closed != want || st.Refusals[wsproto.ReasonRoomMemory] != 1 || st.Refusals[wsproto.ReasonMemory] != 2 || st.Rejected != 2 {
		t.Errorf("closed %v, refused %v, turned away %d", st.Closed, st.Refusals, st.Rejected)
	}
	lines := slices.DeleteFunc(log.lines("memory"), func(line string) bool { return strings.Contains(line, "msg=refused") })
	if len(lines) != 6 {
		t.Errorf("%d lines, want one for each step:\n%s", len(lines), strings.Join(lines, ""))
	}
}

// expectGorillaClose reads until gorilla's client says that it was closed with this code.
func expectGorillaClose(t *testing.T, c *gorilla.Conn, code int) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(testenv.Patience))
	for {
		_, _, err := c.ReadMessage()
		if closed := new(gorilla.CloseError); errors.As(err, &closed) && closed.Code == code {
			return
		} else if err != nil {
			t.Fatalf("got %v, want a Close with %d", err, code)
		}
	}
}

// expectEndOf reads a client of a crowd's room, overrun under skip, up to the last message: in
// order, each whole, some missing.
func expectEndOf(t *testing.T, c *gorilla.Conn, room *wstest.Crowd) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(testenv.Patience))
	next, missed := uint64(0), 0
	for ; next < room.Sent; next++ {
		_, p, err := c.ReadMessage()
		if err != nil {
			t.Fatalf("after message %d: %v", next, err)
		}
		for ; !wstest.IsMessage(p, next, room.Size); next++ {
			if missed++; next == room.Sent {
				t.Fatal("got what nobody sent")
			}
		}
	}
	if missed == 0 {
		t.Error("it was overrun, and missed nothing")
	}
}
