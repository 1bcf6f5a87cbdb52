package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"sluice/gateway"
	"sluice/internal/browsertest"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// startPage runs a gateway and its admin listener with figures, and returns a key that opens it.
func startPage(t *testing.T, o gateway.Options, tail *Tail) (s *gateway.Server, addr, url, key string) {
	t.Helper()
	s, addr = gatewaytest.Start(t, o)
	key = NewKey()
	keys, err := ParseKeys(key + "\n" + strings.Repeat("k", keyMin) + " ticker.*\n")
	if err != nil {
		t.Fatal(err)
	}
	h, err := New(s, Options{Keys: keys, Version: "v9.9"})
	if err != nil {
		t.Fatal(err)
	}
	h.AddFigures(s, FigureOptions{Tail: tail})
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return s, addr, server.URL, key
}

// A visitor is a program that keeps its cookies, and does not follow.
type visitor struct {
	t       *testing.T
	url     string
	cookies map[string]string
}

func (v *visitor) do(method, path string, form url.Values, header ...string) (status int, body string, h http.Header) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), testenv.Patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, v.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	for name, value := range v.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := client.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	p, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	for _, c := range answer.Cookies() {
		if c.MaxAge < 0 {
			delete(v.cookies, c.Name)
		} else {
			v.cookies[c.Name] = c.Value
		}
	}
	return answer.StatusCode, string(p), answer.Header
}

// A session is opened by the key alone, shows figures and nothing else, and ends when it is left, when its key goes, and with time.
func TestPageIsSeenWithTheKeyAlone(t *testing.T) {
	s, _, base, key := startPage(t, gatewaytest.Options(), nil)
	v := &visitor{t, base, map[string]string{}}
	expect := func(when, method, path string, form url.Values, want int, says string, header ...string) http.Header {
		t.Helper()
		status, body, h := v.do(method, path, form, header...)
		if status != want || !strings.Contains(body, says) {
			t.Errorf("%s: %s %s: %d, want %d with %q:\n%s", when, method, path, status, want, says, body)
		}
		if strings.Contains(body, key) || strings.Contains(fmt.Sprint(h), key) {
			t.Errorf("%s: %s %s: the key is told", when, method, path)
		}
		return h
	}
	expect("at first", "GET", "/", nil, 200, "Admin key")
	expect("at first", "GET", "/status.json", nil, 401, "")
	expect("at first", "GET", "/index.html", nil, 401, "")
	expect("at first", "GET", "/style.css", nil, 200, "--accent")
	expect("at first", "GET", "/?key="+key, nil, 200, "Admin key")
	expect("at first", "GET", "/status.json?key="+key, nil, 401, "")
	expect("another key", "POST", "/login", url.Values{"key": {NewKey()}}, 401, loginWrong)
	expect("no key", "POST", "/login", url.Values{}, 401, loginWrong)
	expect("the key in the address", "POST", "/login?key="+key, url.Values{}, 401, loginWrong)
	expect("a key for rooms", "POST", "/login", url.Values{"key": {strings.Repeat("k", keyMin)}}, 403, loginRooms)
	expect("a form without end", "POST", "/login", url.Values{"key": {strings.Repeat("k", loginMax)}}, 400, "Admin key")
	expect("a page of others", "POST", "/login", url.Values{"key": {key}}, 403, "", "Origin", "https://evil.example")
	expect("a page of nobody", "POST", "/login", url.Values{"key": {key}}, 403, "", "Origin", "null")
	some := []string{"X-API-Key", strings.Repeat("k", keyMin)}
	for _, path := range []string{"/metrics", "/status.json", "/debug/pprof/", "/api/rooms"} { // One rule for whoever has a key.
		expect("a key for rooms", "GET", path, nil, 403, faultWhole.Text, some...)
		expect("a wrong key", "GET", path, nil, 401, faultKey.Text, "X-API-Key", NewKey())
		expect("no key", "GET", path, nil, 401, faultNoKey.Text)
	}
	expect("a key for rooms", "GET", "/", nil, 403, loginRooms, some...)
	if len(v.cookies) > 0 {
		t.Fatalf("cookies: %v", v.cookies)
	}
	h := expect("the key", "POST", "/login", url.Values{"key": {" " + key + "\n"}}, 303, "")
	cookie := h.Get("Set-Cookie")
	for _, part := range []string{"HttpOnly", "SameSite=Strict", "Path=/"} {
		if !strings.Contains(cookie, part) {
			t.Errorf("cookie %s lacks %s", cookie, part)
		}
	}
	if h := expect("logged in", "GET", "/", nil, 200, "Slowest clients"); !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("head: %v", h)
	}
	expect("logged in", "GET", "/status.json", nil, 200, `"connections":0`)
	// A cookie goes wherever its browser sends it, and so it changes and publishes nothing.
	expect("logged in", "GET", "/api/rooms", nil, 401, "")
	expect("logged in", "POST", "/api/rooms/r/messages", nil, 401, "")
	expect("logged in", "GET", "/metrics", nil, 401, "")
	expect("logged in", "GET", "/debug/pprof/", nil, 401, "")
	good := v.cookies[sessionCookie]
	for _, tc := range []string{"", "x", good[1:], good + "AAAA", "B" + good[1:], good[:20] + "____" + good[24:]} {
		other := &visitor{t, base, map[string]string{sessionCookie: tc}}
		if status, _, _ := other.do("GET", "/status.json", nil); status != 401 {
			t.Errorf("a made-up session %q: %d", tc, status)
		}
	}
	kept := v.cookies[sessionCookie]
	expect("leaving", "POST", "/logout", nil, 303, "")
	expect("left", "GET", "/status.json", nil, 401, "")
	v.cookies[sessionCookie] = kept
	expect("with the same key", "GET", "/status.json", nil, 200, "")
	if s.Open() != 0 {
		t.Errorf("%d connections", s.Open())
	}
}

