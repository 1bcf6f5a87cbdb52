package conformance

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"

	"sluice/gateway"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/wsproto"
)

// H10 to H16, H20 to H23, H26 and H29 are tables in package wsproto, where the head is judged; one
// test below sends them through a socket all the same.

func TestH01_MinimalUpgradeIsAnsweredWith101(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	c := wstest.Connect(t, addr)
	c.Send(wstest.UpgradeHead("/ws"))
	r, _ := c.Response()
	if r.StatusCode != http.StatusSwitchingProtocols || r.Header.Get("Sec-WebSocket-Accept") != wstest.SampleAccept ||
		!strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || !strings.EqualFold(r.Header.Get("Connection"), "upgrade") {
		t.Fatalf("got %s %v", r.Status, r.Header)
	}
	for _, name := range []string{"Content-Length", "Transfer-Encoding", "Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"} {
		if r.Header.Get(name) != "" {
			t.Errorf("101 with %s: %s", name, r.Header.Get(name))
		}
	}
	c.Send(wstest.MaskedText("first"))
	c.ExpectFrame(ws.OpText, "first") // Nothing of a body stands before it.
}

func TestH01_HeadMayComeByteByByte(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	c := wstest.Connect(t, addr)
	for _, b := range append(wstest.UpgradeHead("/ws"), wstest.MaskedText("hello")...) {
		c.Send([]byte{b})
	}
	c.ExpectUpgrade()
	c.ExpectFrame(ws.OpText, "hello")
}

func TestH02_FrameBehindHandshakeIsHandledOnce(t *testing.T) {
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	c := wstest.Join(t, addr, "/ws", wstest.MaskedText("early"))
	c.ExpectFrame(ws.OpText, "early")
	c.Send(wstest.MaskedText("later"))
	c.ExpectFrame(ws.OpText, "later")
	if st := testenv.StatsOf(t, s); st.EarlyBytes != 1 || st.Messages != 2 {
		t.Errorf("EarlyBytes %d, Messages %d; want 1, 2", st.EarlyBytes, st.Messages)
	}
}

func TestH02_FrameBehindHandshakeMayBeSplitAnywhere(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	whole := append(wstest.UpgradeHead("/ws"), wstest.MaskedText("early")...)
	for cut := len(whole) - 12; cut < len(whole); cut++ {
		c := wstest.Connect(t, addr)
		c.Send(whole[:cut])
		time.Sleep(2 * time.Millisecond) // so that the gateway sees the first part alone, mostly
		c.Send(whole[cut:])
		c.ExpectUpgrade()
		c.ExpectFrame(ws.OpText, "early")
		c.Close()
	}
}

func TestH04_HugeHeaderIsRefusedAndNotKept(t *testing.T) {
	const size = 200 << 20 // Of which 64 MiB are read and dropped, and what the kernels hold is taken.
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	c := wstest.Connect(t, addr)
	filler := bytes.Repeat([]byte("a"), 64<<10)
	before := testenv.LiveHeap()
	c.Send([]byte("GET /ws HTTP/1.1\r\nHost: sluice.test\r\nX-Filler: "))
	sent := 0
	for sent < size {
		n, err := c.Write(filler)
		if sent += n; err != nil {
			break // closed on us, as it should be
		}
	}
	if grown := testenv.LiveHeap() - before; grown > 256<<10 {
		t.Errorf("live heap grew by %d bytes", grown)
	}
	if sent == size {
		t.Error("the gateway took all of the header")
	}
	c.ExpectRefusal(http.StatusRequestHeaderFieldsTooLarge)
}

func TestH05_TooManyHeadersAreRefused(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	for _, tc := range []struct{ count, status int }{
		{wsproto.MaxHeaders - 5, http.StatusSwitchingProtocols}, // five are in every handshake
		{wsproto.MaxHeaders - 4, http.StatusRequestHeaderFieldsTooLarge},
		{100_000, http.StatusRequestHeaderFieldsTooLarge},
	} {
		c := wstest.Connect(t, addr)
		head := wstest.UpgradeHead("/ws")
		c.TrySend(append(append(head[:len(head)-2:len(head)-2], strings.Repeat("a: b\r\n", tc.count)...), "\r\n"...))
		if r, _ := c.Response(); r.StatusCode != tc.status {
			t.Errorf("%d headers of 5 bytes: %s, want %d", tc.count, r.Status, tc.status)
		}
	}
}

