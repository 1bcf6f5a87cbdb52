package blackbox

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// The blocks of docs/internet.md's "Behind a proxy" are run as they stand there: only where they
// listen and where the gateway is differs.

// publicName is the name in those blocks.
const publicName = "app.example.com"

// A proxy is how one is started with its block of the document and nothing of the machine's own
// settings.
type proxy struct {
	name     string
	language string // of its block
	binary   string
	args     []string // DIR stands for a directory of its own, whose file conf has the whole configuration
	around   string   // what a distribution has around the block, BLOCK
	listens  string   // where the block says that it listens
	bears    bool     // is tried with a minute of silence as well
}

var proxies = []proxy{
	{
		name: "nginx", language: "nginx", binary: "nginx", args: []string{"-p", "DIR", "-c", "conf"}, listens: "listen 80", bears: true,
		around: `daemon off; master_process off; pid nginx.pid; error_log stderr;
events {}
http {
	access_log off; client_body_temp_path body; proxy_temp_path proxied; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
	BLOCK
}`,
	},
	{name: "HAProxy", language: "haproxy", binary: "haproxy", args: []string{"-db", "-f", "DIR/conf"}, listens: "bind :80", around: "BLOCK", bears: true},
	{
		name: "Apache", language: "apache", binary: "apache2", args: []string{"-d", "DIR", "-f", "conf", "-D", "FOREGROUND"}, listens: "*:80",
		around: `PidFile DIR/pid
DefaultRuntimeDir DIR
ErrorLog /dev/stderr
ServerName localhost
User #65534
Group #65534
Listen ADDR
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
BLOCK`,
	},
	{
		name: "Caddy", language: "caddyfile", binary: "caddy", args: []string{"run", "--adapter", "caddyfile", "--config", "DIR/conf"},
		listens: "http://" + publicName + " {", around: "{\n\tadmin off\n}\nBLOCK",
	},
}

// blockOf is the nth block in a language of docs/internet.md's section on proxies.
func blockOf(t *testing.T, language string, n int) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/internet.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Behind a proxy\n")
	section, _, _ = strings.Cut(section, "\n## ")
	blocks := regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(section, -1)
	if len(blocks) <= n {
		t.Fatalf("docs/internet.md has %d blocks for %s", len(blocks), language)
	}
	return blocks[n][1]
}

// runProxy runs one with this block, on an address that nobody else has, and returns that.
func (p *proxy) runProxy(t *testing.T, block string) (addr string) {
	t.Helper()
	if _, err := exec.LookPath(p.binary); err != nil {
		testenv.LeaveOut(t, "%s is not here: %v", p.name, err)
	}
	dir := t.TempDir()
	addr = freeAddress(t)
	host, port, _ := net.SplitHostPort(addr)
	listens := map[string]string{
		"nginx": "listen " + addr, "HAProxy": "bind " + addr, "Apache": addr,
		"Caddy": "http://" + publicName + ":" + port + " {\n\tbind " + host,
	}[p.name]
	if strings.Count(block, p.listens) != 1 {
		t.Fatalf("%q is not once in the block of %s:\n%s", p.listens, p.name, block)
	}
	block = strings.Replace(block, p.listens, listens, 1)
	conf := strings.NewReplacer("DIR", dir, "ADDR", addr, "BLOCK", block).Replace(p.around)
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	args := make([]string, len(p.args))
	for i, a := range p.args {
		args[i] = strings.ReplaceAll(a, "DIR", dir)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, p.binary, args...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // A kill would leave its children.
	cmd.WaitDelay = testenv.Patience
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() {
		cancel()
		<-ended
		if t.Failed() {
			t.Logf("%s said:\n%s", p.name, said.String())
		}
	})
	testenv.Eventually(t, p.name+" listens", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return addr
}

// addresses counts those of this process.
var addresses atomic.Int32

// freeAddress is for a program that cannot be given port 0 and asked for what it got. Nobody's
// outgoing connection takes the port meanwhile: those come from 127.0.0.1.
func freeAddress(t *testing.T) string {
	t.Helper()
	pid := os.Getpid()
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 64+pid>>8&63, pid&255, addresses.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// dialAs opens a WebSocket as a page of the public name does, whatever address the proxy has here.
func dialAs(t *testing.T, addr, path, origin string, more http.Header) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}}}
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	head := http.Header{"Origin": {origin}}
	for name, values := range more {
		head[name] = values
	}
	c, r, err := websocket.Dial(ctx, "ws://"+publicName+path, &websocket.DialOptions{HTTPClient: client, HTTPHeader: head})
	if err == nil {
		t.Cleanup(func() { c.CloseNow() })
	}
	return c, r, err
}

// expectEcho says something and hears it.
func expectEcho(t *testing.T, c *websocket.Conn, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	if err := c.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
	if _, p, err := c.Read(ctx); err != nil || string(p) != text {
		t.Fatalf("%q came back as %.100q, %v", text, p, err)
	}
}

