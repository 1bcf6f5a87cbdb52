//go:build unix

package blackbox

import (
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sluice/internal/proctest"
	"sluice/internal/wstest"
)

// hearHangups lets gateways that the test launches hear SIGHUP, if the tests themselves run under nohup(1): what is ignored stays
// so across execve(2), what is caught becomes the default.
func hearHangups(t *testing.T) {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(caught) })
}

// D07: what can change does so for everybody at once, and one line says what did and what cannot; nobody is disconnected.
func TestD07_SIGHUPReloadsTheConfiguration(t *testing.T) {
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
