package conformance

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/wsproto"
)

func TestLentConnectionComesBackForAnUpgrade(t *testing.T) {
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	witness := wstest.Join(t, addr, "/ws/stage")
	s.Addrs() // It waits until Serve has begun all that it does.
	were := runtime.NumGoroutine()
	c := wstest.Connect(t, addr)
	c.Send(wstest.PlainGet("/"))
	if r, body := c.Response(); r.StatusCode != http.StatusOK || !strings.Contains(body, "<html") || r.Close {
		t.Fatalf("GET /: %s, close %t, %d bytes", r.Status, r.Close, len(body))
	}
	c.Send(wstest.PlainGet("/livez"))
	if r, body := c.Response(); r.StatusCode != http.StatusOK || body != "ok\n" {
		t.Fatalf("GET /livez: %s %q", r.Status, body)
	}
	c.Send(wstest.PlainGet("/style.css"))
	if r, _ := c.Response(); r.StatusCode != http.StatusOK {
		t.Fatalf("GET /style.css: %s", r.Status)
	}
	if st := testenv.StatsOf(t, s); st.Lent != 2 {
		t.Errorf("lent %d times, want twice: /livez is answered on the loop", st.Lent)
	}
	c.Send(wstest.UpgradeHead("/ws/stage"), wstest.MaskedText("in the same packet"))
	c.ExpectUpgrade()
	c.ExpectFrame(ws.OpText, "in the same packet")
	witness.ExpectFrame(ws.OpText, "in the same packet")
	testenv.ExpectGoroutines(t, were)
	if st := testenv.StatsOf(t, s); st.Returned != 2 || st.EarlyBytes != 1 || st.Messages != 1 {
		t.Errorf("Returned %d, EarlyBytes %d, Messages %d; want 2, 1, 1", st.Returned, st.EarlyBytes, st.Messages)
	}
	c.Send(wstest.MaskedText("and later"))
	witness.ExpectFrame(ws.OpText, "and later")
	c.ExpectFrame(ws.OpText, "and later")
	c.Send(wstest.MaskedClose(1000, ""))
	c.ExpectClose(1000)
	c.Close()
	testenv.Eventually(t, "one connection is left", func() bool { return s.Open() == 1 })
}

// All of it in one packet: pages of both kinds, an upgrade, a frame.
func TestPipelinedUpgradeBehindAPage(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	c := wstest.Connect(t, addr)
	c.Send(wstest.PlainGet("/livez"), wstest.PlainGet("/"), wstest.PlainGet("/livez"), wstest.PlainGet("/nothing"), wstest.PlainGet("/style.css"),
		wstest.UpgradeHead("/ws"), wstest.MaskedText("hello"))
	for i, want := range []int{200, 200, 200, 404, 200} {
		if r, _ := c.Response(); r.StatusCode != want {
			t.Fatalf("answer %d: %s, want %d", i, r.Status, want)
		}
	}
	c.ExpectUpgrade()
	c.ExpectFrame(ws.OpText, "hello")
}

// A message that is larger than any buffer of net/http, begun in the packet of the upgrade.
func TestLargeMessageBehindALateUpgradeIsWhole(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	c := wstest.Connect(t, addr)
	c.Send(wstest.PlainGet("/livez"))
	c.Response()
	text := strings.Repeat("0123456789", 50_000)
	c.Send(wstest.UpgradeHead("/ws"), wstest.MaskedText(text), wstest.MaskedText("and another"))
	c.ExpectUpgrade()
	c.ExpectFrame(ws.OpText, text)
	c.ExpectFrame(ws.OpText, "and another")
}

