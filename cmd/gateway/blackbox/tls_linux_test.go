package blackbox

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// The built program speaks TLS beside plain HTTP, says so, and shows a new pair soon after its
// files were replaced.
func TestT10_ProgramSpeaksTLSAndReloads(t *testing.T) {
	t.Parallel()
	authority := wstest.NewAuthority(t)
	files := authority.Pair([2]string{}, "app.test")
	p := proctest.Launch(t, proctest.LastingCommand(t, 3*testenv.Patience, "--listen=127.0.0.1:0", "--tls-listen=127.0.0.1:0", "--tls-cert="+files[0], "--tls-key="+files[1], "--allow-host=app.test"))
	addr := p.ExpectLog(`address=(\S+) tls=true`)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: authority.Client("app.test"), DisableKeepAlives: true}, Timeout: testenv.Patience}
	serial := func() string {
		r, err := client.Get("https://" + addr + "/livez")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if body, err := io.ReadAll(r.Body); err != nil || string(body) != "ok\n" {
			t.Fatalf("%q, %v", body, err)
		}
		return r.TLS.PeerCertificates[0].SerialNumber.String()
	}
	before := serial()
	there := wstest.DialTLS(t, authority.Client("app.test"), addr, "/ws/x")
	if err := os.WriteFile(files[1], []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.ExpectLog("cannot use the new certificates")
	if serial() != before {
		t.Error("a broken key has replaced the pair")
	}
	authority.Pair(files, "app.test")
	p.ExpectLog("certificates were replaced")
	if serial() == before {
		t.Error("the old pair is shown")
	}
	expectEcho(t, there, "still here")
}

// docs/internet.md's way to try TLS without an authority, line for line in a shell of its own, but
// for the port.
func TestTLSOfTheDocumentServesCurl(t *testing.T) {
	for _, tool := range []string{"openssl", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			testenv.LeaveOut(t, "%s is not here: %v", tool, err)
		}
	}
	document, err := os.ReadFile("../../../docs/internet.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```sh\n(openssl req .*?)\ngateway (.*?)\n(curl .*?)\n```").FindStringSubmatch(string(document))
	if m == nil || strings.Count(m[2], ":8443") != 1 || strings.Count(m[3], ":8443") != 1 {
		t.Fatalf("docs/internet.md has no such block: %q", m)
	}
	dir := t.TempDir()
	sh := func(line string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, "sh", "-c", line)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		return string(out)
	}
	sh(m[1])
	cmd := proctest.Command(t, strings.Fields(strings.Replace(m[2], ":8443", ":0", 1))...)
	cmd.Dir = dir
	p := proctest.Launch(t, cmd)
	_, port, err := net.SplitHostPort(p.ExpectLog(`address=(\S+) tls=true`))
	if err != nil {
		t.Fatal(err)
	}
	if out := sh(strings.Replace(strings.Replace(m[3], ":8443", ":"+port, 1), "curl ", "curl -sS --noproxy '*' ", 1)); out != "ok\n" {
		t.Errorf("curl got %q", out)
	}
}

// What cannot work is refused at the start, with the flags' names.
func TestTLSFlagsThatCannotWork(t *testing.T) {
	authority := wstest.NewAuthority(t)
	files := authority.Pair([2]string{}, "app.test")
	for _, c := range []struct {
		status int
		want   string
		args   []string
	}{
		{2, "--tls-listen :0: needs --tls-cert and --tls-key", []string{"--tls-listen=:0"}},
		{2, "there are 1 certificates and 0 keys", []string{"--tls-listen=:0", "--tls-cert=" + files[0]}},
		{2, "is shown on --tls-listen addresses, and there is none", []string{"--tls-cert=" + files[0], "--tls-key=" + files[1]}},
		{2, "--tls-listen nowhere: is not host:port", []string{"--tls-listen=nowhere", "--tls-cert=" + files[0], "--tls-key=" + files[1]}},
		{2, "--tls-client-ca: there is no certificate to show", []string{"--tls-client-ca=" + authority.File}},
		{2, "--proxy-protocol 127.0.0.1:9: is neither", []string{"--proxy-protocol=127.0.0.1:9", "--trusted-proxy=127.0.0.1/32"}},
		{2, "nobody may connect there without a --trusted-proxy", []string{"--listen=127.0.0.1:0", "--proxy-protocol=127.0.0.1:0"}},
		{2, `"xff" is none of x-forwarded-for, forwarded and none`, []string{"--forwarded-header=xff"}},
		{2, "--tls-handshakes 0: must be at least 1", []string{"--tls-handshakes=0"}},
		{2, "--tls-handshakes-running -1: must be", []string{"--tls-handshakes-running=-1"}},
		{1, "certificate " + files[1] + " with key " + files[0], []string{"--tls-listen=:0", "--tls-cert=" + files[1], "--tls-key=" + files[0]}},
		{1, "no such file", []string{"--tls-listen=:0", "--tls-cert=/nowhere", "--tls-key=/nowhere"}},
	} {
		status, _, stderr := proctest.Outcome(t, proctest.Command(t, c.args...))
		if status != c.status || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: status %d, want %d with %q:\n%s", c.args, status, c.status, c.want, stderr)
		}
	}
}

