package conformance

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/wsproto"
)

func TestLentConnectionComesBackForAnUpgrade(t *testing.T) {
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	witness := wstest.Join(t, addr, "/ws/stage")
	were := runtime.NumGoroutine()
	c := wstest.Connect(t, addr)
	c.Send(wstest.PlainGet("/"))
	if r, body := c.Response(); r.StatusCode != http.StatusOK || !strings.Contains(body, "<html") || r.Close {
		t.Fatalf("GET /: %s, close %t, %d bytes", r.Status, r.Close, len(body))
	}
	c.Send(wstest.PlainGet("/livez"))
	if r, body := c.Response(); r.StatusCode != http.StatusOK || body != "ok\n" {
		t.Fatalf("GET /livez: %s %q", r.Status, body)
	}
	if st := testenv.StatsOf(t, s); st.Lent != 1 {
		t.Errorf("lent %d times, want once for both requests", st.Lent)
	}
	c.Send(wstest.UpgradeHead("/ws/stage"), wstest.MaskedText("in the same packet"))
	c.ExpectUpgrade()
	c.ExpectFrame(ws.OpText, "in the same packet")
	witness.ExpectFrame(ws.OpText, "in the same packet")
	testenv.ExpectGoroutines(t, were)
	if st := testenv.StatsOf(t, s); st.Returned != 1 || st.EarlyBytes != 1 || st.Messages != 1 {
		t.Errorf("Returned %d, EarlyBytes %d, Messages %d; want 1, 1, 1", st.Returned, st.EarlyBytes, st.Messages)
	}
	c.Send(wstest.MaskedText("and later"))
	witness.ExpectFrame(ws.OpText, "and later")
	c.ExpectFrame(ws.OpText, "and later")
	c.Send(wstest.MaskedClose(1000, ""))
	c.ExpectClose(1000)
	c.Close()
	testenv.Eventually(t, "one connection is left", func() bool { return s.Open() == 1 })
}

// All of it in one packet: the page, an upgrade, a frame.
func TestPipelinedUpgradeBehindAPage(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	c := wstest.Connect(t, addr)
	c.Send(wstest.PlainGet("/livez"), wstest.UpgradeHead("/ws"), wstest.MaskedText("hello"))
	if r, _ := c.Response(); r.StatusCode != http.StatusOK {
		t.Fatal(r.Status)
	}
	c.ExpectUpgrade()
	c.ExpectFrame(ws.OpText, "hello")
}

// A message that is larger than any buffer of net/http, begun in the packet of the upgrade.
func TestLargeMessageBehindALateUpgradeIsWhole(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	c := wstest.Connect(t, addr)
	c.Send(wstest.PlainGet("/livez"))
	c.Response()
	text := strings.Repeat("0123456789", 50_000)
	c.Send(wstest.UpgradeHead("/ws"), wstest.MaskedText(text), wstest.MaskedText("and another"))
	c.ExpectUpgrade()
	c.ExpectFrame(ws.OpText, text)
	c.ExpectFrame(ws.OpText, "and another")
}

func TestOrdinaryRequestsOnOneConnection(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	c := wstest.Connect(t, addr)
	c.Send(wstest.RequestHead("HEAD / HTTP/1.1", "Host: sluice.test"))
	if r, body := c.ResponseTo(http.MethodHead); r.StatusCode != http.StatusOK || body != "" || r.ContentLength <= 0 {
		t.Errorf("HEAD /: %s, length %d, body %q", r.Status, r.ContentLength, body)
	}
	c.Send(wstest.RequestHead("POST /livez HTTP/1.1", "Host: sluice.test", "Content-Length: 5"), []byte("hello"))
	if r, _ := c.Response(); r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST /livez: %s", r.Status)
	}
	c.Send(wstest.RequestHead("POST /nothing HTTP/1.1", "Host: sluice.test", "Transfer-Encoding: chunked"), []byte("5\r\nhello\r\n0\r\n\r\n"))
	if r, _ := c.Response(); r.StatusCode != http.StatusNotFound {
		t.Errorf("POST /nothing: %s", r.Status)
	}
	c.Send(wstest.PlainGet("/livez"))
	if _, body := c.Response(); body != "ok\n" {
		t.Errorf("behind a body: %q", body)
	}
}

