package conformance

import (
	"bufio"
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/gateway"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/wsproto"
)

// Readers of events on both loops get what others say in their room, in its order, and nothing
// else: text with every sort of line end as one event, bytes as base64. The answer's head keeps
// caches and proxies from collecting it.
func TestEventsAreWhatIsSaidInTheRoom(t *testing.T) {
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	var readers []*wstest.Events
	for range 4 {
		readers = append(readers, wstest.Listen(t, addr, "/sse/stage"))
	}
	other := wstest.Listen(t, addr, "/sse/other")
	speaker := wstest.Join(t, addr, "/ws/stage")
	texts := []string{
		"hello", "", "\n", "two\nlines", "ends\n", "carriage\rreturn\r\nboth\n\rnext", "\n\nid: evil\nevent: reset\ndata: {}\n\n", "nul \x00 here", "  spaces", ": x",
	}
	for _, text := range texts {
		speaker.Send(wstest.MaskedText(text))
	}
	bytes := string([]byte{0, '\n', '\r', 0xff})
	speaker.Send(wstest.MaskedBinary(bytes))
	for _, e := range readers {
		for name, want := range map[string]string{"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Connection": "close"} {
			if got := e.Head.Header.Get(name); got != want && !(name == "Connection" && e.Head.Close) {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		for _, text := range texts {
			if got := e.Expect("message", strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")); got.ID != "" {
				t.Errorf("%q has the id %q in a room that keeps nothing", text, got.ID)
			}
		}
		e.Expect("binary", base64.StdEncoding.EncodeToString([]byte(bytes)))
		if ms, err := strconv.Atoi(e.Retry); err != nil || ms < 1000 || ms > 3000 {
			t.Errorf("retry is %q", e.Retry)
		}
	}
	if _, err := s.Publish("other", gateway.Message{Data: []byte("mine")}); err != nil {
		t.Fatal(err)
	}
	other.Expect("message", "mine")
	if st := testenv.StatsOf(t, s); st.Streams != 5 || st.Upgrades != 1 {
		t.Errorf("%d streams and %d upgrades counted, want 5 and 1", st.Streams, st.Upgrades)
	}
}

func TestEventsOfEveryPathAndRequest(t *testing.T) {
	o := gatewaytest.Options()
	s, addr := gatewaytest.Start(t, o)
	expect := func(e *wstest.Events, room string) {
		t.Helper()
		testenv.Eventually(t, "it is in "+room, func() bool {
			n, err := s.Publish(room, gateway.Message{Data: []byte("hi")})
			return err == nil && n == 1
		})
		e.Expect("message", "hi")
		e.Close()
		testenv.Eventually(t, "it has left "+room, func() bool { return s.Open() == 0 })
	}
	for path, room := range map[string]string{
		"/sse": "lobby", "/sse/": "lobby", "/sse?x=y": "lobby", "/sse/a": "a", "/sse/a/": "a", "/sse/a%2Eb?echo=0": "a.b", "http://sluice.test/sse/abs": "abs",
	} {
		expect(wstest.Listen(t, addr, path), room)
	}

	c := wstest.Connect(t, addr)
	c.Send(wstest.RequestHead("GET /sse/old HTTP/1.0"))
	expect(wstest.EventsOf(c), "old")

	// What came before on its connection, and together with it, changes nothing.
	c = wstest.Connect(t, addr)
	c.Send(wstest.PlainGet("/livez"), wstest.RequestHead("HEAD /sse/late HTTP/1.1", "Host: sluice.test"), wstest.RequestHead("OPTIONS /sse/late HTTP/1.1", "Host: sluice.test"),
		wstest.PlainGet("/nothing"), wstest.PlainGet("/sse/late"))
	if r, body := c.Response(); r.StatusCode != http.StatusOK || body != "ok\n" {
		t.Errorf("/livez: %s %q", r.Status, body)
	}
	if r, body := c.ResponseTo(http.MethodHead); r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "text/event-stream" || body != "" {
		t.Errorf("HEAD: %s %v %q", r.Status, r.Header, body)
	}
	if r, _ := c.Response(); r.StatusCode != http.StatusNoContent || r.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("OPTIONS: %s %v", r.Status, r.Header)
	}
	if r, _ := c.Response(); r.StatusCode != http.StatusNotFound {
		t.Errorf("a page: %s", r.Status)
	}
	expect(wstest.EventsOf(c), "late")

	for _, tc := range []struct {
		request []byte
		status  int
		header  string // one that has to be there
	}{
		{wstest.RequestHead("POST /sse/a HTTP/1.1", "Host: sluice.test", "Content-Length: 2"), 405, "Allow"},
		{wstest.RequestHead("DELETE /sse/a HTTP/1.1", "Host: sluice.test"), 405, "Allow"},
		{wstest.PlainGet("/sse/a", "Content-Length: 2"), 400, ""},
		{wstest.PlainGet("/sse/a", "Transfer-Encoding: chunked"), 411, ""},
		{wstest.PlainGet("/sse/a", "Content-Length: 2", "Transfer-Encoding: chunked"), 400, ""},
		{wstest.PlainGet("/sse/a/b"), 400, ""},
		{wstest.PlainGet("/sse//"), 400, ""},
		{wstest.PlainGet("/sse/.."), 400, ""},
		{wstest.PlainGet("/sse/" + strings.Repeat("a", 129)), 400, ""},
		{wstest.RequestHead("GET /sse/a HTTP/1.1"), 400, ""},
	} {
		c := wstest.Connect(t, addr)
		c.Send(tc.request)
		if r := c.ExpectRefusal(tc.status); tc.header != "" && r.Header.Get(tc.header) == "" {
			t.Errorf("%q: no %s in %v", tc.request, tc.header, r.Header)
		}
	}
	c = wstest.Connect(t, addr)
	c.Send(wstest.PlainGet("/sses"))
	if r, _ := c.Response(); r.StatusCode != http.StatusNotFound {
		t.Errorf("/sses: %s", r.Status)
	}
}

func TestEventsBelowThePrefix(t *testing.T) {
	o := gatewaytest.Options()
	o.PathPrefix = "/chat"
	s, addr := gatewaytest.Start(t, o)
	e := wstest.Listen(t, addr, "/chat/sse/a")
	if n, err := s.Publish("a", gateway.Message{Data: []byte("hi")}); n != 1 || err != nil {
		t.Errorf("%d members, %v", n, err)
	}
	e.Expect("message", "hi")
	c := wstest.Connect(t, addr)
	c.Send(wstest.PlainGet("/sse/a"))
	c.ExpectRefusal(http.StatusNotFound)
}

// What a reader sends behind its request is dropped; a client that goes on is closed, and told.
func TestEventsReaderIsNotListenedTo(t *testing.T) {
	o := gatewaytest.Options()
	o.MaxHead = 4 << 10
	s, addr := gatewaytest.Start(t, o)
	polite, rude := wstest.Connect(t, addr), wstest.Connect(t, addr)
	get := wstest.PlainGet("/sse/a")
	polite.Send(get, get)
	rude.Send(get)
	p, r := wstest.EventsOf(polite), wstest.EventsOf(rude)
	polite.Send(wstest.MaskedText("a frame"))
	rude.Send(make([]byte, 4<<10))
	rude.TrySend(make([]byte, 1))
	r.Expect("close", `{"code":1008,"reason":"what is sent here is not read"}`)
	r.ExpectOver()
	gatewaytest.ExpectClosed(t, s, gateway.ClosedUnread, 1)
	if n, err := s.Publish("a", gateway.Message{Data: []byte("hi")}); n != 1 || err != nil {
		t.Errorf("%d members, %v", n, err)
	}
	p.Expect("message", "hi")
	polite.EndWrites() // As a WebSocket's end without a Close frame: it is gone.
	p.ExpectOver()
	gatewaytest.ExpectClosed(t, s, gateway.ClosedGone, 1)
}

// A silent room's readers get a comment now and then, and are not asked to answer it.
func TestEventsHaveHeartbeats(t *testing.T) {
	o := gatewaytest.Options()
	o.PingInterval, o.PongTimeout = 20*time.Millisecond, 10*time.Millisecond
	s, addr := gatewaytest.Start(t, o)
	e := wstest.Listen(t, addr, "/sse/a")
	for range 5 {
		e.AwaitBeat()
	}
	if _, err := s.Publish("a", gateway.Message{Data: []byte("hi")}); err != nil {
		t.Fatal(err)
	}
	e.Expect("message", "hi")
	if st := testenv.StatsOf(t, s); st.Closed != [gateway.NumCloseReasons]uint64{} {
		t.Errorf("closed: %v", st.Closed)
	}
}

// Whatever ends the stream in order is its last event, with the code and the words of a Close
// frame.
func TestEventsEndWithTheReason(t *testing.T) {
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	e, stays := wstest.Listen(t, addr, "/sse/a"), wstest.Listen(t, addr, "/sse/b")
	if n, err := s.DisconnectRoom(t.Context(), "a", gateway.Farewell{Code: 4321, Reason: "line\n\nend \"x\""}); n.Clients != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	e.Expect("close", `{"code":4321,"reason":"line\n\nend \"x\""}`)
	e.ExpectOver()
	gatewaytest.ExpectClosed(t, s, gateway.ClosedByOperator, 1)

	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(ctx) }()
	stays.Expect("close", `{"code":1001,"reason":"going away"}`)
	if ms, err := strconv.Atoi(stays.Retry); err != nil || ms < 1000 || ms > 9000 {
		t.Errorf("retry is %q", stays.Retry)
	}
	stays.ExpectOver()
	if err := <-drained; err != nil {
		t.Error(err)
	}
	gatewaytest.ExpectClosed(t, s, gateway.ClosedDrain, 1)
}