func TestSessionsEnd(t *testing.T) {
	now := time.Duration(0)
	s := newSessions(func() time.Duration { return now })
	keys, err := ParseKeys(NewKey() + "\n" + NewKey())
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: sessionCookie, Value: "from=another-program"})
	r.AddCookie(s.open(keys.list[1], false))
	if !s.has(r, &keys) {
		t.Error("a session is not known")
	}
	if without := (Keys{keys.list[:1]}); s.has(r, &without) {
		t.Error("it goes on though its key is gone")
	}
	if again := newSessions(s.now); again.has(r, &keys) {
		t.Error("it is known at the next start")
	}
	now = sessionTime
	if s.has(r, &keys) {
		t.Error("it has no end")
	}
	if c := s.open(keys.list[0], true); !c.Secure {
		t.Error("over TLS a session's cookie is to stay there")
	}
}

// What the page is made of says what the gateway does, and asks it no more often than it should.
func TestStatusTellsWhatTheGatewayDoes(t *testing.T) {
	tail := NewTail(slog.NewTextHandler(io.Discard, nil))
	_, addr, base, key := startPage(t, gatewaytest.Options(), tail)
	slog.New(tail).Info("refused", "reason", "origin", "from", "192.0.2.7")
	slog.New(tail).With("a", 1).WithGroup("g").Warn("short", "b", 2)
	slog.New(tail).Debug("not this")
	narrow := wstest.Join(t, addr, "/ws/stage").Narrow()
	others := wstest.Gather(t, addr, "/ws/stage", 2, 64<<10)
	others.Publish(30)
	others.HearAll()
	var got status
	v := &visitor{t, base, nil}
	testenv.Eventually(t, "one is behind", func() bool {
		code, body, _ := v.do("GET", "/status.json", nil, "Authorization", "Bearer "+key)
		got = status{}
		if err := json.Unmarshal([]byte(body), &got); code != 200 || err != nil {
			t.Fatalf("%d, %v: %s", code, err, body)
		}
		return len(got.Slowest) == 1
	})
	if got.Ready != "ok" || got.Version != "v9.9" || !got.Login || got.Now["members"] != 3 || got.Now["blocked"] != 1 || got.Now["rooms"] != 1 ||
		got.Totals["received"] != 30 || got.Totals["owed"] != 30*3 || len(got.Loops) != 2 {
		t.Errorf("%+v", got)
	}
	if c := got.Slowest[0]; c.Room != "stage" || c.Bytes < 1<<19 || c.Messages == 0 || c.Address != "127.0.0.1" || c.ID == "" {
		t.Errorf("%+v", c)
	}
	if r := got.Rooms; len(r) != 1 || r[0].Name != "stage" || r[0].Messages != 30 || r[0].Bytes == 0 {
		t.Errorf("%+v", r)
	}
	if l := got.Log; len(l) != 2 || l[0].Level != "WARN" || !strings.HasSuffix(l[0].Text, "msg=short a=1 g.b=2") || l[1].Text != "msg=refused reason=origin from=192.0.2.7" || l[1].AgoMS < 0 {
		t.Errorf("%+v", l)
	}
	narrow.Close()
}

