package admin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sluice/gateway"
	"sluice/internal/browsertest"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// TestMain fails the package if its tests leave goroutines or descriptors behind.
func TestMain(m *testing.M) {
	gatewaytest.Metrics = func(t testing.TB, s *gateway.Server) string {
		w := httptest.NewRecorder()
		newMetrics(s, "v1", FigureOptions{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		return w.Body.String()
	}
	os.Exit(testenv.Run(m, browsertest.Stop))
}

const (
	testKey  = "sluice_test-of-everything"
	roomsKey = "sluice_test-of-some-rooms"
)

// A site is a gateway with its admin listener on loopback.
type site struct {
	t       testing.TB
	gateway *gateway.Server
	clients string // host:port of the clients' listener
	admin   string // … of the admin listener
	handler *Handler
	http    *http.Client
}

// startSite runs one until the test ends, with a key for all rooms and one for ticker.* alone.
func startSite(t testing.TB, o gateway.Options, more func(*Handler)) *site {
	t.Helper()
	s, addr := gatewaytest.Start(t, o)
	keys, err := ParseKeys(testKey + "\n" + roomsKey + " ticker.*\n")
	if err != nil {
		t.Fatal(err)
	}
	h, err := New(s, Options{Keys: keys, AllowHost: []string{"sluice.test"}, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if more != nil {
		more(h)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, h, l)
	transport := &http.Transport{MaxIdleConnsPerHost: 4}
	t.Cleanup(transport.CloseIdleConnections)
	return &site{t, s, addr, l.Addr().String(), h, &http.Client{Transport: transport, Timeout: testenv.Patience}}
}

// serve serves the handler on a listener until the test ends.
func serve(t testing.TB, h http.Handler, l net.Listener) {
	t.Helper()
	server := NewServer(h, nil)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serving ended with %v", err)
		}
	})
}

// An answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request with a key, and header fields as name, value, …
func (s *site) ask(method, path, body string, fields ...string) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, "http://"+s.admin+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+testKey)
	for i := 0; i < len(fields); i += 2 {
		switch name, value := fields[i], fields[i+1]; {
		case name == "Host":
			r.Host = value
		case value == "":
			r.Header.Del(name)
		default:
			r.Header.Set(name, value)
		}
	}
	return s.do(r)
}

func (s *site) do(r *http.Request) answer {
	s.t.Helper()
	resp, err := s.http.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	p, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, strings.TrimSpace(string(p))}
}

// expect holds an answer to a status and a text in its body.
func (s *site) expect(what string, a answer, status int, text string) {
	s.t.Helper()
	if a.status != status || !strings.Contains(a.body, text) {
		s.t.Errorf("%s: %d %s; want %d with %s", what, a.status, a.body, status, text)
	}
}

// publish publishes into a room.
func (s *site) publish(room, body string, fields ...string) answer {
	s.t.Helper()
	return s.ask("POST", "/api/rooms/"+room+"/messages", body, fields...)
}

// join is a client in a room, which an independent library reads.
func (s *site) join(room string) *websocket.Conn {
	s.t.Helper()
	return wstest.Dial(s.t, s.clients, "/ws/"+room)
}

// hears reads the next message.
func (s *site) hears(c *websocket.Conn, kind websocket.MessageType, want string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Patience)
	defer cancel()
	got, p, err := c.Read(ctx)
	if err != nil || got != kind || string(p) != want {
		s.t.Fatalf("heard %v %q, %v; want %v %q", got, wstest.Clip(string(p)), err, kind, wstest.Clip(want))
	}
}

// aTestClock is turned by hand. It may be turned while handlers go by it.
type aTestClock struct{ c chan time.Duration }

func newTestClock(h *Handler) aTestClock {
	k := aTestClock{make(chan time.Duration, 1)}
	k.c <- time.Hour
	h.clock = clock{now: func() time.Duration { t := <-k.c; k.c <- t; return t }}
	return k
}

func (k aTestClock) pass(d time.Duration) { k.c <- <-k.c + d }