func TestOrdinaryRequestsOnOneConnection(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	c := wstest.Connect(t, addr)
	c.Send(wstest.RequestHead("HEAD / HTTP/1.1", "Host: sluice.test"))
	if r, body := c.ResponseTo(http.MethodHead); r.StatusCode != http.StatusOK || body != "" || r.ContentLength <= 0 {
		t.Errorf("HEAD /: %s, length %d, body %q", r.Status, r.ContentLength, body)
	}
	c.Send(wstest.RequestHead("POST / HTTP/1.1", "Host: sluice.test", "Content-Length: 5"), []byte("hello"))
	if r, _ := c.Response(); r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST /: %s", r.Status)
	}
	c.Send(wstest.PlainGet("/livez"))
	if _, body := c.Response(); body != "ok\n" {
		t.Errorf("behind a body: %q", body)
	}
	c.Send(wstest.RequestHead("POST /nothing HTTP/1.1", "Host: sluice.test", "Transfer-Encoding: chunked"), []byte("5\r\nhello\r\n0\r\n\r\n"))
	c.ExpectRefusal(http.StatusLengthRequired)
}

// A client that means to wait for leave to send its body gets it, or an answer that ends the
// connection.
func TestExpectationOfAContinue(t *testing.T) {
	cfg, echo := gatewaytest.Options(), http.NewServeMux()
	echo.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	cfg.Pages = echo
	_, addr := gatewaytest.Start(t, cfg)
	c := wstest.Connect(t, addr)
	for range 2 {
		c.Send(wstest.RequestHead("POST /echo HTTP/1.1", "Host: sluice.test", "Content-Length: 5", "Expect: 100-continue"))
		if r, err := http.ReadResponse(c.In, nil); err != nil || r.StatusCode != http.StatusContinue {
			t.Fatalf("%v, %v; want 100", r, err)
		}
		c.Send([]byte("hello"))
		if _, body := c.Response(); body != "hello" {
			t.Errorf("echo of %q", body)
		}
	}
	c.Send(wstest.RequestHead("POST /nothing HTTP/1.1", "Host: sluice.test", "Content-Length: 5", "Expect: 100-continue"))
	if r, _ := c.Response(); r.StatusCode != http.StatusNotFound || !r.Close {
		t.Errorf("%s, close %t; the body was not asked for", r.Status, r.Close)
	}
}

// A handler of the program's may take its connection: what came behind the request is there, and
// what comes later.
func TestHandlerTakesALentConnection(t *testing.T) {
	cfg, pages := gatewaytest.Options(), http.NewServeMux()
	pages.HandleFunc("/take", func(w http.ResponseWriter, _ *http.Request) {
		conn, in, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "<"+line)
		}
	})
	cfg.Pages = pages
	s, addr := gatewaytest.Start(t, cfg)
	c := wstest.Connect(t, addr)
	c.Send(wstest.PlainGet("/take"), []byte("first\n"+strings.Repeat("second ", 2000)+"\nthi"))
	for _, want := range []string{"<first\n", "<" + strings.Repeat("second ", 2000) + "\n"} {
		if got, err := c.In.ReadString('\n'); got != want {
			t.Fatalf("%.20q, %v; want %.20q", got, err, want)
		}
	}
	c.Send([]byte("rd\n"))
	if got, err := c.In.ReadString('\n'); got != "<third\n" {
		t.Errorf("%q, %v", got, err)
	}
	c.Close()
	testenv.Eventually(t, "it is gone", func() bool { return s.Open() == 0 })
}

// net/http hears of it when a client goes while its request is under way, and not when it only asks
// for more.
func TestHandlerHearsThatItsClientHasGone(t *testing.T) {
	cfg, pages := gatewaytest.Options(), http.NewServeMux()
	begun, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	pages.HandleFunc("/wait", func(_ http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-r.Context().Done()
		ended <- struct{}{}
	})
	pages.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
			t.Error("a client that asks for more is not gone")
		case <-time.After(50 * time.Millisecond):
		}
		_, _ = io.WriteString(w, "slow")
	})
	cfg.Pages = pages
	_, addr := gatewaytest.Start(t, cfg)
	c := wstest.Connect(t, addr)
	c.Send(wstest.PlainGet("/slow"))
	c.Send(wstest.PlainGet("/slow"), wstest.PlainGet("/wait"))
	for range 2 {
		if _, body := c.Response(); body != "slow" {
			t.Errorf("%q", body)
		}
	}
	<-begun
	c.Close()
	<-ended
}