// At full size it is 5,000 clients and the default timeout: here both are a tenth or less.
func TestH08_SilentClientsAreClosedAtTheDeadline(t *testing.T) {
	t.Parallel()
	const silent = 500
	cfg := gatewaytest.Options()
	cfg.HandshakeTimeout = 400 * time.Millisecond
	s, addr := gatewaytest.Start(t, cfg)
	start := time.Now()
	all := make([]*wstest.Client, silent)
	for i := range all {
		all[i] = wstest.Connect(t, addr)
	}
	for _, c := range all {
		c.ExpectEnd()
	}
	if took := time.Since(start); took < cfg.HandshakeTimeout {
		t.Errorf("closed after %v already", took)
	}
	gatewaytest.ExpectClosed(t, s, gateway.ClosedSilent, silent)
	if s.Open() != 0 {
		t.Errorf("%d connections are open", s.Open())
	}
}

func TestRefusedHandshakes(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	good := string(wstest.UpgradeHead("/ws"))
	without := func(old string) string { return strings.Replace(good, old, "", 1) }
	replace := func(old, with string) string { return strings.Replace(good, old, with, 1) }
	for _, tc := range []struct {
		name, head string
		status     int
	}{
		{"H10_two_keys", replace("Upgrade: websocket\r\n", "Upgrade: websocket\r\nSec-WebSocket-Key: "+wstest.SampleKey+"\r\n"), 400},
		{"H10_two_versions", replace("Upgrade: websocket\r\n", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"), 400},
		{"H11_key_not_base64", replace(wstest.SampleKey, "not base64 at all, no !!"), 400},
		{"H11_key_of_15_bytes", replace(wstest.SampleKey, "AAAAAAAAAAAAAAAAAAAA"), 400},
		{"H13_folded_header", replace("Upgrade: websocket\r\n", "Upgrade:\r\n websocket\r\n"), 400},
		{"H14_bare_LF", strings.ReplaceAll(good, "\r\n", "\n"), 400},
		{"H16_content_length", replace("Upgrade: websocket\r\n", "Upgrade: websocket\r\nContent-Length: 5\r\n") + "hello", 400},
		{"H16_transfer_encoding", replace("Upgrade: websocket\r\n", "Upgrade: websocket\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n", 400},
		{"H20_h2c", "GET /ws HTTP/1.1\r\nHost: sluice.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", 426},
		{"H22_connection_without_upgrade", replace("Connection: Upgrade", "Connection: keep-alive"), 400},
		{"H23_HTTP_1.0", replace("HTTP/1.1", "HTTP/1.0"), 505},
		{"H23_HTTP_2.0", replace("HTTP/1.1", "HTTP/2.0"), 505},
		{"H23_HTTP_1.1x", replace("HTTP/1.1", "HTTP/1.1x"), 400},
		{"H25_POST", replace("GET", "POST"), 405},
		{"H25_OPTIONS", replace("GET", "OPTIONS"), 405},
		{"H25_PUT", replace("GET", "PUT"), 405},
		{"H26_version_12", replace("Version: 13", "Version: 12"), 426},
		{"H26_version_list", replace("Version: 13", "Version: 13, 8"), 426},
		{"H26_no_version", without("Sec-WebSocket-Version: 13\r\n"), 400},
		{"plain_GET", "GET /ws HTTP/1.1\r\nHost: sluice.test\r\n\r\n", 426},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := wstest.Connect(t, addr)
			c.Send([]byte(tc.head))
			r := c.ExpectRefusal(tc.status)
			if tc.status == 405 && r.Header.Get("Allow") != "GET" {
				t.Errorf("405 with Allow: %q", r.Header.Get("Allow"))
			}
			if tc.status == 426 && r.Header.Get("Sec-WebSocket-Version") != "13" {
				t.Errorf("426 with Sec-WebSocket-Version: %q", r.Header.Get("Sec-WebSocket-Version"))
			}
		})
	}
}

func TestH25_HEADIsRefusedWithoutABody(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	c := wstest.Connect(t, addr)
	c.Send(bytes.Replace(wstest.UpgradeHead("/ws"), []byte("GET"), []byte("HEAD"), 1))
	r, _ := c.ResponseTo(http.MethodHead)
	if r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET" {
		t.Errorf("got %s, Allow %q", r.Status, r.Header.Get("Allow"))
	}
	c.ExpectEnd()
}

