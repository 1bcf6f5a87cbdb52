//go:build unix

package blackbox

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// A planted panic is the product with a line in it that panics at a word, made by go build's overlay: the product has no hook for it.
type planted struct {
	name  string
	edits []plant
	// What the word ends beside the connection that said it, which always ends.
	endsRoom, endsProcess bool
	// It is not known what the kernel took, so nobody can be told whom bytes were on their way to: none or both, by which loop was
	// at it.
	isReset bool
}

// A plant goes behind a text that must stand once in its file.
type plant struct{ file, behind, line string }

var saysBoom = plant{
	"gateway/incoming.go", "\tcase wsproto.OpText, wsproto.OpBinary:\n",
	"\t\tif string(m.Payload) == \"boom\" {\n\t\t\tpanic(\"planted\")\n\t\t}\n",
}

// The two that are made without being asked for come first.
var plantedPanics = []planted{
	{name: "in the handling of a frame", edits: []plant{saysBoom}},
	{name: "under a room's lock", endsRoom: true, edits: []plant{{
		"hub/room.go", "\ta.seq, hasMoved = r.log.append(d, now)\n",
		"\tif string(d.frames[0].Payload) == \"boom\" {\n\t\tpanic(\"planted\")\n\t}\n",
	}}},
	{name: "while a message is encoded", edits: []plant{{
		"gateway/encoder.go", "func (e *encoder) Encode(encoding hub.Encoding) hub.Frame {\n",
		"\tif string(e.message.Payload) == \"boom\" {\n\t\tpanic(\"planted\")\n\t}\n",
	}}},
	{name: "in a sweep", endsRoom: true, edits: []plant{{
		"hub/delivery.go", "func (f *Fanout) hand(m *Member, bytes []byte, upto int64, budget int) {\n",
		"\tif n := len(bytes); n > 4 && string(bytes[n-4:]) == \"boom\" {\n\t\tpanic(\"planted\")\n\t}\n",
	}}},
	{name: "where bytes go to the kernel", endsRoom: true, isReset: true, edits: []plant{{
		"gateway/outgoing.go", "\tfor i := range k.Deliveries {\n\t\td := &k.Deliveries[i]\n",
		"\t\tif n := len(d.Bytes); n > 4 && string(d.Bytes[n-4:]) == \"boom\" {\n\t\t\tpanic(\"planted\")\n\t\t}\n",
	}}},
	{name: "in a loop's timers", endsProcess: true, edits: []plant{
		{saysBoom.file, saysBoom.behind, strings.Replace(saysBoom.line, `panic("planted")`, "c.w.loop.SetTimer(c.token, -42)", 1)},
		{"reactor/loop.go", "func (l *Loop) SetTimer(t Token, after time.Duration) {\n", "\tif after == -42 {\n\t\tpanic(\"planted\")\n\t}\n"},
	}},
	{name: "in the directory of rooms", endsProcess: true, edits: []plant{
		{saysBoom.file, saysBoom.behind, strings.Replace(saysBoom.line, `panic("planted")`, `c.w.server.hub.Room("boom")`, 1)},
		{"hub/hub.go", "func (h *Hub) Room(name string) (*Room, bool) {\n", "\tif name == \"boom\" {\n\t\tpanic(\"planted\")\n\t}\n"},
	}},
}

