package gateway

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/hub"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor/reactortest"
	"sluice/wsproto"
)

var (
	floodRuns    = flag.Int("flood-runs", 1, "how often the flood is repeated")
	floodReaders = flag.Int("flood-readers", 0, "clients that read the whole flood; 0: 300, with SLUICE_CI=1 alone")
)

const floodMessage = 1 << 10

// A pace keeps readers together: none is a stretch ahead of another, however the machine shares out
// its processors among them.
type pace struct {
	readers int
	mu      sync.Mutex
	came    int
	next    chan struct{} // closed when all have come to the end of a stretch
	isOver  bool          // one has failed: nobody waits for it
}

// paceStretch is how many messages a reader takes before it waits for the others: half of the
// publish window.
const paceStretch = 512

func newPace(readers int) *pace { return &pace{readers: readers, next: make(chan struct{})} }

// wait returns when all readers have come as far. A nil pace holds nobody.
func (p *pace) wait() {
	if p == nil {
		return
	}
	p.mu.Lock()
	next := p.next
	if p.came++; p.came == p.readers && !p.isOver {
		p.came, p.next = 0, make(chan struct{})
		close(next)
	}
	p.mu.Unlock()
	<-next
}

// end lets everybody run on.
func (p *pace) end() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.isOver {
		p.isOver = true
		close(p.next)
	}
}

// floodReader reads frames of floodMessage bytes, each with its number in front, until it has had
// them all.
func floodReader(c net.Conn, messages int, together *pace) (err error) {
	defer func() {
		if err != nil {
			together.end()
		}
	}()
	r := bufio.NewReaderSize(c, 32<<10)
	frame := make([]byte, 4+floodMessage)
	for i := range messages {
		if i%paceStretch == 0 {
			together.wait()
		}
		if _, err := io.ReadFull(r, frame); err != nil {
			return fmt.Errorf("after %d messages: %w", i, err)
		}
		if frame[0] != 0x82 || frame[1] != 126 || binary.BigEndian.Uint16(frame[2:]) != floodMessage {
			return fmt.Errorf("after %d messages: frame begins with %x", i, frame[:4])
		}
		if got := binary.BigEndian.Uint64(frame[4:]); got != uint64(i) {
			return fmt.Errorf("message %d came in place of %d", got, i)
		}
	}
	return nil
}

// A floodPlan says who floods whom. A flood at a scripted pace has one outcome on every machine:
// nobody reads until the sender is seen to be held; then the readers keep together; and the
// gateway's clock stands still, so that none of them is taken for stalled while it waits for a
// processor. A free one goes as fast as the machine does.
type floodPlan struct {
	loops, readers, stalled, messages int
	backlog                           int64
	isFree                            bool
}

// floodPlans are a small flood at a scripted pace, and behind it a free one of 40 MB if the test
// runs whole or readers are asked for.
func floodPlans(t *testing.T, readers int) []floodPlan {
	plans := []floodPlan{{loops: 2, readers: 40, messages: 12 << 10, backlog: 4 << 20}}
	if testenv.RaceEnabled {
		plans[0].readers = 10
	}
	if !testenv.IsWholeSize(t) && *floodReaders == 0 {
		return plans
	}
	whole := floodPlan{loops: 2, readers: cmp.Or(*floodReaders, readers), messages: 40_000_000 / floodMessage, backlog: 16 << 20, isFree: true}
	if testenv.RaceEnabled && *floodReaders == 0 {
		whole.readers, whole.messages = readers/6, 20_000
	}
	return append(plans, whole)
}

// floodOutcome is what one flood showed.
type floodOutcome struct {
	took    time.Duration
	heldMax int64
	stats   Stats
}

// flood sends messages of 1 KiB from one client, as fast as its socket takes them, into a room of
// reading clients, the sender among them, and stalled ones.
func flood(t *testing.T, plan floodPlan) floodOutcome {
	cfg := testConfig()
	cfg.Loops = plan.loops
	cfg.RoomBacklog = plan.backlog
	cfg.StallTimeout = time.Hour // One that is stalled is to be overrun, however slow the others are.
	kernel := reactortest.New()
	var together *pace
	if !plan.isFree {
		kernel.StopClock()
		together = newPace(plan.readers)
	}
	s, addr := startGatewayOn(t, cfg, kernel)
	defer s.Close()
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range plan.readers + plan.stalled {
		c, err := wstest.UpgradeRaw(addr, "/ws/flood")
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		if plan.isFree {
			continue
		}
		if err := c.(*net.TCPConn).SetReadBuffer(128 << 10); err != nil { // See wstest.Client.Narrow.
			t.Fatal(err)
		}
	}
	sender := conns[0]

	var out floodOutcome
	failed := make(chan error, plan.readers+1)
	var done sync.WaitGroup
	start := time.Now()
	done.Go(func() {
		if err := pourNumbered(sender, 0, plan.messages); err != nil {
			together.end()
			failed <- fmt.Errorf("sender: %w", err)
		}
	})
	if !plan.isFree {
		expectHeld(t, s, addr, plan)
	}
	for _, c := range conns[:plan.readers] {
		c.SetReadDeadline(time.Now().Add(2 * time.Minute))
		done.Go(func() {
			if err := floodReader(c, plan.messages, together); err != nil {
				failed <- err
			}
		})
	}
	finished := make(chan struct{})
	go func() { done.Wait(); close(finished) }()
	bound := int64(cfg.RoomBacklog+cfg.PublishWindow) + 256<<10
	for isOver := false; !isOver; {
		select {
		case <-finished:
			isOver = true
		case err := <-failed:
			t.Error(err)
		case <-time.After(5 * time.Millisecond):
		}
		if r, ok := s.hub.Room("flood"); ok {
			held := r.Stats().Held
			out.heldMax = max(out.heldMax, held)
			if held > bound {
				t.Errorf("the log holds %d bytes, more than %d", held, bound)
			}
		}
	}
	out.took = time.Since(start)
	for len(failed) > 0 {
		t.Error(<-failed)
	}
	stats, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out.stats = stats
	t.Logf("%d loops, %d readers, %d stalled, %d messages: %v, %.2f million deliveries a second, log held %d KiB at most, %.1f messages a write, %d refused writes, sender paused %d times",
		plan.loops, plan.readers, plan.stalled, plan.messages, out.took.Round(time.Millisecond),
		float64(plan.readers*plan.messages)/out.took.Seconds()/1e6,
		out.heldMax>>10, float64(stats.Deliveries)/float64(stats.Writes), stats.Refused, stats.Paused)
	return out
}

