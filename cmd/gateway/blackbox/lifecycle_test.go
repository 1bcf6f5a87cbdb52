//go:build unix

package blackbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

func TestD01_IdleGatewayEndsAtOnceOnASignal(t *testing.T) {
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--drain-timeout=1m", "--close-timeout=1m"))
		p.Signal(s)
		p.ExpectExit(0) // Long before anything would time out.
	}
}

func TestD01_ClientsGetClose1001(t *testing.T) {
	t.Parallel()
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--loops=2", "--drain-timeout=1m"))
	polite := wstest.Dial(t, p.Addr, "/ws")
	var quiet []*wstest.Client // They take the Close frame and say nothing.
	for range 50 {
		quiet = append(quiet, wstest.Join(t, p.Addr, "/ws"))
	}
	silent, page := wstest.Connect(t, p.Addr), wstest.Connect(t, p.Addr)
	page.Send(wstest.PlainGet("/livez"))
	page.Response()
	p.Signal(syscall.SIGTERM)
	if _, _, err := polite.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("read ended with %v, want close 1001", err)
	}
	for _, c := range quiet {
		c.ExpectClose(1001)
	}
	silent.Rest()
	page.ExpectEnd()
	p.ExpectExit(0)
}

// Balancers find out that it is to go, and until the delay is over it serves whoever they still
// send.
func TestD01_GatewayServesOnForItsDrainDelay(t *testing.T) {
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--loops=2", "--drain-delay=1h"))
	probe, a := wstest.Connect(t, p.Addr), wstest.Join(t, p.Addr, "/ws")
	ask := func() (status int) {
		probe.Send(wstest.PlainGet("/readyz"))
		r, _ := probe.Response()
		return r.StatusCode
	}
	if status := ask(); status != 200 {
		t.Errorf("before the signal: %d", status)
	}
	p.Signal(syscall.SIGTERM)
	p.ExpectLog(`msg=draining .*delay=1h0m0s`)
	testenv.Eventually(t, "it says that it is to go", func() bool { return ask() == 503 })
	b := wstest.Join(t, p.Addr, "/ws")
	a.Send(wstest.MaskedText("all as ever"))
	b.ExpectFrame(ws.OpText, "all as ever")

	p = proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--drain-delay=50ms", "--drain-timeout=1m"))
	c := wstest.Join(t, p.Addr, "/ws")
	p.Signal(syscall.SIGTERM)
	c.ExpectClose(1001)
	c.Close()
	p.ExpectExit(0)
}

// Whoever comes while the gateway drains must be refused, not left waiting in a queue that nobody
// serves.
func TestD01_DrainingGatewayDoesNotListen(t *testing.T) {
	t.Parallel()
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--close-timeout=1m", "--drain-timeout=1m"))
	stuck, _ := wstest.Stick(t, p.Addr) // keeps the drain going
	p.Signal(syscall.SIGTERM)
	p.ExpectLog("draining")
	testenv.Eventually(t, "connections are refused", func() bool {
		c, err := net.DialTimeout("tcp", p.Addr, testenv.Patience)
		if err == nil {
			c.Close() // It was in time for the accept queue.
		} else if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatal(err)
		}
		return err != nil
	})
	select {
	case <-p.Ended:
		t.Error("refused only because the gateway has ended")
	default:
	}
	stuck.Reset()
	p.ExpectExit(0)
}

// D04: clients that take nothing do not hold the gateway beyond its time, which is that of a drain,
// whatever --close-timeout is.
func TestD04_ClientsThatDoNotReadAreCut(t *testing.T) {
	t.Parallel()
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--close-timeout=1m", "--drain-timeout=2s"))
	stuck, _ := wstest.Stick(t, p.Addr)
	p.Signal(syscall.SIGTERM)
	p.ExpectExit(0)
	if _, err := stuck.Rest(); errors.Is(err, wstest.ErrTimeout) {
		t.Error("the connection was not ended")
	}
}

func TestD03_SecondSignalStopsAtOnce(t *testing.T) {
	t.Parallel()
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--close-timeout=1m", "--drain-timeout=1m"))
	stuck, _ := wstest.Stick(t, p.Addr)
	p.Signal(syscall.SIGTERM)
	p.ExpectLog("draining")
	p.InsistOnEnd(syscall.SIGINT)
	p.ExpectExit(3)
	if _, err := stuck.Rest(); errors.Is(err, wstest.ErrTimeout) {
		t.Error("the connection was not ended")
	}
}

func TestK22_PortInUseIsOneClearLine(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	status, stdout, stderr := proctest.Outcome(t, proctest.Command(t, "--listen="+l.Addr().String(), "--max-connections=10"))
	if status != 1 || stdout != "" {
		t.Errorf("status %d, stdout %q; want 1 and nothing", status, stdout)
	}
	if strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, l.Addr().String()) || !strings.Contains(stderr, "address already in use") {
		t.Errorf("said %q, want one line with the address and the reason", stderr)
	}
}

