package conformance

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gorilla/websocket"

	"sluice/gateway"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/wsproto"
)

// Every head on our listeners is judged by one parser, whatever went before it on its connection. What may go before:
var before = []struct {
	name     string
	requests []byte
	answers  int
}{
	{"first", nil, 0},
	{"behind_livez", wstest.PlainGet("/livez"), 1},
	{"behind_the_page", wstest.PlainGet("/"), 1},
	{"behind_a_body", append(wstest.RequestHead("POST / HTTP/1.1", "Host: sluice.test", "Content-Length: 5"), "hello"...), 1},
	{"behind_many", bytes.Repeat(append(wstest.PlainGet("/livez"), wstest.PlainGet("/nothing")...), 3), 6},
}

// eachBefore sends a request behind each of them: when they are answered, and in one packet with them.
func eachBefore(t *testing.T, addr string, request []byte, check func(t *testing.T, c *wstest.Client)) {
	for _, b := range before {
		for _, isPipelined := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,pipelined=%t", b.name, isPipelined), func(t *testing.T) {
				c := wstest.Connect(t, addr)
				if isPipelined {
					c.Send(b.requests, request)
				} else if b.answers > 0 {
					c.Send(b.requests)
				}
				for range b.answers {
					if r, _ := c.Response(); r.Close {
						t.Fatalf("what goes before: %s and closes", r.Status)
					}
				}
				if !isPipelined {
					c.Send(request)
				}
				check(t, c)
				c.Close()
			})
		}
	}
}

// A request whose body has two lengths, or one that somebody may read in another way, and in that body an upgrade: the relatives
// are in package wsproto, under the same id. Here it counts that the hidden request is never answered.
func TestN02_NothingIsSmuggledInABody(t *testing.T) {
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	hidden := string(wstest.UpgradeHead("/ws/smuggled")) + string(wstest.MaskedText("hidden"))
	for _, tc := range []struct {
		name, lines, body string
		status            int
	}{
		{"both", "Content-Length: %d\nTransfer-Encoding: chunked", "0\r\n\r\n" + hidden, 400},
		{"both_the_other_way", "Transfer-Encoding: chunked\nContent-Length: %d", "0\r\n\r\n" + hidden, 400},
		{"both_and_the_length_is_short", "Content-Length: 5\nTransfer-Encoding: chunked", "0\r\n\r\n" + hidden, 400},
		{"two_lengths", "Content-Length: 0\nContent-Length: %d", hidden, 400},
		{"two_equal_lengths", "Content-Length: 0\nContent-Length: 0", hidden, 400},
		{"list_of_lengths", "Content-Length: 0, 0", hidden, 400},
		{"sign", "Content-Length: +0", hidden, 400},
		{"identity", "Transfer-Encoding: identity\nContent-Length: %d", hidden, 400},
		{"identity_alone", "Transfer-Encoding: identity", hidden, 400},
		{"hidden_coding", "Transfer-Encoding:\n chunked\nContent-Length: %d", "0\r\n\r\n" + hidden, 400},
		{"coding_with_a_space", "Transfer-Encoding : chunked\nContent-Length: %d", "0\r\n\r\n" + hidden, 400},
		{"coding_behind_a_carriage_return", "X: a\rTransfer-Encoding: chunked\nContent-Length: %d", "0\r\n\r\n" + hidden, 400},
		{"coding_with_a_zero", "Transfer-Encoding: chunked\x00\nContent-Length: %d", "0\r\n\r\n" + hidden, 400},
		{"twice", "Transfer-Encoding: chunked\nTransfer-Encoding: identity", "0\r\n\r\n" + hidden, 400},
		{"chunks", "Transfer-Encoding: chunked", "0\r\n\r\n" + hidden, 411},
		{"length_of_a_page", "Content-Length: zero", hidden, 400},
	} {
		for _, line := range []string{"POST /livez HTTP/1.1", "GET /livez HTTP/1.1", "GET / HTTP/1.1", "POST /nothing HTTP/1.1", "OPTIONS * HTTP/1.1"} {
			lines := tc.lines
			if strings.Contains(lines, "%d") {
				lines = fmt.Sprintf(lines, len(tc.body))
			}
			head := wstest.RequestHead(line, append([]string{"Host: sluice.test"}, strings.Split(lines, "\n")...)...)
			t.Run(tc.name+"/"+line, func(t *testing.T) {
				eachBefore(t, addr, append(head, tc.body...), func(t *testing.T, c *wstest.Client) { c.ExpectRefusal(tc.status) })
			})
		}
	}
	// What has a length is read as a body, whatever it looks like, and what is behind it as a request.
	body := hidden + strings.Repeat("x", 100_000)
	head := wstest.RequestHead("POST /nothing HTTP/1.1", "Host: sluice.test", fmt.Sprintf("Content-Length: %d", len(body)))
	eachBefore(t, addr, append(append(head, body...), wstest.PlainGet("/livez")...), func(t *testing.T, c *wstest.Client) {
		if r, _ := c.Response(); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s, want 404", r.Status)
		}
		if _, answer := c.Response(); answer != "ok\n" {
			t.Errorf("behind the body: %q", answer)
		}
	})
	// A body that a path takes none of ends the connection, and is not a request either.
	head = wstest.RequestHead("GET /livez HTTP/1.1", "Host: sluice.test", fmt.Sprintf("Content-Length: %d", len(hidden)))
	eachBefore(t, addr, append(head, hidden...), func(t *testing.T, c *wstest.Client) { c.ExpectRefusal(400) })
	if st := testenv.StatsOf(t, s); st.Upgrades != 0 || st.Refusals[wsproto.ReasonFraming] == 0 {
		t.Errorf("%d upgrades, %d refused for their framing", st.Upgrades, st.Refusals[wsproto.ReasonFraming])
	}
}

