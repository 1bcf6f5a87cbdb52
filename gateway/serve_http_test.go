package gateway_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"
	gorilla "github.com/gorilla/websocket"

	"sluice/gateway"
	"sluice/wsproto"
)

// embed serves a mux with the gateway in it as a program of its own would, and returns its host:port.
func embed(t testing.TB, gw http.Handler) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/ws", gw)
	mux.Handle("/ws/", gw)
	mux.Handle("/chat/ws/", http.StripPrefix("/chat", gw))
	mux.Handle("/elsewhere/", gw)
	mux.HandleFunc("/hello", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	return start(t, httptest.NewUnstartedServer(mux))
}

func start(t testing.TB, server *httptest.Server) string {
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// A rawConn writes chosen bytes and has no goroutine.
type rawConn struct {
	net.Conn
	in *bufio.Reader
	t  testing.TB
}

func connect(t testing.TB, network, addr string) *rawConn {
	t.Helper()
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(3 * patience)); err != nil {
		t.Fatal(err)
	}
	return &rawConn{conn, bufio.NewReader(conn), t}
}

// send writes all of it in one write.
func (c *rawConn) send(parts ...string) {
	c.t.Helper()
	if _, err := io.WriteString(c, strings.Join(parts, "")); err != nil {
		c.t.Fatal(err)
	}
}

func (c *rawConn) response() (*http.Response, string) {
	c.t.Helper()
	r, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatalf("no response: %v", err)
	}
	if r.StatusCode == http.StatusSwitchingProtocols {
		return r, ""
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Fatalf("body of %s: %v", r.Status, err)
	}
	return r, string(body)
}

func (c *rawConn) expectUpgrade() {
	c.t.Helper()
	if r, body := c.response(); r.StatusCode != http.StatusSwitchingProtocols || r.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		c.t.Fatalf("%s %v %q, want 101", r.Status, r.Header, body)
	}
}

func (c *rawConn) expectText(text string) {
	c.t.Helper()
	h, err := ws.ReadHeader(c.in)
	if err != nil || h.OpCode != ws.OpText || h.Length != int64(len(text)) {
		c.t.Fatalf("got opcode %d with %d bytes, %v; want %.100q", h.OpCode, h.Length, err, text)
	}
	p := make([]byte, h.Length)
	if _, err := io.ReadFull(c.in, p); err != nil || string(p) != text {
		c.t.Fatalf("got %.100q, %v; want %.100q", p, err, text)
	}
}

// expectEnd reads the end of the connection, with nothing before it.
func (c *rawConn) expectEnd() {
	c.t.Helper()
	if p, err := io.ReadAll(c.in); len(p) > 0 || os.IsTimeout(err) {
		c.t.Errorf("the connection goes on: %q, %v", p, err)
	}
}

func text(s string) string {
	return string(ws.MustCompileFrame(ws.MaskFrameInPlace(ws.NewTextFrame([]byte(s)))))
}

func get(target string, lines ...string) string {
	return "GET " + target + " HTTP/1.1\r\n" + strings.Join(append([]string{"Host: sluice.test"}, append(lines, "", "")...), "\r\n")
}

// upgradeWith is a handshake with further header lines.
func upgradeWith(target string, lines ...string) string {
	return strings.TrimSuffix(handshake(target), "\r\n") + strings.Join(append(lines, "", ""), "\r\n")
}

