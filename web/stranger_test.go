package web

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"

	"sluice/internal/browsertest"
	"sluice/internal/testenv"
)

// crafted is a message in the page's own format, with some fields replaced or added.
func crafted(t *testing.T, fields map[string]any) string {
	t.Helper()
	m := map[string]any{
		"v": 1, "kind": "chat", "id": "x", "from": map[string]any{"id": "y", "name": "Mallory"}, "text": "crafted", "seq": 0,
	}
	for name, value := range fields {
		if value == nil {
			delete(m, name)
			continue
		}
		m[name] = value
	}
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A stranger's message is followed by a plain one, which has to be drawn whatever the first did.
// Relatives: fields that the page's own lines have (own, node, who, status, state, resend, skipped,
// stretch, make), in each kind; fields missing, or of another type; names that an object has from
// elsewhere; nesting; names of great length, of nothing visible, of several lines, of letters that
// turn the text around; clock values that are no time.
func TestN75_StrangersJSONIsNotBelieved(t *testing.T) {
	t.Parallel()
	r, url := newGateway(t)
	v := visit(t, browsertest.Start(t), url)
	name := func(name any) map[string]any { return map[string]any{"from": map[string]any{"id": "y", "name": name}} }
	long := strings.Repeat("w", 100_000)
	messages := []string{
		crafted(t, map[string]any{"text": nil}),
		crafted(t, map[string]any{"from": nil}),
		crafted(t, map[string]any{"from": []any{"y", "Mallory"}}),
		crafted(t, map[string]any{"from": "y"}),
		crafted(t, map[string]any{"v": "1"}),
		crafted(t, map[string]any{"seq": "0"}),
		crafted(t, map[string]any{"seq": 1e300}),
		crafted(t, map[string]any{"id": []any{"x"}}),
		crafted(t, map[string]any{"id": long}),
		crafted(t, map[string]any{"kind": []any{"chat"}}),
		crafted(t, map[string]any{"kind": "notice"}),
		crafted(t, map[string]any{"kind": "foreign", "who": long}),
		crafted(t, name(7)), crafted(t, name(long)), crafted(t, name("")), crafted(t, name("\u200b\u2060")),
		crafted(t, name("two\nlines\u2028three\x00\x1b[31m")), crafted(t, name("\u202egnp.exe\u2066")),
		crafted(t, name(strings.Repeat("e\u0301", 5000))),
		crafted(t, map[string]any{"text": "\u202eturned\u0000\u0007\n" + strings.Repeat("\n", 1900)}),
		crafted(t, map[string]any{"text": "\U0001F600" + strings.Repeat("\U0001F600", 1000)}),
		`{"__proto__":{"own":true,"v":1},"v":1,"kind":"burst","id":"x","from":{"id":"y","name":"M","__proto__":{"id":"z"}},"text":"p","seq":0}`,
		`{"constructor":{"prototype":{"own":true}},"hasOwnProperty":1,"toString":2,"v":1,"kind":"burst","id":"x","from":{"id":"y","name":"M"},"text":"c","seq":0}`,
		`{"v":1,"x":` + strings.Repeat("[", 4000) + strings.Repeat("]", 4000) + `}`,
		strings.Repeat(`{"v":`, 200_000) + "1" + strings.Repeat("}", 200_000),
		`{"v":1,"v":2,"kind":"chat","kind":"burst","id":"x","from":{"id":"y","name":"M"},"text":"twice","seq":0}`,
		`{`, `{}`, `{"v":1}`, `[]`, `[{"own":true}]`, `"own"`, `true`, `null`, ``,
	}
	for _, kind := range []string{"chat", "burst", "ping"} {
		for _, text := range []any{nil, 7, true, []any{"t"}, map[string]any{"toString": 1}} {
			messages = append(messages, crafted(t, map[string]any{"kind": kind, "text": text, "own": true, "node": "x", "id": fmt.Sprint(kind, text)}))
		}
		for i, field := range []map[string]any{
			{"own": true},
			{"node": map[string]any{}},
			{"node": "node"},
			{"who": long},
			{"who": map[string]any{}},
			{"status": "delivered", "state": "failed", "resend": "x"},
			{"skipped": 5},
			{"stretch": map[string]any{"lines": 1}},
			{"make": 1},
			{"draw": 1},
			{"at": "now"},
			{"at": 1e300},
			{"at": 8.64e15},
			{"at": []any{1}},
			{"sentAt": 1},
			{"sentAt": map[string]any{}},
		} {
			field["kind"], field["id"] = kind, fmt.Sprint(kind, i)
			messages = append(messages, crafted(t, field))
		}
	}
	for i, m := range messages {
		r.publish("lobby", websocket.MessageText, []byte(m))
		after := fmt.Sprint("after ", i)
		r.publish("lobby", websocket.MessageText, []byte(after))
		if i%10 == 0 || i == len(messages)-1 {
			v.hears(after)
		}
	}
	// A few screens of lines are drawn, and all that are drawn are looked at.
	for i := range messages[len(messages)-5:] {
		v.hears(fmt.Sprint("after ", len(messages)-5+i))
	}
	v.readAll() // leaves what was seen in document.read
	for i := range messages {
		if !evaluate[bool](v, fmt.Sprintf(`document.read.some(({text}) => text === "after %d")`, i)) {
			t.Errorf("not drawn: the message after %.100q", messages[i])
		}
	}
	for what, condition := range map[string]string{
		"shown as you, with a state of delivery": `document.read.some(({you}) => you)`,
		"a name of more than a line":             `document.read.some(({who}) => who.length > 33 || /[\n\r\u2028\u2029\u202a-\u202e\u2066-\u2069\0]/.test(who))`,
		"a name of nothing visible":              `document.read.some(({who}) => !/[\p{L}\p{N}]/u.test(who))`,
		"a text beyond the limit":                `document.read.some(({text}) => text.length > 2100)`,
		"a line of another message's making":     `document.read.some(({text}) => text === "[object Object]")`,
		"a line that reaches out of its box":     `document.querySelector(".scroll:not([hidden]) .log").scrollWidth > document.querySelector(".scroll:not([hidden]) .log").clientWidth`,
	} {
		if evaluate[bool](v, condition) {
			t.Errorf("there is %s", what)
		}
	}
	v.wantNoErrors()
}

// The page's own id is in every message of it, for everybody to copy. Relatives: a new message, a
// burst's, a copy of one that was delivered, a copy with another text while its echo is awaited.
func TestN75_WhatThisPageDidNotSendIsNotYou(t *testing.T) {
	t.Parallel()
	r, url := newGateway(t)
	heard := r.listen(t, "lobby")
	v := visit(t, browsertest.Start(t), url)
	v.say("mine")
	var mine struct {
		ID   string
		From struct{ ID, Name string }
		Text string
	}
	for mine.Text != "mine" {
		if err := json.Unmarshal(<-heard, &mine); err != nil {
			t.Fatal(err)
		}
	}
	from := map[string]any{"id": mine.From.ID, "name": mine.From.Name}
	v.until(`document.querySelector(".scroll:not([hidden]) .log li.msg")?.dataset.delivery === "delivered"`)
	for i, forged := range []map[string]any{
		{"from": from, "text": "forged"},
		{"from": from, "text": "forged", "kind": "burst"},
		{"from": from, "text": "forged", "id": mine.ID},
		{"from": from, "text": "forged", "id": mine.ID, "kind": "burst"},
	} {
		if forged["id"] == nil {
			forged["id"] = fmt.Sprint("forged ", i)
		}
		r.publish("lobby", websocket.MessageText, []byte(crafted(t, forged)))
	}
	r.publish("lobby", websocket.MessageText, []byte("behind them"))
	v.hears("behind them")
	if got := evaluate[[]string](v, `[...document.querySelectorAll(".scroll:not([hidden]) .log li.msg[data-own] .text")].map((p) => p.textContent)`); len(got) != 1 || got[0] != "mine" {
		t.Errorf("shown as mine: %q", got)
	}
	if got := evaluate[int](v, `document.querySelectorAll(".scroll:not([hidden]) .log .you").length`); got != 1 {
		t.Errorf("%d lines say you, want the one", got)
	}
	v.wantNoErrors()
}

// Should there be an entry that cannot be drawn after all, it is the only one. The browser's own
// function fails here, once.
func TestN75_LineThatCannotBeDrawnIsTheOnlyOne(t *testing.T) {
	t.Parallel()
	r, url := newGateway(t)
	v := visit(t, browsertest.Start(t), url)
	evaluate[bool](v, `(() => {
		const right = Element.prototype.append;
		Element.prototype.append = function (...nodes) {
			if (nodes.some((n) => n.textContent === "poison")) throw new Error("planted");
			return right.apply(this, nodes);
		};
		return true;
	})()`)
	for _, text := range []string{"before", "poison", "behind", "poison", "far behind"} {
		r.publish("lobby", websocket.MessageText, []byte(text))
	}
	v.hears("before")
	v.hears("behind")
	v.hears("far behind")
	v.until(`[...document.querySelectorAll(".scroll:not([hidden]) .log li.notice")].filter((e) => e.innerText.includes("cannot show")).length === 2`)
}

// The browser keeps the whole of a string that a short piece was cut from, unless the piece is made
// anew.
func TestN75_CutTextsKeepNothingBehind(t *testing.T) {
	t.Parallel()
	r, url := newGateway(t)
	v := visit(t, browsertest.Start(t), url)
	const size = 1 << 20
	n := 16
	if testenv.IsWholeSize(t) {
		n = 40
	}
	heap := func() float64 {
		if _, err := chromedp.Call(v.ctx, heapprofiler.CollectGarbage, cdp.Empty{}); err != nil {
			t.Fatal(err)
		}
		usage, err := chromedp.Call(v.ctx, runtime.GetHeapUsage, cdp.Empty{})
		if err != nil {
			t.Fatal(err)
		}
		return usage.UsedSize + usage.BackingStorageSize
	}
	before := heap()
	for i := range n {
		r.publish("lobby", websocket.MessageText, []byte(strings.Repeat("x", size+i)))
		r.publish("lobby", websocket.MessageText, []byte(crafted(t, map[string]any{"id": fmt.Sprint(i), "text": strings.Repeat("y", 10_000)})))
	}
	r.publish("lobby", websocket.MessageText, []byte("end"))
	v.hears("end")
	grown := heap() - before
	t.Logf("%d messages of 1 MiB left %.1f MB behind", n, grown/1e6)
	if grown > float64(n*size/4) {
		t.Errorf("that is more than %.1f MB", float64(n*size/4)/1e6)
	}
	v.wantNoErrors()
}