func TestSecondAddressInUseEndsTheFirstToo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	path := filepath.Join(t.TempDir(), "socket")
	if status, _, stderr := proctest.Outcome(t, proctest.Command(t, "--listen=unix:"+path, "--listen="+l.Addr().String())); status != 1 {
		t.Errorf("status %d: %s", status, stderr)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket file is left behind: %v", err)
	}
}

func TestUnixSocketIsServed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	p := proctest.Launch(t, proctest.Command(t, "--listen=unix:"+path))
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	r, err := client.Get("http://sluice.test/livez")
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Error(r.Status)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws://sluice.test/ws", &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	if err := c.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	wstest.ExpectText(t, c, "hello")
	p.Signal(syscall.SIGTERM)
	if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("read ended with %v, want close 1001", err)
	}
	p.ExpectExit(0)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket file is left behind: %v", err)
	}
}

func TestLocalhostIsBothFamilies(t *testing.T) {
	p := proctest.Launch(t, proctest.Command(t, "--listen=localhost:0"))
	_, port, err := net.SplitHostPort(p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	hosts := []string{"127.0.0.1"}
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil {
		l.Close()
		hosts = append(hosts, "::1")
	} else {
		t.Logf("this machine has no IPv6: %v", err)
	}
	for _, host := range hosts {
		c := wstest.Join(t, net.JoinHostPort(host, port), "/ws", wstest.MaskedText(host))
		c.ExpectFrame(ws.OpText, host)
		c.Close()
	}
	if strings.Contains(p.Logged(), "all interfaces") {
		t.Error("warns of all interfaces")
	}
}

func TestAllInterfacesAreWarnedOf(t *testing.T) {
	p := proctest.Launch(t, proctest.Command(t, "--listen=:0"))
	p.ExpectLog("level=WARN .*all interfaces without authentication")
	p.ExpectLog(`open the demo page" url=(http://localhost:\d+/)`)
}

func TestHelpAndVersion(t *testing.T) {
	status, stdout, stderr := proctest.Outcome(t, proctest.Command(t, "--help"))
	if status != 0 || stderr != "" {
		t.Errorf("--help: status %d, stderr %q", status, stderr)
	}
	for _, want := range []string{
		"--listen", "--loops", "--allow-origin", "--allow-host", "--subprotocol", "--max-connections", "--max-http-connections", "--max-message", "--room-backlog",
		"--publish-window", "--handshake-timeout", "--ping-interval", "--pong-timeout", "--stall-timeout", "--close-timeout", "--drain-delay", "--drain-timeout",
		"--max-per-address", "--trusted-proxy", "--connect-rate", "--max-rooms", "--max-fragments", "--assembly-timeout",
		"--frame-rate", "--ping-rate", "--message-rate", "--byte-rate", "--inflate-rate",
		"--log-format", "--log-level", "SLUICE_", "16MiB", "/ws/{room}",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("--help does not mention %s", want)
		}
	}
	status, stdout, stderr = proctest.Outcome(t, proctest.Command(t, "--version"))
	if status != 0 || stderr != "" || strings.Count(stdout, "\n") != 1 || !strings.Contains(stdout, "go1.") {
		t.Errorf("--version: status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
}

func TestBadFlagsAreNamed(t *testing.T) {
	for _, tc := range []struct{ arg, names string }{
		{"--max-message=lots", "--max-message"},
		{"--max-message=0", "--max-message"},
		{"--max-message=2GiB", "--max-message"},
		{"--room-backlog=1MiB", "--room-backlog"},
		{"--publish-window=0", "--publish-window"},
		{"--min-read-rate=3GiB", "--min-read-rate"},
		{"--publish-window=1GiB", "--publish-window"},
		{"--loops=-1", "--loops"},
		{"--loops=many", "--loops"},
		{"--max-connections=0", "--max-connections"},
		{"--max-http-connections=0", "--max-http-connections"},
		{"--max-http-connections=1000000000000000000", "--max-http-connections"},
		{"--max-per-address=-1", "--max-per-address"},
		{"--connect-rate=often", "--connect-rate"},
		{"--max-rooms=-1", "--max-rooms"},
		{"--trusted-proxy=10.0.0.1", "--trusted-proxy"},
		{"--max-fragments=0", "--max-fragments"},
		{"--assembly-timeout=0s", "--assembly-timeout"},
		{"--frame-rate=-1", "--frame-rate"},
		{"--ping-rate=-1", "--ping-rate"},
		{"--message-rate=-1", "--message-rate"},
		{"--byte-rate=1KiB", "--byte-rate"},
		{"--ping-interval=0s", "--ping-interval"},
		{"--pong-timeout=-1s", "--pong-timeout"},
		{"--stall-timeout=soon", "--stall-timeout"},
		{"--drain-delay=-1s", "--drain-delay"},
		{"--drain-delay=1001h", "--drain-delay"},
		{"--allow-origin=example.com/path", "--allow-origin"},
		{"--log-format=xml", "--log-format"},
		{"--log-level=loud", "--log-level"},
		{"--max-mesage=1", "--max-message"}, // did you mean
		{"server", "serve"},                 // likewise
	} {
		status, stdout, stderr := proctest.Outcome(t, proctest.Command(t, tc.arg))
		if status != 2 || stdout != "" || !strings.Contains(stderr, tc.names) {
			t.Errorf("%s: status %d, stdout %q, stderr %q; want 2 and a line that names %s", tc.arg, status, stdout, stderr, tc.names)
		}
	}
}

func TestEnvironmentConfigures(t *testing.T) {
	cmd := proctest.Command(t)
	cmd.Env = append(cmd.Env, "SLUICE_LISTEN=127.0.0.1:0", "SLUICE_MAX_MESSAGE=1KiB", "SLUICE_ALLOW_ORIGIN=https://good.test")
	p := proctest.Launch(t, cmd)
	c := wstest.Join(t, p.Addr, "/ws")
	c.Send(wstest.Masked(ws.OpText, true, strings.Repeat("a", 1025)))
	c.ExpectClose(1009)
	allowed := wstest.Connect(t, p.Addr)
	allowed.Send(wstest.UpgradeHead("/ws", "Origin: https://good.test"))
	allowed.ExpectUpgrade()

	cmd = proctest.Command(t, "--listen=127.0.0.1:0", "--max-message=2KiB")
	cmd.Env = append(cmd.Env, "SLUICE_MAX_MESSAGE=1KiB")
	p = proctest.Launch(t, cmd)
	text := strings.Repeat("a", 2048)
	c = wstest.Join(t, p.Addr, "/ws", wstest.MaskedText(text))
	c.ExpectFrame(ws.OpText, text) // The flag wins.

	cmd = proctest.Command(t, "--listen=127.0.0.1:0")
	cmd.Env = append(cmd.Env, "SLUICE_MAX_MESSAGE=lots")
	if status, _, stderr := proctest.Outcome(t, cmd); status != 2 || !strings.Contains(stderr, "MAX_MESSAGE") && !strings.Contains(stderr, "max-message") {
		t.Errorf("bad variable: status %d, %q", status, stderr)
	}
}

func TestLogIsJSONIfAsked(t *testing.T) {
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--log-format=json"))
	p.Signal(syscall.SIGTERM)
	p.ExpectExit(0)
	for _, line := range strings.Split(p.Logged(), "\n") {
		var entry struct{ Time, Level, Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Time == "" || entry.Level == "" || entry.Msg == "" {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// E16. What the admin listener and its connections may take is not promised to clients.
func TestE16_AdminListenerHasItsDescriptors(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	limited := func(limit int, args ...string) *exec.Cmd {
		cmd := proctest.Command(t, append([]string{"--listen=127.0.0.1:0", "--max-http-connections=16"}, args...)...)
		cmd.Args = append([]string{"sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, limit), cmd.Path}, cmd.Args[1:]...)
		cmd.Path = sh
		return cmd
	}
	admin := "--admin-listen=unix:" + filepath.Join(t.TempDir(), "admin.sock")
	var fit [2]int
	for i, args := range [][]string{nil, {admin}} {
		p := proctest.Launch(t, limited(600, args...))
		if fit[i], err = strconv.Atoi(p.ExpectLog(`lowering --max-connections.* to=(\d+) descriptors=600`)); err != nil {
			t.Fatal(err)
		}
	}
	if fit[0]-fit[1] != 128+1 {
		t.Errorf("%d connections without an admin listener, %d with one: want 129 fewer", fit[0], fit[1])
	}
	status, _, stderr := proctest.Outcome(t, limited(160, admin))
	if status != 1 || !strings.Contains(stderr, "129 are for the admin listener") {
		t.Errorf("status %d, %s", status, stderr)
	}
}

func TestE16_MaxConnectionsFitTheDescriptorLimit(t *testing.T) {
	cmd := proctest.Command(t, "--listen=127.0.0.1:0", "--max-http-connections=16")
	// ulimit lowers the hard limit too, which the gateway cannot raise again.
	cmd.Args = append([]string{"sh", "-c", `ulimit -n 200 && exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
	var err error
	if cmd.Path, err = exec.LookPath("sh"); err != nil {
		t.Fatal(err)
	}
	p := proctest.Launch(t, cmd)
	p.ExpectLog(`lowering --max-connections.* to=(\d+) descriptors=200`)
	var in []*wstest.Client
	for {
		c := wstest.Connect(t, p.Addr)
		c.TrySend(wstest.UpgradeHead("/ws"))
		r, _ := c.Response()
		if r.StatusCode == http.StatusServiceUnavailable {
			break
		}
		if in = append(in, c); len(in) > 200 {
			t.Fatal("more connections than descriptors")
		}
	}
	if want := p.ExpectLog(` to=(\d+) descriptors`); fmt.Sprint(len(in)) != want {
		t.Errorf("%d were let in, want %s", len(in), want)
	}
	in[0].Send(wstest.MaskedText("all is well"))
	in[len(in)-1].ExpectFrame(ws.OpText, "all is well")
}
