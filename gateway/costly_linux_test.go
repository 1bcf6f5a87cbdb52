package gateway

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor"
)

// Clients whose turns take long have one such turn each that nobody could foresee. From then on no
// tick is long, whatever they do in between, and whether they wait for their answers or not.
func TestCostlyClientsStayInTheirLine(t *testing.T) {
	many := 24
	if testenv.RaceEnabled {
		many = 4
	}
	cfg := testConfig()
	cfg.Loops = 1
	s, addr := startGateway(t, cfg)
	costly := [][]byte{wstest.MaskedDeflated(ws.OpBinary, costlyBlocks(3900)), wstest.MaskedDeflated(ws.OpBinary, costlyBlocks(4090))}
	var all []*wstest.Client
	for i := range many {
		all = append(all, wstest.JoinDeflated(t, addr, fmt.Sprint("/ws/", i)))
	}
	two := newPair(t, s, addr)
	allSend := func(p []byte) {
		var sent sync.WaitGroup
		for _, c := range all {
			sent.Go(func() { c.TrySend(p) })
		}
		sent.Wait()
	}
	allHear := func() {
		for _, c := range all {
			c.Frame()
		}
	}
	least := time.Hour // On a busy machine a round may take so long that its clients are forgiven.
	for round := range 6 {
		two.tick.Store(0)
		allSend(costly[round%2])
		for range 5 {
			two.say()
		}
		allHear()
		tick := time.Duration(two.tick.Load())
		t.Logf("round %d: longest tick %v", round, tick)
		if round > 0 {
			least = min(least, tick)
		}
		allSend(wstest.Masked(ws.OpPing, true, "")) // A short turn.
		allHear()
	}
	if least > delayMax(t) {
		t.Errorf("in each round a tick took %v of the loop's time or more", least)
	}
}

// In a cluster, too, answers about who is in a room are made in the line of costly turns: hundreds
// of them at once do not hold up a large message of somebody else.
func TestLargeMessageDoesNotWaitForPresence(t *testing.T) {
	const many = 400
	cfg, node := testConfig(), &linked{}
	cfg.Loops, cfg.Nodes, cfg.Rooms = 1, node, rules(t, "kept=presence")
	cfg.Anonymous = grants(t, "*=read,publish,presence")
	s := newGateway(t, cfg, nil, testenv.LogTo(t))
	node.made.Store(&[]*Server{s})
	free, survey := make(chan struct{}), s.surveyors.answer
	s.surveyors.answer = func(ctx context.Context, q *question) error {
		select {
		case <-free:
		case <-ctx.Done():
		}
		return survey(ctx, q)
	}
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(func() { s.Close(); checkAccounts(t, s) })
	addr := s.Addrs()[0].String()
	for i := range presenceMax {
		s.presences.enter("kept", &attendee{info: infoOf(&Principal{}, fmt.Sprint("client-", i), nil)})
	}
	var all []*wstest.Client
	for range many {
		c := wstest.Join(t, addr, subscriberPath, wstest.MaskedText("{\"id\":1,\"connect\":{}}\n{\"id\":2,\"presence\":{\"channel\":\"kept\"}}"))
		c.SetDeadline(time.Now().Add(testenv.Patience))
		all = append(all, c)
	}
	testenv.Eventually(t, "all are parked", func() bool {
		n := 0
		onConns(t, s, func(c *conn) {
			if c.isParked() {
				n++
			}
		})
		return n == many
	})
	c, text := wstest.Join(t, addr, "/ws/quiet"), strings.Repeat("x", 256<<10)
	port, w := c.LocalAddr().String(), s.workers[0]
	var before atomic.Uint64 // commands, when it was heard
	onConns(t, s, func(c *conn) {
		if peerOf(c) == port {
			var watched transport = &stopwatch{c.transport(), func(time.Time) {}, func(time.Time) { before.Store(w.stats.Commands) }}
			c.other = &watched
		}
	})
	release := make(chan struct{}) // The loop has all answers at once, and the large message beside them.
	if err := post(t.Context(), w.loop, func(*reactor.Loop) { <-release }); err != nil {
		t.Fatal(err)
	}
	close(free)
	testenv.Eventually(t, "all are answered", func() bool {
		s.surveyors.mu.Lock()
		defer s.surveyors.mu.Unlock()
		return s.surveyors.running == 0
	})
	sent := make(chan struct{})
	go func() { defer close(sent); c.TrySend(wstest.MaskedText(text)) }()
	select {
	case <-sent: // The kernel has all of it: whoever sends it may have to wait for a processor.
	case <-time.After(time.Second): // It takes no more.
	}
	close(release)
	c.ExpectFrame(ws.OpText, text)
	<-sent
	testenv.Eventually(t, "that is noted", func() bool { return before.Load() > 0 })
	n := int(before.Load()) - many // Each has connected.
	t.Logf("%d of %d were told who is there before it was heard", n, many)
	if n > many/2 {
		t.Errorf("%d of %d were told who is there before it was heard", n, many)
	}
	for _, c := range all {
		c.Frame() // connect's
		if f := c.Frame(); strings.Count(string(f.Payload), `"client-`) != 2*presenceMax {
			t.Errorf("presence is answered with %s", wstest.Describe(f))
		}
	}
}

// Whoever sends much stands in line as well, but not behind those: a dozen who would hold the loop
// for seconds do not hold up a megabyte of a client whose turns are short, and what they do not let
// us read is not held against it.
func TestLargeMessageDoesNotWaitForCostlyClients(t *testing.T) {
	cfg := testConfig()
	cfg.Loops = 1
	cfg.AssemblyTimeout = 2 * time.Second
	s, addr := startGateway(t, cfg)
	two := newPair(t, s, addr) // First: it ties the loop to a thread, which coroutines must not live through.
	costly := wstest.MaskedDeflated(ws.OpBinary, costlyBlocks(1<<19))
	var sent sync.WaitGroup
	defer sent.Wait()
	for range 12 {
		c := wstest.JoinDeflated(t, addr, "/ws/hostile")
		sent.Go(func() {
			c.SetWriteDeadline(time.Now().Add(playTime))
			for range 4 {
				c.TrySend(costly)
			}
		})
	}
	clock, begin := two.clock, two.clock.now()
	for clock.now()-begin < 50*time.Millisecond { // They have all had a turn.
		two.say()
	}
	c := wstest.Join(t, addr, "/ws/quiet")
	text := strings.Repeat("x", 1<<20-10)
	begin = clock.now()
	c.Send(wstest.MaskedText(text))
	c.ExpectFrame(ws.OpText, text)
	took := clock.now() - begin
	t.Logf("the loop worked for %v until it was heard", took)
	if most := 25 * delayMax(t); took > most { // Behind the others it is 1.4 s.
		t.Errorf("the loop worked for %v until it was heard, more than %v", took, most)
	}
}