// One room: clients of two libraries by a server of the program's own, and one by a listener of the gateway's.
func TestServeHTTPMixesWithTheGatewaysOwnClients(t *testing.T) {
	s := newServer(t, gateway.Options{})
	own := listen(t, s)
	serve(t, s)
	addr := embed(t, s)
	for _, tc := range []struct{ theirs, ours string }{
		{"/ws/tea", "/ws/tea"},
		{"/ws/tea?token=a%20b", "/ws/tea"},
		{"/ws/%74ea", "/ws/tea"},
		{"/ws", "/ws/lobby"},
		{"/chat/ws/tea", "/ws/tea"},
	} {
		t.Run(tc.theirs, func(t *testing.T) {
			a, b := dial(t, "ws://"+addr+tc.theirs), dial(t, "ws://"+own+tc.ours)
			c, r, err := gorilla.DefaultDialer.DialContext(soon(t), "ws://"+addr+tc.theirs, http.Header{"Origin": {"http://" + addr}})
			if err != nil {
				t.Fatalf("%v, %v", err, r)
			}
			defer c.Close()
			say(t, a, "from coder")
			hear(t, a, "from coder")
			say(t, b, "from our listener")
			for _, text := range []string{"from coder", "from our listener"} {
				if text != "from coder" {
					hear(t, a, text)
				}
				hear(t, b, text)
				if kind, p, err := c.ReadMessage(); err != nil || kind != gorilla.TextMessage || string(p) != text {
					t.Fatalf("gorilla heard %d %q, %v", kind, p, err)
				}
			}
			if err := c.WriteMessage(gorilla.TextMessage, []byte("from gorilla")); err != nil {
				t.Fatal(err)
			}
			hear(t, a, "from gorilla")
			hear(t, b, "from gorilla")
			for _, c := range []*websocket.Conn{a, b} {
				if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
					t.Errorf("close: %v", err)
				}
			}
		})
	}
	eventually(t, "all have left", func() bool { return s.Open() == 0 })
	if st := statsOf(t, s); st.TakenOver != 10 || st.Upgrades != 15 || st.Accepted != 15 || st.Lent != 0 || st.Returned != 0 {
		t.Errorf("%d taken over, %d upgrades, %d accepted, %d lent, %d returned; want 10, 15, 15, 0, 0", st.TakenOver, st.Upgrades, st.Accepted, st.Lent, st.Returned)
	}
	r, err := http.Get("http://" + addr + "/hello")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if body, err := io.ReadAll(r.Body); err != nil || string(body) != "hello" {
		t.Errorf("the program's own page: %q, %v", body, err)
	}
}

func TestServeHTTPTakesFromAUnixSocket(t *testing.T) {
	s := newServer(t, gateway.Options{MaxPerAddress: 1}) // Who comes by a unix socket has no address.
	serve(t, s)
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: s}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	defer func() { server.Close(); <-ended }()
	for range 2 {
		c := connect(t, "unix", l.Addr().String())
		c.send(handshake("/ws/a"), text("by a socket"))
		c.expectUpgrade()
		c.expectText("by a socket")
	}
}

// Frames behind the handshake: in net/http's buffer, and more of them than it holds. So is a handshake behind other requests.
func TestServeHTTPKeepsWhatCameBehindTheHandshake(t *testing.T) {
	s := newServer(t, gateway.Options{})
	serve(t, s)
	addr := embed(t, s)
	large := strings.Repeat("0123456789", 50_000)
	c := connect(t, "tcp", addr)
	c.send(get("/hello"), get("/hello"), handshake("/ws"), text("small"), text(large), text("small again"))
	for range 2 {
		if _, body := c.response(); body != "hello" {
			t.Fatalf("page %q", body)
		}
	}
	c.expectUpgrade()
	for _, want := range []string{"small", large, "small again"} {
		c.expectText(want)
	}
	if st := statsOf(t, s); st.EarlyBytes != 1 {
		t.Errorf("EarlyBytes %d, want 1", st.EarlyBytes)
	}
	// Byte by byte, and with a frame that comes in two parts.
	c = connect(t, "tcp", addr)
	for _, b := range handshake("/ws/bytes") {
		c.send(string(b))
	}
	c.expectUpgrade()
	f := text("in two parts")
	c.send(f[:5])
	c.send(f[5:])
	c.expectText("in two parts")
}

// The server's own limits in time end with the hijacking; nobody is cut by one.
func TestServeHTTPOutlivesTheServersTimeouts(t *testing.T) {
	s := newServer(t, gateway.Options{})
	serve(t, s)
	server := httptest.NewUnstartedServer(s)
	const limit = 100 * time.Millisecond
	server.Config.ReadTimeout, server.Config.WriteTimeout, server.Config.IdleTimeout = limit, limit, limit
	addr := start(t, server)
	c, slow := connect(t, "tcp", addr), connect(t, "tcp", addr)
	c.send(handshake("/ws"))
	c.expectUpgrade()
	slow.send("GET /ws HTTP/1.1\r\n")
	slow.expectEnd() // So long that the limit has passed.
	c.send(text("still here"))
	c.expectText("still here")
}

