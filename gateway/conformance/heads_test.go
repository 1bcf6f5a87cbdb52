package conformance

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gorilla/websocket"

	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/wsproto"
)

// What java.net.http.HttpClient and others send. Relatives are in package wsproto.
func TestN01_UpgradeWithContentLengthZero(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	for _, path := range []string{"", "/livez", "/"} {
		t.Run("behind "+path, func(t *testing.T) {
			tcp, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer tcp.Close()
			_ = tcp.SetDeadline(time.Now().Add(testenv.Patience))
			in := bufio.NewReader(tcp)
			if path != "" {
				if _, err := tcp.Write(wstest.PlainGet(path)); err != nil {
					t.Fatal(err)
				}
				r, err := http.ReadResponse(in, nil)
				if err != nil || r.StatusCode != http.StatusOK {
					t.Fatalf("%v, %v", r, err)
				}
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					t.Fatal(err)
				}
				r.Body.Close()
			}
			dialer := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) {
				return &insertion{tcp, "Content-Length: 0", in}, nil
			}}
			c, r, err := dialer.Dial("ws://"+addr+"/ws/java", nil)
			if err != nil {
				t.Fatalf("%v: %v", err, r)
			}
			for _, text := range []string{"", "hello", strings.Repeat("x", 300), strings.Repeat("y", 70_000)} {
				if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
					t.Fatal(err)
				}
				if kind, p, err := c.ReadMessage(); err != nil || kind != websocket.TextMessage || string(p) != text {
					t.Fatalf("%d, %d bytes, %v; want %d", kind, len(p), err, len(text))
				}
			}
			if err := c.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "")); err != nil {
				t.Fatal(err)
			}
			if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, 1000) {
				t.Errorf("ended with %v", err)
			}
		})
	}
	for _, lines := range [][]string{{"Content-Length: 00"}, {"Content-Length: 0", "Content-Length: 0"}, {"Content-Length: 1"}, {"Transfer-Encoding: chunked"}} {
		eachBefore(t, addr, wstest.UpgradeHead("/ws", lines...), func(t *testing.T, c *wstest.Client) { c.ExpectRefusal(400) })
	}
}

// Browsers send the cookies of all ports of a host along, and proxies add lines of their own.
// Relatives: the page, its static files, a later request of a connection, a head in many pieces;
// one byte and one line too many.
func TestN03_N04_HeadsAreAsLargeAsTheyComeFromBrowsers(t *testing.T) {
	cfg := gatewaytest.Options()
	_, addr := gatewaytest.Start(t, cfg)
	cfg.MaxHead = 4 << 10
	_, small := gatewaytest.Start(t, cfg)
	cfg.MaxHead = 100 << 10
	_, large := gatewaytest.Start(t, cfg)
	padded := func(size int) []string { return []string{"Cookie: " + strings.Repeat("c", size)} }
	to := func(size int, target string) []string { // a head of this size exactly
		return padded(size - len(wstest.UpgradeHead(target, "Cookie: ")))
	}
	many := func(n int) []string { return strings.Split(strings.Repeat("A: b\n", n-5)[:5*(n-5)-1], "\n") }
	for _, tc := range []struct {
		name, addr string
		lines      []string
		isTaken    bool
	}{
		{"two cookies of 4,000", addr, []string{"Cookie: " + strings.Repeat("a", 4000), "Cookie: " + strings.Repeat("b", 4000)}, true},
		{"30 KiB", addr, padded(30 << 10), true},
		{"32 KiB", addr, to(32<<10, "/ws"), true},
		{"a byte more", addr, to(32<<10+1, "/ws"), false},
		{"100 lines", addr, many(100), true},
		{"128 lines", addr, many(128), true},
		{"129 lines", addr, many(129), false},
		{"4 KiB of 4", small, to(4<<10, "/ws"), true},
		{"a byte more of 4", small, to(4<<10+1, "/ws"), false},
		{"100 KiB of 100", large, to(100<<10, "/ws"), true},
		{"a byte more of 100", large, to(100<<10+1, "/ws"), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := wstest.Connect(t, tc.addr)
			c.TrySend(append(wstest.UpgradeHead("/ws", tc.lines...), wstest.MaskedText("hello")...))
			if !tc.isTaken {
				c.ExpectRefusal(http.StatusRequestHeaderFieldsTooLarge)
				return
			}
			c.ExpectUpgrade()
			c.ExpectFrame(ws.OpText, "hello")
			for _, path := range []string{"/", "/livez", "/app.js"} {
				c := wstest.Connect(t, tc.addr)
				for range 2 { // It is no larger than an upgrade of the same size: the shared lines stand for the others.
					head := wstest.RequestHead("GET "+path+" HTTP/1.1", append([]string{"Host: sluice.test"}, tc.lines...)...)
					for len(head) > 0 {
						n := min(len(head), 10_000)
						c.Send(head[:n])
						head = head[n:]
					}
					if r, _ := c.Response(); r.StatusCode != http.StatusOK {
						t.Errorf("%s: %s", path, r.Status)
					}
				}
				c.Close()
			}
		})
	}
}

