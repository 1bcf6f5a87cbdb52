//go:build linux

package gateway

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor"
	"sluice/wsproto"
)

var (
	fairnessPairs   = flag.Int("fairness-pairs", 1, "how often a quiet room beside a flood is compared with one beside another process's flood")
	fairnessReaders = flag.Int("fairness-readers", 200, "clients that read the flood")
	fairnessLoops   = flag.Int("fairness-loops", 2, "event loops of the gateway")
	fairnessTime    = flag.Duration("fairness-time", 0, "how long each flood lasts; 0: 500 ms, or 2 s with SLUICE_CI=1")
	fairnessMost    = flag.Float64("fairness-most", 0, "the largest ratio that passes; 0: any")
	fairnessAway    = flag.Bool("fairness-away", false, "the flood's clients take only what the gateway leaves of the processors, as though they were on another machine")
)

// A stopwatch is a connection's transport that tells when it read and wrote.
type stopwatch struct {
	transport
	read, wrote func(time.Time)
}

func (s *stopwatch) Read(fd int, p []byte) (int, error) {
	n, err := s.transport.Read(fd, p)
	if n > 0 {
		s.read(time.Now())
	}
	return n, err
}

func (s *stopwatch) Write(fd int, p []byte) (int, error) {
	n, err := s.transport.Write(fd, p)
	s.wrote(time.Now())
	return n, err
}

// A lap measures one message at a time: from the read that brought it to the last of the writes
// that deliver it.
type lap struct {
	mu     sync.Mutex
	start  time.Time
	writes int
	took   []time.Duration
}

func (l *lap) read(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.start, l.writes = at, 0
}

func (l *lap) wrote(at time.Time, members int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writes++; l.writes == members {
		l.took = append(l.took, at.Sub(l.start))
	}
}

// A quietRoom is a room in which one message at a time is published and heard by all.
type quietRoom struct {
	clients []*wstest.Client
	lap     lap
}

func newQuietRoom(t *testing.T, s *Server, addr string, members int) *quietRoom {
	q := &quietRoom{}
	for range members {
		q.clients = append(q.clients, wstest.Join(t, addr, "/ws/quiet"))
	}
	publisher := q.clients[0].LocalAddr().(*net.TCPAddr).Port
	for _, w := range s.workers {
		done := make(chan struct{})
		if !w.loop.Post(func(l *reactor.Loop) {
			defer close(done)
			for _, source := range l.Sources {
				if c, ok := source.(*conn); ok && c.life == open {
					watch := &stopwatch{c.transport(), func(time.Time) {}, func(at time.Time) { q.lap.wrote(at, members) }}
					if peer, err := unix.Getpeername(int(c.fd)); err == nil && peer.(*unix.SockaddrInet4).Port == publisher {
						watch.read = q.lap.read
					}
					var watched transport = watch
					c.other = &watched
				}
			}
		}) {
			t.Fatal("the loop takes no task")
		}
		<-done
	}
	return q
}

// talk publishes for a while and returns how long each message took to reach the last client.
func (q *quietRoom) talk(t *testing.T, d time.Duration) (seen []time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		start := time.Now()
		q.clients[0].Send(wstest.MaskedText("tick"))
		for _, c := range q.clients {
			c.SetReadDeadline(time.Now().Add(testenv.Patience))
			c.ExpectFrame(ws.OpText, "tick")
		}
		seen = append(seen, time.Since(start))
	}
	return seen
}

func quantile(all []time.Duration, q float64) time.Duration {
	slices.Sort(all)
	return all[min(len(all)-1, int(q*float64(len(all))))]
}

const (
	floodEnv   = "SLUICE_TEST_FLOOD"
	gatewayEnv = "SLUICE_TEST_GATEWAY"
)

func untilParentGoes() { _, _ = bufio.NewReader(os.Stdin).ReadByte() }