func TestServeHTTPLeavesNoGoroutineAndNoDescriptor(t *testing.T) {
	const clients = 500
	s := newServer(t, gateway.Options{Loops: 2})
	serve(t, s)
	addr := embed(t, s)
	first := connect(t, "tcp", addr)
	first.send(handshake("/ws"))
	first.expectUpgrade() // All that runs once for all has begun.
	goroutines, descriptors := runtime.NumGoroutine(), countDescriptors(t)
	first.Close()
	eventually(t, "the first has left", func() bool { return s.Open() == 0 })
	var all []*rawConn
	for range clients {
		c := connect(t, "tcp", addr)
		c.send(handshake("/ws"))
		c.expectUpgrade()
		all = append(all, c)
	}
	eventually(t, "net/http's goroutines have ended", func() bool { return runtime.NumGoroutine() <= goroutines })
	if descriptors >= 0 {
		// One for each side: what net/http had is closed.
		eventually(t, "two descriptors for each client", func() bool { return countDescriptors(t) <= descriptors+2*clients })
	}
	all[0].send(text("to all"))
	for _, c := range all {
		c.expectText("to all")
	}
	for _, c := range all {
		c.Close()
	}
	eventually(t, "they have left", func() bool { return s.Open() == 0 })
	eventually(t, "as many descriptors as before", func() bool { return countDescriptors(t) <= descriptors })
	if st := statsOf(t, s); st.TakenOver != clients+1 {
		t.Errorf("%d taken over, want %d", st.TakenOver, clients+1)
	}
}

// countDescriptors is -1 where there is no /proc.
func countDescriptors(t testing.TB) int {
	t.Helper()
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		return -1
	}
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// What is refused is told why, closed, counted, and not there any more.
func TestServeHTTPRefuses(t *testing.T) {
	s := newServer(t, gateway.Options{})
	serve(t, s)
	addr := embed(t, s)
	for _, tc := range []struct {
		name   string
		send   string
		status int
		reason wsproto.Reason
		says   string
	}{
		{"path", handshake("/elsewhere/ws"), 404, wsproto.ReasonNotFound, "StripPrefix"},
		{"content_length", upgradeWith("/ws", "Content-Length: 5") + "hello", 400, wsproto.ReasonBody, "no body"},
		{"chunked", upgradeWith("/ws", "Transfer-Encoding: chunked") + "0\r\n\r\n", 400, wsproto.ReasonBody, "no body"},
		{"no_upgrade", get("/ws"), 426, wsproto.ReasonNoUpgrade, "WebSocket"},
		{"method", strings.Replace(handshake("/ws"), "GET", "PUT", 1), 405, wsproto.ReasonMethod, "GET"},
		{"origin", upgradeWith("/ws", "Origin: https://evil.test"), 403, wsproto.ReasonOrigin, "origin"},
		{"room", handshake("/ws/a%2Fb"), 400, wsproto.ReasonRoomName, "room name"},
		{"no_room", handshake("/ws/%2F"), 400, wsproto.ReasonRoomName, "room name"},
		{"key_twice", upgradeWith("/ws", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400, wsproto.ReasonKey, "Key"},
		{"head_size", upgradeWith("/ws", "X: "+strings.Repeat("x", 32<<10)), 431, wsproto.ReasonHeadSize, "too large"},
		{"headers", upgradeWith("/ws", strings.TrimSuffix(strings.Repeat("X: x\r\n", wsproto.MaxHeaders), "\r\n")), 431, wsproto.ReasonHeaderCount, "too many"},
		{"old_version", strings.Replace(handshake("/ws"), "HTTP/1.1", "HTTP/1.0", 1), 505, wsproto.ReasonHTTPVersion, "HTTP/1.1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			was := statsOf(t, s)
			c := connect(t, "tcp", addr)
			c.send(tc.send, get("/hello"))
			r, body := c.response()
			if r.StatusCode != tc.status || !strings.Contains(body, tc.says) || strings.Count(body, "\n") != 1 || !r.Close {
				t.Errorf("%s, close %t, %q; want %d with %q", r.Status, r.Close, body, tc.status, tc.says)
			}
			c.expectEnd()
			c.Close()
			eventually(t, "nobody is there", func() bool { return s.Open() == 0 })
			if st := statsOf(t, s); st.Refusals[tc.reason] != was.Refusals[tc.reason]+1 || st.Rejected != 0 || st.Upgrades != 0 {
				t.Errorf("%d refusals for it, %d turned away, %d upgrades; want one more than %d, 0, 0",
					st.Refusals[tc.reason], st.Rejected, st.Upgrades, was.Refusals[tc.reason])
			}
		})
	}
}

