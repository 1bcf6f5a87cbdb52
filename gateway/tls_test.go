package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor/reactortest"
)

// Clients over both versions of TLS and plain ones are in one room, with messages of many sizes.
func TestTLSClientsTalkToPlainOnes(t *testing.T) {
	g := startTLS(t, testConfig())
	older := g.trusting.Clone()
	older.MaxVersion = tls.VersionTLS12
	clients := []*websocket.Conn{
		wstest.Dial(t, g.plain, "/ws/mixed"), wstest.DialTLS(t, g.trusting, g.addr, "/ws/mixed"), wstest.DialTLS(t, older, g.addr, "/ws/mixed"),
	}
	for i, size := range []int{0, 1, 125, 126, 16 << 10, recordMax - 4, recordMax, recordMax + 1, 100_000, 1 << 20} {
		p := bytes.Repeat([]byte{byte('a' + i)}, size)
		write(t, clients[i%3], websocket.MessageBinary, p)
		for _, c := range clients {
			expectMessage(t, c, p)
		}
	}
	if st := testenv.StatsOf(t, g.Server).TLS; st.Handshakes != 2 || st.Parked != 0 || st.Running != 0 {
		t.Errorf("two handshakes succeeded and none is under way; counted %+v", st)
	}
	for _, c := range clients {
		if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Error(err)
		}
	}
	expectClosed(t, g.Server, ClosedByPeer, 3)
	if st := testenv.StatsOf(t, g.Server); st.TLS.Truncated != 0 {
		t.Errorf("%d streams were cut, though each ended in order", st.TLS.Truncated)
	}
}

// What a handler of Pages is lent over TLS is a connection like any other: kept alive, with bodies,
// known to be TLS.
func TestTLSPagesAreServed(t *testing.T) {
	cfg := testConfig()
	cfg.Pages = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%v %v %s", r.TLS != nil && r.TLS.Version == tls.VersionTLS13, len(body), strings.Repeat("x", 70_000))
	})
	g := startTLS(t, cfg)
	transport := &http.Transport{TLSClientConfig: g.trusting}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: testenv.Patience}
	for i := range 5 {
		r, err := client.Post("https://"+g.addr+"/any", "text/plain", strings.NewReader(strings.Repeat("b", 50_000*i)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r.Body)
		r.Body.Close()
		if want := fmt.Sprintf("true %d ", 50_000*i); err != nil || !strings.HasPrefix(string(got), want) || len(got) != len(want)+70_000 {
			t.Fatalf("request %d: %.40q, %v", i, got, err)
		}
	}
	if st := testenv.StatsOf(t, g.Server); st.TLS.Handshakes != 1 || st.Lent != 5 {
		t.Errorf("%d handshakes and %d requests lent; want one connection for all five", st.TLS.Handshakes, st.Lent)
	}
}

// Pages may lead to ServeHTTP: the connection leaves net/http with its TLS, which goes on on a
// loop.
func TestTLSUpgradeByPages(t *testing.T) {
	cfg := testConfig()
	var s atomic.Pointer[Server]
	cfg.Pages = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.StripPrefix("/app", s.Load()).ServeHTTP(w, r)
	})
	g := startTLS(t, cfg)
	s.Store(g.Server)
	c, plain := wstest.DialTLS(t, g.trusting, g.addr, "/app/ws/x"), wstest.Dial(t, g.plain, "/ws/x")
	for _, size := range []int{5, 40_000} {
		p := bytes.Repeat([]byte("p"), size)
		write(t, c, websocket.MessageText, p)
		expectMessage(t, plain, p)
		expectMessage(t, c, p)
	}
}

// HTTP on the port of TLS reads what is wrong; another thing is closed.
func TestTLSPortIsToldFromAPlainOne(t *testing.T) {
	g := startTLS(t, testConfig())
	c := wstest.Connect(t, g.addr)
	c.Send(wstest.PlainGet("/"))
	if r, body := c.Response(); r.StatusCode != http.StatusBadRequest || !strings.Contains(body, "wss://") {
		t.Errorf("HTTP on the port of TLS was answered %s %q", r.Status, body)
	}
	ssh := wstest.Connect(t, g.addr)
	ssh.Send([]byte("\x00\x00\x00\x00"))
	ssh.ExpectEnd()
	g.expectFailed(t, TLSNotTLS, 2)
}