// An operator's message to one client is an event for one who reads events.
func TestEventForOneReaderAlone(t *testing.T) {
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	e := wstest.Listen(t, addr, "/sse/a")
	conns, _, err := s.Connections(t.Context(), gateway.ConnQuery{Room: "a", Limit: 10})
	if err != nil || len(conns) != 1 {
		t.Fatalf("%v, %v", conns, err)
	}
	if conns[0].Encoding != "events" {
		t.Errorf("its encoding is %q", conns[0].Encoding)
	}
	for _, m := range []gateway.Message{{Data: []byte("a\nb")}, {Data: []byte{0xff}, IsBinary: true}} {
		if err := s.Send(t.Context(), conns[0].ID, m); err != nil {
			t.Fatal(err)
		}
	}
	e.Expect("message", "a\nb")
	e.Expect("binary", "/w==")
}

// A reader costs no goroutine.
func TestEventsCostNoGoroutines(t *testing.T) {
	readers := 50
	if testenv.IsWholeSize(t) {
		readers = 1000
	}
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	wstest.Listen(t, addr, "/sse/a")
	before := runtime.NumGoroutine()
	for range readers {
		wstest.Listen(t, addr, "/sse/a")
	}
	if n := runtime.NumGoroutine(); n > before+5 {
		t.Errorf("%d goroutines for %d more readers", n-before, readers)
	}
	if n, err := s.Publish("a", gateway.Message{Data: []byte("hi")}); n != readers+1 || err != nil {
		t.Errorf("%d members, %v", n, err)
	}
}

