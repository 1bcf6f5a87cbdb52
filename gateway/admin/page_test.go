package admin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"sluice/gateway"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
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

// A session is opened by the key alone, shows figures and nothing else, and ends when it is left,
// when its key goes, and with time.
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
