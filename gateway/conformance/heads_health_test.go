package conformance

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"sluice/gateway"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// What balancers ask, HAProxy's "OPTIONS / HTTP/1.0" among it. Relatives: static files, the
// asterisk, other methods, and a second question on the same connection.
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

// Strangers hold all that ordinary HTTP may hold, in each way there is, and a health check is
// answered all the same.
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

// A client that asks and asks and takes no answer is closed; what it makes us hold is bounded by
// what the kernel refuses.
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
