package blackbox

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// The built program tells what it does on its admin listener: metrics with its version, and the
// live page with the end of its log.
func TestProgramShowsFiguresAndItsLog(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "admin.sock")
	p := proctest.Launch(t, proctest.Command(t, "--listen", "127.0.0.1:0", "--admin-listen", "unix:"+socket))
	p.ExpectLog(`the admin listener is open`)
	wstest.Join(t, p.Addr, "/ws/r")
	refused := wstest.Connect(t, p.Addr)
	refused.Send(wstest.UpgradeHead("/ws", "Origin: https://evil.example"))
	refused.ExpectRefusal(http.StatusForbidden)
	client := overSocket(socket)
	for _, one := range []struct {
		path string
		want []string
	}{
		{"/", []string{"Slowest clients"}},
		{"/status.json", []string{`"ready":"ok"`, `msg=refused reason=origin`, `"login":false`, `"name":"r"`}},
		{"/metrics", []string{`sluice_build_info{goversion="go1.`, "sluice_handshakes_total 1", `sluice_refusals_total{reason="origin"} 1`, "sluice_log_lines_dropped_total 0", "process_open_fds"}},
		{"/readyz", []string{"ok"}},
	} {
		status, body := ask(t, client, "GET", "http://localhost"+one.path, "", "")
		for _, want := range one.want {
			if status != http.StatusOK || !strings.Contains(body, want) {
				t.Errorf("%s: %d, no %q in\n%s", one.path, status, want, body)
			}
		}
	}
}

// The last line of the log tells what backends published apart from what clients sent.
func TestLastLineTellsWhatWasPublished(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "admin.sock")
	p := proctest.Launch(t, proctest.Command(t, "--listen", "127.0.0.1:0", "--admin-listen", "unix:"+socket))
	p.ExpectLog(`the admin listener is open`)
	c := wstest.Join(t, p.Addr, "/ws/r", wstest.MaskedText("said"))
	c.ExpectFrame(ws.OpText, "said")
	client := overSocket(socket)
	for _, text := range []string{"one", "two"} {
		if status, body := ask(t, client, "POST", "http://localhost/api/rooms/r/messages", "", text); status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
		c.ExpectFrame(ws.OpText, text)
	}
	c.Close()
	p.Signal(syscall.SIGTERM)
	p.ExpectExit(0)
	p.ExpectLog(`msg=stopped messages=1 published=2 deliveries=3 `)
}

// newKey is what gateway key prints.
func newKey(t *testing.T) string {
	t.Helper()
	status, stdout, stderr := proctest.Outcome(t, proctest.Command(t, "key"))
	key := strings.TrimSpace(stdout)
	if status != 0 || stderr != "" || len(key) < 40 || strings.ContainsAny(key, " \n") {
		t.Fatalf("status %d, %q, %q", status, stdout, stderr)
	}
	return key
}

// ask sends a request and returns its status and body.
func ask(t *testing.T, client *http.Client, method, url, key, body string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	p, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(bytes.TrimSpace(p))
}

// overSocket asks by a unix socket, whatever the URL's host.
func overSocket(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}}
}