// CONNECT names a host, not a path, so it is net/http's to refuse. What counts is that it opens no
// tunnel.
func TestH25_CONNECTIsRefused(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	c := wstest.Connect(t, addr)
	c.Send(wstest.RequestHead("CONNECT sluice.test:80 HTTP/1.1", "Host: sluice.test:80"))
	if r, _ := c.ResponseTo(http.MethodConnect); r.StatusCode < 400 || r.StatusCode > 499 {
		t.Errorf("CONNECT was answered %s", r.Status)
	}
}

func TestH23_HTTP19MayUpgrade(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	c := wstest.Connect(t, addr)
	c.Send(bytes.Replace(wstest.UpgradeHead("/ws"), []byte("HTTP/1.1"), []byte("HTTP/1.9"), 1))
	c.ExpectUpgrade()
}

func TestH29_SubprotocolListOfNothing(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	for _, tc := range []struct{ size, status int }{{7000, http.StatusSwitchingProtocols}, {32 << 10, http.StatusRequestHeaderFieldsTooLarge}} {
		c := wstest.Connect(t, addr)
		c.Send(wstest.UpgradeHead("/ws", "Sec-WebSocket-Protocol: a"+strings.Repeat(" ,", tc.size/2)+"zz"))
		r, _ := c.Response()
		if r.StatusCode != tc.status || r.Header.Get("Sec-WebSocket-Protocol") != "" {
			t.Errorf("%d bytes: %s with protocol %q, want %d without", tc.size, r.Status, r.Header.Get("Sec-WebSocket-Protocol"), tc.status)
		}
	}
}

func TestH19_NothingIsParsedBehindARefusal(t *testing.T) {
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	c := wstest.Connect(t, addr)
	c.Send(wstest.UpgradeHead("/ws", "Origin: https://evil.test"), wstest.RequestHead("GET /livez HTTP/1.1", "Host: sluice.test"))
	r := c.ExpectRefusal(http.StatusForbidden) // One response, then the end.
	if r.Header.Get("Upgrade") != "" || r.Header.Get("Sec-WebSocket-Accept") != "" {
		t.Errorf("403 with %v", r.Header)
	}
	if st := testenv.StatsOf(t, s); st.Lent != 0 {
		t.Error("the pipelined request went to net/http")
	}
}

// At full size it is 1,000 clients: here 200, or 50 with the race detector.
func TestH32_NoFrameComesBeforeThe101(t *testing.T) {
	t.Parallel()
	clients := 50
	if testenv.IsWholeSize(t) {
		clients = 200
	}
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	stop := flooders(t, addr, "/ws/busy", 2)
	defer stop()
	for range clients {
		c := wstest.Connect(t, addr)
		c.Send(wstest.UpgradeHead("/ws/busy"))
		c.ExpectUpgrade()
		for range 3 {
			c.ExpectFrame(ws.OpText, "flood")
		}
		c.Reset()
	}
}

// flooders send as fast as the gateway takes it, and read what comes back, until stopped.
func flooders(t *testing.T, addr, path string, n int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range n {
		c := wstest.Dial(t, addr, path)
		wg.Go(func() {
			for c.Write(ctx, websocket.MessageText, []byte("flood")) == nil {
			}
		})
		wg.Go(func() {
			for {
				if _, _, err := c.Read(ctx); err != nil {
					if ctx.Err() == nil {
						t.Errorf("flooder: %v", err)
					}
					return
				}
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

func TestH35_ManyCookiesAreNoMatter(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	for _, tc := range []struct{ cookies, status int }{{1800, http.StatusSwitchingProtocols}, {10_000, http.StatusRequestHeaderFieldsTooLarge}} {
		c := wstest.Connect(t, addr)
		c.TrySend(wstest.UpgradeHead("/ws", "Cookie: "+strings.Repeat("a=b;", tc.cookies)))
		if r, _ := c.Response(); r.StatusCode != tc.status {
			t.Errorf("%d cookies: %s, want %d", tc.cookies, r.Status, tc.status)
		}
	}
}