// bareWriter is what a careless handler passes on: neither hijackable nor to be unwrapped.
type bareWriter struct{ http.ResponseWriter }

// wrappedListener gives its connections another type, as those do that count or limit them.
type wrappedListener struct{ net.Listener }

type wrappedConn struct{ *net.TCPConn } // It has a descriptor by promotion, and might have read ahead.

func (l wrappedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return wrappedConn{c.(*net.TCPConn)}, nil
}

func TestServeHTTPRefusesWhatCannotLeaveNetHTTP(t *testing.T) {
	s := newServer(t, gateway.Options{})
	serve(t, s)
	request := func(t *testing.T, client *http.Client, url string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(soon(t), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if client.Transport.(*http.Transport).Protocols == nil {
			req.Header = http.Header{
				"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
			}
		}
		r, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Body.Close() })
		return r
	}
	for _, tc := range []struct {
		name   string
		start  func(t *testing.T) (client *http.Client, url string)
		status int
		reason wsproto.Reason
		says   string
	}{
		{"TLS", func(t *testing.T) (*http.Client, string) {
			server := httptest.NewTLSServer(s)
			t.Cleanup(server.Close)
			client := server.Client()
			client.Transport.(*http.Transport).TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
			return client, server.URL
		}, 501, wsproto.ReasonTransport, "TLS"},
		{"HTTP2_over_TLS", func(t *testing.T) (*http.Client, string) {
			server := httptest.NewUnstartedServer(s)
			server.EnableHTTP2 = true
			server.StartTLS()
			t.Cleanup(server.Close)
			client := server.Client()
			client.Transport.(*http.Transport).Protocols = new(http.Protocols)
			client.Transport.(*http.Transport).Protocols.SetHTTP2(true)
			return client, server.URL
		}, 501, wsproto.ReasonTransport, "TLS"},
		{"HTTP2", func(t *testing.T) (*http.Client, string) {
			server := httptest.NewUnstartedServer(s)
			server.Config.Protocols = new(http.Protocols)
			server.Config.Protocols.SetUnencryptedHTTP2(true)
			addr := start(t, server)
			transport := &http.Transport{Protocols: new(http.Protocols)}
			transport.Protocols.SetUnencryptedHTTP2(true)
			t.Cleanup(transport.CloseIdleConnections)
			return &http.Client{Transport: transport}, "http://" + addr
		}, 505, wsproto.ReasonHTTPVersion, "HTTP/2"},
		{"writer", func(t *testing.T) (*http.Client, string) {
			addr := start(t, httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.ServeHTTP(bareWriter{w}, r) })))
			return &http.Client{Transport: &http.Transport{}}, "http://" + addr
		}, 501, wsproto.ReasonTransport, "Unwrap"},
		{"conn", func(t *testing.T) (*http.Client, string) {
			server := httptest.NewUnstartedServer(s)
			server.Listener = wrappedListener{server.Listener}
			return &http.Client{Transport: &http.Transport{}}, "http://" + start(t, server)
		}, 501, wsproto.ReasonTransport, "listener"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			was := statsOf(t, s).Refusals[tc.reason]
			client, url := tc.start(t)
			r := request(t, client, url+"/ws/room")
			body, err := io.ReadAll(r.Body)
			if err != nil || r.StatusCode != tc.status || !strings.Contains(string(body), tc.says) || strings.Count(string(body), "\n") != 1 {
				t.Errorf("%s %q, %v; want %d and a sentence that says %q", r.Status, body, err, tc.status, tc.says)
			}
			if isSecond := r.ProtoMajor == 2; isSecond != strings.HasPrefix(tc.name, "HTTP2") {
				t.Errorf("came by %s", r.Proto)
			}
			eventually(t, "nobody is there", func() bool { return s.Open() == 0 })
			if st := statsOf(t, s); st.Refusals[tc.reason] != was+1 || st.TakenOver != 0 {
				t.Errorf("%d refusals for it, %d taken over; want %d, 0", st.Refusals[tc.reason], st.TakenOver, was+1)
			}
			client.CloseIdleConnections()
		})
	}
}

