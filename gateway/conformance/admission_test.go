package conformance

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"

	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

func TestPlainRequestForASocketGetsALineOfHelp(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	c := wstest.Connect(t, addr)
	c.Send(wstest.RequestHead("GET /ws HTTP/1.1", "Host: sluice.test"))
	r, body := c.Response()
	if r.StatusCode != http.StatusUpgradeRequired || !strings.Contains(body, "WebSocket") || strings.Count(body, "\n") != 1 {
		t.Errorf("%s %q", r.Status, body)
	}
	if r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Sec-WebSocket-Version") != "13" {
		t.Errorf("426 with %v", r.Header)
	}
}

func TestOriginRules(t *testing.T) {
	const ok, no = http.StatusSwitchingProtocols, http.StatusForbidden
	for _, tc := range []struct {
		name   string
		allow  []string
		host   string
		origin []string
		status int
	}{
		{"none", nil, "sluice.test", nil, ok},
		{"same", nil, "sluice.test", []string{"http://sluice.test"}, ok},
		{"same_behind_TLS_proxy", nil, "sluice.test", []string{"https://sluice.test"}, ok},
		{"same_with_port", nil, "sluice.test:8080", []string{"http://sluice.test:8080"}, ok},
		{"case", nil, "Sluice.Test", []string{"http://sluice.test"}, ok},
		{"other_port", nil, "sluice.test:8080", []string{"http://sluice.test:8081"}, no},
		{"other_host", nil, "sluice.test", []string{"http://evil.test"}, no},
		{"suffix", nil, "sluice.test", []string{"http://sluice.test.evil"}, no},
		{"prefix", nil, "sluice.test", []string{"http://evilsluice.test"}, no},
		{"A02_null", nil, "sluice.test", []string{"null"}, no},
		{"garbage", nil, "sluice.test", []string{"http://sluice.test/path"}, no},
		{"twice", nil, "sluice.test", []string{"http://sluice.test", "http://evil.test"}, http.StatusBadRequest},
		{"listed", []string{"https://good.test"}, "sluice.test", []string{"https://good.test"}, ok},
		{"listed_other_scheme", []string{"https://good.test"}, "sluice.test", []string{"http://good.test"}, no},
		{"listed_null_no", []string{"https://good.test"}, "sluice.test", []string{"null"}, no},
		{"listed_still_same", []string{"https://good.test"}, "sluice.test", []string{"http://sluice.test"}, ok},
		{"any", []string{"*"}, "sluice.test", []string{"https://whoever.test"}, ok},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := gatewaytest.Options()
			cfg.AllowOrigin = tc.allow
			_, addr := gatewaytest.Start(t, cfg)
			head := strings.Replace(string(wstest.UpgradeHead("/ws")), "Host: sluice.test", "Host: "+tc.host, 1)
			for _, o := range tc.origin {
				head = strings.Replace(head, "Upgrade: websocket\r\n", "Upgrade: websocket\r\nOrigin: "+o+"\r\n", 1)
			}
			c := wstest.Connect(t, addr)
			c.Send([]byte(head))
			if r, body := c.Response(); r.StatusCode != tc.status {
				t.Errorf("%s %q, want %d", r.Status, body, tc.status)
			}
		})
	}
}

func TestRefusalsReflectNoInput(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	const marker = "XyZZy<script>"
	for _, head := range [][]byte{
		wstest.UpgradeHead("/ws/" + marker), wstest.UpgradeHead("/ws", "Origin: http://"+marker), wstest.UpgradeHead("/ws", marker), wstest.UpgradeHead("/" + marker),
		wstest.RequestHead(marker+" /ws HTTP/1.1", "Host: a"), wstest.RequestHead("GET /ws "+marker, "Host: a"),
	} {
		c := wstest.Connect(t, addr)
		c.Send(head)
		r, body := c.Response()
		if r.StatusCode < 400 || strings.Contains(body, "XyZZy") || headersContain(r.Header, "XyZZy") {
			t.Errorf("%q was answered with %s %v %q", head, r.Status, r.Header, body)
		}
		c.Close()
	}
}

func headersContain(h http.Header, s string) bool {
	for _, values := range textproto.MIMEHeader(h) {
		if strings.Contains(strings.Join(values, "\n"), s) {
			return true
		}
	}
	return false
}

func TestConnectionsOverTheLimitGet503(t *testing.T) {
	cfg := gatewaytest.Options()
	cfg.MaxConnections = 3
	s, addr := gatewaytest.Start(t, cfg)
	var in []*wstest.Client
	for range cfg.MaxConnections {
		in = append(in, wstest.Join(t, addr, "/ws"))
	}
	over := wstest.Connect(t, addr)
	r, _ := over.Response()
	if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
		t.Errorf("got %s, Retry-After %q", r.Status, r.Header.Get("Retry-After"))
	}
	over.ExpectEnd()
	if st := testenv.StatsOf(t, s); st.Rejected != 1 {
		t.Errorf("%d turned away, want 1", st.Rejected)
	}
	in[0].Send(wstest.MaskedText("we go on"))
	in[1].ExpectFrame(ws.OpText, "we go on")
	in[2].Close()
	testenv.Eventually(t, "there is room again", func() bool { return s.Open() == 2 })
	wstest.Join(t, addr, "/ws")
}

func TestIndependentClientHearsWhyItWasRefused(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	_, r, err := websocket.Dial(ctx, "ws://"+addr+"/ws", &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"https://evil.test"}}})
	if err == nil || r == nil || r.StatusCode != http.StatusForbidden {
		t.Errorf("got %v, %v; want 403", r, err)
	}
	if errors.Is(err, net.ErrClosed) {
		t.Error("the connection was closed before the answer was read")
	}
}
