package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"

	"sluice/hub"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor"
	"sluice/reactor/reactortest"
)

// N22. A drain meets readers that are megabytes behind and go on reading, slower than the drain
// lasts, and others that read only when they are to go and send all the time. Gorilla's client sees
// whole frames in order and then Close 1001, nothing else, whatever its room's policy, and however
// short --close-timeout is.
//
// Relatives: a reader overrun while it drains, in the middle of a frame or not; one that took its
// frame's rest from a copy; one whose own pongs wait; one that is held by its room or a rate while
// it is told to go, and does not read before it has sent; a frame whose rest is more than the
// kernel takes; what is published while the drain goes on. Package hub's finish_test.go has the
// frames' ends one by one, blackbox the program.
func TestN22_WhoKeepsReadingSeesWholeFramesAndClose1001(t *testing.T) {
	t.Parallel() // It waits for those who read slowly.
	const fast, slow, senders = 12, 5, 3
	isWhole := testenv.IsWholeSize(t) // By default two of the four.
	for i, policy := range []hub.Policy{hub.Disconnect, hub.Latest} {
		for j, size := range []int{4 << 10, 200 << 10} {
			if i != j && !isWhole {
				continue
			}
			t.Run(fmt.Sprintf("%v/%d", policy, size), func(t *testing.T) {
				t.Parallel()
				cfg := testConfig()
				cfg.SlowPolicy = policy
				cfg.CloseTimeout = 200 * time.Millisecond
				cfg.DrainTimeout = 8 * time.Second // Its last quarter is for those who send and have yet to read, with the race detector, too.
				s, addr := startGateway(t, cfg)
				var all []*gorilla.Conn
				for range slow + senders {
					all = append(all, dialNarrow(t, addr, "/ws/r"))
				}
				crowd := make([]*gorilla.Conn, fast)
				var readers sync.WaitGroup
				for i := range crowd {
					crowd[i] = dialNarrow(t, addr, "/ws/r")
					readers.Go(func() { readAtRate(t, crowd[i], size, 0) })
				}
				for seq := range 6 << 20 / size {
					if err := crowd[0].WriteMessage(gorilla.BinaryMessage, wstest.Message(uint64(seq), size)); err != nil {
						t.Fatal(err)
					}
				}
				testenv.Eventually(t, "the slow are far behind", func() bool {
					st := testenv.StatsOf(t, s)
					return st.Messages == uint64(6<<20/size) && st.Hub.Refused > 0
				})
				drained := make(chan error, 1)
				go func() { drained <- s.Drain(context.Background()) }()
				testenv.Eventually(t, "all have had their turn", func() bool { return livesIn(t, s, open) == 0 })
				for i, c := range all {
					if i < slow {
						readers.Go(func() { readAtRate(t, c, size, 300<<10) })
						continue
					}
					stop := make(chan struct{})
					readers.Go(func() {
						for {
							select {
							case <-stop:
								return
							default: // It is read and dropped.
								_ = c.WriteMessage(gorilla.BinaryMessage, make([]byte, 100))
								time.Sleep(5 * time.Millisecond)
							}
						}
					})
					readers.Go(func() {
						defer close(stop)
						testenv.Eventually(t, "all are told", func() bool { return livesIn(t, s, open, finishing, parting) == 0 })
						readAtRate(t, c, size, 0)
					})
				}
				readers.Wait()
				if err := <-drained; err != nil {
					t.Errorf("Drain: %v", err)
				}
				if st := testenv.StatsOf(t, s); st.Closed[ClosedDrain] != fast+slow+senders || st.Closed[ClosedCut] != 0 {
					t.Errorf("closed %v", st.Closed)
				}
			})
		}
	}
}

// readAtRate reads whole messages in order, so many bytes a second if that is not zero, until it is
// told to go away.
func readAtRate(t *testing.T, c *gorilla.Conn, size, rate int) {
	began := time.Now()
	for seq := uint64(0); ; seq++ {
		_ = c.SetReadDeadline(time.Now().Add(testenv.Patience))
		_, p, err := c.ReadMessage()
		if closed := new(gorilla.CloseError); errors.As(err, &closed) {
			if closed.Code != 1001 {
				t.Errorf("after %d messages it is closed with %v", seq, closed)
			}
			c.Close()
			return
		}
		if err != nil || !wstest.IsMessage(p, seq, size) {
			t.Errorf("after %d messages comes one of %d bytes, %v", seq, len(p), err)
			return
		}
		if rate > 0 {
			time.Sleep(time.Until(began.Add(time.Duration(seq+1) * time.Duration(size) * time.Second / time.Duration(rate))))
		}
	}
}

