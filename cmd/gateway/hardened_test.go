//go:build unix

package main

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// The README's command line for the open internet has every limit, starts, and serves a client that behaves.
func TestHardenedExampleServes(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
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

	// A limit that is added is to be added there and in SECURITY.md.
	security, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		group := f.Tag.Get("group")
		if group != "Limits" && group != "Rates" {
			continue
		}
		flag := "--" + f.Tag.Get("name")
		if flag == "--" {
			flag = "--" + strings.ToLower(regexp.MustCompile("([a-z])([A-Z])").ReplaceAllString(f.Name, "$1-$2"))
		}
		if !strings.Contains(line, flag+" ") || !strings.Contains(string(security), "`"+flag+"`") {
			t.Errorf("%s is missing in the example or in SECURITY.md", flag)
		}
	}
}
