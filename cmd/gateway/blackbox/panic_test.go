//go:build unix

package blackbox

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// A planted panic is a line in the product that panics at a word. All are in one binary, made by go
// build's overlay: the product has no hook for them.
type planted struct {
	name   string
	plants []plant
	// What the word ends beside the connection that said it, which always ends.
	endsRoom, endsProcess bool
	// It is not known what the kernel took, so nobody can be told whom bytes were on their way to:
	// none or both, by which loop was at it.
	isReset bool
}

// word is what a client says to have it panic.
func (p *planted) word() string { return "boom " + p.name }

// A plant goes behind a text that must stand once in its file. WORD in it is its panic's word.
type plant struct{ file, behind, line string }

// atWord is a plant that does something in the handling of the frame that has the word.
func atWord(do string) plant {
	return plant{
		"gateway/incoming.go", "\tcase wsproto.OpText, wsproto.OpBinary:\n",
		"\t\tif string(m.Payload) == \"WORD\" {\n\t\t\t" + do + "\n\t\t}\n",
	}
}

var plantedPanics = []planted{
	{name: "in the handling of a frame", plants: []plant{atWord(`panic("planted")`)}},
	{name: "under a room's lock", endsRoom: true, plants: []plant{{
		"hub/publish.go", "\ta.seq, hasMoved = r.log.append(d, now)\n",
		"\tif string(d.frames[0].Payload) == \"WORD\" {\n\t\tpanic(\"planted\")\n\t}\n",
	}}},
	{name: "while a message is encoded", plants: []plant{{
		"gateway/encoder.go", "func (e *encoder) Encode(encoding hub.Encoding) hub.Frame {\n",
		"\tif string(e.message.Payload) == \"WORD\" {\n\t\tpanic(\"planted\")\n\t}\n",
	}}},
	{name: "in a sweep", endsRoom: true, plants: []plant{{
		"hub/batch.go", "func (f *Fanout) hand(m *Member, bytes []byte, upto int64, budget int) *Delivery {\n",
		"\tif n := len(bytes); n > len(\"WORD\") && string(bytes[n-len(\"WORD\"):]) == \"WORD\" {\n\t\tpanic(\"planted\")\n\t}\n",
	}}},
	{name: "where bytes go to the kernel", endsRoom: true, isReset: true, plants: []plant{{
		"gateway/outgoing.go", "\tfor i := range k.Deliveries {\n\t\td := &k.Deliveries[i]\n",
		"\t\tif n := len(d.Bytes); n > len(\"WORD\") && string(d.Bytes[n-len(\"WORD\"):]) == \"WORD\" {\n\t\t\tpanic(\"planted\")\n\t\t}\n",
	}}},
	{name: "in a loop's timers", endsProcess: true, plants: []plant{
		atWord("c.w.loop.SetTimer(c.token, -42)"),
		{"reactor/sources.go", "func (l *Loop) SetTimer(t Token, after time.Duration) {\n", "\tif after == -42 {\n\t\tpanic(\"planted\")\n\t}\n"},
	}},
	{name: "in the directory of rooms", endsProcess: true, plants: []plant{
		atWord(`c.w.server.hub.Room("planted")`),
		{"hub/hub.go", "func (h *Hub) Room(name string) (*Room, bool) {\n", "\tif name == \"planted\" {\n\t\tpanic(\"planted\")\n\t}\n"},
	}},
}

// inARequest has two requests panic: one in net/http's hands, one whose head a loop judges.
var inARequest = planted{name: "in a request", plants: []plant{
	{
		"web/web.go", "func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {\n",
		"\tif r.URL.RawQuery == \"boom\" {\n\t\tpanic(\"planted\")\n\t}\n",
	},
	{
		"gateway/head.go", "\troom, hears := roomOf(path)\n",
		"\tif room == \"planted\" {\n\t\tpanic(\"planted\")\n\t}\n",
	},
}}

// byASubscriber makes a client of the protocol panic under the lock of a room that it is not in.
// Raw clients get a value as it is in JSON.
var byASubscriber = planted{name: "from outside of the room", plants: []plant{{
	"hub/publish.go", "\ta.seq, hasMoved = r.log.append(d, now)\n",
	"\tif string(d.frames[0].Payload) == `\"WORD\"` {\n\t\tpanic(\"planted\")\n\t}\n",
}}}

