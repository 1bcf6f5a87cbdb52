package admin

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// smuggled is a request that stands in the body of another. If anybody takes it for one, its
// message is in the room.
const smuggled = "POST /api/rooms/r/messages HTTP/1.1\r\nHost: localhost\r\nX-API-Key: " + testKey + "\r\nContent-Length: 8\r\n\r\nsmuggled"

// H17, P06. A body that two readers could take for two lengths is refused with 400 and the end,
// first or later on its connection, whole or byte by byte; nothing behind it is heard.
func TestH17_P06_BodyHasOneLength(t *testing.T) {
	t.Parallel()
	s := startSite(t, gatewaytest.Options(), nil)
	c := s.join("r")
	head := "POST /api/rooms/r/messages HTTP/1.1\r\nHost: localhost\r\nX-API-Key: " + testKey + "\r\n"
	for _, one := range []struct{ what, fields, body string }{
		{"a length and chunks", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n" + smuggled},
		{"chunks and a length", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n" + smuggled},
		{"two lengths", "Content-Length: 1\r\nContent-Length: 2\r\n", "xx" + smuggled},
		{"the same length twice", "Content-Length: 1\r\nContent-Length: 1\r\n", "x" + smuggled},
		{"a list of lengths", "Content-Length: 1, 1\r\n", "x" + smuggled},
		{"a sign", "Content-Length: +5\r\n", "12345" + smuggled},
		{"another base", "Content-Length: 0x5\r\n", "12345" + smuggled},
		{"more than there is", "Content-Length: 18446744073709551616\r\n", smuggled},
		{"two codings", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n" + smuggled},
		{"another coding", "Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n" + smuggled},
		{"chunks in disguise", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n" + smuggled},
		{"a folded line", "X: a\r\n Content-Length: 5\r\n", smuggled},
		{"a bare line feed", "X: a\nContent-Length: 5\r\n", "12345" + smuggled},
		{"a blank before the colon", "Content-Length : 5\r\n", "12345" + smuggled},
		{"a chunk's size that ends in a bare line feed", "Transfer-Encoding: chunked\r\n", "5\nhello\r\n0\r\n\r\n" + smuggled},
		{"a chunk's size that is none", "Transfer-Encoding: chunked\r\n", "+5\r\nhello\r\n0\r\n\r\n" + smuggled},
		{"extensions without end", "Transfer-Encoding: chunked\r\n", "5;" + strings.Repeat("x", 64<<10) + "\r\nhello\r\n0\r\n\r\n" + smuggled},
	} {
		for _, before := range []string{"", "GET /api/rooms HTTP/1.1\r\nHost: localhost\r\nX-API-Key: " + testKey + "\r\n\r\n"} {
			for _, isSplit := range []bool{false, true} {
				raw := before + head + one.fields + "\r\n" + one.body
				if isSplit && len(raw) > 4096 {
					continue
				}
				got := s.raw(raw, isSplit)
				if before != "" {
					first, rest, _ := strings.Cut(got, "}\n")
					if !strings.HasPrefix(first, "HTTP/1.1 200") {
						t.Errorf("%s: the request before it was answered with %q", one.what, first)
					}
					got = rest
				}
				if !strings.HasPrefix(got, "HTTP/1.1 400 ") || strings.Count(got, "HTTP/1.1") != 1 {
					t.Errorf("%s, split %t, behind another %t: %q", one.what, isSplit, before != "", got)
				}
			}
		}
	}
	s.publish("r", "the only one")
	s.hears(c, websocket.MessageText, "the only one")
}

// raw sends bytes and reads to the end of the connection, which the other side makes.
func (s *site) raw(text string, isSplit bool) string {
	s.t.Helper()
	c := wstest.Connect(s.t, s.admin)
	if isSplit {
		if err := c.SetNoDelay(true); err != nil {
			s.t.Fatal(err)
		}
		for i := range len(text) {
			if _, err := c.Write([]byte(text[i : i+1])); err != nil {
				break // It has been refused.
			}
		}
	} else {
		_, _ = c.Write([]byte(text)) // Likewise.
	}
	got, _ := io.ReadAll(c.In) // A reset may follow the answer: there was more to read.
	return string(got)
}

// Chunks are taken, and the connection ends behind them.
func TestBodiesInChunksAreTaken(t *testing.T) {
	t.Parallel()
	s := startSite(t, gatewaytest.Options(), nil)
	c := s.join("r")
	got := s.raw("POST /api/rooms/r/messages HTTP/1.1\r\nHost: localhost\r\nX-API-Key: "+testKey+
		"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"+smuggled, false)
	if !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || !strings.Contains(got, `{"members":1}`) || strings.Count(got, "HTTP/1.1") != 1 {
		t.Errorf("%q", got)
	}
	s.hears(c, websocket.MessageText, "hello world")
	s.publish("r", "next")
	s.hears(c, websocket.MessageText, "next")
}

// Pipelined requests are answered one after the other, whatever packets they come in.
func TestRequestsBehindEachOtherAreAnswered(t *testing.T) {
	t.Parallel()
	s := startSite(t, gatewaytest.Options(), nil)
	c := s.join("r")
	var all strings.Builder
	for i := range 20 {
		last := ""
		if i == 19 {
			last = "Connection: close\r\n"
		}
		body := fmt.Sprint("m", i)
		fmt.Fprintf(&all, "POST /api/rooms/r/messages HTTP/1.1\r\nHost: localhost\r\nX-API-Key: %s\r\n%sContent-Length: %d\r\n\r\n%s", testKey, last, len(body), body)
	}
	for _, isSplit := range []bool{false, true} {
		if got := s.raw(all.String(), isSplit); strings.Count(got, "HTTP/1.1 200 OK") != 20 {
			t.Errorf("split %t: %q", isSplit, got)
		}
		for i := range 20 {
			s.hears(c, websocket.MessageText, fmt.Sprint("m", i))
		}
	}
}

// A client that asks waits while all others have requests under way, and for nobody else: who has
// been answered, has sent half a head or nothing makes room.
func TestConnectionsHavePlaces(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked, answer := make(chan struct{}, 2), make(chan struct{})
	server := NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			asked <- struct{}{}
			<-answer
		}
	}), nil)
	now := fewPlaces(server, 2)
	pass := func(silent int) { // The time until one of so many makes room.
		t.Helper()
		testenv.Eventually(t, fmt.Sprint(silent, " are silent"), func() bool {
			server.places.mu.Lock()
			defer server.places.mu.Unlock()
			return server.places.silent.Len() == silent
		})
		now.Add(int64(silentMin))
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(inner) }()
	var all []*wstest.Client
	ask := func(text string) *wstest.Client {
		t.Helper()
		c := wstest.Connect(t, inner.Addr().String())
		c.SetDeadline(time.Now().Add(testenv.Patience))
		c.Send([]byte(text))
		all = append(all, c)
		return c
	}
	const head = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
	isAnswered := func(c *wstest.Client) {
		t.Helper()
		resp, err := http.ReadResponse(c.In, nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", resp, err)
		}
		resp.Body.Close()
	}
	silent := []*wstest.Client{ask(""), ask("GET /"), ask(head)}
	pass(2)
	isAnswered(silent[2])
	var long []*wstest.Client
	for range 2 {
		long = append(long, ask("GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n"))
		testenv.Eventually(t, "its request is under way", func() bool { return len(asked) == len(long) })
		if len(long) == 1 {
			pass(1)
		}
	}
	for _, c := range silent {
		c.ExpectEnd()
	}
	last := ask(head)
	now.Add(10 * int64(silentMin))
	if n := len(server.places.taken); n != 2 {
		t.Fatalf("%d places are taken", n)
	}
	if p, err := last.Peek(20 * roomEvery); err == nil {
		t.Fatalf("answered with %q, although all have requests under way", p)
	}
	close(answer)
	for _, c := range long {
		isAnswered(c)
	}
	pass(2)
	isAnswered(last)
	if err := server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	<-served
	for _, c := range all {
		c.Close()
	}
	testenv.Eventually(t, "all places are free", func() bool { return len(server.places.taken) == 0 })
}

