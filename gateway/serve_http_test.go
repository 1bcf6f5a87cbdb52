package gateway_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"

	"sluice/gateway"
)

// embed serves a mux with the gateway in it as a program of its own would, and returns its
// host:port.
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

// One room: clients of two libraries by a server of the program's own, and one by a listener of the
// gateway's.
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
	s := newServer(t, gateway.Options{MaxPerAddress: 1}) // A client that comes by a unix socket has no address.
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

// Frames behind the handshake: in net/http's buffer, and more of them than it holds. So is a
// handshake behind other requests.
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
	t.Parallel()
	s := newServer(t, gateway.Options{})
	serve(t, s)
	server := httptest.NewUnstartedServer(s)
	const limit = 2 * time.Second // In less who waits for a processor has not sent its head.
	server.Config.ReadTimeout, server.Config.WriteTimeout, server.Config.IdleTimeout = limit, limit, limit
	addr := start(t, server)
	c := connect(t, "tcp", addr)
	c.send(handshake("/ws"))
	c.expectUpgrade()
	slow := connect(t, "tcp", addr)
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

// The gateway's own listener lends what is no /ws to Options.Pages. A mux there may lead back to
// the gateway: the connection is counted once.
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