// onConns calls f on each loop for each of its connections.
func onConns(t *testing.T, s *Server, f func(c *conn)) {
	t.Helper()
	for _, w := range s.workers {
		done := make(chan struct{})
		if err := post(context.Background(), w.loop, func(*reactor.Loop) {
			defer close(done)
			for _, source := range w.loop.Sources {
				if c, ok := source.(*conn); ok {
					f(c)
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
		<-done
	}
}

// livesIn counts the connections in some states.
func livesIn(t *testing.T, s *Server, states ...lifeState) (n int) {
	onConns(t, s, func(c *conn) {
		for _, state := range states {
			if c.life == state {
				n++
			}
		}
	})
	return n
}

// A reader that is told all at once, because its kernels have room, and is silent for longer than
// lingering lasts, then sends and only then reads: it is all there, because what it has yet to take
// keeps its connection.
func TestN22_SilentReaderThatSpeaksBeforeItReadsLosesNothing(t *testing.T) {
	t.Parallel()
	const size, published = 4 << 10, 200
	cfg := testConfig()
	cfg.Loops = 1
	cfg.UnsentBuffer = -1
	cfg.DrainTimeout = time.Minute
	s, addr := startGateway(t, cfg)
	c := dialNarrow(t, addr, "/ws/r")
	for seq := range published {
		if err := c.WriteMessage(gorilla.BinaryMessage, wstest.Message(uint64(seq), size)); err != nil {
			t.Fatal(err)
		}
	}
	testenv.Eventually(t, "all is published", func() bool { return testenv.StatsOf(t, s).Messages == published })
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(context.Background()) }()
	testenv.Eventually(t, "it is told all", func() bool { return livesIn(t, s, lingering) == 1 })
	time.Sleep(lingerTime + lingerTime/2) // Not a wait for something: it is silent for so long.
	if err := c.WriteMessage(gorilla.BinaryMessage, []byte("dropped")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // A reset would be here by then.
	readAtRate(t, c, size, 0)
	if err := <-drained; err != nil {
		t.Errorf("Drain: %v", err)
	}
}

// A client that never reads, in the middle of a frame whose rest is more than its kernels take, is
// cut when the drain is over: counted under a reason of its own, and logged with its id and room,
// how far it was behind and for how many more the line stands. Whoever has closed by then is not.
func TestN22_WhoDoesNotReadIsCutCountedAndLogged(t *testing.T) {
	t.Parallel()
	const size = 12 << 20
	cfg := testConfig()
	cfg.MaxMessage, cfg.RoomBacklog = size, 4*size
	cfg.PublishWindow = cfg.RoomBacklog // The sender is not to be held by those that do not read.
	cfg.DrainTimeout = time.Second
	var log journal
	s, addr := startGatewayLogging(t, cfg, nil, &log)
	const deaf = 3
	for range deaf {
		dialNarrow(t, addr, "/ws/stage")
	}
	loud := wstest.Join(t, addr, "/ws/stage")
	loud.Send(wstest.MaskedBinary(strings.Repeat("x", size)))
	loud.Frame()
	loud.Close()
	testenv.Eventually(t, "they alone are there", func() bool { return s.Open() == deaf })
	began := time.Now()
	if err := s.Drain(context.Background()); err != nil {
		t.Errorf("Drain: %v", err)
	}
	if took := time.Since(began); took < cfg.DrainTimeout*9/10 {
		t.Errorf("the drain lasted %v of %v", took, cfg.DrainTimeout)
	}
	if st := testenv.StatsOf(t, s); st.Closed[ClosedCut] != deaf || st.Hub.Ended < deaf {
		t.Errorf("closed %v, of messages %+v", st.Closed, st.Hub.Account)
	}
	lines := log.lines("client left")
	if len(lines) != 1 || !strings.Contains(lines[0], "reason=cut") || !strings.Contains(lines[0], "room=stage") ||
		!strings.Contains(lines[0], "messages_behind=1") || !strings.Contains(lines[0], " id=") || strings.Contains(lines[0], "level=DEBUG") {
		t.Errorf("logged %q; want one line for all", lines)
	}
}

// D01. Clients are told to go one after the other, so that they do not all come back at once: a
// millisecond apart, or over half of the drain where they are too many for that.
func TestD01_FarewellsAreSpread(t *testing.T) {
	t.Parallel()
	const clients = 200
	for _, tc := range []struct {
		timeout       time.Duration
		first, behind int           // how many are told at once, and 50 ms later
		rest          time.Duration // until all are
	}{{time.Hour, 10, 60, 150 * time.Millisecond}, {200 * time.Millisecond, 20, 120, 50 * time.Millisecond}} {
		kernel := reactortest.New()
		kernel.StopClock()
		cfg := testConfig()
		cfg.Loops, cfg.DrainTimeout = 1, tc.timeout
		s, addr := startGatewayOn(t, cfg, kernel)
		var all []*wstest.Client
		for range clients {
			all = append(all, wstest.Join(t, addr, "/ws/r"))
		}
		drained := make(chan error, 1)
		go func() { drained <- s.Drain(context.Background()) }()
		told := func() (n int) {
			s.each(t, func(c *conn) {
				if c.life != open {
					n++
				}
			})
			return n
		}
		var most int
		expect := func(n int) {
			t.Helper()
			testenv.Eventually(t, fmt.Sprintf("%d are told", n), func() bool { most = told(); return most >= n })
			if most > n {
				t.Errorf("%d were told to go at once, want %d", most, n)
			}
		}
		expect(tc.first)
		kernel.Pass(50 * time.Millisecond)
		expect(tc.behind)
		kernel.Pass(tc.rest)
		for _, c := range all {
			c.ExpectClose(1001)
			c.Close()
		}
		if err := <-drained; err != nil {
			t.Error(err)
		}
	}
}