// TestFairnessGateway is of use only as a child: a second gateway.
func TestFairnessGateway(t *testing.T) {
	if os.Getenv(gatewayEnv) == "" {
		return
	}
	_, addr := startGateway(t, testConfig())
	fmt.Println("ready", addr)
	untilParentGoes()
}

// TestFairnessFlood is of use only as a child: a room of readers and one sender that does not wait.
func TestFairnessFlood(t *testing.T) {
	var addr string
	var n int
	var isAway bool
	if k, _ := fmt.Sscan(strings.ReplaceAll(os.Getenv(floodEnv), ",", " "), &addr, &n, &isAway); k != 3 {
		return
	}
	if isAway {
		giveWay(t)
	}
	var conns []net.Conn
	for range n {
		c, err := wstest.UpgradeRaw(addr, "/ws/flood")
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		go func() { _, _ = io.Copy(io.Discard, c) }()
	}
	go func() {
		payload := make([]byte, floodMessage)
		var batch []byte
		for i := uint64(0); ; i++ {
			binary.BigEndian.PutUint64(payload, i)
			batch = wsproto.AppendMaskedFrame(batch, wsproto.OpBinary, true, [4]byte{1, 2, 3, byte(i)}, payload)
			if len(batch) >= 64<<10 {
				if _, err := conns[0].Write(batch); err != nil {
					return
				}
				batch = batch[:0]
			}
		}
	}()
	fmt.Println("ready", addr)
	untilParentGoes()
	for _, c := range conns {
		c.Close()
	}
}

// giveWay puts all threads there are, from which those to come have it, under the policy SCHED_IDLE
// of sched(7).
func giveWay(t *testing.T) {
	const schedIdle = 5
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err == nil {
			err = unix.SchedSetAttr(id, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: schedIdle}, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// While a neighbour room is flooded, a message of a quiet room is written to its last member soon,
// and its clients see about what they see when the flood goes through another process of the same
// machine. How soon is a figure, printed; a test can only tell it from being starved. The other
// process is half of the work: where nobody asks for the figure it only has a part if the room
// seems to starve.
func TestQuietRoomBesideAFlood(t *testing.T) {
	if testenv.RaceEnabled {
		t.Skip("figures of the race detector's build say nothing; the flood tests run under it")
	}
	duration, isFigure := 500*time.Millisecond, *fairnessPairs > 1 || *fairnessMost > 0
	if testenv.IsWholeSize(t) {
		duration, isFigure = 2*time.Second, true
	}
	duration = cmp.Or(*fairnessTime, duration)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + *fairnessLoops)) // As main has it.
	measure := func(t *testing.T, isNeighbour bool) (inside, seen []time.Duration) {
		cfg := testConfig()
		cfg.Loops = *fairnessLoops
		s, addr := startGateway(t, cfg)
		q := newQuietRoom(t, s, addr, 10)
		to := addr
		if !isNeighbour {
			to = proctest.StartChild(t, gatewayEnv, "1", "TestFairnessGateway").Await("ready")
		}
		flood := proctest.StartChild(t, floodEnv, fmt.Sprintf("%s,%d,%v", to, *fairnessReaders, *fairnessAway), "TestFairnessFlood")
		flood.Await("ready")
		seen = q.talk(t, duration)
		flood.End()
		st := testenv.StatsOf(t, s)
		t.Logf("%d deliveries, %.1f messages a write", st.Deliveries, float64(st.Deliveries)/float64(st.Writes))
		if isNeighbour && st.Deliveries < 100*uint64(*fairnessReaders) {
			t.Error("there was no flood")
		}
		return q.lap.took, seen
	}
	const starved = 250 * time.Millisecond // in half of its messages
	var ratios, noise []float64
	for range *fairnessPairs {
		var inside, seen, control, again []time.Duration
		compare := func() { t.Run("beside another process", func(t *testing.T) { _, control = measure(t, false) }) }
		if isFigure {
			compare()
		}
		t.Run("beside the flood", func(t *testing.T) { inside, seen = measure(t, true) })
		switch {
		case t.Failed():
			return
		case !isFigure && quantile(inside, 0.5) <= starved:
			t.Logf("inside the gateway: p50 %v", quantile(inside, 0.5))
			return
		case !isFigure:
			compare()
		}
		if *fairnessPairs > 1 {
			t.Run("beside another process again", func(t *testing.T) { _, again = measure(t, false) })
		}
		if t.Failed() {
			return
		}
		if len(again) > 0 {
			noise = append(noise, float64(quantile(again, 0.99))/float64(quantile(control, 0.99)))
			control = append(control, again...)
		}
		ratio := float64(quantile(seen, 0.99)) / float64(quantile(control, 0.99))
		ratios = append(ratios, ratio)
		t.Logf("inside the gateway: p50 %v, p99 %v; seen by clients: p50 %v, p99 %v; the flood in another process: p50 %v, p99 %v; ratio of p99 %.2f",
			quantile(inside, 0.5), quantile(inside, 0.99), quantile(seen, 0.5), quantile(seen, 0.99), quantile(control, 0.5), quantile(control, 0.99), ratio)
		// A machine with much other work holds up all that is measured, the control as well.
		if p50 := quantile(inside, 0.5); p50 > starved && p50 > 10*quantile(control, 0.5) {
			t.Errorf("half of the messages took more than %v inside the gateway: the quiet room starves", p50)
		}
	}
	slices.Sort(ratios)
	slices.Sort(noise)
	median := ratios[len(ratios)/2]
	t.Logf("of %d rounds in turn the median ratio is %.2f; two equal sides differ by factors of %.2f", len(ratios), median, noise)
	if *fairnessMost > 0 && median > *fairnessMost {
		t.Errorf("the quiet room's p99 is %.2f times that beside another process, want at most %v", median, *fairnessMost)
	}
}