// fewPlaces leaves a server with so many, by a clock that stands unless the test moves it: who has
// to wait for a processor would pass for silent.
func fewPlaces(s *Server, n int) (now *atomic.Int64) {
	now = new(atomic.Int64)
	s.places = newPlaces(n)
	s.places.clock.now = func() time.Duration { return time.Duration(now.Load()) }
	return now
}

// Whoever has no key keeps no place by announcing a body that does not come, wherever it is sent.
func TestBodiesOfStrangersKeepNoPlace(t *testing.T) {
	t.Parallel()
	s := startSite(t, gatewaytest.Options(), func(h *Handler) {
		h.HandleOpen("POST /open", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
		h.HandleOpen("GET /livez", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answerHealth(w, nil) }))
	})
	for _, request := range []string{"POST /api/rooms/r/messages", "POST /open", "GET /livez"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := NewServer(s.handler, nil)
		now := fewPlaces(server, 1)
		served := make(chan error, 1)
		go func() { served <- server.Serve(l) }()
		stranger := wstest.Connect(t, l.Addr().String())
		stranger.Send([]byte(request + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"))
		testenv.Eventually(t, request+" gives way", func() bool {
			server.places.mu.Lock()
			defer server.places.mu.Unlock()
			first := server.places.silent.Front()
			return first != nil && first.Value.(*guest).asked == 1
		})
		now.Add(int64(silentMin))
		operator := wstest.Connect(t, l.Addr().String())
		operator.Send([]byte("GET /api/rooms HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + testKey + "\r\n\r\n"))
		if resp, body := operator.Response(); resp.StatusCode != http.StatusOK {
			t.Errorf("behind %s: %s, %s", request, resp.Status, body)
		}
		server.Close()
		<-served
	}
}

// Whoever is turned away has its answer, and its end behind it, though it has sent a body: what of
// that is not read would be answered with a reset, which can overtake them.
func TestTurnedAwayAreNotReset(t *testing.T) {
	t.Parallel()
	s := startSite(t, gatewaytest.Options(), nil)
	c := wstest.Connect(t, s.admin)
	c.Send([]byte("POST /api/rooms/r/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65536\r\n\r\n"), make([]byte, 1<<16))
	if resp, body := c.Response(); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("%s, %s", resp.Status, body)
	}
	if rest, err := c.Rest(); len(rest) > 0 || err != nil {
		t.Errorf("behind its answer come %d bytes, %v", len(rest), err)
	}
}

// Health checks and profiles.
func TestAdminListenerTellsHealthAndProfiles(t *testing.T) {
	t.Parallel()
	s, _, base, key := startPage(t, gatewaytest.Options(), nil)
	v := &visitor{t, base, nil}
	for _, tc := range []struct {
		method, path string
		hasKey       bool
		want         int
		says         string
	}{
		{"GET", "/livez", false, 200, "ok\n"},
		{"GET", "/readyz", false, 200, "ok\n"},
		{"HEAD", "/readyz", false, 200, ""},
		{"GET", "/metrics", false, 401, ""},
		{"GET", "/metrics", true, 200, "sluice_connections 0"},
		{"GET", "/debug/pprof/", false, 401, ""},
		{"GET", "/debug/pprof/", true, 200, "goroutine"},
		{"GET", "/debug/pprof/heap", true, 200, ""},
		{"GET", "/debug/pprof/goroutine?debug=1", true, 200, "reactor.(*Loop).Run"},
		{"GET", "/debug/pprof/profile?seconds=1", true, 200, ""},
		{"GET", "/debug/pprof/profile?seconds=301", true, 400, "whole number from 1 to 300"},
		{"GET", "/debug/pprof/profile?seconds=NaN", true, 400, "whole number"},
		{"GET", "/debug/pprof/profile?seconds=0.1", true, 400, "whole number"},
		{"GET", "/debug/pprof/profile?seconds=0", true, 400, "whole number"},
		{"GET", "/debug/pprof/profile?seconds=-1", true, 400, "whole number"},
		{"GET", "/debug/pprof/profile?seconds=1e1", true, 400, "whole number"},
		{"GET", "/debug/pprof/profile?seconds=18446744073709551617", true, 400, "whole number"},
		{"GET", "/debug/pprof/heap?seconds=301", true, 400, "whole number"},
		{"GET", "/debug/pprof/goroutine?seconds=0.1", true, 400, "whole number"},
		{"GET", "/debug/pprof/trace?seconds=301", true, 400, "part of one"},
		{"GET", "/debug/pprof/trace?seconds=-0.1", true, 400, "part of one"},
		{"GET", "/debug/pprof/trace?seconds=0.1", true, 200, ""},
		{"GET", "/debug/pprof/cmdline", true, 404, ""},
	} {
		var header []string
		if tc.hasKey {
			header = []string{"X-API-Key", key}
		}
		if status, body, _ := v.do(tc.method, tc.path, nil, header...); status != tc.want || !strings.Contains(body, tc.says) {
			t.Errorf("%s %s, key %t: %d, want %d with %q: %.300q", tc.method, tc.path, tc.hasKey, status, tc.want, tc.says, body)
		}
	}
	s.Close()
	if status, body, _ := v.do("GET", "/readyz", nil); status != 503 || body == "ok\n" {
		t.Errorf("closed: %d %q", status, body)
	}
	if status, _, _ := v.do("GET", "/livez", nil); status != 200 {
		t.Errorf("the process lives: %d", status)
	}
}
