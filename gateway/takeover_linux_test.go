package gateway

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/testenv"
	"sluice/reactor"
	"sluice/wsproto"
)

// takeoverWait bounds what is sure to come.
const takeoverWait = testenv.Patience

// A guest is a client of a foreign server that leads to the gateway.
type guest struct {
	net.Conn
	in *bufio.Reader
	t  testing.TB
}

func newGuest(t testing.TB, addr string) *guest {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(takeoverWait)); err != nil {
		t.Fatal(err)
	}
	return &guest{c, bufio.NewReader(c), t}
}

// ask sends requests in one write, and returns the first answer.
func (g *guest) ask(requests ...string) (*http.Response, string) {
	g.t.Helper()
	if _, err := io.WriteString(g, strings.Join(requests, "")); err != nil {
		g.t.Fatal(err)
	}
	return g.answer()
}

func (g *guest) answer() (*http.Response, string) {
	g.t.Helper()
	r, err := http.ReadResponse(g.in, nil)
	if err != nil {
		g.t.Fatalf("no answer: %v", err)
	}
	if r.StatusCode == http.StatusSwitchingProtocols {
		return r, ""
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		g.t.Fatalf("body of %s: %v", r.Status, err)
	}
	return r, string(body)
}

func (g *guest) expectEnd() {
	g.t.Helper()
	if p, err := io.ReadAll(g.in); len(p) != 0 || err != nil {
		g.t.Errorf("%q and %v behind the answer, want its end and no reset", p, err)
	}
}

const (
	guestPage    = "GET / HTTP/1.1\r\nHost: sluice.test\r\n\r\n"
	guestUpgrade = "GET /ws/guests HTTP/1.1\r\nHost: sluice.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)

// foreign is a server of the program's own that leads to the gateway.
func foreign(t testing.TB, s *Server) string {
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func counted(t testing.TB, s *Server) Stats {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), takeoverWait)
	defer cancel()
	st, err := s.Stats(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func descriptorCount(t testing.TB) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func within(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(takeoverWait); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", takeoverWait, what)
		}
	}
}

// holdLoop keeps a gateway's one loop busy and its mailbox full until the returned function lets it
// go on.
func holdLoop(t testing.TB, s *Server) (letGo func()) {
	t.Helper()
	w, busy, held := s.workers[0], make(chan struct{}), make(chan struct{})
	if !w.loop.Post(func(*reactor.Loop) { close(held); <-busy }) {
		t.Fatal("the mailbox is full already")
	}
	<-held
	letGo = sync.OnceFunc(func() { close(busy) })
	t.Cleanup(letGo) // Before Close, which waits for the loop.
	for w.loop.Post(func(*reactor.Loop) {}) {
	}
	return letGo
}

// An upgrade that finds every mailbox full is told so, counted and logged: on its way from a
// foreign server, on its way back from our own net/http where the pages lead to the gateway, and
// behind a page's request that net/http has answered.
func TestN80_UpgradeThatFindsTheMailboxFullIsAnswered(t *testing.T) {
	for _, tc := range []struct {
		name      string
		isForeign bool
		requests  string
		pages     int // answered before it
	}{
		{"foreign", true, guestUpgrade, 0},
		{"lent", false, strings.Replace(guestUpgrade, "/ws/", "/mine/ws/", 1), 0},
		{"returned", false, guestPage + guestUpgrade, 1},
	} {
		var log journal
		var s *Server
		arrived, held := make(chan struct{}, 1), make(chan struct{})
		hold := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			arrived <- struct{}{}
			<-held
			if r.URL.Path != "/" {
				http.StripPrefix("/mine", s).ServeHTTP(w, r)
			}
		})
		cfg := testConfig()
		cfg.Loops, cfg.Pages = 1, hold
		if err := cfg.prepare(); err != nil {
			t.Fatal(err)
		}
		s, err := newServer(cfg, slog.New(slog.NewTextHandler(&log, nil)), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Listen("127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		addr := s.Addrs()[0].String()
		if tc.isForeign {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				arrived <- struct{}{}
				<-held
				s.ServeHTTP(w, r)
			}))
			t.Cleanup(server.Close)
			addr = server.Listener.Addr().String()
		}
		g := newGuest(t, addr)
		if _, err := io.WriteString(g, tc.requests+strings.Repeat("early frames", 1000)); err != nil {
			t.Fatal(err)
		}
		<-arrived
		descriptors := descriptorCount(t)
		letGo := holdLoop(t, s)
		close(held)
		for range tc.pages {
			if r, _ := g.answer(); r.StatusCode != http.StatusOK {
				t.Errorf("%s: page %s", tc.name, r.Status)
			}
		}
		r, body := g.answer()
		if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" || !r.Close || body == "" {
			t.Errorf("%s: %s, Retry-After %q, close %t, %q", tc.name, r.Status, r.Header.Get("Retry-After"), r.Close, body)
		}
		g.expectEnd()
		g.Close()
		within(t, "nobody is counted", func() bool { return s.Open() == 0 })
		within(t, "the client's descriptor and the gateway's are closed", func() bool { return descriptorCount(t) <= descriptors-2 })
		letGo()
		if st := counted(t, s); st.Refusals[wsproto.ReasonUnavailable] != 1 || st.Rejected != 1 || st.TakenOver != 0 || st.Returned != 0 {
			t.Errorf("%s: %d refusals, %d turned away, %d taken over, %d returned; want 1, 1, 0, 0",
				tc.name, st.Refusals[wsproto.ReasonUnavailable], st.Rejected, st.TakenOver, st.Returned)
		}
		if lines := log.lines("refused"); len(lines) != 1 || !strings.Contains(lines[0], "reason=unavailable") || !strings.Contains(lines[0], "/ws/guests") {
			t.Errorf("%s: logged %q, want one line", tc.name, lines)
		}
		if r, body := newGuest(t, addr).ask(guestUpgrade); r.StatusCode != http.StatusSwitchingProtocols {
			t.Errorf("%s: afterwards %s %q, want 101", tc.name, r.Status, body)
		}
		if tc.isForeign {
			<-arrived
		}
	}
}