// What the kernel holds for a client that does not read is asked, with the default and with what
// the kernel does by itself.
func TestKernelHoldsLittleForAClientThatDoesNotRead(t *testing.T) {
	held := func(unsent int64) (queued, notSent int) {
		cfg := testConfig()
		cfg.UnsentBuffer = unsent
		cfg.Loops = 1
		s, addr := startGateway(t, cfg)
		wstest.Join(t, addr, "/ws/r")
		others := wstest.Gather(t, addr, "/ws/r", 2, 16<<10)
		for range 8 {
			others.Publish(64) // 8 MiB in all: half of the backlog
			others.HearAll()
		}
		w := s.workers[0]
		done := make(chan struct{})
		w.loop.Post(func(l *reactor.Loop) {
			defer close(done)
			for _, source := range l.Sources {
				c, ok := source.(*conn)
				if !ok || !c.reader.IsBlocked() {
					continue
				}
				n, err := unix.IoctlGetInt(int(c.fd), unix.SIOCOUTQ)
				if err != nil {
					t.Error(err)
				}
				const siocOutqNSD = 0x894B // tcp(7) calls it SIOCOUTQNSD: of those, what was not sent
				k, err := unix.IoctlGetInt(int(c.fd), siocOutqNSD)
				if err != nil {
					t.Error(err)
				}
				queued, notSent = max(queued, n), max(notSent, k)
			}
		})
		<-done
		return queued, notSent
	}
	withQueued, with := held(testConfig().UnsentBuffer)
	withoutQueued, without := held(-1)
	t.Logf("the kernel's send queue of a client that does not read: %d bytes, %d of them unsent; by itself %d and %d", withQueued, with, withoutQueued, without)
	if most := 64<<10 + writeBudget; with > most {
		t.Errorf("%d bytes are unsent, more than the limit and one write, %d", with, most)
	}
	if with == 0 || without < 2*with {
		t.Errorf("%d bytes are unsent with the limit and %d without: it makes no difference", with, without)
	}
}