// The first request of a connection may be any: its body's bytes came with the head, or come later.
func TestBodyBehindTheFirstHeadReachesHTTP(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	for _, split := range []bool{false, true} {
		c := wstest.Connect(t, addr)
		head, body := wstest.RequestHead("POST /nothing HTTP/1.1", "Host: sluice.test", "Content-Length: 100000"), []byte(strings.Repeat("b", 100_000))
		if split {
			c.Send(head)
			c.Send(body)
		} else {
			c.Send(head, body)
		}
		c.Send(wstest.PlainGet("/livez"))
		if r, _ := c.Response(); r.StatusCode != http.StatusNotFound {
			t.Errorf("split %t: %s", split, r.Status)
		}
		if _, body := c.Response(); body != "ok\n" {
			t.Errorf("split %t: the body's bytes were taken for a request: %q", split, body)
		}
	}
}

func TestHTTPConnectionsOverTheLimitGet503(t *testing.T) {
	cfg := gatewaytest.Options()
	cfg.MaxHTTPConnections = 2
	s, addr := gatewaytest.Start(t, cfg)
	var kept []*wstest.Client
	for range cfg.MaxHTTPConnections {
		c := wstest.Connect(t, addr)
		c.Send(wstest.PlainGet("/livez"))
		c.Response()
		kept = append(kept, c)
	}
	over := wstest.Connect(t, addr)
	over.Send(wstest.PlainGet("/livez"))
	over.ExpectRefusal(http.StatusServiceUnavailable)
	if st := testenv.StatsOf(t, s); st.Refusals[wsproto.ReasonUnavailable] != 1 || st.Lent != 2 {
		t.Errorf("%d refused, %d lent; want 1, 2", st.Refusals[wsproto.ReasonUnavailable], st.Lent)
	}
	wstest.Join(t, addr, "/ws") // WebSockets have a limit of their own.

	isServed := func() bool { // and keeps the place
		c := wstest.Connect(t, addr)
		c.TrySend(wstest.PlainGet("/livez")) // It may be turned away before it has asked.
		r, _ := c.Response()
		return r.StatusCode == http.StatusOK
	}
	kept[0].Close()
	testenv.Eventually(t, "a place is free", isServed)
	if isServed() {
		t.Error("there are more places than two")
	}
	// A connection that turns into a WebSocket gives the place back.
	kept[1].Send(wstest.UpgradeHead("/ws"))
	kept[1].ExpectUpgrade()
	testenv.Eventually(t, "a place is free", isServed)
}

func TestOrdinaryClientIsServed(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: testenv.Patience}
	for range 3 {
		r, err := client.Get("http://" + addr + "/")
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || r.StatusCode != http.StatusOK || len(page) == 0 {
			t.Errorf("%s, %d bytes, %v", r.Status, len(page), err)
		}
	}
}

// More frames than net/http's buffer takes, in the same packet as a page's request and the upgrade.
func TestManyFramesBehindALentRequestAreAllHeard(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	c := wstest.Connect(t, addr)
	parts := [][]byte{wstest.PlainGet("/livez"), wstest.UpgradeHead("/ws")}
	message := func(i int) string { return fmt.Sprint(i) + strings.Repeat("x", 500) }
	for i := range 20 {
		parts = append(parts, wstest.MaskedText(message(i)))
	}
	c.Send(parts...)
	c.Response()
	c.ExpectUpgrade()
	for i := range 20 {
		c.ExpectFrame(ws.OpText, message(i))
	}
}
