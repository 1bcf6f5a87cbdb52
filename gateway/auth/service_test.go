package auth_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sluice/gateway"
	"sluice/gateway/auth"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// A service that a gateway asks about each request, and what becomes of what it answers.
func TestServiceIsAskedAboutEachRequest(t *testing.T) {
	type asked struct {
		header http.Header
		method string
		about  map[string]string
	}
	var mu sync.Mutex
	var last asked
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		one := asked{header: r.Header, method: r.Method}
		_ = json.Unmarshal(body, &one.about)
		mu.Lock()
		last = one
		mu.Unlock()
		switch r.Header.Get("Authorization") {
		case "Bearer ann":
			_ = json.NewEncoder(w).Encode(may())
		case "Bearer empty":
			io.WriteString(w, "{}")
		case "Bearer expired":
			_ = json.NewEncoder(w).Encode(may(object{"exp": time.Now().Add(-time.Minute).Unix()}))
		case "Bearer early":
			_ = json.NewEncoder(w).Encode(may(object{"nbf": time.Now().Add(time.Minute).Unix()}))
		case "Bearer fast": // Its clock is a little ahead of ours.
			_ = json.NewEncoder(w).Encode(may(object{"nbf": time.Now().Add(5 * time.Second).Unix()}))
		case "Bearer unknown":
			w.WriteHeader(http.StatusUnauthorized)
		case "Bearer forbidden":
			w.WriteHeader(http.StatusForbidden)
		case "Bearer elsewhere":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case "Bearer broken":
			io.WriteString(w, `{"sub": "hunter2", `)
		case "Bearer long":
			io.WriteString(w, `{"sub": "`+strings.Repeat("x", 1<<20)+`"}`)
		case "Bearer odd":
			w.WriteHeader(http.StatusBadGateway)
		case "Bearer large": // As a server says of a client's cookies: it is up, and that client does not get in for it.
			w.WriteHeader(http.StatusRequestHeaderFieldsTooLarge)
		case "Bearer busy":
			w.WriteHeader(http.StatusTooManyRequests)
		case "Bearer silent":
			<-r.Context().Done()
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer service.Close()
	for _, isOpen := range []bool{false, true} {
		var failed sync.Map
		s, err := auth.NewService(auth.ServiceOptions{
			URL: service.URL, Headers: []string{"authorization", "Cookie", "X-Tenant"}, Timeout: testenv.Patience, Anonymous: isOpen,
			Failed: func(err error) { failed.Store(err.Error(), true) },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		o := gatewaytest.Options()
		o.Auth = s
		o.Anonymous = []gateway.Grant{{Rooms: []string{"chat.public"}, May: gateway.Read}}
		_, addr := gatewaytest.Start(t, o)
		down := http.StatusServiceUnavailable
		if isOpen {
			down = http.StatusSwitchingProtocols
		}
		for token, want := range map[string]int{
			"ann": 101, "": 101, "empty": 403, "expired": 401, "early": 401, "fast": 101, "unknown": 401, "forbidden": 403, "large": 403,
			"elsewhere": down, "broken": down, "long": down, "odd": down, "busy": down,
		} {
			c := wstest.Connect(t, addr)
			c.Send(wstest.UpgradeHead("/ws/chat.public?token="+token, "X-Tenant: one", "X-Other: two", "Cookie: of=no-page"))
			r, text := c.Response()
			c.Close()
			if r.StatusCode != want || strings.Contains(text, "hunter2") {
				t.Errorf("%q, open %v: %d %q, want %d", token, isOpen, r.StatusCode, text, want)
			}
			mu.Lock()
			got := last
			mu.Unlock()
			if got.method != "POST" || got.about["room"] != "chat.public" || got.about["address"] != "127.0.0.1" || len(got.about) != 2 ||
				got.header.Get("X-Tenant") != "one" || got.header.Get("X-Other") != "" || got.header.Get("Cookie") != "" ||
				got.header.Get("Sec-Websocket-Key") != "" || got.header.Get("Content-Type") != "application/json" {
				t.Errorf("asked %+v", got)
			}
		}
		failures := 0
		failed.Range(func(key, _ any) bool {
			if failures++; strings.Contains(key.(string), "hunter2") || strings.Contains(key.(string), "http://") {
				t.Errorf("heard %q", key)
			}
			return true
		})
		if failures < 5 {
			t.Errorf("heard of %d failures", failures)
		}
		c := wstest.Connect(t, addr)
		c.Send(wstest.UpgradeHead("/ws/chat.private?token=ann"))
		c.ExpectUpgrade()
		c.Close()
	}
	// One that does not answer in time, and none at all.
	for range 2 {
		s, err := auth.NewService(auth.ServiceOptions{URL: service.URL, Timeout: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		o := gatewaytest.Options()
		o.Auth = s
		_, addr := gatewaytest.Start(t, o)
		if a := wstest.Ask(t, addr, "/ws/r?token=silent"); a.Status != http.StatusServiceUnavailable {
			t.Errorf("%+v", a)
		}
		s.Close()
		service.Close()
	}
}

// A11. A service is asked about a token for a room, too. What it answers grants what is in it: one
// that looks at the token alone, as many do, and says what its user may do, must not let that user
// into any room that it shows its token for.
func TestA11_ServiceGrantsWhatItSaysOfATokenForARoom(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Authorization") {
		case "Bearer ann":
			io.WriteString(w, `{"sub":"ann","caps":[{"rooms":["chat.*"],"may":["read","publish"]}]}`)
		case "Bearer channel":
			io.WriteString(w, `{"channel":"secret"}`)
		case "Bearer caps":
			io.WriteString(w, `{"caps":[{"rooms":["secret"],"may":["read"]}]}`)
		case "Bearer elsewhere":
			io.WriteString(w, `{"channel":"another"}`)
		case "Bearer bob":
			io.WriteString(w, `{"sub":"bob","channel":"secret"}`)
		default:
			io.WriteString(w, `{}`)
		}
	}))
	defer service.Close()
	s, err := auth.NewService(auth.ServiceOptions{URL: service.URL, Timeout: testenv.Patience})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	o := gatewaytest.Options()
	o.Auth = s
	_, addr := gatewaytest.Start(t, o)
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	for token, want := range map[string]string{
		"ann": `"code":103`, "empty": `"code":103`, "channel": `{"id":2,"subscribe":{}}`, "caps": `{"id":2,"subscribe":{}}`,
		"elsewhere": "3500", "bob": "3500",
	} {
		c := wstest.Dial(t, addr, "/connection/websocket")
		got := ""
		for _, command := range []string{`{"id":1,"connect":{"token":"ann"}}`, `{"id":2,"subscribe":{"channel":"secret","token":"` + token + `"}}`} {
			if err := c.Write(ctx, websocket.MessageText, []byte(command)); err != nil {
				t.Fatal(err)
			}
			_, p, err := c.Read(ctx)
			if got = string(p); err != nil {
				got = fmt.Sprint(int(websocket.CloseStatus(err)))
			}
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", token, got, want)
		}
	}
}

// While a service is away nobody who is in is told that its token is no good, which it would take
// for the end, though others come in as anonymous.
func TestServiceThatIsAwayEndsNobody(t *testing.T) {
	var isAway atomic.Bool
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if isAway.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		io.WriteString(w, `{"sub":"ann"}`)
	}))
	defer service.Close()
	s, err := auth.NewService(auth.ServiceOptions{URL: service.URL, Timeout: testenv.Patience, Anonymous: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	o := gatewaytest.Options()
	o.Auth, o.Anonymous = s, []gateway.Grant{{Rooms: []string{"public"}, May: gateway.Read}}
	_, addr := gatewaytest.Start(t, o)
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	c := wstest.Dial(t, addr, "/connection/websocket")
	for _, one := range []struct {
		isAway        bool
		command, want string
	}{
		{false, `{"id":1,"connect":{"token":"x"}}`, `"connect"`},
		{true, `{"id":2,"refresh":{"token":"x"}}`, `"code":100,"message":"internal server error","temporary":true`},
		{true, `{"id":3,"subscribe":{"channel":"r","token":"x"}}`, `"code":100,"message":"internal server error","temporary":true`},
		{false, `{"id":4,"refresh":{"token":"x"}}`, `"refresh"`},
	} {
		isAway.Store(one.isAway)
		if err := c.Write(ctx, websocket.MessageText, []byte(one.command)); err != nil {
			t.Fatal(err)
		}
		if _, p, err := c.Read(ctx); err != nil || !strings.Contains(string(p), one.want) {
			t.Fatalf("%s: %s, %v", one.command, p, err)
		}
	}
}

func TestServiceOptionsAreHeldToWhatCanBe(t *testing.T) {
	for _, o := range []auth.ServiceOptions{
		{URL: "auth"},
		{URL: "unix:/run/auth"},
		{URL: "http://a/", Headers: []string{"Host"}},
		{URL: "http://a/", Headers: []string{"transfer-encoding"}},
		{URL: "http://a/", Headers: []string{"a b"}},
		{URL: "http://a/", Headers: []string{""}},
		{URL: "http://a/", Headers: []string{"X-Ä"}},
	} {
		if _, err := auth.NewService(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
