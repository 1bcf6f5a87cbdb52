package gateway

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/wsproto"
)

// N06, N74: the log says what was compared and what to do, a line a second for each of the two, and
// nothing that a client wrote can break the line, be long, or stand in the hint unless it is an
// origin or a name.
func TestN06_N74_RefusedPagesAreLoggedWithTheRemedy(t *testing.T) {
	long := strings.Repeat("long.", 20) + "example"
	for _, tc := range []struct{ origin, host, want string }{
		{"https://app.example.com", "127.0.0.1:8080", `reason=origin .* origin=https://app.example.com host=127.0.0.1:8080 hint="--allow-origin https://app.example.com"`},
		{"HTTP://Localhost:3000", "localhost:8080", `reason=origin .* origin=HTTP://Localhost:3000 host=localhost:8080 hint="--allow-origin http://localhost:3000"`},
		{"null", "localhost:8080", `reason=origin .* origin=null host=localhost:8080 hint="--allow-origin null"`},
		{"file://", "localhost:8080", `reason=origin .* hint="--allow-origin file://"`},
		{"https://App.example.com", "App.example.com", `reason=foreign_host .* origin=https://App.example.com host=App.example.com hint="--allow-host app.example.com"`},
		{"https://app.example.com:8443", "app.example.com:8443", `reason=foreign_host .* hint="--allow-host app.example.com"`},
		{"$(reboot) \xff\u202e", "localhost", `reason=origin .* origin="\$\(reboot\) \\\\xff\\\\u202e" host=localhost id=\S+\n`},
		{"https://$(reboot)", "localhost", `reason=origin .* host=localhost id=\S+\n`},
		{"https://" + long, "localhost", `reason=origin .* origin=https://long[^ ]{52}\.\.\. host=localhost id=\S+\n`},
		{"https://" + long, long, `reason=foreign_host .* host=long[^ ]{60}\.\.\. id=\S+\n`},
	} {
		var log journal
		cfg := testConfig()
		cfg.AllowHost = nil
		s, _ := startStopped(t, cfg, slog.New(slog.NewTextHandler(&log, nil)))
		for range 3 {
			c := wstest.Connect(t, s.Addrs()[0].String())
			c.Send([]byte(strings.Replace(string(wstest.UpgradeHead("/ws", "Origin: "+tc.origin)), "sluice.test", tc.host, 1)))
			c.ExpectRefusal(http.StatusForbidden)
			c.Close()
		}
		if lines := log.lines("refused"); len(lines) != 1 || !regexp.MustCompile(tc.want).MatchString(lines[0]) || len(lines[0]) > 500 {
			t.Errorf("origin %q, host %q: logged %q, want %s", tc.origin, tc.host, lines, tc.want)
		}
	}
}

// N74: the page's refusal is logged and counted like the others.
func TestN74_RefusedPageIsCountedAndLogged(t *testing.T) {
	var log journal
	cfg := testConfig()
	cfg.AllowHost = nil
	s, kernel := startStopped(t, cfg, slog.New(slog.NewTextHandler(&log, nil)))
	get := func() {
		c := wstest.Connect(t, s.Addrs()[0].String())
		c.Send(wstest.RequestHead("GET /?secret HTTP/1.1", "Host: evil.example:8080"))
		c.ExpectRefusal(http.StatusForbidden)
		c.Close()
	}
	get()
	get()
	kernel.Pass(2 * time.Second)
	get()
	if n := testenv.StatsOf(t, s).Refusals[wsproto.ReasonForeignHost]; n != 3 {
		t.Errorf("%d counted, want 3", n)
	}
	lines := log.lines("reason=foreign_host")
	if len(lines) != 2 || !strings.Contains(lines[0], `host=evil.example:8080 hint="--allow-host evil.example"`) || strings.Contains(lines[0], "secret") {
		t.Errorf("logged %q", lines)
	}
}

// A standIn is a listener at an address that a test does not open.
type standIn struct {
	net.Listener
	at net.Addr
}

func (l standIn) Addr() net.Addr { return l.at }