// A program's own server hands its readers over as it does its WebSockets.
func TestEventsThroughAProgramsOwnServer(t *testing.T) {
	s, _ := gatewaytest.Start(t, gatewaytest.Options())
	server := httptest.NewServer(s)
	defer server.Close()
	addr := strings.TrimPrefix(server.URL, "http://")
	e := wstest.Listen(t, addr, "/sse/a")
	if n, err := s.Publish("a", gateway.Message{Data: []byte("hi")}); n != 1 || err != nil {
		t.Errorf("%d members, %v", n, err)
	}
	e.Expect("message", "hi")
	c := wstest.Connect(t, addr)
	c.Send(wstest.RequestHead("HEAD /sse/a HTTP/1.1", "Host: sluice.test"))
	if r, _ := c.ResponseTo(http.MethodHead); r.StatusCode != http.StatusOK || !r.Close {
		t.Errorf("HEAD: %s %v", r.Status, r.Header)
	}
	c.ExpectEnd()
}

func TestEventsOverTLS(t *testing.T) {
	s, addr, authority := startTLS(t)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: authority.Client("localhost"), DisableKeepAlives: true}}
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+addr+"/sse/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text := strings.Repeat("long\n", 30<<10)
	if n, err := s.Publish("a", gateway.Message{Data: []byte(text)}); n != 1 || err != nil {
		t.Errorf("%d members, %v", n, err)
	}
	e := wstest.ReadEvents(bufio.NewReader(answer.Body))
	if got, err := e.Next(); err != nil || got.Data != text {
		t.Errorf("%d bytes came, %v", len(got.Data), err)
	}
	if n, err := s.DisconnectRoom(t.Context(), "a", gateway.Farewell{}); n.Clients != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if got, err := e.Next(); err != nil || got.Type != "close" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := e.Next(); err == nil {
		t.Errorf("%+v behind the end", got)
	}
}

// The limits of rooms and of connections hold for readers of events.
func TestEventsAreWithinTheLimits(t *testing.T) {
	o := gatewaytest.Options()
	o.MaxRooms = 1
	o.MaxConnections = 2
	s, addr := gatewaytest.Start(t, o)
	wstest.Listen(t, addr, "/sse/a")
	c := wstest.Connect(t, addr)
	c.Send(wstest.PlainGet("/sse/b"))
	if r := c.ExpectRefusal(http.StatusServiceUnavailable); r.Header.Get("Retry-After") == "" {
		t.Errorf("%v", r.Header)
	}
	c.Close()
	testenv.Eventually(t, "it is gone", func() bool { return s.Open() == 1 })
	wstest.Listen(t, addr, "/sse/a")
	c = wstest.Connect(t, addr)
	c.Send(wstest.PlainGet("/sse/a"))
	c.ExpectRefusal(http.StatusServiceUnavailable)
	if st := testenv.StatsOf(t, s); st.Refusals[wsproto.ReasonRooms] != 1 || st.Rejected != 1 {
		t.Errorf("refused: %v", st.Refusals)
	}
}
