package gateway

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor/reactortest"
	"sluice/wsproto"
)

// N21. A producer that never reads, with gorilla's client and echo=0: it hears nothing, so it has
// nothing to take, and is neither stalled nor braked by itself. Its reader gets every message; the
// producer is in no account. Pings and limits hold for it.
//
// Relatives: a producer that shares its room with others of its kind; one that deflates; one whose
// own bytes the kernel refuses; one that leaves and comes again; one that asks for nothing in
// particular, or for nonsense.
func TestN21_ProducersWithoutEchoNeedNotRead(t *testing.T) {
	const size, each, producers = 4 << 10, 1500, 3 // 6 MB each: more than kernels hold
	cfg := testConfig()
	cfg.StallTimeout = time.Second
	s, addr := startGateway(t, cfg)
	reader := dialNarrow(t, addr, "/ws/r?x=%zz&echo=1")
	var all []*gorilla.Conn
	for i := range producers {
		d := gorilla.Dialer{EnableCompression: i == 0}
		c, _, err := d.Dial("ws://"+addr+"/ws/r?user=me&echo=0", http.Header{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		all = append(all, c)
	}
	done := make(chan error, producers)
	for _, c := range all {
		go func() {
			var err error
			for seq := uint64(0); seq < each && err == nil; seq++ {
				err = c.WriteMessage(gorilla.BinaryMessage, wstest.Message(seq, size))
			}
			done <- err
		}()
	}
	for n := range producers * each {
		_ = reader.SetReadDeadline(time.Now().Add(testenv.Patience))
		if _, p, err := reader.ReadMessage(); err != nil || len(p) != size {
			t.Fatalf("message %d has %d bytes, %v", n, len(p), err)
		}
	}
	for range producers {
		if err := <-done; err != nil {
			t.Errorf("a producer cannot go on: %v", err)
		}
	}
	st := testenv.StatsOf(t, s)
	if st.Closed != [NumCloseReasons]uint64{} || st.Hub.Owed != producers*each || st.Hub.Delivered != producers*each {
		t.Errorf("closed %v; of messages %+v", st.Closed, st.Hub.Account)
	}
	room, _ := s.hub.Room("r")
	if n := room.Stats().Members; n != 1 {
		t.Errorf("%d members, want the reader alone", n)
	}
	// Whoever only speaks is answered all the same, and told when it breaks a rule.
	c := wstest.Join(t, addr, "/ws/r?echo=0", wstest.MaskedPing("here"), wstest.MaskedText("a"), wstest.MaskedText("\xff"))
	if f := c.Frame(); string(f.Payload) != "here" {
		t.Errorf("got %s for a ping", wstest.Describe(f))
	}
	c.ExpectClose(1007)
}

// A speaker is pinged like everybody, and closed when it does not answer.
func TestN21_SilentSpeakersArePinged(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.PingInterval, cfg.PongTimeout = 50*time.Millisecond, 200*time.Millisecond
	s, addr := startGateway(t, cfg)
	c := wstest.Join(t, addr, "/ws/r?echo=0")
	c.ExpectFrame(0x9, "")
	c.ExpectClose(4009)
	c.Close()
	expectClosed(t, s, ClosedNoPong, 1)
}

func TestN21_WhatEchoMayBe(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	for query, status := range map[string]int{
		"": 101, "?": 101, "?echo=1": 101, "?echo=0": 101, "?echo=0&echo=0": 101, "?%65cho=%30": 101, "?a=b;c&&=&echo=0&%zz": 101, "?Echo=7": 101,
		"?echo": 400, "?echo=": 400, "?echo=2": 400, "?echo=00": 400, "?echo=false": 400, "?echo=0&echo=x": 400, "?echo=%zz": 400, "?echo=0&echo=1": 400,
	} {
		c := wstest.Connect(t, addr)
		c.Send(wstest.UpgradeHead("/ws/r" + query))
		r, text := c.Response()
		if r.StatusCode != status || status == 400 && !strings.HasPrefix(text, "echo is ") {
			t.Errorf("%q is answered with %d %q, want %d", query, r.StatusCode, text, status)
		}
		c.Close()
	}
	if st := testenv.StatsOf(t, s); st.Refusals[wsproto.ReasonEcho] != 8 {
		t.Errorf("%d refused for it, want 8", st.Refusals[wsproto.ReasonEcho])
	}
}

// N21. A producer that hears itself and never reads is closed when it has taken nothing for
// --stall-timeout and published meanwhile: 4010 is there when it reads at last, behind whole
// frames. It is counted by itself and logged. One that only stalls is cut, as ever.
func TestN21_PublisherThatNeverReadsIsTold(t *testing.T) {
	t.Parallel()
	const size = 4 << 10
	cfg := testConfig()
	cfg.StallTimeout = 300 * time.Millisecond
	cfg.CloseTimeout = time.Hour
	var log journal
	s, addr := startGatewayLogging(t, cfg, nil, &log)
	c := dialNarrow(t, addr, "/ws/r")
	seq := uint64(0)
	for end := time.Now().Add(testenv.Patience); livesIn(t, s, open) == 1; seq++ {
		_ = c.SetWriteDeadline(time.Now().Add(testenv.Patience))
		if err := c.WriteMessage(gorilla.BinaryMessage, wstest.Message(seq, size)); err != nil || time.Now().After(end) {
			t.Fatalf("message %d: %v", seq, err)
		}
		time.Sleep(100 * time.Microsecond)
	}
	got := uint64(0)
	for {
		_ = c.SetReadDeadline(time.Now().Add(testenv.Patience))
		_, p, err := c.ReadMessage()
		if closed := new(gorilla.CloseError); errors.As(err, &closed) {
			if closed.Code != 4010 || closed.Text != "does not read" {
				t.Errorf("closed with %v", closed)
			}
			break
		}
		if err != nil || !wstest.IsMessage(p, got, size) {
			t.Fatalf("after %d messages of %d comes one of %d bytes: %v", got, seq, len(p), err)
		}
		got++
	}
	c.Close()
	testenv.Eventually(t, "it is counted", func() bool {
		for r, n := range testenv.StatsOf(t, s).Closed {
			if n > 0 {
				return CloseReason(r).String() == "does_not_read" && n == 1
			}
		}
		return false
	})
	lines := log.lines("client left")
	if len(lines) != 1 || !strings.Contains(lines[0], "level=INFO") || !strings.Contains(lines[0], "reason=does_not_read") || !strings.Contains(lines[0], "room=r ") {
		t.Errorf("logged %q", lines)
	}
	if got == seq || got == 0 {
		t.Errorf("it got %d of its %d messages", got, seq)
	}
}

// One that went on reading after it had published, and then takes nothing, is only stalled; so is
// one that never published.
func TestN21_WhoOnlyStallsIsCut(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	kernel := reactortest.New()
	kernel.StopClock() // Or the loud one is taken for stalled when it has to wait for a processor.
	s, addr := startGatewayOn(t, cfg, kernel)
	once, never := wstest.Join(t, addr, "/ws/r").Narrow(), wstest.Join(t, addr, "/ws/r").Narrow()
	once.Send(wstest.MaskedBinary("first"))
	once.ExpectFrame(0x2, "first")
	never.ExpectFrame(0x2, "first")
	loud := wstest.Join(t, addr, "/ws/r")
	stop := hasten(kernel) // The loud one waits some seconds until it is clear that two do not read.
	for range 3 {
		m := strings.Repeat("x", 1<<20)
		loud.Send(wstest.MaskedBinary(m))
		loud.ExpectFrame(0x2, m)
	}
	stop()
	for range 3 * cfg.StallTimeout / time.Second {
		if s.Open() > 1 {
			kernel.Pass(time.Second)
		}
	}
	expectClosed(t, s, ClosedStalled, 2)
}