// N74: where a gateway has to be reachable for its own names to matter. One listener that others
// can reach is enough for any name to be its own; a unix socket is in no page's reach and says
// nothing about the others.
func TestN74_HostsAreJudgedWhereOnlyThisMachineCanCome(t *testing.T) {
	tcp := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 8080} }
	unix := &net.UnixAddr{Name: "/run/sluice", Net: "unix"}
	for _, tc := range []struct {
		name   string
		at     []net.Addr
		hosts  []string
		judges bool
	}{
		{"nowhere", nil, nil, false},
		{"loopback", []net.Addr{tcp("127.0.0.1")}, nil, true},
		{"another loopback", []net.Addr{tcp("127.8.8.8")}, nil, true},
		{"loopback IPv6", []net.Addr{tcp("::1")}, nil, true},
		{"loopback mapped", []net.Addr{tcp("::ffff:127.0.0.1")}, nil, true},
		{"both families", []net.Addr{tcp("127.0.0.1"), tcp("::1")}, nil, true},
		{"all interfaces", []net.Addr{tcp("0.0.0.0")}, nil, false},
		{"all interfaces IPv6", []net.Addr{tcp("::")}, nil, false},
		{"private", []net.Addr{tcp("192.168.1.2")}, nil, false},
		{"link local", []net.Addr{tcp("fe80::1")}, nil, false},
		{"one is public", []net.Addr{tcp("127.0.0.1"), tcp("192.0.2.1"), tcp("127.0.0.1")}, nil, false},
		{"unix", []net.Addr{unix}, nil, false},
		{"unix and loopback", []net.Addr{unix, tcp("127.0.0.1"), unix}, nil, true},
		{"unix and public", []net.Addr{unix, tcp("192.0.2.1")}, nil, false},
		{"public with names", []net.Addr{tcp("0.0.0.0")}, []string{"a.example"}, true},
		{"unix with names", []net.Addr{unix}, []string{"a.example"}, true},
		{"nowhere with names", nil, []string{"a.example"}, true},
	} {
		s := new(Server)
		s.live.Store(&config{Options: Options{AllowHost: tc.hosts}})
		for _, at := range tc.at {
			s.listeners = append(s.listeners, standIn{at: at})
		}
		if s.needsHosts() != tc.judges {
			t.Errorf("%s: hosts are judged: %t", tc.name, !tc.judges)
		}
	}
}

// N74: a gateway in a program's own server does not know where that listens, so any host is its own
// unless Options.AllowHost speaks; and a unix socket is reached by proxies alone.
func TestN74_EmbeddedAndUnixGatewaysTakeAnyHostUnlessTold(t *testing.T) {
	foreign := []byte(strings.Replace(string(wstest.UpgradeHead("/ws", "Origin: https://app.example.com")), "sluice.test", "app.example.com", 1))
	for _, tc := range []struct {
		hosts  []string
		status int
	}{
		{nil, http.StatusSwitchingProtocols},
		{[]string{"app.example.com"}, http.StatusSwitchingProtocols},
		{[]string{"other.example.com"}, http.StatusForbidden},
	} {
		cfg := testConfig()
		cfg.AllowHost = tc.hosts
		s := makeServer(t, cfg, nil, nil)
		path := filepath.Join(t.TempDir(), "socket")
		if err := s.Listen("unix:" + path); err != nil {
			t.Fatal(err)
		}
		s.start()
		t.Cleanup(s.Close)
		program := httptest.NewServer(s)
		t.Cleanup(program.Close)
		c := wstest.Connect(t, program.Listener.Addr().String())
		c.Send(foreign)
		if r, body := c.Response(); r.StatusCode != tc.status {
			t.Errorf("own hosts %q: embedded: %s %q", tc.hosts, r.Status, body)
		}
		transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }}
		t.Cleanup(transport.CloseIdleConnections)
		r, err := (&http.Client{Transport: transport}).Get("http://app.example.com/")
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if (r.StatusCode == http.StatusForbidden) != (tc.status == http.StatusForbidden) {
			t.Errorf("own hosts %q: unix: %s", tc.hosts, r.Status)
		}
	}
}