// Relatives: everything that net/http would put right before a handler sees it, and what it would refuse with other words.
func TestN77_LaterHeadsAreJudgedLikeTheFirst(t *testing.T) {
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	good := string(wstest.UpgradeHead("/ws"))
	with := func(line string) string { return string(wstest.UpgradeHead("/ws", line)) }
	for _, tc := range []struct {
		name, head string
		status     int
	}{
		{"bare_line_feeds", strings.ReplaceAll(good, "\r\n", "\n"), 400},
		{"one_bare_line_feed", strings.Replace(good, "Upgrade: websocket\r\n", "Upgrade: websocket\n", 1), 400},
		{"folded_header", strings.Replace(good, "Upgrade: websocket", "Upgrade:\r\n websocket", 1), 400},
		{"folded_by_a_tab", with("X: a\r\n\tb"), 400},
		{"fragment", string(wstest.UpgradeHead("/ws#x")), 400},
		{"zero_in_a_value", with("X: a\x00b"), 400},
		{"zero_in_a_name", with("X\x00: a"), 400},
		{"space_before_the_colon", with("X : a"), 400},
		{"lone_carriage_return", with("X: a\rY: b"), 400},
		{"no_colon", with("nonsense"), 400},
		{"two_hosts", with("Host: other.test"), 400},
		{"two_keys", with("Sec-WebSocket-Key: " + wstest.SampleKey), 400},
		{"no_host", strings.Replace(good, "Host: sluice.test\r\n", "", 1), 400},
		{"absolute_without_a_host", string(wstest.UpgradeHead("http:///ws")), 400},
		{"absolute_of_another_scheme", string(wstest.UpgradeHead("ftp://sluice.test/ws")), 400},
		{"beyond_ASCII", string(wstest.UpgradeHead("/ws/\xc3\xa4")), 400},
		{"zero_in_the_path", string(wstest.UpgradeHead("/ws/%00")), 400},
		{"two_spaces", strings.Replace(good, "GET /ws", "GET  /ws", 1), 400},
		{"HTTP/1.0", strings.Replace(good, "HTTP/1.1", "HTTP/1.0", 1), 505},
		{"HTTP/2.0", strings.Replace(good, "HTTP/1.1", "HTTP/2.0", 1), 505},
		{"no_version", strings.Replace(good, " HTTP/1.1", "", 1), 400},
		{"target_too_long", string(wstest.UpgradeHead("/ws?" + strings.Repeat("a", wsproto.MaxTargetBytes))), 414},
		{"too_large", with("X: " + strings.Repeat("x", 32<<10)), 431},
		{"too_many_headers", with(strings.TrimSuffix(strings.Repeat("X: x\r\n", wsproto.MaxHeaders), "\r\n")), 431},
		{"no_HTTP", "\x16\x03\x01\x02\x00\x01", 400},
		{"page_with_bare_line_feeds", "GET / HTTP/1.1\nHost: sluice.test\n\n", 400},
		{"page_with_a_folded_header", "GET / HTTP/1.1\r\nHost: sluice.test\r\nX: a\r\n b\r\n\r\n", 400},
		{"page_with_a_fragment", "GET /#x HTTP/1.1\r\nHost: sluice.test\r\n\r\n", 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// Whatever stands behind what is refused is not read as a request.
			request := append([]byte(tc.head), wstest.UpgradeHead("/ws")...)
			eachBefore(t, addr, request, func(t *testing.T, c *wstest.Client) { c.ExpectRefusal(tc.status) })
		})
	}
	absolute := wstest.UpgradeHead("http://sluice.test/ws/absolute")
	eachBefore(t, addr, append(absolute, wstest.MaskedText("hello")...), func(t *testing.T, c *wstest.Client) {
		c.ExpectUpgrade()
		c.ExpectFrame(ws.OpText, "hello")
	})
	if st := testenv.StatsOf(t, s); st.Upgrades != uint64(2*len(before)) {
		t.Errorf("%d upgrades, want %d", st.Upgrades, 2*len(before))
	}
}