// Pages that ask at once get one answer, and what takes long is asked for less often.
func TestStatusIsMadeForAllPagesTogether(t *testing.T) {
	now, asked := time.Second, 0
	f := &counting{ask: func() { asked++; now += 100 * time.Millisecond }}
	s := statuser{figures: f, now: func() time.Duration { return now }}
	for range 5 {
		if _, code := s.newest(t.Context(), false); code != 200 {
			t.Fatal(code)
		}
	}
	now += statusShare*100*time.Millisecond - 1
	s.newest(t.Context(), false)
	if asked != 1 {
		t.Errorf("asked %d times, want once", asked)
	}
	now++
	s.newest(t.Context(), false)
	if asked != 2 {
		t.Errorf("asked %d times, want twice", asked)
	}
	f.err = context.DeadlineExceeded
	now += time.Hour
	if body, code := s.newest(t.Context(), false); code != 503 || !json.Valid(body) {
		t.Errorf("loops that do not answer: %d %s", code, body)
	}
}

// counting is a gateway that takes long.
type counting struct {
	ask func()
	err error
}

func (c *counting) Stats(context.Context) (gateway.Stats, error) {
	c.ask()
	return gateway.Stats{}, c.err
}
func (c *counting) State(context.Context) (gateway.State, error) { return gateway.State{}, nil }
func (c *counting) Ready() error                                 { return nil }

func (c *counting) Rooms(gateway.RoomQuery) ([]gateway.RoomInfo, int) { return nil, 0 }

func (c *counting) Connections(context.Context, gateway.ConnQuery) ([]gateway.ConnInfo, int, error) {
	return nil, 0, nil
}

func TestTailKeepsTheNewestLines(t *testing.T) {
	var out bytes.Buffer
	tail := NewTail(slog.NewTextHandler(&out, nil))
	log := slog.New(tail)
	for i := range 3*tailLines + 7 {
		log.Info(fmt.Sprint("line-", i), "text", strings.Repeat("x", 2*tailBytes))
	}
	lines := tail.lines()
	if len(lines) != tailLines || cap(tail.kept.lines) > 2*tailLines {
		t.Fatalf("%d lines", len(lines))
	}
	for i, l := range lines {
		if want := fmt.Sprintf("msg=line-%d ", 3*tailLines+6-i); !strings.HasPrefix(l.text, want) || len(l.text) > tailBytes {
			t.Errorf("line %d: %d bytes %.40s, want %s", i, len(l.text), l.text, want)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 3*tailLines+7 {
		t.Errorf("%d lines were handed on", n)
	}
}

// Health checks and profiles.
func TestAdminListenerTellsHealthAndProfiles(t *testing.T) {
	t.Parallel()
	s, _, base, key := startPage(t, gatewaytest.Options(), nil)
	v := &visitor{t, base, nil}
	for _, tc := range []struct {
		method, path string
		hasKey       bool
		want         int
		says         string
	}{
		{"GET", "/livez", false, 200, "ok\n"},
		{"GET", "/readyz", false, 200, "ok\n"},
		{"HEAD", "/readyz", false, 200, ""},
		{"GET", "/metrics", false, 401, ""},
		{"GET", "/metrics", true, 200, "sluice_connections 0"},
		{"GET", "/debug/pprof/", false, 401, ""},
		{"GET", "/debug/pprof/", true, 200, "goroutine"},
		{"GET", "/debug/pprof/heap", true, 200, ""},
		{"GET", "/debug/pprof/goroutine?debug=1", true, 200, "reactor.(*Loop).Run"},
		{"GET", "/debug/pprof/profile?seconds=1", true, 200, ""},
		{"GET", "/debug/pprof/profile?seconds=301", true, 400, "whole number from 1 to 300"},
		{"GET", "/debug/pprof/profile?seconds=NaN", true, 400, "whole number"},
		{"GET", "/debug/pprof/profile?seconds=0.1", true, 400, "whole number"},
		{"GET", "/debug/pprof/profile?seconds=0", true, 400, "whole number"},
		{"GET", "/debug/pprof/profile?seconds=-1", true, 400, "whole number"},
		{"GET", "/debug/pprof/profile?seconds=1e1", true, 400, "whole number"},
		{"GET", "/debug/pprof/profile?seconds=18446744073709551617", true, 400, "whole number"},
		{"GET", "/debug/pprof/heap?seconds=301", true, 400, "whole number"},
		{"GET", "/debug/pprof/goroutine?seconds=0.1", true, 400, "whole number"},
		{"GET", "/debug/pprof/trace?seconds=301", true, 400, "part of one"},
		{"GET", "/debug/pprof/trace?seconds=-0.1", true, 400, "part of one"},
		{"GET", "/debug/pprof/trace?seconds=0.1", true, 200, ""},
		{"GET", "/debug/pprof/cmdline", true, 404, ""},
	} {
		var header []string
		if tc.hasKey {
			header = []string{"X-API-Key", key}
		}
		if status, body, _ := v.do(tc.method, tc.path, nil, header...); status != tc.want || !strings.Contains(body, tc.says) {
			t.Errorf("%s %s, key %t: %d, want %d with %q: %.300q", tc.method, tc.path, tc.hasKey, status, tc.want, tc.says, body)
		}
	}
	s.Close()
	if status, body, _ := v.do("GET", "/readyz", nil); status != 503 || body == "ok\n" {
		t.Errorf("closed: %d %q", status, body)
	}
	if status, _, _ := v.do("GET", "/livez", nil); status != 200 {
		t.Errorf("the process lives: %d", status)
	}
}

// tab is the live page in a browser.
type tab struct {
	t      *testing.T
	ctx    context.Context
	errors func() []string
}

func (v tab) do(steps ...chromedp.Action[chromedp.Void]) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		v.t.Fatal(err)
	}
}

