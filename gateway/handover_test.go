package gateway

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/wsproto"
)

func TestLentConnectionComesBackForAnUpgrade(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	witness := join(t, addr, "/ws/stage")
	were := runtime.NumGoroutine()
	c := connect(t, addr)
	c.send(plainGet("/"))
	if r, body := c.response(); r.StatusCode != http.StatusOK || !strings.Contains(body, "<html") || r.Close {
		t.Fatalf("GET /: %s, close %t, %d bytes", r.Status, r.Close, len(body))
	}
	c.send(plainGet("/livez"))
	if r, body := c.response(); r.StatusCode != http.StatusOK || body != "ok\n" {
		t.Fatalf("GET /livez: %s %q", r.Status, body)
	}
	if st := statsOf(t, s); st.Lent != 1 {
		t.Errorf("lent %d times, want once for both requests", st.Lent)
	}
	c.send(upgradeHead("/ws/stage"), maskedText("in the same packet"))
	c.expectUpgrade()
	c.expectFrame(ws.OpText, "in the same packet")
	witness.expectFrame(ws.OpText, "in the same packet")
	expectGoroutines(t, were)
	if st := statsOf(t, s); st.Returned != 1 || st.EarlyBytes != 1 || st.Messages != 1 {
		t.Errorf("Returned %d, EarlyBytes %d, Messages %d; want 1, 1, 1", st.Returned, st.EarlyBytes, st.Messages)
	}
	c.send(maskedText("and later"))
	witness.expectFrame(ws.OpText, "and later")
	c.expectFrame(ws.OpText, "and later")
	c.send(maskedClose(1000, ""))
	c.expectClose(1000)
	c.Close()
	eventually(t, "one connection is left", func() bool { return s.Open() == 1 })
}

// All of it in one packet: the page, an upgrade, a frame.
func TestPipelinedUpgradeBehindAPage(t *testing.T) {
	_, addr := startGateway(t, testConfig())
	c := connect(t, addr)
	c.send(plainGet("/livez"), upgradeHead("/ws"), maskedText("hello"))
	if r, _ := c.response(); r.StatusCode != http.StatusOK {
		t.Fatal(r.Status)
	}
	c.expectUpgrade()
	c.expectFrame(ws.OpText, "hello")
}

// A message that is larger than any buffer of net/http, begun in the packet of the upgrade.
func TestLargeMessageBehindALateUpgradeIsWhole(t *testing.T) {
	_, addr := startGateway(t, testConfig())
	c := connect(t, addr)
	c.send(plainGet("/livez"))
	c.response()
	text := strings.Repeat("0123456789", 50_000)
	c.send(upgradeHead("/ws"), maskedText(text), maskedText("and another"))
	c.expectUpgrade()
	c.expectFrame(ws.OpText, text)
	c.expectFrame(ws.OpText, "and another")
}

func TestOrdinaryRequestsOnOneConnection(t *testing.T) {
	_, addr := startGateway(t, testConfig())
	c := connect(t, addr)
	c.send(requestHead("HEAD / HTTP/1.1", "Host: sluice.test"))
	if r, body := c.responseTo(http.MethodHead); r.StatusCode != http.StatusOK || body != "" || r.ContentLength <= 0 {
		t.Errorf("HEAD /: %s, length %d, body %q", r.Status, r.ContentLength, body)
	}
	c.send(requestHead("POST /livez HTTP/1.1", "Host: sluice.test", "Content-Length: 5"), []byte("hello"))
	if r, _ := c.response(); r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST /livez: %s", r.Status)
	}
	c.send(requestHead("POST /nothing HTTP/1.1", "Host: sluice.test", "Transfer-Encoding: chunked"), []byte("5\r\nhello\r\n0\r\n\r\n"))
	if r, _ := c.response(); r.StatusCode != http.StatusNotFound {
		t.Errorf("POST /nothing: %s", r.Status)
	}
	c.send(plainGet("/livez"))
	if _, body := c.response(); body != "ok\n" {
		t.Errorf("behind a body: %q", body)
	}
}

// The first request of a connection may be any: its body's bytes came with the head, or come later.
func TestBodyBehindTheFirstHeadReachesHTTP(t *testing.T) {
	_, addr := startGateway(t, testConfig())
	for _, split := range []bool{false, true} {
		c := connect(t, addr)
		head, body := requestHead("POST /nothing HTTP/1.1", "Host: sluice.test", "Content-Length: 100000"), []byte(strings.Repeat("b", 100_000))
		if split {
			c.send(head)
			c.send(body)
		} else {
			c.send(head, body)
		}
		c.send(plainGet("/livez"))
		if r, _ := c.response(); r.StatusCode != http.StatusNotFound {
			t.Errorf("split %t: %s", split, r.Status)
		}
		if _, body := c.response(); body != "ok\n" {
			t.Errorf("split %t: the body's bytes were taken for a request: %q", split, body)
		}
	}
}

func TestHTTPConnectionsOverTheLimitGet503(t *testing.T) {
	cfg := testConfig()
	cfg.MaxHTTPConnections = 2
	s, addr := startGateway(t, cfg)
	var kept []*rawClient
	for range cfg.MaxHTTPConnections {
		c := connect(t, addr)
		c.send(plainGet("/livez"))
		c.response()
		kept = append(kept, c)
	}
	over := connect(t, addr)
	over.send(plainGet("/livez"))
	over.expectRefusal(http.StatusServiceUnavailable)
	if st := statsOf(t, s); st.Refusals[wsproto.ReasonUnavailable] != 1 || st.Lent != 2 {
		t.Errorf("%d refused, %d lent; want 1, 2", st.Refusals[wsproto.ReasonUnavailable], st.Lent)
	}
	join(t, addr, "/ws") // WebSockets have a limit of their own.

	isServed := func() bool { // and keeps the place
		c := connect(t, addr)
		c.trySend(plainGet("/livez")) // It may be turned away before it has asked.
		r, _ := c.response()
		return r.StatusCode == http.StatusOK
	}
	kept[0].Close()
	eventually(t, "a place is free", isServed)
	if isServed() {
		t.Error("there are more places than two")
	}
	// A connection that turns into a WebSocket gives the place back.
	kept[1].send(upgradeHead("/ws"))
	kept[1].expectUpgrade()
	eventually(t, "a place is free", isServed)
}

func TestOrdinaryClientIsServed(t *testing.T) {
	_, addr := startGateway(t, testConfig())
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: patience}
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
	_, addr := startGateway(t, testConfig())
	c := connect(t, addr)
	parts := [][]byte{plainGet("/livez"), upgradeHead("/ws")}
	message := func(i int) string { return fmt.Sprint(i) + strings.Repeat("x", 500) }
	for i := range 20 {
		parts = append(parts, maskedText(message(i)))
	}
	c.send(parts...)
	c.response()
	c.expectUpgrade()
	for i := range 20 {
		c.expectFrame(ws.OpText, message(i))
	}
}
