package gateway

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"sluice/internal/wstest"
	"sluice/reactor"
	"sluice/reactor/reactortest"
)

// newHomely is a stepped gateway with a client on its first loop, in the room "r".
func newHomely(t *testing.T, change func(*config)) (st *stepped, first *steppedClient) {
	t.Helper()
	cfg := homelyConfig()
	if change != nil {
		change(cfg)
	}
	st = newStepped(t, cfg, nil)
	return st, st.join(0, "/ws/r")
}

// dialAway connects a client that comes to the second loop, where nothing of it has been read.
func (st *stepped) dialAway() *steppedClient {
	st.t.Helper()
	p, err := st.kernel.Dial(st.listen)
	if err != nil {
		st.t.Fatal(err)
	}
	if st.tickAll(5); st.s.workers[1].conns.Load() == 0 {
		st.t.Fatal("it came to the first loop")
	}
	return &steppedClient{Peer: p, st: st}
}

// read is all that has come.
func (c *steppedClient) read() string {
	var all bytes.Buffer
	for buf := make([]byte, 4096); ; {
		n, err := c.Read(buf)
		if all.Write(buf[:max(0, n)]); n <= 0 || err != nil {
			return all.String()
		}
	}
}

// expectAccounts fails unless every connection that was accepted is open or has ended once, and
// each loop has as many as it counts.
func (st *stepped) expectAccounts(openNow int) {
	st.t.Helper()
	sum, closed := st.s.final(), uint64(0)
	for _, n := range sum.Closed {
		closed += n
	}
	if sum.Accepted != closed+uint64(openNow) || st.s.Open() != openNow {
		st.t.Errorf("%d were accepted, %d have ended, %d are counted as open; %d are", sum.Accepted, closed, st.s.Open(), openNow)
	}
	for i, w := range st.s.workers {
		here := 0
		for _, source := range w.loop.Sources {
			if _, ok := source.(*conn); ok {
				here++
			}
		}
		if int64(here) != w.conns.Load() {
			st.t.Errorf("loop %d has %d connections and counts %d", i, here, w.conns.Load())
		}
	}
}

// A client moves whole, wherever its head and the frames behind it are cut.
func TestMoveTakesAllThatWasRead(t *testing.T) {
	head := wstest.UpgradeHead("/ws/r")
	all := bytes.Join([][]byte{head, wstest.MaskedText("one"), wstest.MaskedText("two")}, nil)
	for cut := 1; cut <= len(all); cut++ {
		st, first := newHomely(t, nil)
		c := st.dialAway()
		c.send(all[:cut])
		st.tickAll(6)
		c.send(all[cut:])
		st.tickAll(6)
		got := c.read()
		if !strings.HasPrefix(got, "HTTP/1.1 101 ") || !strings.HasSuffix(got, "\x81\x03one\x81\x03two") {
			t.Fatalf("cut at %d of %d it gets %q", cut, len(all), got)
		}
		if got := first.read(); got != "\x81\x03one\x81\x03two" {
			t.Fatalf("cut at %d of %d the other one gets %q", cut, len(all), got)
		}
		if n := st.s.final().Moved; n != 1 {
			t.Fatalf("cut at %d of %d it moved %d times", cut, len(all), n)
		}
		st.expectAccounts(2)
		st.s.release()
	}
}

// moveAway has a client's head read on the second loop, from where it is in the first one's
// mailbox.
func (st *stepped) moveAway() *steppedClient {
	st.t.Helper()
	c := st.dialAway()
	c.send(wstest.UpgradeHead("/ws/r"))
	if st.tick(1, 2); st.s.workers[1].conns.Load() != 0 {
		st.t.Fatal("it has not left")
	}
	if n := st.s.workers[1].stats.Moved; n != 1 {
		st.t.Fatalf("it moved %d times", n)
	}
	return c
}

// A client that is between two loops when the gateway drains is told like everybody, on the loop it
// comes to.
func TestDrainFindsWhoIsOnTheWay(t *testing.T) {
	st, _ := newHomely(t, nil)
	c := st.moveAway()
	for _, w := range st.s.workers {
		w.loop.Post(func(*reactor.Loop) { w.startDrain(time.Second) })
	}
	st.tickAll(3)
	got := ""
	for range 300 {
		st.kernel.Advance(5 * time.Millisecond)
		st.tickAll(2)
		got += c.read()
	}
	if !strings.HasPrefix(got, "HTTP/1.1 101 ") || !strings.Contains(got, "\x03\xe9going away") {
		t.Errorf("it gets %q, want to be let in and told to go", got)
	}
	c.Close()
	st.tickAll(3)
	if sum := st.s.final(); sum.Closed[ClosedDrain]+sum.Closed[ClosedCut] != 2 {
		t.Errorf("%d closed by the drain and %d cut, want two", sum.Closed[ClosedDrain], sum.Closed[ClosedCut])
	}
	st.expectAccounts(0)
}

