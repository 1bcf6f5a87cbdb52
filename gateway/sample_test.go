package gateway

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/wsproto"
)

// A journal is a log that a test reads.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// lines are those that contain the words.
func (j *journal) lines(words string) (all []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range strings.Lines(j.text.String()) {
		if strings.Contains(line, words) {
			all = append(all, line)
		}
	}
	return all
}

// startStopped runs a gateway on loopback, to which everybody comes from afar and whose clock
// stands still.
func startStopped(t *testing.T, cfg *config, log *slog.Logger) (*Server, *farKernel) {
	t.Helper()
	kernel := newFarKernel("203.0.113.5")
	kernel.StopClock()
	s := makeServer(t, cfg, log, kernel)
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(s.Close)
	return s, kernel
}

// Requests with line ends, colours for a terminal and much else in them, and clients that break
// rules, by the hundred: each kind is one line a second, short, on one line and plain, whichever
// way the log is written. The clock stands still meanwhile.
func TestO02_O05_WhatClientsDoIsLoggedSparselyAndEscaped(t *testing.T) {
	const clients = 40
	for format, handler := range map[string]func(io.Writer) slog.Handler{
		"text": func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
		"json": func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
	} {
		t.Run(format, func(t *testing.T) {
			var log journal
			s, kernel := startStopped(t, testConfig(), slog.New(handler(&log)))
			addr := s.Addrs()[0].(*net.TCPAddr).String()
			once := func() {
				t.Helper()
				for i, head := range [][]byte{
					wstest.UpgradeHead("/ws/\x1b[31mred\x07\x9b1;5m\u2028\u202e" + strings.Repeat("long", 1000)),
					wstest.UpgradeHead("/ws/room?token=hunter2", "Sec-WebSocket-Protocol: \x1b[2J", "Origin: http://evil.test\x1b[31m", "User-Agent: \r"),
					wstest.UpgradeHead("/ws/" + strings.Repeat("r", 129) + "?token=hunter2"),
					[]byte("GET /ws\nlevel=ERROR msg=forged HTTP/1.1\r\n\r\n"),
					[]byte("\x00\x01\xff \r\n\r\n"),
				} {
					c := wstest.Connect(t, addr)
					c.Send(head)
					if r, _ := c.Response(); r.StatusCode < 400 {
						t.Fatalf("request %d is answered with %s", i, r.Status)
					}
					c.Close()
				}
				for _, frames := range [][]byte{wstest.FrameBytes(0x83, 0x80, wstest.ZeroMask), wstest.MaskedText("\xff"), wstest.MaskedClose(1000, "\x1b[31m\xff")} {
					c := wstest.Join(t, addr, "/ws/"+strings.Repeat("r", 128), frames)
					if f := c.Frame(); f.Header.OpCode != ws.OpClose {
						t.Fatalf("got %s", wstest.Describe(f))
					}
					c.Close()
				}
			}
			for range clients {
				once()
			}
			st := testenv.StatsOf(t, s)
			kinds := 0
			for reason, n := range st.Refusals {
				if n == 0 {
					continue
				}
				kinds++
				if n%clients != 0 {
					t.Errorf("%d counted as %v", n, wsproto.Reason(reason))
				}
			}
			if kinds < 3 || len(log.lines("msg=refused"))+len(log.lines(`"msg":"refused"`)) != kinds {
				t.Errorf("%d lines for %d kinds of refusals: %q", len(log.lines("refused")), kinds, log.lines("refused"))
			}
			if n := len(log.lines("closed for abuse")); n != 2 { // protocol and not_utf8
				t.Errorf("%d lines for two kinds of abuse: %q", n, log.lines("abuse"))
			}
			kernel.Pass(2 * time.Second)
			once()
			if n := len(log.lines("closed for abuse")); n != 4 {
				t.Errorf("%d lines for two kinds of abuse, in each of two seconds", n)
			}
			for _, line := range log.lines("") {
				if strings.Contains(line, "messages go to the kernel") {
					continue // It is of no client.
				}
				for _, b := range []byte(strings.TrimSuffix(line, "\n")) {
					if b < 0x20 || b > 0x7e {
						t.Errorf("byte %#x in %q", b, line)
						break
					}
				}
				if len(line) > 500 || strings.Contains(line, "hunter2") || strings.HasPrefix(line, "level=ERROR") {
					t.Errorf("logged: %q", line)
				}
				var entry struct{ From string }
				if format == "json" && (json.Unmarshal([]byte(line), &entry) != nil || entry.From != "203.0.113.5") {
					t.Errorf("logged: %q", line)
				}
			}
			if !strings.Contains(strings.Join(log.lines("abuse"), ""), "39") {
				t.Errorf("no line tells of the %d that were not logged: %q", clients-1, log.lines("abuse"))
			}
		})
	}
}