// behind is a handler in front that knows where a request comes from better than its connection does.
func behind(gw http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if from := r.Header.Get("X-Real-Ip"); from != "" {
			r.RemoteAddr = from
		}
		gw.ServeHTTP(w, r)
	})
}

// Connections by way of ServeHTTP and by a listener count together.
func TestServeHTTPKeepsTheLimits(t *testing.T) {
	expectTurned := func(t *testing.T, s *gateway.Server, addr string, reason wsproto.Reason, lines ...string) {
		t.Helper()
		was := statsOf(t, s)
		c := connect(t, "tcp", addr)
		c.send(upgradeWith("/ws", lines...))
		r, body := c.response()
		after := r.Header.Get("Retry-After")
		if r.StatusCode != http.StatusServiceUnavailable || len(after) != 1 || after < "1" || after > "8" || body != wsproto.Refuse(reason).Text+"\n" {
			t.Errorf("%s %q, Retry-After %q; want 503 for %v", r.Status, body, after, reason)
		}
		c.expectEnd()
		if st := statsOf(t, s); st.Rejected != was.Rejected+1 || st.Refusals[reason] != was.Refusals[reason]+1 {
			t.Errorf("%d turned away, %d for it; want one more than %d, %d", st.Rejected, st.Refusals[reason], was.Rejected, was.Refusals[reason])
		}
	}
	join := func(t *testing.T, addr string, lines ...string) *rawConn {
		t.Helper()
		c := connect(t, "tcp", addr)
		c.send(upgradeWith("/ws", lines...))
		c.expectUpgrade()
		return c
	}
	t.Run("connections", func(t *testing.T) {
		s := newServer(t, gateway.Options{MaxConnections: 2})
		own := listen(t, s)
		serve(t, s)
		addr := embed(t, s)
		join(t, own)
		c := join(t, addr)
		expectTurned(t, s, addr, wsproto.ReasonUnavailable)
		if r, _ := connectAndAsk(t, own); r.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("the listener answers %s", r.Status)
		}
		c.Close()
		eventually(t, "there is a place", func() bool { return s.Open() == 1 })
		join(t, addr)
	})
	t.Run("address", func(t *testing.T) {
		s := newServer(t, gateway.Options{MaxPerAddress: 1})
		serve(t, s)
		addr := embed(t, behind(s))
		c := join(t, addr, "X-Real-Ip: 203.0.113.5:4711")
		expectTurned(t, s, addr, wsproto.ReasonAddress, "X-Real-Ip: 203.0.113.5:4712")
		expectTurned(t, s, addr, wsproto.ReasonAddress, "X-Real-Ip: 203.0.113.5")
		join(t, addr, "X-Real-Ip: [2001:db8::1]:80")
		expectTurned(t, s, addr, wsproto.ReasonAddress, "X-Real-Ip: [2001:db8::2]:80") // the same /64
		for range 3 {
			join(t, addr) // This machine is not counted, nor is what is no address.
			join(t, addr, "X-Real-Ip: unknown")
		}
		c.Close()
		eventually(t, "it has left", func() bool { return s.Open() == 7 })
		join(t, addr, "X-Real-Ip: 203.0.113.5:4713")
		// Who is refused by a loop gives the place back as well.
		bad := connect(t, "tcp", addr)
		bad.send(upgradeWith("/ws/*", "X-Real-Ip: 203.0.113.9:1"))
		if r, _ := bad.response(); r.StatusCode != http.StatusBadRequest {
			t.Error(r.Status)
		}
		bad.expectEnd()
		bad.Close()
		eventually(t, "it has left", func() bool { return s.Open() == 8 })
		join(t, addr, "X-Real-Ip: 203.0.113.9:2")
	})
	t.Run("rate", func(t *testing.T) {
		s := newServer(t, gateway.Options{ConnectRate: 1})
		serve(t, s)
		addr := embed(t, behind(s))
		join(t, addr, "X-Real-Ip: 203.0.113.5:1")
		expectTurned(t, s, addr, wsproto.ReasonConnectRate, "X-Real-Ip: 203.0.113.6:1")
	})
}