// T01: a ClientHello that comes by single bytes is whole in the end; one that is not in time is
// closed. Until it is whole it holds no goroutine and no place.
func TestT01_DribbledHello(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.HandshakeTimeout = 2 * time.Second // In less who waits for a processor has sent nothing.
	g := startTLS(t, cfg)
	hello := helloBytes(t, g.trusting)
	c := wstest.Connect(t, g.addr)
	c.Send(hello[:len(hello)-1])
	testenv.Eventually(t, "the beginning is here", func() bool { return testenv.StatsOf(t, g.Server).Accepted == 1 })
	if st := testenv.StatsOf(t, g.Server).TLS; st.Parked != 0 || st.Running != 0 {
		t.Errorf("half a ClientHello holds a goroutine: %+v", st)
	}
	c.ExpectEnd()
	g.expectFailed(t, TLSTimeout, 1)
	expectClosed(t, g.Server, ClosedTLS, 1)

	patient := startTLS(t, testConfig())
	slow := &dribbling{TCPConn: wstest.Connect(t, patient.addr).TCPConn}
	whole := tls.Client(slow, patient.trusting)
	if err := whole.SetDeadline(time.Now().Add(testenv.Patience)); err != nil {
		t.Fatal(err)
	}
	if err := whole.Handshake(); err != nil {
		t.Errorf("a ClientHello by single bytes: %v", err)
	}
}

// A dribbling connection writes byte by byte.
type dribbling struct{ *net.TCPConn }

func (c *dribbling) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := c.TCPConn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// helloBytes is what a client begins with.
func helloBytes(t testing.TB, cfg *tls.Config) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	failed := make(chan error, 1)
	go func() { failed <- tls.Client(theirs, cfg).Handshake() }()
	head := make([]byte, 5)
	if _, err := io.ReadFull(ours, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, int(head[3])<<8|int(head[4]))
	if _, err := io.ReadFull(ours, body); err != nil {
		t.Fatal(err)
	}
	ours.Close()
	<-failed
	return append(head, body...)
}

// T02: handshakes that stop half-way stay within their number, those that have been for longest go,
// and nobody else notices.
func TestT02_HalfOpenHandshakesAreBounded(t *testing.T) {
	cfg := testConfig()
	const most, many = 16, 100
	cfg.TLSHandshakes = most
	g := startTLS(t, cfg)
	before := wstest.DialTLS(t, g.trusting, g.addr, "/ws/here")
	hello := helloBytes(t, g.trusting)
	for range many {
		wstest.Connect(t, g.addr).Send(hello)
	}
	g.expectFailed(t, TLSCrowded, many-most)
	testenv.Eventually(t, "as many wait as may", func() bool { // The last may be at work yet.
		return testenv.StatsOf(t, g.Server).TLS.Parked == most
	})
	write(t, before, websocket.MessageText, []byte("established"))
	expectMessage(t, before, []byte("established"))
	plain, late := wstest.Dial(t, g.plain, "/ws/here"), wstest.DialTLS(t, g.trusting, g.addr, "/ws/here")
	write(t, plain, websocket.MessageText, []byte("to all"))
	for _, c := range []*websocket.Conn{before, plain, late} {
		expectMessage(t, c, []byte("to all"))
	}
}

// T05: the socket takes a few bytes at a time, so that each record is refused at every offset: its
// bytes are kept and continued, or the client could not open it.
func TestT05_SocketThatWouldBlockInsideARecord(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 7, 1000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			kernel := reactortest.New()
			kernel.Limit(reactortest.Write, reactortest.CutEvery(n))
			g := startTLSOn(t, testConfig(), kernel)
			clients := []*websocket.Conn{wstest.DialTLS(t, g.trusting, g.addr, "/ws/cut"), wstest.DialTLS(t, g.trusting, g.addr, "/ws/cut")}
			for i := range 20 {
				p := bytes.Repeat([]byte{byte('a' + i)}, i*i*n%3000)
				write(t, clients[i%2], websocket.MessageBinary, p)
				for _, c := range clients {
					expectMessage(t, c, p)
				}
			}
			big := bytes.Repeat([]byte("big"), 3*n)
			write(t, clients[0], websocket.MessageBinary, big)
			expectMessage(t, clients[0], big)
			expectMessage(t, clients[1], big)
			ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
			defer cancel()
			if err := clients[1].Ping(clients[1].CloseRead(ctx)); err != nil {
				t.Errorf("a ping: %v", err)
			}
			if st := testenv.StatsOf(t, g.Server); st.Refused == 0 {
				t.Error("no write was refused: the script did not run")
			}
			if err := clients[0].Close(websocket.StatusNormalClosure, ""); err != nil {
				t.Errorf("the end: %v", err)
			}
		})
	}
}