// An insertion is a connection of a client library that adds a header line to the first request it sends.
type insertion struct {
	net.Conn
	line string
	in   io.Reader
}

func (c *insertion) Write(p []byte) (int, error) {
	if c.line != "" {
		first, rest, _ := bytes.Cut(p, []byte("\r\n"))
		whole := fmt.Sprintf("%s\r\n%s\r\n%s", first, c.line, rest)
		c.line = ""
		_, err := io.WriteString(c.Conn, whole)
		return len(p), err
	}
	return c.Conn.Write(p)
}

func (c *insertion) Read(p []byte) (int, error) { return c.in.Read(p) }

// Requests with and without bodies, answered on a loop and by net/http, and an upgrade at the end, on one connection and cut
// anywhere: the answers are the same.
func TestRequestsOnOneConnectionMayBeCutAnywhere(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	all := bytes.Join([][]byte{
		wstest.PlainGet("/livez"),
		wstest.RequestHead("POST / HTTP/1.1", "Host: sluice.test", "Content-Length: 25"), []byte("GET /ws HTTP/1.1\r\nHost: a"),
		[]byte("\r\n"), wstest.PlainGet("/style.css"), // One empty line may precede a request.
		wstest.RequestHead("OPTIONS /livez HTTP/1.1", "Host: sluice.test", "Content-Length: 0"),
		wstest.PlainGet("/nothing"),
		wstest.UpgradeHead("/ws", "Content-Length: 0"), wstest.MaskedText("hello"),
	}, nil)
	answers := []struct {
		method string
		status int
	}{{"GET", 200}, {"POST", 405}, {"GET", 200}, {"OPTIONS", 204}, {"GET", 404}}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 12 {
		size := 1 // Byte by byte first.
		if i > 0 {
			size = 1 + random.IntN(200)
		}
		c := wstest.Connect(t, addr)
		for rest := all; len(rest) > 0; {
			n := min(len(rest), size)
			if i > 0 {
				n = min(len(rest), 1+random.IntN(size))
			}
			c.Send(rest[:n])
			rest = rest[n:]
			if random.IntN(20) == 0 {
				time.Sleep(time.Millisecond) // so that the gateway sees parts alone, too
			}
		}
		for j, want := range answers {
			if r, _ := c.ResponseTo(want.method); r.StatusCode != want.status || r.Close {
				t.Fatalf("in pieces of up to %d: answer %d is %s, want %d", size, j, r.Status, want.status)
			}
		}
		c.ExpectUpgrade()
		c.ExpectFrame(ws.OpText, "hello")
		c.Close()
	}
}

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
// Relatives: the page, its static files, a later request of a connection, a head in many pieces; one byte and one line too many.
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