// pourNumbered sends the messages of these numbers, but for the last, as fast as they are taken.
func pourNumbered(c net.Conn, from, to int) error {
	payload := make([]byte, floodMessage)
	var batch []byte
	for i := from; i < to; i++ {
		binary.BigEndian.PutUint64(payload, uint64(i))
		batch = wsproto.AppendMaskedFrame(batch, wsproto.OpBinary, true, [4]byte{1, 2, 3, byte(i)}, payload)
		if len(batch) >= 64<<10 || i == to-1 {
			if _, err := c.Write(batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return nil
}

// expectHeld waits until the sender is held, because none of those that it floods has read a byte,
// and sees that it stays so while the loops come round and round for somebody else. Until then the
// gateway may have read what its kernel took for a reader and the publish window, a small part of
// the flood.
func expectHeld(t *testing.T, s *Server, addr string, plan floodPlan) {
	t.Helper()
	testenv.Eventually(t, "the sender is held, or has been read to the end, or somebody was overrun", func() bool {
		st := testenv.StatsOf(t, s)
		return st.Paused > 0 || st.Messages == uint64(plan.messages) || st.Hub.Overrun[hub.Disconnect] > 0
	})
	for range 2 * plan.loops { // Connections are spread over the loops.
		c := wstest.Join(t, addr, "/ws/elsewhere")
		for range 100 {
			c.Send(wstest.MaskedText("not held"))
			c.ExpectFrame(ws.OpText, "not held")
		}
		c.Close()
	}
	st := testenv.StatsOf(t, s)
	if n := st.Hub.Overrun[hub.Disconnect]; n > 0 || st.Paused == 0 || st.Messages > uint64(plan.messages)/2 {
		t.Fatalf("nobody has read anything: %d of %d messages were taken from the sender, which was paused %d times, and %d clients were overrun",
			st.Messages, plan.messages, st.Paused, n)
	}
}

// One client floods a room of readers: nobody is closed, nothing is lost, the log stays within its
// bound, and it is the sender that waits. With -flood-readers 1000 -flood-runs 10 it is the one
// that ARCHITECTURE.md has figures of.
func TestFloodHurtsNoReaderAndHoldsItsSender(t *testing.T) {
	for _, plan := range floodPlans(t, 300) {
		for _, plan.loops = range []int{1, 2} {
			t.Run(fmt.Sprintf("free=%t,loops=%d", plan.isFree, plan.loops), func(t *testing.T) {
				for range *floodRuns {
					expectNobodyClosed(t, flood(t, plan))
				}
			})
		}
	}
}

func expectNobodyClosed(t *testing.T, out floodOutcome) {
	t.Helper()
	for r, n := range out.stats.Closed {
		// Those that were served elsewhere meanwhile have left.
		if n > 0 && CloseReason(r) != ClosedGone {
			t.Errorf("%d clients were closed: %v", n, CloseReason(r))
		}
	}
}

// The same with one client that never reads: it is overrun and closed, and nobody else notices.
// That the sender is not slower is a figure, not a verdict, on machines as noisy as these: it is
// printed beside that of a run without.
func TestFloodWithAStalledClientClosesThatOneAlone(t *testing.T) {
	for _, plan := range floodPlans(t, 200) {
		t.Run(fmt.Sprintf("free=%t", plan.isFree), func(t *testing.T) {
			without := flood(t, plan)
			expectNobodyClosed(t, without)
			plan.stalled = 1
			with := flood(t, plan)
			for r, n := range with.stats.Closed {
				// Whether the stalled one has been closed by now depends on --close-timeout.
				if n > 0 && CloseReason(r) != ClosedSlow && CloseReason(r) != ClosedCloseTimeout && CloseReason(r) != ClosedGone {
					t.Errorf("%d clients were closed: %v", n, CloseReason(r))
				}
			}
			if n := with.stats.Hub.Overrun[hub.Disconnect]; n != 1 {
				t.Errorf("%d clients were overrun, want the stalled one", n)
			}
			t.Logf("time with a stalled client, as a multiple of without: %.2f", with.took.Seconds()/without.took.Seconds())
		})
	}
}