// A client that is in a mailbox when the loops end is closed and counted.
func TestEndFindsWhoIsOnTheWay(t *testing.T) {
	st, _ := newHomely(t, nil)
	st.moveAway()
	st.s.release()
	if n := st.s.final().Closed[ClosedCut]; n != 2 {
		t.Errorf("%d were cut, want the member and the one on its way", n)
	}
	if sum := st.s.final(); sum.Accepted != 2 {
		t.Errorf("%d were accepted", sum.Accepted)
	}
	if n := st.kernel.Open(); n != 0 || st.kernel.Err() != nil {
		t.Errorf("%d descriptors are left open; %v", n, st.kernel.Err())
	}
}

// Where the other loop's mailbox is full a client joins where it is.
func TestFullMailboxKeepsAClientWhereItIs(t *testing.T) {
	st, first := newHomely(t, nil)
	c := st.dialAway()
	for st.s.workers[0].loop.Post(func(*reactor.Loop) {}) {
	}
	c.send(wstest.UpgradeHead("/ws/r"), wstest.MaskedText("one"))
	st.tick(1, 4)
	if got := c.read(); !strings.HasPrefix(got, "HTTP/1.1 101 ") || !strings.HasSuffix(got, "\x81\x03one") {
		t.Errorf("it gets %q", got)
	}
	st.tickAll(2)
	if got := first.read(); got != "\x81\x03one" {
		t.Errorf("the other one gets %q", got)
	}
	if n := st.s.final().Moved; n != 0 {
		t.Errorf("it moved %d times", n)
	}
	st.expectAccounts(2)
}

// A connection that the other loop cannot watch ends there, and is counted once.
func TestWhoCannotBeWatchedAtHomeEnds(t *testing.T) {
	st, _ := newHomely(t, nil)
	c := st.moveAway()
	st.kernel.SetFaults(reactortest.Faults{Watch: 1000})
	st.tick(0, 2)
	st.kernel.SetFaults(reactortest.Faults{})
	if _, err := c.Read(make([]byte, 1)); err == nil && st.s.Open() != 1 {
		t.Error("it is still there")
	}
	if sum := st.s.final(); sum.RegisterFailed != 1 || sum.Closed[ClosedShortage] != 1 {
		t.Errorf("%d could not be watched, %d closed for that", sum.RegisterFailed, sum.Closed[ClosedShortage])
	}
	st.expectAccounts(1)
}

// A move gives nobody more time for its handshake, nor takes any: the clocks of loops differ.
func TestMoveKeepsTheDeadline(t *testing.T) {
	st, _ := newHomely(t, func(cfg *config) { cfg.HandshakeTimeout = 10 * time.Second })
	c := st.dialAway()
	head := wstest.UpgradeHead("/ws/r")
	c.send(head[:20])
	st.lapse(7*time.Second, -1)
	c.send(head[20:])
	st.tick(1, 2)
	if left := st.timeAtHome(); left < 2900*time.Millisecond || left > 3100*time.Millisecond {
		t.Errorf("it has %v left of ten seconds, seven of which have passed", left)
	}
}

// timeAtHome is what somebody has left who comes from the second loop to the first, before the head
// is judged there.
func (st *stepped) timeAtHome() time.Duration {
	st.t.Helper()
	st.tick(0, 1)
	loop := st.s.workers[0].loop
	for _, source := range loop.Sources {
		if moved, ok := source.(*conn); ok && moved.life == reading {
			return loop.TimeLeft(moved.token)
		}
	}
	st.t.Fatalf("nobody came; %d moved", st.s.final().Moved)
	return 0
}

// A request behind an answer has the time of a handshake when it moves, whatever was left of the
// silence before it.
func TestMoveBehindAnAnswerHasTheTimeOfAHandshake(t *testing.T) {
	for _, silence := range []time.Duration{time.Second, idleTimeout - time.Second} {
		st, _ := newHomely(t, func(cfg *config) { cfg.HandshakeTimeout = 10 * time.Second })
		c := st.dialAway()
		c.send(wstest.RequestHead("GET /livez HTTP/1.1", "Host: sluice.test"))
		st.tickAll(3)
		if got := c.read(); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Fatalf("the health check is answered %q", got)
		}
		st.lapse(silence, -1)
		c.send(wstest.UpgradeHead("/ws/r"))
		st.tick(1, 2)
		if left := st.timeAtHome(); left < 9900*time.Millisecond || left > 10*time.Second {
			t.Errorf("behind %v of silence it has %v left, and a handshake has ten seconds", silence, left)
		}
		st.s.release()
	}
}