func connectAndAsk(t *testing.T, addr string) (*http.Response, string) {
	t.Helper()
	c := connect(t, "tcp", addr)
	return c.response() // It is turned away before it has said anything.
}

// A handler in front may write anything into a header; it must not become more than a header.
func TestServeHTTPKeepsHeadersApart(t *testing.T) {
	s := newServer(t, gateway.Options{})
	serve(t, s)
	addr := start(t, httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-User", "eve\r\nOrigin: https://evil.test\r\n\r\n"+text("forged"))
		s.ServeHTTP(w, r)
	})))
	c := connect(t, "tcp", addr)
	c.send(handshake("/ws"), text("real"))
	r, body := c.response()
	switch r.StatusCode {
	case http.StatusBadRequest: // A header with such bytes is malformed.
	case http.StatusSwitchingProtocols:
		c.expectText("real")
	default:
		t.Errorf("%s %q", r.Status, body)
	}
}

func TestServeHTTPWithoutServe(t *testing.T) {
	t.Parallel()
	ask := func(t *testing.T, addr string) (*http.Response, string) {
		t.Helper()
		c := connect(t, "tcp", addr)
		c.send(handshake("/ws"))
		r, body := c.response()
		if r.StatusCode != http.StatusSwitchingProtocols {
			c.expectEnd()
		}
		return r, body
	}
	t.Run("never", func(t *testing.T) {
		s := newServer(t, gateway.Options{})
		addr := embed(t, s)
		if r, body := ask(t, addr); r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "Serve") {
			t.Errorf("%s %q, want 503 that names Serve", r.Status, body)
		}
		if st := statsOf(t, s); st.Refusals[wsproto.ReasonUnavailable] != 1 {
			t.Errorf("%d refusals counted, want 1", st.Refusals[wsproto.ReasonUnavailable])
		}
	})
	t.Run("a_moment_later", func(t *testing.T) {
		s := newServer(t, gateway.Options{})
		arrived := make(chan struct{})
		addr := embed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(arrived)
			s.ServeHTTP(w, r)
		}))
		served := make(chan struct{})
		go func() { <-arrived; serve(t, s); close(served) }()
		defer func() { <-served }()
		if r, body := ask(t, addr); r.StatusCode != http.StatusSwitchingProtocols {
			t.Errorf("%s %q, want 101", r.Status, body)
		}
	})
	t.Run("closed", func(t *testing.T) {
		for _, served := range []bool{false, true} {
			s := newServer(t, gateway.Options{})
			addr := embed(t, s)
			if served {
				serve(t, s)
				ask(t, addr)
			}
			s.Close()
			if r, body := ask(t, addr); r.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("served %t: %s %q, want 503", served, r.Status, body)
			}
		}
	})
}

// Shutdown of the program's server knows nothing of what has left it; Drain closes that with 1001, and takes no more.
func TestDrainEndsWhatServeHTTPTook(t *testing.T) {
	s := newServer(t, gateway.Options{DrainTimeout: time.Second})
	serve(t, s)
	mux := http.NewServeMux()
	mux.Handle("/ws/", s)
	server := httptest.NewServer(mux)
	defer server.Close()
	addr := server.Listener.Addr().String()
	var all []*websocket.Conn
	for i := range 20 {
		c := dial(t, fmt.Sprintf("ws://%s/ws/%d", addr, i%3))
		all = append(all, c)
	}
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(soon(t)) }()
	for _, c := range all {
		if _, _, err := c.Read(soon(t)); websocket.CloseStatus(err) != websocket.StatusGoingAway {
			t.Errorf("read ended with %v, want close 1001", err)
		}
	}
	if err := <-drained; err != nil {
		t.Errorf("Drain: %v", err)
	}
	late := connect(t, "tcp", addr)
	late.send(handshake("/ws/late"))
	if r, body := late.response(); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("afterwards %s %q, want 503", r.Status, body)
	}
	if err := server.Config.Shutdown(soon(t)); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// Clients come by the dozen while the gateway drains, and while it is closed: each hears of it, and Drain waits for those it took.
