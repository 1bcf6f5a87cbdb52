package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// readiness is what /readyz says to a client that has a connection already.
func readinessOf(t *testing.T, c *wstest.Client) (status int, body string) {
	t.Helper()
	c.Send(wstest.PlainGet("/readyz"))
	r, body := c.Response()
	return r.StatusCode, body
}

func TestReadyzIsAnsweredOnTheLoop(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	c := wstest.Connect(t, addr)
	for _, tc := range []struct {
		line   string
		status int
		body   string
	}{
		{"GET /readyz HTTP/1.1", 200, "ok\n"},
		{"HEAD /readyz HTTP/1.1", 200, ""},
		{"OPTIONS /readyz HTTP/1.1", 204, ""},
		{"GET /readyz?full=1 HTTP/1.1", 200, "ok\n"},
	} {
		c.Send(wstest.RequestHead(tc.line, "Host: any.example"))
		method := tc.line[:len(tc.line)-len(" /readyz HTTP/1.1")]
		if tc.status == 200 && tc.body != "" {
			method = "GET"
		}
		if r, body := c.ResponseTo(method); r.StatusCode != tc.status || body != tc.body || r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %s, %q, %v", tc.line, r.Status, body, r.Header)
		}
	}
	c.Send(wstest.RequestHead("POST /readyz HTTP/1.1", "Host: sluice.test", "Content-Length: 0"))
	if r := c.ExpectRefusal(http.StatusMethodNotAllowed); r.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("Allow: %q", r.Header.Get("Allow"))
	}
	if st := testenv.StatsOf(t, s); st.Lent != 0 {
		t.Errorf("%d requests were lent", st.Lent)
	}
}

// Whoever asks by a connection that it has hears what a new one would: nobody is taken any more.
func TestReadyzSaysThatNobodyIsTaken(t *testing.T) {
	cfg := testConfig()
	cfg.MaxConnections = 2
	s, addr := startGateway(t, cfg)
	c := wstest.Connect(t, addr)
	if status, body := readinessOf(t, c); status != 200 || s.Ready() != nil {
		t.Errorf("with room for one more: %d %q, %v", status, body, s.Ready())
	}
	other := wstest.Join(t, addr, "/ws")
	if status, body := readinessOf(t, c); status != 503 || body != readinesses[isFull].text+"\n" || s.Ready() == nil {
		t.Errorf("full: %d %q, %v", status, body, s.Ready())
	}
	other.Close()
	testenv.Eventually(t, "there is room again", func() bool { return s.Ready() == nil })
	s.pressure.taken.Store(int32(stepConnections))
	if status, body := readinessOf(t, c); status != 503 || body != readinesses[isShortOfMemory].text+"\n" || s.Ready() == nil {
		t.Errorf("short of memory: %d %q, %v", status, body, s.Ready())
	}
	s.pressure.taken.Store(int32(stepRooms))
	if status, body := readinessOf(t, c); status != 200 || body != "ok\n" {
		t.Errorf("short of memory for rooms alone: %d %q", status, body)
	}
}

// From the moment a drain is asked for /readyz says so, and all else is as ever until the delay is
// over.
func TestDrainDelayLeavesTimeForBalancers(t *testing.T) {
	cfg := testConfig()
	cfg.DrainDelay = time.Hour
	s, addr := startGateway(t, cfg)
	c := wstest.Connect(t, addr)
	if status, _ := readinessOf(t, c); status != 200 {
		t.Fatalf("before: %d", status)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(ctx) }()
	testenv.Eventually(t, "it is not ready", func() bool {
		status, body := readinessOf(t, c)
		return status == 503 && body == "draining\n"
	})
	c.Send(wstest.PlainGet("/livez"))
	if r, body := c.Response(); r.StatusCode != 200 || body != "ok\n" {
		t.Errorf("/livez: %s %q", r.Status, body)
	}
	a, b := wstest.Join(t, addr, "/ws/r"), wstest.Join(t, addr, "/ws/r")
	a.Send(wstest.MaskedText("still here"))
	b.ExpectFrame(ws.OpText, "still here")
	cancel()
	if err := <-drained; !errors.Is(err, context.Canceled) {
		t.Errorf("Drain: %v, want that its context ended", err)
	}
	if s.Ready() == nil {
		t.Error("it is ready again, though it was asked to go")
	}
}

func TestDrainGoesOnBehindItsDelay(t *testing.T) {
	cfg := testConfig()
	cfg.DrainDelay = 50 * time.Millisecond
	s, addr := startGateway(t, cfg)
	c := wstest.Join(t, addr, "/ws/r")
	begin := time.Now()
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(context.Background()) }()
	c.ExpectClose(1001)
	if took := time.Since(begin); took < cfg.DrainDelay {
		t.Errorf("told to go after %v", took)
	}
	c.Close()
	if err := <-drained; err != nil {
		t.Errorf("Drain: %v", err)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("it listens still")
	}
}

// Close does not wait for a delay.
func TestCloseEndsADrainDelay(t *testing.T) {
	cfg := testConfig()
	cfg.DrainDelay = time.Hour
	s, _ := startGateway(t, cfg)
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(context.Background()) }()
	testenv.Eventually(t, "the drain has begun", func() bool { return s.Ready() != nil })
	s.Close()
	if err := <-drained; err != nil && !errors.Is(err, ErrClosed) {
		t.Errorf("Drain: %v", err)
	}
	if err := s.Drain(context.Background()); err != nil {
		t.Errorf("a later Drain: %v", err)
	}
}