// Relatives are in package wsproto. None of them may be waited for: the time for a head is a minute
// here.
func TestN11_WhatIsNotHTTPIsRefusedAtOnce(t *testing.T) {
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	n := uint64(0)
	for _, tc := range []struct {
		name, says string
		reason     wsproto.Reason
	}{
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", wsproto.ReasonNotHTTP},
		{"SSH", "SSH-2.0-OpenSSH_9.6\r\n", wsproto.ReasonNotHTTP},
		{"zeros", "\x00\x00\x00", wsproto.ReasonNotHTTP},
		{"Redis", "*1\r\n$4\r\nPING\r\n", wsproto.ReasonNotHTTP},
		{"PROXY", "\r\n\r\n\x00\r\nQUIT\n", wsproto.ReasonNotHTTP},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, first := range []string{"", "\r\n"} {
				for _, bytewise := range []bool{false, true} {
					c := wstest.Connect(t, addr)
					if says := []byte(first + tc.says); bytewise {
						for _, b := range says {
							c.TrySend([]byte{b})
						}
					} else {
						c.Send(says)
					}
					c.ExpectRefusal(http.StatusBadRequest)
					n++
					if got := testenv.StatsOf(t, s).Refusals[tc.reason]; got != n {
						t.Errorf("%d counted as %v, want %d", got, tc.reason, n)
					}
				}
			}
		})
	}
	c := wstest.Connect(t, addr) // One empty line in front is allowed.
	for _, part := range []string{"\r", "\n", "G"} {
		c.Send([]byte(part))
		time.Sleep(2 * time.Millisecond)
	}
	c.Send(wstest.UpgradeHead("/ws")[1:])
	c.ExpectUpgrade()
}

// Relatives: more slashes, encoded ones, a query behind it.
func TestN12_SlashBehindARoomChangesNothing(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	for target, room := range map[string]string{
		"/ws/": "/ws/lobby", "/ws/t/": "/ws/t", "/ws/?a=b": "/ws", "/ws/t/?a=b/": "/ws/t", "/ws/%74/": "/ws/t", "/ws/lobby/": "/ws",
	} {
		witness, c := wstest.Dial(t, addr, room), wstest.Dial(t, addr, target)
		if err := c.Write(t.Context(), 1, []byte(target)); err != nil {
			t.Fatal(err)
		}
		if _, p, err := witness.Read(t.Context()); err != nil || string(p) != target {
			t.Errorf("%s heard %q, %v; want %q", room, p, err, target)
		}
		c.CloseNow()
		witness.CloseNow()
	}
	for target, status := range map[string]int{
		"//ws": 404, "//ws/": 404, "/ws//": 400, "/ws/t//": 400, "/ws//t": 400, "/ws/t/x/": 400, "/wst/": 404,
	} {
		c := wstest.Connect(t, addr)
		c.Send(wstest.UpgradeHead(target))
		if r, _ := c.Response(); r.StatusCode != status {
			t.Errorf("%s: %s, want %d", target, r.Status, status)
		}
		c.Close()
	}
}

func TestN13_EmptyElementsInOffersAreNothing(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	for offer, want := range map[string]bool{
		"permessage-deflate,": true, ",permessage-deflate": true, ", ,permessage-deflate , ,": true, ",x": false, "": false, ",": false,
	} {
		c := wstest.Connect(t, addr)
		c.Send(wstest.UpgradeHead("/ws", "Sec-WebSocket-Extensions: "+offer))
		r, _ := c.Response()
		if got := r.Header.Get("Sec-WebSocket-Extensions") != ""; r.StatusCode != 101 || got != want {
			t.Errorf("%q: %s, agreed %t; want %t", offer, r.Status, got, want)
		}
	}
}