func TestServeHTTPWhileTheGatewayStops(t *testing.T) {
	for name, stop := range map[string]func(s *gateway.Server) error{
		"Drain": func(s *gateway.Server) error { return s.Drain(soon(t)) },
		"Close": func(s *gateway.Server) error { s.Close(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			const clients = 64
			s := newServer(t, gateway.Options{DrainTimeout: 200 * time.Millisecond})
			serve(t, s)
			addr := embed(t, s)
			var wg sync.WaitGroup
			var begun sync.WaitGroup
			begun.Add(clients / 2)
			for i := range clients {
				wg.Go(func() {
					c, err := net.Dial("tcp", addr)
					if err != nil {
						t.Error(err)
						return
					}
					defer c.Close()
					_ = c.SetDeadline(time.Now().Add(patience))
					if i < clients/2 {
						begun.Done()
					}
					if _, err := io.WriteString(c, handshake("/ws")); err != nil {
						t.Error(err)
						return
					}
					p, err := io.ReadAll(c)
					answer, frames, _ := strings.Cut(string(p), "\r\n\r\n")
					isTold := strings.HasPrefix(answer, "HTTP/1.1 503 ") || strings.HasPrefix(answer, "HTTP/1.1 101 ") && strings.HasPrefix(frames, "\x88") &&
						strings.Contains(frames, "\x03\xe9") // Close, 1001
					if os.IsTimeout(err) || name == "Drain" && !isTold {
						t.Errorf("client got %q, %v", p, err)
					}
				})
			}
			begun.Wait()
			if err := stop(s); err != nil {
				t.Error(err)
			}
			if name == "Drain" && s.Open() != 0 {
				t.Errorf("Drain returns, and %d are open", s.Open())
			}
			wg.Wait()
			eventually(t, "nobody is there", func() bool { return s.Open() == 0 })
		})
	}
}

// The gateway's own listener lends what is no /ws to Options.Pages. A mux there may lead back to the gateway: the connection is
// counted once.
func TestPagesLeadBackToTheGateway(t *testing.T) {
	var s *gateway.Server
	pages := http.NewServeMux()
	pages.Handle("/chat/ws/", http.StripPrefix("/chat", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.ServeHTTP(w, r) })))
	s = newServer(t, gateway.Options{Pages: pages, MaxConnections: 1})
	addr := listen(t, s)
	serve(t, s)
	c := connect(t, "tcp", addr)
	c.send(handshake("/chat/ws/tea"), text("there and back"))
	c.expectUpgrade()
	c.expectText("there and back")
	// Its goroutine in net/http may have yet to end.
	eventually(t, "it is counted once", func() bool { return s.Open() == 1 })
	if st := statsOf(t, s); st.Lent != 1 || st.Returned != 1 || st.TakenOver != 0 {
		t.Errorf("%d lent, %d returned, %d taken over; want 1, 1, 0", st.Lent, st.Returned, st.TakenOver)
	}
}

// Two gateways: what one has lent the other may take. Each counts its own.
func TestOneGatewayTakesWhatAnotherLent(t *testing.T) {
	inner := newServer(t, gateway.Options{})
	serve(t, inner)
	pages := http.NewServeMux()
	pages.Handle("/inner/", http.StripPrefix("/inner", inner))
	outer := newServer(t, gateway.Options{Pages: pages})
	addr := listen(t, outer)
	serve(t, outer)
	c := connect(t, "tcp", addr)
	large := strings.Repeat("x", 100_000)
	c.send(handshake("/inner/ws/tea"), text("through"), text(large))
	c.expectUpgrade()
	c.expectText("through")
	c.expectText(large)
	eventually(t, "the outer one has let go", func() bool { return outer.Open() == 0 })
	if st := statsOf(t, inner); inner.Open() != 1 || st.TakenOver != 1 {
		t.Errorf("the inner one has %d open, %d taken over; want 1, 1", inner.Open(), st.TakenOver)
	}
	c.Close()
	eventually(t, "the inner one has let go", func() bool { return inner.Open() == 0 })
}
