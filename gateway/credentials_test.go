package gateway

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"sluice/internal/wstest"
)

// Every way in which a token may come, and those in which it does not.
func TestTokensComeInFourWays(t *testing.T) {
	const page, foreign = "Origin: http://sluice.test", "Origin: https://evil.example"
	var mu sync.Mutex
	var got *Handshake
	cfg := testConfig()
	cfg.AuthCookie = "session"
	cfg.Subprotocols = []string{"mqtt"}
	cfg.AllowOrigin = []string{"https://friend.example"}
	auth := named(grants(t, "*=read,publish")...)
	inner := auth.judge
	auth.judge = func(h *Handshake) (Principal, error) {
		mu.Lock()
		defer mu.Unlock()
		got = h
		return inner(h)
	}
	auth.headers = []string{"X-Tenant", "cookie"}
	cfg.Auth = auth
	_, addr := startGateway(t, cfg)
	for name, tc := range map[string]struct {
		path     string
		lines    []string
		token    string // empty: 401
		protocol string
	}{
		"header":                      {"/ws/r", []string{"Authorization: Bearer T0k.en_-~+/="}, "T0k.en_-~+/=", ""},
		"header in another case":      {"/ws/r", []string{"authorization: bEARER  T"}, "T", ""},
		"another scheme":              {"/ws/r", []string{"Authorization: Basic dTpw"}, "", ""},
		"another scheme and a query":  {"/ws/r?token=T", []string{"Authorization: Basic dTpw"}, "T", ""},
		"no token behind the scheme":  {"/ws/r", []string{"Authorization: Bearer"}, "", ""},
		"query":                       {"/ws/r?echo=1&token=a%2Bb", nil, "a+b", ""},
		"query, encoded key":          {"/ws/r?%74oken=T", nil, "T", ""},
		"query, empty":                {"/ws/r?token=", nil, "", ""},
		"query, undecodable":          {"/ws/r?token=%zz", nil, "", ""},
		"query, other case":           {"/ws/r?Token=T", nil, "", ""},
		"query twice, the same":       {"/ws/r?token=T&token=T", nil, "T", ""},
		"query twice":                 {"/ws/r?token=T&token=U", nil, "", ""},
		"query and header":            {"/ws/r?token=T", []string{"Authorization: Bearer U"}, "", ""},
		"query and header, the same":  {"/ws/r?token=T", []string{"Authorization: Bearer T"}, "T", ""},
		"two headers":                 {"/ws/r", []string{"Authorization: Bearer T", "Authorization: Bearer U"}, "", ""},
		"subprotocol":                 {"/ws/r", []string{"Sec-WebSocket-Protocol: bearer, T"}, "T", "bearer"},
		"subprotocol on two lines":    {"/ws/r", []string{"Sec-WebSocket-Protocol: bearer", "Sec-WebSocket-Protocol: T"}, "T", "bearer"},
		"subprotocol and another":     {"/ws/r", []string{"Sec-WebSocket-Protocol: other, bearer, T"}, "T", "bearer"},
		"subprotocol and ours":        {"/ws/r", []string{"Sec-WebSocket-Protocol: bearer, T, mqtt"}, "T", "mqtt"},
		"a token called as ours":      {"/ws/r", []string{"Sec-WebSocket-Protocol: bearer, mqtt"}, "mqtt", "bearer"},
		"a token called bearer":       {"/ws/r", []string{"Sec-WebSocket-Protocol: bearer, bearer"}, "bearer", "bearer"},
		"subprotocol without a token": {"/ws/r", []string{"Sec-WebSocket-Protocol: bearer"}, "", ""},
		"subprotocol, other case":     {"/ws/r", []string{"Sec-WebSocket-Protocol: Bearer, T"}, "", ""},

		"cookie of an own page":          {"/ws/r", []string{page, "Cookie: a=b; session=T; c=d"}, "T", ""},
		"cookie in quotes":               {"/ws/r", []string{page, `Cookie: session="T"`}, "T", ""},
		"cookie of an allowed page":      {"/ws/r", []string{"Origin: https://friend.example", "Cookie: session=T"}, "T", ""},
		"cookie of the same origin":      {"/ws/r", []string{"Sec-Fetch-Site: same-origin", "Cookie: session=T"}, "T", ""},
		"cookie of the same site":        {"/ws/r", []string{"Sec-Fetch-Site: same-site", "Cookie: session=T"}, "", ""},
		"cookie of another site":         {"/ws/r", []string{"Sec-Fetch-Site: cross-site", "Cookie: session=T"}, "", ""},
		"cookie of no page":              {"/ws/r", []string{"Cookie: session=T"}, "", ""},
		"cookie of no page, and a token": {"/ws/r?token=U", []string{"Cookie: session=T"}, "U", ""},
		"cookie and a token":             {"/ws/r?token=U", []string{page, "Cookie: session=T"}, "U", ""},
		"cookie twice":                   {"/ws/r", []string{page, "Cookie: session=T; session=U"}, "", ""},
		"cookie with another name":       {"/ws/r", []string{page, "Cookie: Session=T; xsession=T; sessionx=T"}, "", ""},
		"cookie without a value":         {"/ws/r", []string{page, "Cookie: session=; session"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			mu.Lock()
			got = nil
			mu.Unlock()
			c := wstest.Connect(t, addr)
			c.Send(wstest.UpgradeHead(tc.path, append(tc.lines, "X-Tenant: one", "X-Tenant: two")...))
			r, _ := c.Response()
			c.Close()
			want := http.StatusSwitchingProtocols
			if tc.token == "" {
				want = http.StatusUnauthorized
			}
			if r.StatusCode != want || r.Header.Get("Sec-WebSocket-Protocol") != tc.protocol {
				t.Fatalf("%d with subprotocol %q, want %d %q", r.StatusCode, r.Header.Get("Sec-WebSocket-Protocol"), want, tc.protocol)
			}
			mu.Lock()
			defer mu.Unlock()
			if tc.token == "" && got == nil { // Refused before anybody judged it.
				return
			}
			if got.Token != tc.token || got.Room != "r" || !got.Address.IsLoopback() {
				t.Errorf("told %+v", got)
			}
			if all := got.Header["X-Tenant"]; strings.Join(all, ",") != "one,two" {
				t.Errorf("headers %v", got.Header)
			}
			// A cookie is passed on for the same pages alone.
			isPage := strings.Contains(strings.Join(tc.lines, "\n"), "Origin: ") || strings.Contains(strings.Join(tc.lines, "\n"), "same-origin")
			if has := got.Header.Get("Cookie") != ""; has && !isPage || isPage && !has {
				t.Errorf("of a page %v, headers %v", isPage, got.Header)
			}
		})
	}
	c := wstest.Connect(t, addr)
	c.Send(wstest.UpgradeHead("/ws/r", foreign, "Cookie: session=T"))
	c.ExpectRefusal(http.StatusForbidden)
	c.Close()

	// A client's library agrees about the subprotocol, which is not the token.
	conn, _, err := websocket.Dial(t.Context(), "ws://"+addr+"/ws/r", &websocket.DialOptions{Subprotocols: []string{"bearer", "T0k.en"}})
	if err != nil || conn.Subprotocol() != "bearer" {
		t.Fatalf("%v, %v", conn, err)
	}
	conn.CloseNow()
}

