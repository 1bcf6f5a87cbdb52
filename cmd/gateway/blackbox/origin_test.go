//go:build unix

package blackbox

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"sluice/internal/proctest"
	"sluice/internal/wstest"
)

// answerTo is what a gateway on this port answers to a page of a host name, or to a browser that
// wants the page.
func answerTo(t *testing.T, addr, line, host string, isPage bool) (status int, body string) {
	t.Helper()
	c := wstest.Connect(t, addr)
	defer c.Close()
	headers := []string{"Host: " + host}
	if isPage {
		headers = append(headers, "Origin: http://"+host, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: "+wstest.SampleKey)
	}
	c.Send(wstest.RequestHead(line, headers...))
	r, body := c.Response()
	return r.StatusCode, body
}

// N74: the program as people start it on their own machine, and a page whose name was led to
// 127.0.0.1.
func TestN74_ReboundPageIsRefusedOnLoopback(t *testing.T) {
	p := proctest.Launch(t, proctest.Command(t, "--listen=localhost:0"))
	_, port, err := net.SplitHostPort(p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	addr := "127.0.0.1:" + port
	for _, host := range []string{"evil.example:" + port, "localhost.evil.example:" + port, "127.0.0.1.evil.example:" + port} {
		if status, body := answerTo(t, addr, "GET /ws HTTP/1.1", host, true); status != http.StatusForbidden || !strings.Contains(body, "--allow-host") {
			t.Errorf("a page of %s: %d %.120q", host, status, body)
		}
		if status, body := answerTo(t, addr, "GET / HTTP/1.1", host, false); status != http.StatusForbidden || !strings.Contains(body, "--allow-host") {
			t.Errorf("the page under %s: %d %.120q", host, status, body)
		}
	}
	p.ExpectLog(`reason=foreign_host status=403 from=127\.0\.0\.1 .*host=evil\.example:` + port + ` hint="--allow-host evil\.example"`)
	for _, host := range []string{"localhost:" + port, addr, "[::1]:" + port} {
		if status, body := answerTo(t, addr, "GET /ws HTTP/1.1", host, true); status != http.StatusSwitchingProtocols {
			t.Errorf("a page of %s: %d %.120q", host, status, body)
		}
		if status, body := answerTo(t, addr, "GET / HTTP/1.1", host, false); status != http.StatusOK {
			t.Errorf("the page under %s: %d %.120q", host, status, body)
		}
	}
	if status, body := answerTo(t, addr, "GET /livez HTTP/1.1", "evil.example", false); status != http.StatusOK {
		t.Errorf("a health check: %d %q", status, body)
	}
}

// N74: with one listener that others can reach, names are for --allow-host to limit; a proxy's
// public name is added by it.
func TestN74_AllowHostOnTheCommandLine(t *testing.T) {
	for _, tc := range []struct {
		flags  []string
		env    string
		own    bool // app.example.com is
		others bool // elsewhere.example is
	}{
		{[]string{"--listen=127.0.0.1:0", "--listen=:0"}, "", true, true},
		{[]string{"--listen=127.0.0.1:0", "--listen=:0", "--allow-host=app.example.com"}, "", true, false},
		{[]string{"--listen=127.0.0.1:0", "--allow-host=app.example.com"}, "", true, false},
		{[]string{"--listen=127.0.0.1:0"}, "SLUICE_ALLOW_HOST=x.example,*.example.com", true, false},
		{[]string{"--listen=127.0.0.1:0", "--allow-host=*"}, "", true, true},
	} {
		cmd := proctest.Command(t, tc.flags...)
		if tc.env != "" {
			cmd.Env = append(cmd.Env, tc.env)
		}
		p := proctest.Launch(t, cmd)
		for host, want := range map[string]bool{"app.example.com": tc.own, "elsewhere.example": tc.others} {
			for _, isPage := range []bool{true, false} {
				line := "GET / HTTP/1.1"
				if isPage {
					line = "GET /ws HTTP/1.1"
				}
				if status, body := answerTo(t, p.Addr, line, host, isPage); (status < 400) != want {
					t.Errorf("%v %s: %s under %s: %d %q", tc.flags, tc.env, line, host, status, body)
				}
			}
		}
	}
}

// N05, N07, N08: the flags of a page's way in, each with what it does and what it refuses.
func TestN05_N07_N08_FlagsOfPages(t *testing.T) {
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--subprotocol=mqtt,bearer", "--subprotocol=v1.chat",
		"--allow-origin=file://,capacitor://localhost", "--allow-origin=https://*.example.com"))
	for _, origin := range []string{"file://", "capacitor://localhost", "https://a.b.example.com"} {
		c := wstest.Connect(t, p.Addr)
		c.Send(wstest.UpgradeHead("/ws", "Origin: "+origin, "Sec-WebSocket-Protocol: other, v1.chat, bearer"))
		if r, body := c.Response(); r.StatusCode != http.StatusSwitchingProtocols || r.Header.Get("Sec-WebSocket-Protocol") != "v1.chat" {
			t.Errorf("%s: %s %v %q", origin, r.Status, r.Header, body)
		}
	}
	for flag, says := range map[string]string{
		"--allow-origin=https://*.com":       "two labels",
		"--allow-origin=example.com":         "scheme",
		"--allow-host=*.com":                 "two labels",
		"--allow-host=https://a.example.com": "without a scheme",
		"--allow-host=a.example.com:80":      "without a port",
		"--subprotocol=not a token":          "not a subprotocol",
	} {
		name, _, _ := strings.Cut(flag, "=")
		if status, _, stderr := proctest.Outcome(t, proctest.Command(t, flag)); status != 2 || !strings.Contains(stderr, name+": ") || !strings.Contains(stderr, says) {
			t.Errorf("%s: status %d, %q; want 2 and %q", flag, status, stderr, says)
		}
	}
}