// build makes the gateway with the panic in it.
func (p *planted) build(t *testing.T) (binary string) {
	t.Helper()
	dir, replace := t.TempDir(), map[string]string{}
	for i, e := range p.edits {
		real, err := filepath.Abs(filepath.Join("../../..", e.file))
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(real)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), e.behind); n != 1 {
			t.Fatalf("%s has its place %d times, want 1: %q", e.file, n, e.behind)
		}
		replace[real] = filepath.Join(dir, string(rune('a'+i))+".go")
		if err := os.WriteFile(replace[real], []byte(strings.Replace(string(text), e.behind, e.behind+e.line, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		t.Fatal(err)
	}
	binary = filepath.Join(dir, "gateway")
	if out, err := exec.Command("go", "build", "-overlay", overlay, "-o", binary, "sluice/cmd/gateway").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// launch starts the gateway that was built.
func (p *planted) launch(t *testing.T, binary string, args ...string) *proctest.Process {
	t.Helper()
	cmd := proctest.Command(t, append(args, "--listen=127.0.0.1:0")...)
	cmd.Path = binary
	return proctest.Launch(t, cmd)
}

// N27: a panic ends what it left in doubt, is counted and logged with where it came from, and everybody else is served on.
func TestN27_PanicEndsWhatItLeftInDoubt(t *testing.T) {
	n := 2
	if testenv.IsWholeSize(t) {
		n = len(plantedPanics)
	}
	for _, p := range plantedPanics[:n] {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			g := p.launch(t, p.build(t))
			victim, mate, other := wstest.Dial(t, g.Addr, "/ws/boom"), wstest.Dial(t, g.Addr, "/ws/boom"), wstest.Dial(t, g.Addr, "/ws/other")
			say(t, victim, "before")
			wstest.ExpectText(t, victim, "before")
			wstest.ExpectText(t, mate, "before")
			say(t, victim, "boom")
			if p.endsProcess {
				g.ExpectExit(2) // As Go ends a process that panics.
				if !strings.Contains(g.Logged(), "panic: planted") {
					t.Errorf("it does not say why:\n%s", g.Logged())
				}
				return
			}
			codes := []websocket.StatusCode{websocket.StatusInternalError}
			if p.isReset {
				codes = append(codes, -1) // As the library says where no Close came.
			}
			expectCloseCode(t, victim, codes...)
			g.ExpectLog(`level=ERROR msg="a panic.*panic=planted .*stack=.*panic`)
			if p.endsRoom {
				expectCloseCode(t, mate, codes...)
				mate = wstest.Dial(t, g.Addr, "/ws/boom")
			}
			victim = wstest.Dial(t, g.Addr, "/ws/boom")
			for _, c := range []*websocket.Conn{victim, mate, other} {
				say(t, c, "after")
			}
			for range 2 {
				wstest.ExpectText(t, victim, "after")
				wstest.ExpectText(t, mate, "after")
			}
			wstest.ExpectText(t, other, "after")
		})
	}
}

// N27: with --on-panic=exit any fault ends the process.
func TestN27_OnPanicExit(t *testing.T) {
	p := plantedPanics[0]
	g := p.launch(t, p.build(t), "--on-panic=exit")
	say(t, wstest.Dial(t, g.Addr, "/ws"), "boom")
	g.ExpectExit(2)
}

// N27: a request whose handling panics is cut and counted like the others; net/http goes on.
func TestN27_PanicInARequest(t *testing.T) {
	p := planted{edits: []plant{{
		"web/web.go", "func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {\n",
		"\tif r.URL.RawQuery == \"boom\" {\n\t\tpanic(\"planted\")\n\t}\n",
	}, {
		"gateway/head.go", "\troom, isSocket := roomOf(string(r.Path))\n",
		"\tif room == \"boom\" {\n\t\tpanic(\"planted\")\n\t}\n",
	}}}
	binary := p.build(t)
	g := p.launch(t, binary)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if r, err := client.Get("http://" + g.Addr + "/?boom"); err == nil {
		t.Errorf("answered %d", r.StatusCode)
		r.Body.Close()
	}
	g.ExpectLog(`level=ERROR msg="a panic.*of="a request" panic=planted`)
	r, err := client.Get("http://" + g.Addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if _, err := io.Copy(io.Discard, r.Body); err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("afterwards: %d, %v", r.StatusCode, err)
	}
	// A head that is judged behind others has come by net/http and a loop's mailbox; it ends its connection all the same.
	for _, first := range []string{"", "/livez", "/"} {
		c := wstest.Connect(t, g.Addr)
		var requests []byte
		if first != "" {
			requests = wstest.RequestHead("GET "+first+" HTTP/1.1", "Host: localhost")
		}
		c.Send(requests, wstest.UpgradeHead("/ws/boom"))
		if first != "" {
			c.Response()
		}
		c.ExpectEnd()
	}
	say(t, wstest.Dial(t, g.Addr, "/ws/other"), "after")
	g = p.launch(t, binary, "--on-panic=exit")
	if r, err := client.Get("http://" + g.Addr + "/?boom"); err == nil {
		r.Body.Close()
	}
	g.ExpectExit(1)
}

func say(t *testing.T, c *websocket.Conn, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	if err := c.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// expectCloseCode reads up to the Close frame, which is to have one of these codes.
func expectCloseCode(t *testing.T, c *websocket.Conn, codes ...websocket.StatusCode) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	for {
		if _, _, err := c.Read(ctx); err != nil {
			if !slices.Contains(codes, websocket.CloseStatus(err)) {
				t.Errorf("ended with %v, want Close %d", err, codes)
			}
			return
		}
	}
}
