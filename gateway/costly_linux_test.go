package gateway

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
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
