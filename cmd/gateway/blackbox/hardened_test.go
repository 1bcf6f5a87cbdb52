//go:build unix

package blackbox

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/proctest"
	"sluice/internal/wstest"
)

// The command line of docs/internet.md has every limit, starts, and serves a client that behaves.
func TestHardenedExampleServes(t *testing.T) {
	document, err := os.ReadFile("../../../docs/internet.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```sh\ngateway (--listen .*?)```").FindSubmatch(document)
	if m == nil {
		t.Fatal("docs/internet.md has no such example")
	}
	line := strings.ReplaceAll(string(m[1]), "\\\n", " ")
	if !strings.HasPrefix(line, "--listen 127.0.0.1:8080 ") {
		t.Fatalf("the example listens elsewhere: %s", line)
	}
	line = strings.Replace(line, ":8080", ":0", 1)
	p := proctest.Launch(t, proctest.Command(t, strings.Fields(line)...))
	text := strings.Repeat("t", 1000)
	for range 5 {
		c := wstest.Join(t, p.Addr, "/ws/r", wstest.MaskedText(text), wstest.Masked(ws.OpPing, true, "p"))
		wstest.ExpectBoth(c, text, "p")
		c.Send(wstest.MaskedClose(1000, ""))
		c.ExpectClose(1000)
	}
	flooder := wstest.Join(t, p.Addr, "/ws/s")
	stop := wstest.Pour(flooder, wstest.Masked(ws.OpPing, true, ""), 1000)
	if code, _ := wstest.CloseCode(flooder); code != 1008 {
		t.Errorf("a flood of pings is closed with %d", code)
	}
	stop()
	p.ExpectLog(`closed for abuse.*reason=ping_rate`)
}