func (v tab) is(condition string) bool {
	v.t.Helper()
	isSo, err := v.evaluate(condition)
	if err != nil {
		v.t.Fatalf("%s: %v", condition, err)
	}
	return isSo
}

func (v tab) evaluate(condition string) (bool, error) {
	ctx, cancel := context.WithTimeout(v.ctx, time.Minute)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[bool](condition))
}

// until waits for a condition. A page that gives way to the next while it is asked has no answer.
func (v tab) until(condition string) {
	v.t.Helper()
	testenv.Eventually(v.t, condition, func() bool {
		isSo, err := v.evaluate(condition)
		var gone *cdproto.Error
		if err != nil && (!errors.As(err, &gone) || gone.Code != -32000) {
			v.t.Fatalf("%s: %v", condition, err)
		}
		return err == nil && isSo
	})
}

// shoot leaves a picture of the page to be looked at, if somebody asks for it.
func (v tab) shoot(name string) {
	v.t.Helper()
	dir := os.Getenv("SLUICE_TEST_SHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(v.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(dir+"/"+name+".png", png, 0o600)
	}
	if err != nil {
		v.t.Fatal(err)
	}
}

// In a browser: the login, figures of clients that talk and of one that does not read, on a desk and on a phone, by day and by night.
func TestLivePageInABrowser(t *testing.T) {
	t.Parallel()
	tail := NewTail(slog.NewTextHandler(io.Discard, nil))
	o := gatewaytest.Options()
	o.DrainDelay = time.Hour
	s, addr, base, key := startPage(t, o, tail)
	browser := browsertest.Start(t)
	v := tab{t, browser, browsertest.ConsoleErrors(t, browser)}

	log := slog.New(tail)
	log.Info("client left", "reason", "slow_consumer", "id", "0.1000000a3", "from", "192.0.2.7", "room", "ticker.btc", "messages_behind", 1203, "bytes_behind", 16777216, "and_more", 3)
	log.Warn("memory runs short: new rooms are refused", "bytes", 900<<20)
	log.Info("refused", "reason", "origin", "request", `GET /ws/<img src=x onerror=document.title=1>`, "and_more", 0)
	for i := range 8 {
		wstest.Join(t, addr, fmt.Sprintf("/ws/room-%d", i))
	}
	wstest.Join(t, addr, "/ws/a.room.whose.name.is.as.long.as.a.name.can.be-"+strings.Repeat("x", 70))
	wstest.Join(t, addr, "/ws/stage").Narrow()
	wstest.Join(t, addr, "/ws/stage").Narrow()
	refused := wstest.Connect(t, addr)
	refused.Send(wstest.UpgradeHead("/ws", "Origin: https://evil.example"))
	refused.Response()
	others := wstest.Gather(t, addr, "/ws/stage", 3, 40<<10)
	others.Publish(30)
	others.HearAll()

	v.do(chromedp.Navigate(base + "/"))
	v.until(`document.body?.dataset.state === "login"`)
	v.shoot("login")
	v.do(chromedp.SendKeys(chromedp.CSS("#key"), "not the key\n"))
	v.until(`document.getElementById("hint")?.textContent.includes("no key") === true`)
	v.do(chromedp.SendKeys(chromedp.CSS("#key"), key+"\n"))
	v.until(`document.body?.dataset.state === "ready"`)
	seen := len(v.errors()) // The wrong key's 401 is one.
	v.until(`document.getElementById("slowest").tBodies[0].rows.length === 2`)
	for _, want := range []string{
		`document.getElementById("connections-note").textContent.startsWith("14 members in 10 rooms")`,
		`document.getElementById("slowest").textContent.includes("stage") && document.getElementById("slowest").textContent.includes("127.0.0.1")`,
		`document.getElementById("rooms").tBodies[0].rows[0].cells[0].textContent === "stage"`,
		`document.getElementById("rooms").tBodies[0].rows.length === 10`,
		`document.getElementById("reasons").textContent.includes("refused: origin")`,
		`document.querySelectorAll("#log li").length === 3 && document.querySelectorAll("#log img").length === 0`,
		`document.querySelectorAll("#loads li").length === 3`,
		`document.getElementById("blocked").textContent === "2"`,
		`!document.getElementById("logout").hidden && document.title === "Sluice, live"`,
		`document.cookie === ""`, // It is not for scripts.
	} {
		if !v.is(want) {
			t.Errorf("not so: %s", want)
		}
	}
	publish := func() { // While somebody watches.
		for range 3 {
			others.Publish(5)
			others.HearAll()
		}
	}
	publish()
	v.until(`Number(document.getElementById("received").textContent) > 0`)
	v.until(`Number(document.getElementById("delivered").textContent.replace(",", "")) > 0`)
	for _, size := range []struct {
		name          string
		width, height int64
		scheme        string
	}{{"desk", 1280, 900, "light"}, {"desk-dark", 1280, 900, "dark"}, {"phone", 390, 844, "light"}, {"phone-dark", 390, 844, "dark"}, {"small", 320, 568, "light"}} {
		v.do(chromedp.EmulateViewport(size.width, size.height, chromedp.EmulateScale(1)))
		v.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
			_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: size.scheme}},
			})
			return err
		}))
		publish()
		v.until(fmt.Sprintf(`innerWidth === %d`, size.width))
		for _, want := range []string{
			`document.documentElement.scrollWidth <= innerWidth`,
			`[...document.querySelectorAll("td, code, .figure, .note, button")].every((e) => e.getBoundingClientRect().right <= innerWidth)`,
			`document.getElementById("logout").getBoundingClientRect().width >= 60`,
			fmt.Sprintf(`matchMedia("(prefers-color-scheme: %s)").matches`, size.scheme),
		} {
			if !v.is(want) {
				t.Errorf("%s: not so: %s", size.name, want)
			}
		}
		v.shoot(size.name)
	}
	v.is(`(window.asked = fetch, window.fetch = () => Promise.reject(new TypeError("gone")), true)`)
	v.until(`document.getElementById("word")?.textContent === "The gateway does not answer" && document.body?.dataset.state === "lost"`)
	v.is(`(window.fetch = asked, true)`)
	ctx, cancel := context.WithCancel(context.Background())
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(ctx) }()
	v.until(`document.getElementById("word")?.textContent === "Not ready: draining" && document.body?.dataset.state === "unready"`)
	cancel()
	<-drained
	v.do(chromedp.Click(chromedp.CSS("#logout button")))
	v.until(`document.body?.dataset.state === "login"`)
	if errors := v.errors(); len(errors) > seen {
		t.Errorf("console errors:\n%s", strings.Join(errors[seen:], "\n"))
	}
}