// Where one loop's mailbox is full another takes the connection.
func TestUpgradeGoesToALoopWithRoomInItsMailbox(t *testing.T) {
	s, _ := startGateway(t, testConfig())
	addr := foreign(t, s)
	holdLoop(t, s)
	for range 2 * len(s.workers) {
		if r, body := newGuest(t, addr).ask(guestUpgrade); r.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%s %q, want 101", r.Status, body)
		}
	}
}

func TestServeHTTPTakesNobodyWhileMemoryIsShort(t *testing.T) {
	s, _ := startGateway(t, testConfig())
	addr := foreign(t, s)
	s.pressure.taken.Store(int32(stepConnections))
	r, body := newGuest(t, addr).ask(guestUpgrade)
	if r.StatusCode != http.StatusServiceUnavailable || body != wsproto.Refuse(wsproto.ReasonMemory).Text+"\n" || r.Header.Get("Retry-After") == "" {
		t.Errorf("%s %q, want 503 for memory", r.Status, body)
	}
	if st := counted(t, s); st.Refusals[wsproto.ReasonMemory] != 1 || st.Rejected != 1 || s.Open() != 0 {
		t.Errorf("%d refusals, %d turned away, %d open; want 1, 1, 0", st.Refusals[wsproto.ReasonMemory], st.Rejected, s.Open())
	}
	s.pressure.taken.Store(int32(stepNone))
	if r, _ := newGuest(t, addr).ask(guestUpgrade); r.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("afterwards %s, want 101", r.Status)
	}
}

// A foreign server's listener has set none of our options, and offers Multipath TCP.
func TestTakenConnectionsCarryTheOptions(t *testing.T) {
	cfg := testConfig()
	cfg.Loops = 1
	cfg.StallTimeout = 20 * time.Second
	s, _ := startGateway(t, cfg)
	newGuest(t, foreign(t, s)).ask(guestUpgrade)
	seen := make(chan map[int]int, 1)
	s.workers[0].loop.Post(func(l *reactor.Loop) {
		for _, source := range l.Sources {
			if c, ok := source.(*conn); ok {
				got := map[int]int{}
				for _, option := range []int{unix.TCP_NODELAY, unix.TCP_NOTSENT_LOWAT, unix.TCP_USER_TIMEOUT, unix.TCP_KEEPIDLE} {
					got[option], _ = unix.GetsockoptInt(int(c.fd), unix.IPPROTO_TCP, option)
				}
				seen <- got
			}
		}
		close(seen)
	})
	got := <-seen
	for option, want := range map[int]int{
		unix.TCP_NODELAY: 1, unix.TCP_NOTSENT_LOWAT: 64 << 10, unix.TCP_USER_TIMEOUT: 30_000, unix.TCP_KEEPIDLE: keepIdle,
	} {
		if got[option] != want {
			t.Errorf("TCP option %d is %d, want %d", option, got[option], want)
		}
	}
}

// What a log line says of a request is the client's text: cut short, escaped, and without what
// stands behind a question mark.
func TestServeHTTPLogsRefusalsAsLoopsDo(t *testing.T) {
	var out bytes.Buffer
	cfg := testConfig()
	if err := cfg.prepare(); err != nil {
		t.Fatal(err)
	}
	s, err := newServer(cfg, slog.New(slog.NewTextHandler(&out, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	close(s.started) // As though it served; nothing is taken here.
	for range 3 {
		r := httptest.NewRequest(http.MethodGet, "/ws/"+strings.Repeat("room", 100)+"?token=hunter2", nil)
		r.RemoteAddr = "203.0.113.5:99"
		w := httptest.NewRecorder() // cannot be hijacked
		s.ServeHTTP(w, r)
		if w.Code != http.StatusServiceUnavailable && w.Code != http.StatusNotImplemented {
			t.Errorf("status %d", w.Code)
		}
	}
	line := out.String()
	if strings.Count(line, "\n") != 1 || !strings.Contains(line, "from=203.0.113.5 ") || !strings.Contains(line, "GET /ws/room") ||
		strings.Contains(line, "hunter2") || len(line) > 300 {
		t.Errorf("logged %q, want one short line", line)
	}
}
