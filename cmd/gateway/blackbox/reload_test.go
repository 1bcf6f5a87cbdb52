//go:build unix

package blackbox

import (
	"context"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// hearHangups lets gateways that the test launches hear SIGHUP, if the tests themselves run under
// nohup(1): what is ignored stays so across execve(2), what is caught becomes the default.
func hearHangups(t *testing.T) {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(caught) })
}

// D07: what can change does so for everybody at once, and one line says what did and what cannot;
// nobody is disconnected.
func TestD07_SIGHUPReloadsTheConfiguration(t *testing.T) {
	t.Parallel()
	hearHangups(t)
	name := filepath.Join(t.TempDir(), "sluice.yaml")
	write := func(lines ...string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("listen: 127.0.0.1:0", "loops: 2", "max-message: 10")
	p := proctest.Launch(t, proctest.Command(t, "--config="+name))
	mayJoin := func(want int) {
		t.Helper()
		c := wstest.Connect(t, p.Addr)
		c.Send(wstest.UpgradeHead("/ws", "Origin: https://page.example"))
		if r, _ := c.Response(); r.StatusCode != want {
			t.Errorf("the page of another origin got %d, want %d", r.StatusCode, want)
		}
	}
	mayJoin(403)
	old := wstest.Join(t, p.Addr, "/ws")

	write("listen: 127.0.0.1:0", "loops: 3", "max-message: 20", "allow-origin: https://page.example", "log-level: debug", "room-backlog: 2MiB")
	p.Signal(syscall.SIGHUP)
	p.ExpectLog(`msg=reloaded changed="allow-origin nothing -> \['https://page.example'\], log-level info -> debug, max-message 10B -> 20B" ` +
		`needs_restart="loops 2 -> 3, room-backlog 16MiB -> 2MiB"`)
	mayJoin(101)
	p.ExpectLog("level=DEBUG msg=.client joined") // by the new level
	old.Send(wstest.MaskedText("more than ten"))
	old.ExpectFrame(1, "more than ten")

	// One fault, and nothing changes.
	write("listen: 127.0.0.1:0", "max-mesage: 5", "allow-origin: https://other.example")
	p.Signal(syscall.SIGHUP)
	p.ExpectLog(`level=ERROR msg="not reloaded, all stays as it was" error=".*sluice.yaml:2: there is no flag \\"max-mesage\\", did you mean \\"max-message\\"\?"`)
	mayJoin(101)
	write("max-message: 1GiB", "allow-origin: https://other.example")
	p.Signal(syscall.SIGHUP)
	p.ExpectLog(`level=ERROR msg="not reloaded, all stays as it was" error=".*--room-backlog 16MiB: must exceed --max-message 1GiB`)
	mayJoin(101)
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	p.Signal(syscall.SIGHUP)
	p.ExpectLog(`msg="not reloaded, all stays as it was" error=".*sluice.yaml: no such file`)
	write("# as it is while it is being written")
	p.Signal(syscall.SIGHUP)
	p.ExpectLog(`msg="not reloaded, all stays as it was" error=".*sluice.yaml: there is nothing in it any more`)
	mayJoin(101)

	// What needs a restart is said until there was one.
	write("listen: 127.0.0.1:0", "loops: 3", "max-message: 20", "log-level: debug", "drain-timeout: 7s")
	p.Signal(syscall.SIGHUP)
	p.ExpectLog(`msg=reloaded changed="allow-origin \['https://page.example'\] -> nothing, drain-timeout 10s -> 7s" needs_restart="loops 2 -> 3"`)
	mayJoin(403)
	old.Send(wstest.MaskedText("still here"))
	old.ExpectFrame(1, "still here")
	p.Signal(syscall.SIGTERM)
	p.ExpectLog("msg=draining .* timeout=7s")
	old.ExpectClose(1001)
	p.ExpectExit(0)
}

// D07: a configuration, or keys, that came through a pipe cannot be read another time. SIGHUP says
// so, and whoever stops the gateway then does not wait for somebody who writes.
func TestD07_PipesAreReadOnce(t *testing.T) {
	t.Parallel()
	hearHangups(t)
	pair := wstest.NewAuthority(t).Pair([2]string{}, "one.test")
	key, err := os.ReadFile(pair[1])
	if err != nil {
		t.Fatal(err)
	}
	for flag, with := range map[string]struct {
		text  []byte
		flags []string
	}{
		"--config=":         {[]byte("max-message: 10\n"), nil},
		"--admin-key-file=": {[]byte("the-first-of-the-keys\n"), []string{"--admin-listen=127.0.0.1:0"}},
		"--tls-key=":        {key, []string{"--tls-listen=127.0.0.1:0", "--tls-cert=" + pair[0]}},
	} {
		pipe := filepath.Join(t.TempDir(), "pipe")
		if err := syscall.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
		said := make(chan error, 1)
		go func() { said <- os.WriteFile(pipe, with.text, 0) }()
		p := proctest.Launch(t, proctest.Command(t, append(with.flags, "--listen=127.0.0.1:0", flag+pipe)...))
		if err := <-said; err != nil {
			t.Fatal(err)
		}
		p.Signal(syscall.SIGHUP)
		p.ExpectLog(`level=ERROR msg="not reloaded, all stays as it was" error=".*pipe: it is a pipe, and what was in it is gone`)
		p.Signal(syscall.SIGTERM)
		p.ExpectLog("msg=draining")
		p.ExpectExit(0)
	}
}

// Keys that verify tokens are read twice before anybody is served. A pipe is refused, and not
// waited for without a word.
func TestKeysFromAPipeAreRefused(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"--auth-hmac-file=", "--auth-key-file="} {
		status, _, stderr := proctest.Outcome(t, proctest.Command(t, "--listen=127.0.0.1:0", "--auth=jwt", flag+pipe))
		if status != 2 || !strings.Contains(stderr, "it is a pipe") {
			t.Errorf("%s: status %d, %q", flag, status, stderr)
		}
	}
}