// dialFrom opens a WebSocket from another address of this machine.
func dialFrom(t *testing.T, from, addr, path string) (*websocket.Conn, error) {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", addr)
	}}}
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws://"+publicName+path, &websocket.DialOptions{HTTPClient: client})
	if err == nil {
		t.Cleanup(func() { c.CloseNow() })
	}
	return c, err
}

// A client that a proxy in front names, by the PROXY protocol or by a header, is the one in the
// log; over TCP and over a unix socket.
func TestA14_ProxiesNameTheClient(t *testing.T) {
	stream := `daemon off; master_process off; pid nginx.pid; error_log stderr;
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
events {}
BLOCK`
	for _, c := range []struct {
		name, proxy, around string // around: empty for the proxy's own
		block               string // GATEWAY is where it is
		listen              string
		speaks              bool
	}{
		{"nginx v1", "nginx", stream, "stream { server { listen 80; proxy_pass GATEWAY; proxy_protocol on; } }", "127.0.0.1:0", true},
		{"HAProxy v1", "HAProxy", "", "defaults\n\tmode tcp\n\ttimeout connect 5s\n\ttimeout client 75s\n\ttimeout server 75s\nlisten all\n\tbind :80\n\tserver one GATEWAY send-proxy\n", "127.0.0.1:0", true},
		{"HAProxy v2 over a unix socket", "HAProxy", "", "defaults\n\tmode tcp\n\ttimeout connect 5s\n\ttimeout client 75s\n\ttimeout server 75s\nlisten all\n\tbind :80\n\tserver one GATEWAY send-proxy-v2\n", "unix", true},
		{"HAProxy by a header", "HAProxy", "", "defaults\n\tmode http\n\toption forwardfor\n\ttimeout connect 5s\n\ttimeout client 75s\n\ttimeout server 75s\n\ttimeout tunnel 75s\nlisten all\n\tbind :80\n\tserver one GATEWAY\n", "127.0.0.1:0", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var p proxy
			for _, one := range proxies {
				if one.name == c.proxy {
					p = one
				}
			}
			if c.around != "" {
				p.around = c.around
				if _, err := os.Stat("/usr/lib/nginx/modules/ngx_stream_module.so"); err != nil {
					testenv.LeaveOut(t, "nginx has no stream module here: %v", err)
				}
			}
			listen, to := c.listen, ""
			if listen == "unix" {
				to = t.TempDir() + "/s"
				listen = "unix:" + to
			}
			args := []string{"--listen=" + listen, "--allow-host=" + publicName, "--trusted-proxy=127.0.0.1/32", "--log-level=debug"}
			if c.speaks {
				args = append(args, "--proxy-protocol="+listen)
			}
			gateway := proctest.Launch(t, proctest.Command(t, args...))
			if to == "" {
				to = gateway.Addr
			}
			addr := p.runProxy(t, strings.ReplaceAll(c.block, "GATEWAY", to))
			const client = "127.9.8.7" // The proxy connects from 127.0.0.1.
			conn, err := dialFrom(t, client, addr, "/ws/behind")
			if err != nil {
				t.Fatal(err)
			}
			expectEcho(t, conn, "hello")
			gateway.ExpectLog(`client joined.*from=127\.9\.8\.7 `)
		})
	}
}