// Without an authenticator nobody looks for tokens, and bearer is a subprotocol like others.
func TestTokensAreNothingWithoutAnAuthenticator(t *testing.T) {
	_, addr := startGateway(t, testConfig())
	c := wstest.Connect(t, addr)
	c.Send(wstest.UpgradeHead("/ws/r?token=a&token=b", "Authorization: Bearer c", "Sec-WebSocket-Protocol: bearer, d"))
	if r, _ := c.Response(); r.StatusCode != 101 || r.Header.Get("Sec-WebSocket-Protocol") != "" {
		t.Errorf("%d %v", r.StatusCode, r.Header)
	}
}

// A05. Cookies prove nothing where any page may use them: with any origin, or that of every
// sandboxed frame, the gateway refuses to start, whether it reads the cookie itself or has it
// judged.
func TestA05_CookiesWithAnyOriginAreRefused(t *testing.T) {
	plain, cookies := named(), named()
	cookies.headers = []string{"Authorization", "cOOKIE"}
	for _, tc := range []struct {
		auth    Authenticator
		cookie  string
		origins []string
		isFine  bool
	}{
		{plain, "session", []string{"*"}, false},
		{plain, "session", []string{"https://a.example", "null"}, false},
		{plain, "session", []string{"https://a.example", "https://*.b.example"}, true},
		{plain, "session", nil, true},
		{plain, "", []string{"*"}, true},
		{cookies, "", []string{"*"}, false},
		{cookies, "", []string{"null"}, false},
		{cookies, "", []string{"https://a.example"}, true},
		{nil, "session", nil, false},
		{plain, "no cookie", nil, false},
		{plain, "a=b", nil, false},
	} {
		o := Options{Auth: tc.auth, AuthCookie: tc.cookie, AllowOrigin: tc.origins}
		if err := o.Validate(); (err == nil) != tc.isFine {
			t.Errorf("cookie %q, origins %v: %v", tc.cookie, tc.origins, err)
		}
	}
}