func TestClientTextIsClippedAndEscaped(t *testing.T) {
	for in, want := range map[string]string{
		"":                            "",
		"GET /ws/lobby":               "GET /ws/lobby",
		"a\r\nb\tc\x00\x1b[31m":       `a\r\nb\tc\x00\x1b[31m`,
		"\u0085\u009b\u2028\u202e":    `\u0085\u009b\u2028\u202e`,
		"\xff\x7f":                    `\xff\x7f`,
		`"quoted\"`:                   `\"quoted\\\"`,
		strings.Repeat("x", 64):       strings.Repeat("x", 64),
		strings.Repeat("x", 65):       strings.Repeat("x", 64) + "...",
		strings.Repeat("x", 63) + "é": strings.Repeat("x", 63) + `\xc3...`,
	} {
		if got := clipText([]byte(in)); got != want {
			t.Errorf("%q is logged as %q, want %q", in, got, want)
		}
	}
	if got := requestText([]byte("GET /ws/r?token=secret HTTP/1.1\r\nCookie: secret\r\n")); got != "GET /ws/r" {
		t.Errorf("logged as %q", got)
	}
}

// N88. Whoever leaves is in the log for debugging, with the reason that it is counted under, an id
// that no other connection has, its address and its room. Relatives: one that never asked for a
// room, one whose request was refused, one that vanished, one that was closed for what it did, one
// that left its room before its end; one that is given to net/http has not left. N47's cuts are the
// same line, above debug.
func TestN88_LineSaysWhoLeftAndWhy(t *testing.T) {
	var log journal
	cfg := testConfig()
	s := makeServer(t, cfg, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), nil)
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(func() { s.Close(); checkAccounts(t, s) })
	addr := s.Addrs()[0].(*net.TCPAddr).String()
	peer := wstest.Join(t, addr, "/ws/a")
	peer.Send(wstest.MaskedClose(1000, ""))
	peer.ExpectClose(1000)
	peer.Close()
	wstest.Join(t, addr, "/ws/b").Close()
	rude := wstest.Join(t, addr, "/ws/c", wstest.MaskedText("\xff"))
	rude.ExpectClose(1007)
	rude.Close()
	bad := wstest.Connect(t, addr)
	bad.Send(wstest.UpgradeHead("/ws/" + strings.Repeat("x", 200)))
	bad.Response()
	bad.Close()
	page := wstest.Connect(t, addr)
	page.Send(wstest.PlainGet("/", "Connection: close"))
	page.Response()
	page.Close()
	wstest.Connect(t, addr).Reset()
	wstest.Join(t, addr, "/ws/d")
	testenv.Eventually(t, "one is there", func() bool { return s.Open() == 1 })
	s.Close()

	ids, left := map[string]bool{}, map[string]int{}
	line := regexp.MustCompile(`level=(\w+) msg="client left" reason=(\w+) id=(\S+) from=127\.0\.0\.1 room=(\S+) messages_behind=0 bytes_behind=0 and_more=0\n$`)
	for _, text := range log.lines("client left") {
		m := line.FindStringSubmatch(text)
		if m == nil {
			if !strings.Contains(text, "reason=gone") { // The kernel does not know any more where one came from that has reset.
				t.Errorf("logged %q", text)
			}
			continue
		}
		if left[m[1]+" "+m[2]+" "+m[4]]++; ids[m[3]] {
			t.Errorf("two connections have the id %s", m[3])
		}
		ids[m[3]] = true
	}
	for _, want := range []string{"DEBUG peer a", "DEBUG gone b", "DEBUG not_utf8 c", `DEBUG refused ""`, "INFO cut d"} {
		if left[want] != 1 {
			t.Errorf("%d lines for %q of %v", left[want], want, left)
		}
	}
	if n := len(log.lines("client left")); n != 6 {
		t.Errorf("%d lines for 6 that left", n)
	}
}