// Every block of "Behind a proxy" does what it is there for: a browser's page gets in, with more
// cookies than fit into 8 KiB, hears what it says, and is let alone through a minute of silence; a
// page of another origin is refused by us, with the flag's name.
func TestProxiesOfTheDocument(t *testing.T) {
	t.Parallel()
	silence := 3 * time.Second
	if testenv.IsWholeSize(t) {
		silence = time.Minute
	}
	for _, p := range proxies {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			gateway := proctest.Launch(t, proctest.LastingCommand(t, silence+2*testenv.Patience, "--listen=127.0.0.1:0", "--allow-host="+publicName))
			block := strings.ReplaceAll(blockOf(t, p.language, 0), "127.0.0.1:8080", gateway.Addr)
			addr := p.runProxy(t, block)
			origin := "http://" + publicName
			plain, _, err := dialAs(t, addr, "/ws/behind", origin, nil)
			if err != nil {
				t.Fatal(err)
			}
			expectEcho(t, plain, "hello")
			if secure, _, err := dialAs(t, addr, "/ws/secure", "https://"+publicName, nil); err != nil {
				t.Errorf("where the proxy ends TLS: %v", err)
			} else {
				expectEcho(t, secure, "hello")
			}
			cookie := "a=" + strings.Repeat("x", 20<<10)
			if crumbs, r, err := dialAs(t, addr, "/ws/crumbs", origin, http.Header{"Cookie": {cookie}}); err != nil {
				t.Errorf("with 20 KiB of cookies: %v, %v", err, r)
			} else {
				expectEcho(t, crumbs, strings.Repeat("long ", 4<<10))
			}
			if _, r, err := dialAs(t, addr, "/ws/behind", "http://evil.example", nil); err == nil || r == nil || r.StatusCode != http.StatusForbidden {
				t.Errorf("a page of another origin: %v, %v", r, err)
			}
			gateway.ExpectLog(`origin=http://evil\.example .*--allow-origin http://evil\.example`)
			if !p.bears {
				return
			}
			// It says nothing by itself. Its library answers pings only while somebody reads.
			ctx, cancel := context.WithTimeout(t.Context(), silence+testenv.Patience)
			defer cancel()
			heard := make(chan string, 1)
			go func() {
				_, p, err := plain.Read(ctx)
				heard <- fmt.Sprintf("%s, %v", p, err)
			}()
			select {
			case got := <-heard:
				t.Fatalf("in silence came %s", got)
			case <-time.After(silence):
			}
			other, _, err := dialAs(t, addr, "/ws/behind", origin, nil)
			if err != nil {
				t.Fatal(err)
			}
			expectEcho(t, other, "still there?")
			if got := <-heard; got != "still there?, <nil>" {
				t.Errorf("after %v of silence: %s", silence, got)
			}
		})
	}
}

// The block of the document that has nginx end TLS does: with the authority's word for it, a page
// at https:// gets in, and nobody without.
func TestNginxOfTheDocumentEndsTLS(t *testing.T) {
	gateway := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--allow-host="+publicName))
	authority := wstest.NewAuthority(t)
	files := authority.Pair([2]string{}, publicName)
	p := proxies[0]
	ends := strings.NewReplacer("fullchain.pem", files[0], "privkey.pem", files[1]).Replace(blockOf(t, p.language, 1))
	block := strings.ReplaceAll(blockOf(t, p.language, 0), "127.0.0.1:8080", gateway.Addr)
	if strings.Count(block, "    listen 80;\n") != 1 || !strings.Contains(ends, files[0]) || !strings.Contains(ends, files[1]) {
		t.Fatalf("docs/internet.md has other lines for TLS, or another block than those are for:\n%s%s", block, ends)
	}
	p.listens = "listen 443"
	addr := p.runProxy(t, strings.Replace(block, "    listen 80;\n", ends, 1))
	dial := func(trusts *wstest.Authority, origin string) (*websocket.Conn, error) {
		client := &http.Client{Transport: &http.Transport{
			DisableKeepAlives: true, TLSClientConfig: trusts.Client(publicName),
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", addr)
			},
		}}
		ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
		defer cancel()
		c, _, err := websocket.Dial(ctx, "wss://"+publicName+"/ws/secure", &websocket.DialOptions{HTTPClient: client, HTTPHeader: http.Header{"Origin": {origin}}})
		if err == nil {
			t.Cleanup(func() { c.CloseNow() })
		}
		return c, err
	}
	c, err := dial(authority, "https://"+publicName)
	if err != nil {
		t.Fatal(err)
	}
	expectEcho(t, c, "hello")
	if _, err := dial(authority, "https://evil.example"); err == nil {
		t.Error("a page of another origin is in")
	}
	if _, err := dial(wstest.NewAuthority(t), "https://"+publicName); err == nil {
		t.Error("a certificate of nobody's is taken")
	}
}

// Rooms spread over two gateways by their paths: whoever asks for a room meets those who asked
// before.
func TestRoomsAreSharedOutByPath(t *testing.T) {
	one := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--allow-host="+publicName))
	two := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--allow-host="+publicName))
	p := &proxies[0]
	_, rest, ok := strings.Cut(blockOf(t, p.language, 0), "}\n")
	if !ok {
		t.Fatal("the block has no upstream in front")
	}
	shared := strings.NewReplacer("127.0.0.1:8080", one.Addr, "127.0.0.1:8081", two.Addr).Replace(blockOf(t, p.language, 2))
	addr := p.runProxy(t, shared+rest)
	gateways := []*proctest.Process{one, two}
	before := []int{len(one.Descriptors()), len(two.Descriptors())}
	const rooms = 16
	for i := range rooms {
		path := fmt.Sprintf("/ws/room.%d", i)
		first, _, err := dialAs(t, addr, path, "http://"+publicName, nil)
		if err != nil {
			t.Fatal(err)
		}
		second, _, err := dialAs(t, addr, path, "http://"+publicName, nil)
		if err != nil {
			t.Fatal(err)
		}
		expectEcho(t, second, path)
		ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
		if _, got, err := first.Read(ctx); err != nil || string(got) != path {
			t.Errorf("%s: the first one heard %q, %v", path, got, err)
		}
		cancel()
	}
	for i, g := range gateways {
		if open := len(g.Descriptors()) - before[i]; open < 4 {
			t.Errorf("of %d rooms' clients %d are on one of two gateways", rooms, open)
		}
	}
}
