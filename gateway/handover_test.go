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

func plainGet(path string, headers ...string) []byte {
	return requestHead("GET "+path+" HTTP/1.1", append([]string{"Host: sluice.test"}, headers...)...)
}

// expectGoroutines waits until there are as many goroutines as there were.
func expectGoroutines(t *testing.T, were int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d goroutines again", were), func() bool { return runtime.NumGoroutine() <= were })
}

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

// What nginx sends to its upstream with proxy_http_version 1.1 and the usual headers for upgrades, with keepalive on.
func TestProxyThatKeepsConnectionsUpgradesOnOneOfThem(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	forwarded := []string{"X-Real-IP: 192.0.2.7", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https", "Accept-Encoding: gzip, deflate, br"}
	c := connect(t, addr)
	for _, path := range []string{"/", "/livez", "/"} {
		c.send(requestHead("GET "+path+" HTTP/1.1", append([]string{"Host: sluice.test", "Connection: "}, forwarded...)...))
		if r, _ := c.response(); r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", path, r.Status)
		}
	}
	c.send(requestHead("GET /ws/stage?token=a HTTP/1.1", append([]string{
		"Upgrade: websocket", "Connection: upgrade", "Host: sluice.test", "Origin: https://sluice.test",
		"sec-websocket-version: 13", "sec-websocket-key: " + sampleKey, "sec-websocket-extensions: permessage-deflate; client_max_window_bits",
	}, forwarded...)...))
	c.expectUpgrade()
	c.send(maskedText("through"))
	c.expectFrame(ws.OpText, "through")
	if _, ok := s.hub.Room("stage"); !ok {
		t.Error("the room is not the one of the path")
	}
}

func TestUpgradeOnALentConnectionIsJudgedAlike(t *testing.T) {
	for _, tc := range []struct {
		name   string
		head   []byte
		status int
	}{
		{"content_length", upgradeHead("/ws", "Content-Length: 5"), 400},
		{"content_length_and_body", append(upgradeHead("/ws", "Content-Length: 5"), "hello"...), 400},
		{"chunked", append(upgradeHead("/ws", "Transfer-Encoding: chunked"), "0\r\n\r\n"...), 400},
		{"no_upgrade", plainGet("/ws"), 426},
		{"origin", upgradeHead("/ws", "Origin: https://evil.test"), 403},
		{"room_name", upgradeHead("/ws/*"), 400},
		{"two_keys", upgradeHead("/ws", "Sec-WebSocket-Key: "+sampleKey), 400},
		{"POST", requestHead("POST /ws HTTP/1.1", "Host: sluice.test", "Content-Length: 0"), 405},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, addr := startGateway(t, testConfig())
			c := connect(t, addr)
			c.send(plainGet("/livez"))
			c.response()
			c.send(tc.head, plainGet("/livez"))
			r := c.expectRefusal(tc.status)
			if tc.status != 426 && r.Header.Get("Upgrade") != "" {
				t.Errorf("%s with Upgrade: %s", r.Status, r.Header.Get("Upgrade"))
			}
			c.Close()
			eventually(t, "the connection is gone", func() bool { return s.Open() == 0 })
			if s.hub.Rooms() != 0 {
				t.Error("a room was made")
			}
		})
	}
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

	kept[0].Close()
	eventually(t, "a place is free", func() bool { return s.lent.Load() == 1 })
	next := connect(t, addr)
	next.send(plainGet("/livez"))
	if r, _ := next.response(); r.StatusCode != http.StatusOK {
		t.Error(r.Status)
	}
	// Who turns into a WebSocket gives the place back.
	kept[1].send(upgradeHead("/ws"))
	kept[1].expectUpgrade()
	eventually(t, "a place is free", func() bool { return s.lent.Load() == 1 })
}

func TestLentConnectionsLeaveNothingBehind(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	were := runtime.NumGoroutine()
	for i := range 100 {
		c := connect(t, addr)
		c.send(plainGet("/livez"))
		c.response()
		if i%3 == 1 {
			c.send(upgradeHead("/ws"))
			c.expectUpgrade()
		}
		if i%2 == 0 {
			c.reset()
		} else {
			c.Close()
		}
	}
	eventually(t, "all are gone", func() bool { return s.Open() == 0 && s.lent.Load() == 0 })
	expectGoroutines(t, were)
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
