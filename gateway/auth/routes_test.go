package auth_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"

	"sluice/gateway"
	"sluice/gateway/admin"
	"sluice/gateway/auth"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// A06, A11. Every way to publish and to read, on every route, against rooms that are read-only,
// unlisted and forbidden: with a token that may, one that may less, one that is none, and without.
// Clients' libraries say what came of it.
func TestA06_A11_EveryWayIsHeldToTheSameRules(t *testing.T) {
	k := keys()
	j := newJWT(t, auth.Options{SecretFiles: []string{write(t, "secret", k.secret)}})
	o := gatewaytest.Options()
	o.Auth = j
	o.Anonymous = []gateway.Grant{{Rooms: []string{"public"}, May: gateway.Read}}
	for _, text := range []string{"*=latest", "ticker.*=readonly", "ticker.eur=skip"} {
		var r gateway.RoomRule
		if err := r.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		o.Rooms = append(o.Rooms, r)
	}
	s, addr := gatewaytest.Start(t, o)
	own := http.Server{Handler: http.StripPrefix("/own", s)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go own.Serve(l)
	t.Cleanup(func() { own.Close() })
	routes := map[string]string{"a listener": "ws://" + addr, "a program's server": "ws://" + l.Addr().String() + "/own"}

	all := []any{object{"rooms": []string{"*"}, "may": []string{"read", "publish", "presence", "history"}}}
	tokens := map[string]string{
		"all":     mint(hs256(k.secret), may(object{"caps": all}), nil),
		"chat":    mint(hs256(k.secret), may(), nil),
		"read":    mint(hs256(k.secret), may(object{"caps": []any{object{"rooms": []string{"chat.*"}, "may": []string{"read"}}}}), nil),
		"publish": mint(hs256(k.secret), may(object{"caps": []any{object{"rooms": []string{"chat.*"}, "may": []string{"publish"}}}}), nil),
		"channel": mint(hs256(k.secret), object{"sub": "", "channels": []string{"chat.a"}}, nil),
		"bad":     mint(hs256(k.otherSecret), may(object{"caps": all}), nil),
		"none":    "",
	}
	// What each may: a refusal's status, or r and p.
	type outcome struct{ ticker, chat, forbidden, public, speak string } // rooms ticker.eur, chat.a, private, public; and chat.a by echo=0
	for name, want := range map[string]outcome{
		"all":     {"r", "rp", "rp", "rp", "p"},
		"chat":    {"403", "rp", "403", "403", "p"},
		"read":    {"403", "r", "403", "403", "403"},
		"publish": {"403", "403", "403", "403", "p"},
		"channel": {"403", "r", "403", "403", "403"},
		"bad":     {"401", "401", "401", "401", "401"},
		"none":    {"401", "401", "401", "r", "401"},
	} {
		for route, base := range routes {
			for path, may := range map[string]string{
				"/ws/ticker.eur": want.ticker, "/ws/chat.a": want.chat, "/ws/private": want.forbidden, "/ws/public": want.public, "/ws/chat.a?echo=0": want.speak,
			} {
				if got := attempt(t, base+path, tokens[name]); got != may {
					t.Errorf("%s by %s, token %s: %s, want %s", path, route, name, got, may)
				}
			}
		}
	}
	backend(t, s, "ws://"+addr, tokens)
	for _, path := range []string{"/ws", "/ws/", "/ws/lobby"} {
		if a := wstest.Ask(t, addr, path); a.Status != http.StatusUnauthorized {
			t.Errorf("%s without a token: %d", path, a.Status)
		}
	}
}

// backend tries the ways of a backend: both forms of the HTTP API, with a key for everything, a key
// for some rooms, a client's token and nothing. Only keys open it, and to them no room is
// read-only. They open nothing else.
func backend(t *testing.T, s *gateway.Server, base string, tokens map[string]string) {
	t.Helper()
	whole, part := admin.NewKey(), admin.NewKey()
	set, err := admin.ParseKeys(whole + "\n" + part + " ticker.* news\n")
	if err != nil {
		t.Fatal(err)
	}
	h, err := admin.New(s, admin.Options{Keys: set})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	reader, _, err := websocket.Dial(ctx, base+"/ws/ticker.eur", &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + tokens["all"]}}})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.CloseNow()
	publish := func(way, key, room, text string) int {
		r := httptest.NewRequest(http.MethodPost, "http://localhost/api/rooms/"+room+"/messages", strings.NewReader(text))
		if way == "centrifugo" {
			r = httptest.NewRequest(http.MethodPost, "http://localhost/api/publish", strings.NewReader(fmt.Sprintf(`{"channel":%q,"data":%q}`, room, text)))
		}
		if key != "" {
			r.Header.Set("Authorization", "Bearer "+key)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == http.StatusOK && strings.Contains(w.Body.String(), `"error"`) {
			return http.StatusForbidden
		}
		return w.Code
	}
	for _, way := range []string{"api", "centrifugo"} {
		for name, row := range map[string]struct {
			key           string
			ticker, other int
		}{
			"a key":                {whole, 200, 200},
			"a key for some rooms": {part, 200, 403},
			"a client's token":     {tokens["all"], 401, 401},
			"nothing":              {"", 401, 401},
		} {
			if got := publish(way, row.key, "ticker.eur", way+name); got != row.ticker {
				t.Errorf("%s, %s: %d in a read-only room, want %d", way, name, got, row.ticker)
			}
			if row.ticker == 200 {
				if _, p, err := reader.Read(ctx); err != nil || !strings.Contains(string(p), way+name) {
					t.Errorf("%s, %s: the reader gets %q, %v", way, name, p, err)
				}
			}
			if got := publish(way, row.key, "private", "x"); got != row.other {
				t.Errorf("%s, %s: %d in another room, want %d", way, name, got, row.other)
			}
		}
	}
	if got := attempt(t, base+"/ws/ticker.eur", whole); got != "401" {
		t.Errorf("a key as a token: %s, want 401", got)
	}
}