// Relatives are in package wsproto. None of them may be waited for: the time for a head is a minute here.
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

// What balancers ask, HAProxy's "OPTIONS / HTTP/1.0" among it. Relatives: static files, the asterisk, other methods, and a second
// question on the same connection.
func TestN14_HealthChecksOfBalancers(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	for _, path := range []string{"/", "/livez", "/style.css"} {
		c := wstest.Connect(t, addr)
		c.Send(wstest.PlainGet(path))
		get, body := c.Response()
		c.Send(wstest.RequestHead("HEAD "+path+" HTTP/1.1", "Host: sluice.test"))
		head, none := c.ResponseTo(http.MethodHead)
		if get.StatusCode != 200 || head.StatusCode != 200 || none != "" || head.ContentLength != int64(len(body)) ||
			head.Header.Get("Content-Type") != get.Header.Get("Content-Type") || head.Header.Get("Cache-Control") != get.Header.Get("Cache-Control") {
			t.Errorf("%s: GET %s %v, HEAD %s %v", path, get.Status, get.Header, head.Status, head.Header)
		}
		c.Send(wstest.RequestHead("OPTIONS "+path+" HTTP/1.1", "Host: sluice.test"))
		if r, body := c.ResponseTo(http.MethodOptions); r.StatusCode != 204 || r.Header.Get("Allow") != "GET, HEAD, OPTIONS" || body != "" || r.Close {
			t.Errorf("OPTIONS %s: %s %v %q", path, r.Status, r.Header, body)
		}
		c.Send(wstest.RequestHead("OPTIONS " + path + " HTTP/1.0"))
		if r, _ := c.ResponseTo(http.MethodOptions); r.StatusCode != 204 {
			t.Errorf("OPTIONS %s of HTTP/1.0: %s", path, r.Status)
		}
		c.ExpectEnd()
		for _, method := range []string{"PUT", "POST", "DELETE", "TRACE"} {
			c := wstest.Connect(t, addr)
			c.Send(wstest.RequestHead(method+" "+path+" HTTP/1.1", "Host: sluice.test", "Content-Length: 0"))
			if r, _ := c.ResponseTo(method); r.StatusCode != 405 || r.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
				t.Errorf("%s %s: %s, Allow %q", method, path, r.Status, r.Header.Get("Allow"))
			}
			c.Close()
		}
	}
	c := wstest.Connect(t, addr)
	c.Send(wstest.RequestHead("OPTIONS * HTTP/1.1", "Host: sluice.test"))
	if r, _ := c.ResponseTo(http.MethodOptions); r.StatusCode/100 != 2 {
		t.Errorf("OPTIONS *: %s", r.Status)
	}
	c.Send(wstest.RequestHead("GET /livez HTTP/1.1", "Host: sluice.test", "Connection: close"))
	c.ExpectRefusal(200) // One answer that says so, and the end.
}

