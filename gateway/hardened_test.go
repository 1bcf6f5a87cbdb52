//go:build unix

package gateway

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// The README's command line for the open internet has every limit, starts, and serves a client that behaves.
func TestHardenedExampleServes(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```sh\ngateway (--listen .*?)```").FindSubmatch(readme)
	if m == nil {
		t.Fatal("README.md has no such example")
	}
	line := strings.ReplaceAll(string(m[1]), "\\\n", " ")
	if !strings.HasPrefix(line, "--listen 127.0.0.1:8080 ") {
		t.Fatalf("the example listens elsewhere: %s", line)
	}
	line = strings.Replace(line, ":8080", ":0", 1)
	p := launch(t, command(t, strings.Fields(line)...))
	text := strings.Repeat("t", 1000)
	for range 5 {
		c := join(t, p.addr, "/ws/r", maskedText(text), masked(ws.OpPing, true, "p"))
		expectBoth(c, text, "p")
		c.send(maskedClose(1000, ""))
		c.expectClose(1000)
	}
	flooder := join(t, p.addr, "/ws/s")
	stop := pour(flooder, masked(ws.OpPing, true, ""), 1000)
	if code, _ := closeCode(flooder); code != 1008 {
		t.Errorf("a flood of pings is closed with %d", code)
	}
	stop()
	p.expectLog(`closed for abuse.*reason=ping_rate`)
}