// attempt says what a client may: the status that refuses it, or r if it hears the room and p if it
// may publish there. With echo=0 it cannot hear, so that it got in says p.
func attempt(t *testing.T, url, token string) (may string) {
	t.Helper()
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	c, r, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		if r == nil {
			t.Fatal(err)
		}
		return r.Status[:3]
	}
	defer c.CloseNow()
	if err := c.Write(ctx, websocket.MessageText, []byte("mine")); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(url, "echo=0") {
		if err := c.Ping(c.CloseRead(ctx)); err != nil {
			return err.Error()
		}
		return "p"
	}
	_, p, err := c.Read(ctx)
	switch {
	case err == nil && string(p) == "mine":
		return "rp"
	case websocket.CloseStatus(err) == 4003:
		return "r"
	}
	return err.Error()
}

// A08. A token that ends in the middle, by a clock that is not stopped: another client's library
// reads the reason, and nothing before.
func TestA08_TokenEndsInTheMiddle(t *testing.T) {
	testenv.LeaveToCI(t, "takes four seconds; TestA08_ConnectionsEndWithTheirToken has a clock of its own")
	k := keys()
	j := newJWT(t, auth.Options{SecretFiles: []string{write(t, "secret", k.secret)}, Leeway: -1})
	o := gatewaytest.Options()
	o.Auth = j
	s, addr := gatewaytest.Start(t, o)
	end := time.Now().Add(4 * time.Second).Unix() // In less who waits for a processor comes too late.
	c, _, err := gorilla.DefaultDialer.Dial("ws://"+addr+"/ws/chat.a?token="+mint(hs256(k.secret), may(object{"exp": end}), nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(testenv.Patience))
	_, _, err = c.ReadMessage()
	if !gorilla.IsCloseError(err, 4001) || !strings.Contains(err.Error(), "token expired") || time.Now().Unix() < end {
		t.Errorf("%v at %v, the token ended at %v", err, time.Now().Unix(), end)
	}
	c.Close()
	gatewaytest.ExpectClosed(t, s, gateway.ClosedExpired, 1)
}