// D07: of what is about TLS the files change at once, and the rest is said to need a restart.
func TestD07_SIGHUPTakesOtherCertificates(t *testing.T) {
	hearHangups(t)
	authority := wstest.NewAuthority(t)
	one, two := authority.Pair([2]string{}, "one.test"), authority.Pair([2]string{}, "two.test")
	name := filepath.Join(t.TempDir(), "sluice.yaml")
	write := func(lines ...string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("tls-listen: 127.0.0.1:0", "tls-cert: "+one[0], "tls-key: "+one[1], "allow-host: '*'")
	p := proctest.Launch(t, proctest.Command(t, "--config="+name))
	if _, err := wstest.TryDialTLS(t, authority.Client("two.test"), p.Addr, "/ws", nil); err == nil {
		t.Error("a certificate is shown that nobody has named")
	}
	there := wstest.DialTLS(t, authority.Client("one.test"), p.Addr, "/ws")
	write("tls-listen: 127.0.0.1:1", "tls-cert: ["+one[0]+", "+two[0]+"]", "tls-key: ["+one[1]+", "+two[1]+"]", "allow-host: '*'",
		"tls-handshakes: 9", "tls-handshakes-running: 3")
	p.Signal(syscall.SIGHUP)
	p.ExpectLog(`msg=reloaded changed="tls-cert \S+ -> .*, tls-handshakes 4096 -> 9, tls-key .*" ` +
		`needs_restart="tls-handshakes-running 0 -> 3, tls-listen .*"`)
	wstest.DialTLS(t, authority.Client("two.test"), p.Addr, "/ws")
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	if err := there.Write(ctx, websocket.MessageText, []byte("still here")); err != nil {
		t.Fatal(err)
	}
	if _, text, err := there.Read(ctx); err != nil || string(text) != "still here" {
		t.Errorf("who was there before heard %q, %v", text, err)
	}
	write("tls-listen: 127.0.0.1:0", "tls-cert: "+two[0], "tls-key: "+one[1])
	p.Signal(syscall.SIGHUP)
	p.ExpectLog(`msg="not reloaded, all stays as it was" error="TLS: certificate .*`)
	wstest.DialTLS(t, authority.Client("one.test"), p.Addr, "/ws")
}

// D07: the key file is read anew, so that keys are rotated without a restart. One that makes no
// sense changes nothing.
func TestD07_SIGHUPReadsTheAdminKeysAnew(t *testing.T) {
	hearHangups(t)
	file := filepath.Join(t.TempDir(), "admin.key")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const one, other = "the-first-of-the-keys", "the-other-of-the-keys"
	write(one + "\n")
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--admin-key-file="+file))
	api := "http://" + p.ExpectLog(`the admin listener is open" address=(127\S+)`)
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	mayAsk := func(key string, want int) {
		t.Helper()
		if status, body := ask(t, client, "GET", api+"/api/rooms", key, ""); status != want {
			t.Errorf("%s: %d %s, want %d", key, status, body, want)
		}
	}
	mayAsk(one, 200)
	mayAsk(other, 401)
	write(one + "\n" + other + "\n")
	p.Signal(syscall.SIGHUP)
	p.ExpectLog(`(the admin keys are others" keys=2)`)
	p.ExpectLog(`(msg=reloaded)`)
	mayAsk(one, 200)
	mayAsk(other, 200)
	write("short\n")
	p.Signal(syscall.SIGHUP)
	p.ExpectLog(`(not reloaded, all stays as it was" error=".*line 1: a key must have at least)`)
	mayAsk(one, 200)
	write(other + "\n")
	p.Signal(syscall.SIGHUP)
	p.ExpectLog(`(the admin keys are others" keys=1)`)
	testenv.Eventually(t, "the old key is of no use", func() bool {
		status, _ := ask(t, client, "GET", api+"/api/rooms", one, "")
		return status == 401
	})
	mayAsk(other, 200)
}

// SIGHUP reads the files of keys anew: the next client is judged by what is in them now. A file
// with a fault changes nothing.
func TestD07_KeysAreReloaded(t *testing.T) {
	hearHangups(t)
	const old, young = "0123456789abcdef0123456789abcdef", "the-younger-secret-of-32-bytes-x"
	file := filepath.Join(t.TempDir(), "secret")
	save := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	save(old)
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--auth=jwt", "--auth-hmac-file="+file))
	expect := func(secret string, status int) {
		t.Helper()
		may := map[string]any{"caps": []any{map[string]any{"rooms": []string{"*"}, "may": []string{"read"}}}}
		if got := wstest.Ask(t, p.Addr, "/ws/r?token="+sign(secret, may)).Status; got != status {
			t.Errorf("%s: %d, want %d", secret, got, status)
		}
	}
	expect(old, 101)
	expect(young, 401)
	save("short")
	p.Signal(syscall.SIGHUP)
	p.ExpectLog("not reloaded.*a secret needs 32 at least")
	expect(old, 101)
	save(young)
	p.Signal(syscall.SIGHUP)
	p.ExpectLog("msg=reloaded")
	expect(old, 401)
	expect(young, 101)
}