// T07: the end of the stream without close_notify is abnormal and counted, and half a message goes
// nowhere.
func TestT07_EndWithoutCloseNotify(t *testing.T) {
	g := startTLS(t, testConfig())
	other := wstest.Dial(t, g.plain, "/ws/x")
	c := g.join(t, g.trusting, "/ws/x")
	message := wstest.MaskedText("never whole")
	if _, err := c.Write(message[:len(message)-3]); err != nil {
		t.Fatal(err)
	}
	c.NetConn().Close()
	testenv.Eventually(t, "the end is counted", func() bool { return testenv.StatsOf(t, g.Server).TLS.Truncated == 1 })
	expectClosed(t, g.Server, ClosedGone, 1)
	orderly := g.join(t, g.trusting, "/ws/x")
	if err := orderly.Close(); err != nil {
		t.Fatal(err)
	}
	expectClosed(t, g.Server, ClosedGone, 2)
	st := testenv.StatsOf(t, g.Server)
	if st.TLS.Truncated != 1 || st.Messages != 0 {
		t.Errorf("%d streams were cut and %d messages came; want one and none", st.TLS.Truncated, st.Messages)
	}
	write(t, other, websocket.MessageText, []byte("only this"))
	expectMessage(t, other, []byte("only this"))
}

// A client that stops reading costs what a plain one does, a record more, and gets everything when
// it goes on.
func TestTLSClientThatDoesNotReadForAWhile(t *testing.T) {
	cfg := testConfig()
	cfg.PublishWindow = cfg.RoomBacklog // Or the sender would wait for it.
	g := startTLS(t, cfg)
	slow := tlsOver(t, wstest.Connect(t, g.addr).Narrow(), g.trusting)
	upgradeOver(t, slow, "/ws/slow")
	sender := wstest.Dial(t, g.plain, "/ws/slow?echo=0")
	p := bytes.Repeat([]byte("0123456789abcdef"), 16<<10)
	const messages = 30
	for range messages {
		write(t, sender, websocket.MessageBinary, p)
	}
	testenv.Eventually(t, "a write is refused", func() bool { return testenv.StatsOf(t, g.Server).Refused > 0 })
	for i := range messages {
		_, got, err := readFrame(slow)
		if err != nil || !bytes.Equal(got, p) {
			t.Fatalf("message %d: %d bytes, %v", i, len(got), err)
		}
	}
}

// The drain tells clients over TLS as it tells others, and ends TLS in order.
func TestTLSDrain(t *testing.T) {
	t.Parallel()
	g := startTLS(t, testConfig())
	c := g.join(t, g.trusting, "/ws/x")
	wstest.Connect(t, g.addr).Send(helloBytes(t, g.trusting)) // A handshake that is under way does not hold it up.
	testenv.Eventually(t, "it waits", func() bool { return testenv.StatsOf(t, g.Server).TLS.Parked == 1 })
	drained := make(chan error, 1)
	go func() { drained <- g.Drain(t.Context()) }()
	h, _, err := readFrame(c)
	if err != nil || h.OpCode != ws.OpClose {
		t.Fatalf("got %v, %v; want a Close frame", h, err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("then %v; want close_notify", err)
	}
	c.Close()
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if st := testenv.StatsOf(t, g.Server); st.TLS.Failed[TLSCut] != 1 {
		t.Errorf("failed handshakes: %v", st.TLS.Failed)
	}
}

// An operator who wants TLS hears at the start that there is nothing to speak it with.
func TestListenForTLSNeedsACertificate(t *testing.T) {
	s := newGateway(t, testConfig(), nil, testenv.LogTo(t))
	defer s.Close()
	if err := s.ListenWith("127.0.0.1:0", ListenOptions{TLS: true}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
	if err := s.ReloadCertificates(); err == nil {
		t.Error("there is nothing to read anew, and nobody says so")
	}
	_, err := New(Options{TLSPairs: []TLSPair{{os.DevNull, os.DevNull}}}, nil)
	if err == nil || !strings.Contains(err.Error(), os.DevNull) {
		t.Errorf("an empty file: %v", err)
	}
}