// Relatives: the second head behind each kind of answer, and silence, which has a minute. Before it was lent, a head had this
// deadline all along (H07).
func TestN15_LaterHeadsHaveTheHandshakeTimeoutToo(t *testing.T) {
	cfg := gatewaytest.Options()
	cfg.HandshakeTimeout = 300 * time.Millisecond
	s, addr := gatewaytest.Start(t, cfg)
	var silent, dribblers []*wstest.Client
	for range 2 {
		for _, b := range before[1:] {
			c := wstest.Connect(t, addr)
			c.Send(b.requests)
			for range b.answers {
				c.Response()
			}
			silent, dribblers = append(silent, c), append(dribblers, c)
		}
	}
	silent, dribblers = silent[:len(before)-1], dribblers[len(before)-1:]
	began := time.Now()
	head := wstest.UpgradeHead("/ws")
	for i := 0; i < len(head)-4 && testenv.StatsOf(t, s).Refusals[wsproto.ReasonTimeout] < uint64(len(dribblers)); i++ {
		for _, c := range dribblers {
			c.TrySend(head[i : i+1])
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, c := range dribblers {
		c.ExpectRefusal(http.StatusRequestTimeout)
	}
	if took := time.Since(began); took < cfg.HandshakeTimeout {
		t.Errorf("refused after %v", took)
	}
	for _, c := range silent {
		c.Send(wstest.UpgradeHead("/ws"))
		c.ExpectUpgrade()
	}
}

// Strangers hold all that ordinary HTTP may hold, in each way there is, and a health check is answered all the same.
func TestN76_HealthChecksNeedNoPlaceThatStrangersCanFill(t *testing.T) {
	for _, tc := range []struct {
		name    string
		request []byte
		answers int
		free    bool // the page is served as well
	}{
		{"idle_behind_livez", wstest.PlainGet("/livez"), 1, true},
		{"idle_behind_the_page", wstest.PlainGet("/"), 1, true},
		{"half_a_head", wstest.PlainGet("/")[:20], 0, true},
		{"half_a_body", append(wstest.RequestHead("POST / HTTP/1.1", "Host: sluice.test", "Content-Length: 10"), "half"...), 0, false},
		{"does_not_read", wstest.PlainGet("/large"), 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := gatewaytest.Options()
			site, pages := cfg.Pages, http.NewServeMux()
			pages.Handle("/", site)
			pages.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 16<<20)) })
			cfg.Pages = pages
			cfg.MaxHTTPConnections = 64 // A quarter of the default: there is nothing to learn from more.
			s, addr := gatewaytest.Start(t, cfg)
			for range cfg.MaxHTTPConnections {
				c := wstest.Connect(t, addr)
				c.Send(tc.request)
				for range tc.answers {
					c.Response()
				}
			}
			if !tc.free {
				testenv.Eventually(t, "all places are taken", func() bool { return testenv.StatsOf(t, s).Lent >= uint64(cfg.MaxHTTPConnections) })
			}
			for range 2 {
				c := wstest.Connect(t, addr)
				c.Send(wstest.PlainGet("/livez"))
				if r, body := c.Response(); r.StatusCode != http.StatusOK || body != "ok\n" {
					t.Errorf("GET /livez: %s %q", r.Status, body)
				}
				c.Send(wstest.PlainGet("/"))
				if r, _ := c.Response(); (r.StatusCode == http.StatusOK) != tc.free {
					t.Errorf("GET /: %s", r.Status)
				}
			}
			wstest.Join(t, addr, "/ws")
		})
	}
}

// A client that asks and asks and takes no answer is closed; what it makes us hold is bounded by what the kernel refuses.
func TestClientThatTakesNoHealthAnswersIsClosed(t *testing.T) {
	cfg := gatewaytest.Options()
	cfg.CloseTimeout = 100 * time.Millisecond
	s, addr := gatewaytest.Start(t, cfg)
	c := wstest.Connect(t, addr)
	requests := bytes.Repeat(wstest.PlainGet("/livez"), 1000)
	_ = c.SetWriteDeadline(time.Now().Add(testenv.Patience))
	for {
		if _, err := c.Write(requests); err != nil {
			break
		}
	}
	// The kernel may find room for the last answer after all.
	testenv.Eventually(t, "it is closed", func() bool {
		st := testenv.StatsOf(t, s)
		return st.Closed[gateway.ClosedCloseTimeout]+st.Closed[gateway.ClosedAnswered] == 1
	})
}
