package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"sluice/internal/proctest"
)

// few are scripts of each kind that take no time.
const few = `^(handshake: good|http: livez|origin: one|offer: ""|message: two at once|violation: RSV2|close: 1000|text: zero|` +
	`compressed: binary|limit: fragments|room: 3, each|process: counts|command: (help|version|.*nonsense))`

func TestGatewayIsLikeItselfAndUnlikeAnother(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the gateway's processes are tested on Linux")
	}
	gateway, err := proctest.Build("gateway")
	if err != nil {
		t.Fatal(err)
	}
	defer proctest.RemoveBuilt()
	other := filepath.Join(t.TempDir(), "other")
	t.Run("itself", func(t *testing.T) {
		var stdout, stderr bytes.Buffer
		args := []string{"--old", gateway, "--new", gateway, "--old-runs", "2", "--new-runs", "1", "--run", few, "-v"}
		status := run(args, &stdout, &stderr)
		out := stdout.String()
		if status != exitAlike || !strings.Contains(out, " 0 differently, 0 left out\n") {
			t.Fatalf("status %d, %s\n%s", status, stderr.String(), out)
		}
		if strings.Contains(out, "gave up") {
			t.Errorf("a script waits for what does not come:\n%s", out)
		}
		for _, want := range []string{"101 Switching", "too many fragments", `8103 "two"`, "messages=2 published=0 deliveries=6", "Usage: gateway", "exit status 2"} {
			if !strings.Contains(out, want) {
				t.Errorf("no answer says %q", want)
			}
		}
	})
	t.Run("another", func(t *testing.T) {
		script := fmt.Sprintf("#!/bin/sh\nif [ \"$*\" = --version ]; then exec %s --version; fi\nexec %s --no-compress \"$@\"\n", gateway, gateway)
		if err := os.WriteFile(other, []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		args := []string{"--old", gateway, "--new", other, "--old-runs", "2", "--run", "^compressed: binary|^message: ping, m"}
		status := run(args, &stdout, &stderr)
		out := stdout.String()
		if status != exitDiffer || !strings.Contains(out, "3 scripts: 1 answered alike, 2 differently, 0 left out\n") ||
			!strings.Contains(out, `-   "Sec-WebSocket-Extensions: permessage-deflate;`) {
			t.Errorf("status %d, %s\n%s", status, stderr.String(), out)
		}
	})
}

func TestScriptsHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range corpus() {
		if seen[s.name] {
			t.Errorf("two scripts are called %q", s.name)
		}
		seen[s.name] = true
	}
}

func TestOnlyWhatVariesIsLeftOutOfAnswers(t *testing.T) {
	f := &fleet{version: "v1.2 go9"}
	for _, tc := range []struct{ one, other string }{
		{
			describe([]byte("HTTP/1.1 200 OK\r\nDate: Sun, 29 Nov 2026 01:37:34 GMT\r\nContent-Length: 2\r\n\r\nhi"), false),
			describe([]byte("HTTP/1.1 200 OK\r\nDate: Mon, 30 Nov 2026 01:37:34 GMT\r\nContent-Length: 2\r\n\r\nhi"), false),
		},
		{"time=2026-11-29T01:12:38Z level=INFO ticks=12 n=1\n", "time=2026-11-29T01:12:39Z level=INFO ticks=9 n=1\n"},
		{`{"time":"x","msg":"m","ticks":7}`, `{"time":"y","msg":"m","ticks":70}`},
		{"address=127.0.0.1:4242 max_connections=2", "address=127.0.0.1:1 max_connections=2"},
	} {
		if one, other := f.normal(tc.one, nil), f.normal(tc.other, nil); one != other {
			t.Errorf("%s and %s are told apart", one, other)
		}
	}
	for _, tc := range []struct{ one, other string }{
		{"writes=1", "writes=2"},
		{"max_connections=1", "max_connections=2"},
		{describe([]byte("\x81\x01a"), false), describe([]byte("\x82\x01a"), false)},
		{describe([]byte("\x81\x01a\x81\x01b"), false), describe([]byte("\x81\x02ab"), false)},
		{describe([]byte("\x81\x01"), false), describe([]byte("\x81"), false)},
		{describe(serverFrame(pattern(300, 1)+"x"), false), describe(serverFrame(pattern(300, 1)+"y"), false)},
		{describe(serverFrame("00000001"), true), describe(serverFrame("00000001", "00000001"), true)},
		{describe(serverFrame("00000001", "last"), true), describe(serverFrame("00000001"), true)},
	} {
		if one, other := f.normal(tc.one, nil), f.normal(tc.other, nil); one == other {
			t.Errorf("%s stands for two answers", one)
		}
	}
}

// serverFrame is text frames without a mask.
func serverFrame(payloads ...string) (p []byte) {
	for _, payload := range payloads {
		p = append(p, fin|text, 126, byte(len(payload)>>8), byte(len(payload)))
		p = append(p, payload...)
	}
	return p
}