// faulty builds the gateway with all of them in it, once.
var faulty = sync.OnceValues(func() (binary string, err error) {
	dir, err := os.MkdirTemp("", "sluice-test-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	texts := map[string]string{}
	for _, p := range append(plantedPanics, inARequest, byASubscriber) {
		for _, e := range p.plants {
			if texts[e.file] == "" {
				text, err := os.ReadFile(filepath.Join("../../..", e.file))
				if err != nil {
					return "", err
				}
				texts[e.file] = string(text)
			}
			if n := strings.Count(texts[e.file], e.behind); n != 1 {
				return "", fmt.Errorf("%s has its place %d times, want 1: %q", e.file, n, e.behind)
			}
			line := strings.ReplaceAll(e.line, "WORD", p.word())
			texts[e.file] = strings.Replace(texts[e.file], e.behind, e.behind+line, 1)
		}
	}
	replace := map[string]string{}
	for file, text := range texts {
		real, err := filepath.Abs(filepath.Join("../../..", file))
		if err != nil {
			return "", err
		}
		replace[real] = filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(replace[real], []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		return "", err
	}
	return proctest.Build("faulty-gateway", "-overlay", overlay)
})

// launchFaulty starts the gateway with the planted panics.
func launchFaulty(t *testing.T, args ...string) *proctest.Process {
	t.Helper()
	binary, err := faulty()
	if err != nil {
		t.Fatal(err)
	}
	cmd := proctest.Command(t, append(args, "--listen=127.0.0.1:0")...)
	cmd.Path = binary
	return proctest.Launch(t, cmd)
}

// N27: a panic ends what it left in doubt, is counted and logged with where it came from, and
// everybody else is served on.
func TestN27_PanicEndsWhatItLeftInDoubt(t *testing.T) {
	t.Parallel()
	for _, p := range plantedPanics {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			g := launchFaulty(t)
			victim, mate, other := wstest.Dial(t, g.Addr, "/ws/boom"), wstest.Dial(t, g.Addr, "/ws/boom"), wstest.Dial(t, g.Addr, "/ws/other")
			say(t, victim, "before")
			wstest.ExpectText(t, victim, "before")
			wstest.ExpectText(t, mate, "before")
			say(t, victim, p.word())
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

// N27: what a client publishes to a room that it is not in leaves that room in doubt, and none of
// those that it is in.
func TestN27_SubscriberPanicsInARoomThatItIsNotIn(t *testing.T) {
	t.Parallel()
	g := launchFaulty(t)
	mate, other := wstest.Dial(t, g.Addr, "/ws/boom"), wstest.Dial(t, g.Addr, "/ws/other")
	victim := wstest.Dial(t, g.Addr, "/connection/websocket")
	say(t, victim, `{"id":1,"connect":{}}`)
	say(t, victim, `{"id":2,"subscribe":{"channel":"other"}}`)
	say(t, victim, `{"id":3,"publish":{"channel":"boom","data":"before"}}`)
	wstest.ExpectText(t, mate, `"before"`)
	say(t, victim, `{"id":4,"publish":{"channel":"boom","data":"`+byASubscriber.word()+`"}}`)
	expectCloseCode(t, mate, websocket.StatusInternalError)
	expectCloseCode(t, victim, 3004)
	mate, victim = wstest.Dial(t, g.Addr, "/ws/boom"), wstest.Dial(t, g.Addr, "/connection/websocket")
	say(t, victim, `{"id":1,"connect":{}}`)
	say(t, victim, `{"id":2,"publish":{"channel":"boom","data":"after"}}`)
	wstest.ExpectText(t, mate, `"after"`)
	say(t, other, "still there")
	wstest.ExpectText(t, other, "still there")
}

// N27: with --on-panic=exit any fault ends the process.
func TestN27_OnPanicExit(t *testing.T) {
	t.Parallel()
	g := launchFaulty(t, "--on-panic=exit")
	say(t, wstest.Dial(t, g.Addr, "/ws"), plantedPanics[0].word())
	g.ExpectExit(2)
}

// N27: a request whose handling panics is cut and counted like the others; net/http goes on.
func TestN27_PanicInARequest(t *testing.T) {
	t.Parallel()
	g := launchFaulty(t)
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
	// A head that is judged behind others has come by net/http and a loop's mailbox; it ends its
	// connection all the same.
	for _, first := range []string{"", "/livez", "/"} {
		c := wstest.Connect(t, g.Addr)
		var requests []byte
		if first != "" {
			requests = wstest.RequestHead("GET "+first+" HTTP/1.1", "Host: localhost")
		}
		c.Send(requests, wstest.UpgradeHead("/ws/planted"))
		if first != "" {
			c.Response()
		}
		c.ExpectEnd()
	}
	say(t, wstest.Dial(t, g.Addr, "/ws/other"), "after")
	g = launchFaulty(t, "--on-panic=exit")
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

// A publisher on no loop ends no more than one on a loop does.
func TestN27_PublisherOutsideOfLoopsPanics(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "admin.sock")
	p := launchFaulty(t, "--admin-listen", "unix:"+socket)
	p.ExpectLog(`(the admin listener is open)`)
	client := overSocket(socket)
	publish := func(room, text string) string {
		t.Helper()
		status, body := ask(t, client, "POST", "http://localhost/api/rooms/"+room+"/messages", "", text)
		return fmt.Sprint(status, " ", body)
	}
	a, b := wstest.Join(t, p.Addr, "/ws/a"), wstest.Join(t, p.Addr, "/ws/b")
	for _, name := range []string{"while a message is encoded", "under a room's lock"} {
		word := planted{name: name}
		if got := publish("a", word.word()); !strings.HasPrefix(got, "500 ") || !strings.Contains(got, "fault of the gateway") {
			t.Errorf("%s: %s", name, got)
		}
	}
	a.ExpectClose(1011) // The second was in its room.
	a.Close()
	if got := publish("a", "hello"); got != `200 {"members":0}` {
		t.Error(got)
	}
	if got := publish("b", "hello"); got != `200 {"members":1}` {
		t.Error(got)
	}
	b.ExpectFrame(1, "hello")
	p.ExpectLog(`(a panic, which is a fault of the gateway.*a publisher outside of loops)`)
}