// The first request of a connection may be any: its body's bytes came with the head, or come later.
func TestBodyBehindTheFirstHeadReachesHTTP(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	for _, split := range []bool{false, true} {
		c := wstest.Connect(t, addr)
		head, body := wstest.RequestHead("POST /nothing HTTP/1.1", "Host: sluice.test", "Content-Length: 100000"), []byte(strings.Repeat("b", 100_000))
		if split {
			c.Send(head)
			c.Send(body)
		} else {
			c.Send(head, body)
		}
		c.Send(wstest.PlainGet("/livez"))
		if r, _ := c.Response(); r.StatusCode != http.StatusNotFound {
			t.Errorf("split %t: %s", split, r.Status)
		}
		if _, body := c.Response(); body != "ok\n" {
			t.Errorf("split %t: the body's bytes were taken for a request: %q", split, body)
		}
	}
}

func TestHTTPConnectionsOverTheLimitGet503(t *testing.T) {
	cfg, held := gatewaytest.Options(), make(chan struct{})
	cfg.MaxHTTPConnections = 2
	letGo := sync.OnceFunc(func() { close(held) })
	cfg.Pages = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			<-held
		}
	})
	s, addr := gatewaytest.Start(t, cfg)
	t.Cleanup(letGo)
	var kept []*wstest.Client
	for i := range cfg.MaxHTTPConnections {
		c := wstest.Connect(t, addr)
		c.Send(wstest.PlainGet("/held"))
		testenv.Eventually(t, "it is lent", func() bool { return testenv.StatsOf(t, s).Lent == uint64(i+1) })
		kept = append(kept, c)
	}
	over := wstest.Connect(t, addr)
	over.Send(wstest.PlainGet("/other"))
	over.ExpectRefusal(http.StatusServiceUnavailable)
	if st := testenv.StatsOf(t, s); st.Refusals[wsproto.ReasonUnavailable] != 1 || st.Lent != 2 {
		t.Errorf("%d refused, %d lent; want 1, 2", st.Refusals[wsproto.ReasonUnavailable], st.Lent)
	}
	wstest.Join(t, addr, "/ws") // WebSockets have a limit of their own.
	letGo()
	for _, c := range kept { // A connection that has its answer has given its place back.
		if r, _ := c.Response(); r.StatusCode != http.StatusOK {
			t.Error(r.Status)
		}
	}
	for range 50 {
		kept[0].Send(wstest.PlainGet("/other"))
		if r, _ := kept[0].Response(); r.StatusCode != http.StatusOK {
			t.Fatalf("afterwards: %s", r.Status)
		}
	}
}

func TestOrdinaryClientIsServed(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: testenv.Patience}
	for range 3 {
		r, err := client.Get("http://" + addr + "/")
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || r.StatusCode != http.StatusOK || len(page) == 0 {
			t.Errorf("%s, %d bytes, %v", r.Status, len(page), err)
		}
	}
}

// More frames than net/http's buffer takes, in the same packet as a page's request and the upgrade.
func TestManyFramesBehindALentRequestAreAllHeard(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	c := wstest.Connect(t, addr)
	parts := [][]byte{wstest.PlainGet("/"), wstest.UpgradeHead("/ws")}
	message := func(i int) string { return fmt.Sprint(i) + strings.Repeat("x", 500) }
	for i := range 20 {
		parts = append(parts, wstest.MaskedText(message(i)))
	}
	c.Send(parts...)
	c.Response()
	c.ExpectUpgrade()
	for i := range 20 {
		c.ExpectFrame(ws.OpText, message(i))
	}
}
