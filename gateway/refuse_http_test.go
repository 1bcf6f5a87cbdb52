package gateway_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sluice/gateway"
	"sluice/wsproto"
)

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

// behind is a handler in front that knows where a request comes from better than its connection
// does.
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
		// A client that is refused by a loop gives the place back as well.
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