// O04. Operators have a listener of their own, with a key over TCP and by a file's permissions on a
// unix socket. It answers until everybody else has left, and no key is in the log.
func TestO04_AdminListenerIsApartAndTheLastToGo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, file, socket := newKey(t), filepath.Join(dir, "admin.key"), filepath.Join(dir, "admin.sock")
	if err := os.WriteFile(file, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := proctest.Launch(t, proctest.Command(t, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--admin-listen", "unix:"+socket,
		"--admin-key-file", file, "--publish-rate", "1000", "--drain-timeout", "1m", "--log-level", "debug"))
	api := "http://" + p.ExpectLog(`the admin listener is open" address=(127\S+)`)
	tcp := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	unix := overSocket(socket)
	c := wstest.Join(t, p.Addr, "/ws/r")
	for _, one := range []struct {
		what, url, key string
		client         *http.Client
		status         int
		body           string
	}{
		{"with a key", api, key, tcp, 200, `{"members":1}`},
		{"without", api, "", tcp, 401, "needs an API key"},
		{"with another", api, key + "x", tcp, 401, "none of"},
		{"by the socket", "http://localhost", "", unix, 200, `{"members":1}`},
		{"where clients are", "http://" + p.Addr, key, tcp, 404, ""},
	} {
		if status, body := ask(t, one.client, "POST", one.url+"/api/rooms/r/messages", one.key, "hello"); status != one.status || !strings.Contains(body, one.body) {
			t.Errorf("%s: %d %s, want %d %s", one.what, status, body, one.status, one.body)
		}
	}
	for range 2 {
		c.ExpectFrame(1, "hello")
	}
	p.Signal(syscall.SIGTERM)
	p.ExpectLog(`(msg=draining)`)
	c.ExpectClose(1001) // It does not answer, and so is there.
	if status, body := ask(t, tcp, "GET", api+"/api/rooms", key, ""); status != 200 {
		t.Errorf("while it drains: %d %s", status, body)
	}
	c.Close()
	p.ExpectExit(0)
	if conn, err := net.Dial("tcp", strings.TrimPrefix(api, "http://")); err == nil {
		conn.Close()
		t.Error("somebody listens there still")
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket's file is left: %v", err)
	}
	if log := p.Logged(); strings.Contains(log, key) || !strings.Contains(log, "refused on the admin listener") {
		t.Errorf("the log has the key, or not the refusal:\n%s", log)
	}
}

// What is wrong with the admin flags or the key file is said at the start, in words that help,
// without what is in the file.
func TestAdminFlagsThatCannotWork(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	good := write("good", "a-secret-of-some-length\n", 0o600)
	for _, one := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"--admin-listen", "127.0.0.1:0"}, 2, "needs --admin-key-file, on loopback too"},
		{[]string{"--admin-listen", "unix:@sluice"}, 2, "is a socket without a file"},
		{[]string{"--admin-listen", "systemd:admin"}, 2, "is for --listen alone"},
		{[]string{"--admin-listen", "8081", "--admin-key-file", good}, 2, "--admin-listen 8081: is not host:port; did you mean :8081?"},
		{[]string{"--admin-listen", "unix:"}, 2, "has no path"},
		{[]string{"--publish-rate=-1"}, 2, "--publish-rate -1: must be at least 1, or 0"},
		{[]string{"--admin-listen", "127.0.0.1:0", "--admin-key-file", filepath.Join(dir, "none")}, 1, "no such file"},
		{[]string{"--admin-listen", "127.0.0.1:0", "--admin-key-file", write("short", "\nsecret\n", 0o600)}, 1, "line 2: a key must have at least 16"},
		{[]string{"--admin-listen", "127.0.0.1:0", "--admin-key-file", write("empty", "# secret\n", 0o600)}, 1, "no key in it"},
		{[]string{"--admin-listen", taken.Addr().String(), "--admin-key-file", good}, 1, "address already in use"},
		{[]string{"--admin-listen", "unix:" + filepath.Join(dir, "x"), "--admin-socket-group", "no-such-group"}, 1, "no-such-group"},
	} {
		status, _, stderr := proctest.Outcome(t, proctest.Command(t, append(one.args, "--listen", "127.0.0.1:0")...))
		if status != one.status || !strings.Contains(stderr, one.want) || strings.Contains(stderr, "secret") {
			t.Errorf("%v: status %d, %s\nwant %d, %s", one.args, status, stderr, one.status, one.want)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	p := proctest.Launch(t, proctest.Command(t, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--admin-key-file", write("open", "a-secret-of-some-length\n", 0o644)))
	if mode := p.ExpectLog(`others may read or write the file of the admin keys.* mode=(\S+)`); mode != "0644" {
		t.Error(mode)
	}
	if strings.Contains(p.Logged(), "secret") {
		t.Error(fmt.Sprint("the log has the key:\n", p.Logged()))
	}
}
