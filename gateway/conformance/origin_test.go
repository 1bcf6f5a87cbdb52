package conformance

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"

	"sluice/gateway"
	"sluice/internal/browsertest"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// upgradeFrom is an opening handshake of a page, under a host name.
func upgradeFrom(origin, host string) []byte {
	head := wstest.UpgradeHead("/ws", "Origin: "+origin)
	return []byte(strings.Replace(string(head), "Host: sluice.test", "Host: "+host, 1))
}

// ask sends a request on a connection of its own.
func ask(t *testing.T, addr string, head []byte) (status int, body string) {
	t.Helper()
	c := wstest.Connect(t, addr)
	defer c.Close()
	c.Send(head)
	r, body := c.Response()
	return r.StatusCode, body
}

// startAs runs a gateway on loopback with these own hosts.
func startAs(t *testing.T, hosts ...string) (s *gateway.Server, addr, port string) {
	t.Helper()
	o := gatewaytest.Options()
	o.AllowHost = hosts
	s, addr = gatewaytest.Start(t, o)
	return s, addr, addr[strings.LastIndexByte(addr, ':'):]
}

// N74: evil.example is led to 127.0.0.1 after its page was loaded. Its WebSocket and its requests
// then come to a gateway that only this machine can reach, with the page's own name in Origin and
// Host. Relatives: names that begin like an address or localhost, numbers that are addresses to
// some resolvers, trailing dots, upper case, another port, the page itself by every method and
// path, absolute targets, HTTP/1.0 without a Host, and whoever sends no Origin: proxies' clients
// and health checks, which stay as they were.
func TestN74_LoopbackGatewayIsNobodyElsesHost(t *testing.T) {
	s, addr, port := startAs(t)
	for host, isOwn := range map[string]bool{
		"127.0.0.1" + port:              true,
		"localhost" + port:              true,
		"LocalHost" + port:              true,
		"localhost." + port:             true,
		"localhost:1234":                true, // through a tunnel
		"127.0.0.2:1234":                true,
		"[::1]" + port:                  true,
		"0.0.0.0" + port:                true,
		"evil.example" + port:           false,
		"evil.example":                  false,
		"EVIL.EXAMPLE." + port:          false,
		"localhost.evil.example" + port: false,
		"127.0.0.1.evil.example" + port: false,
		"2130706433" + port:             false, // no browser says so, a name it may be
		"0x7f.1" + port:                 false,
	} {
		for _, scheme := range []string{"http://", "https://"} {
			status, body := ask(t, addr, upgradeFrom(scheme+host, host))
			isHinted := status == http.StatusForbidden && strings.Contains(body, "--allow-host") && strings.Count(body, "\n") == 1
			if isOwn != (status == http.StatusSwitchingProtocols) || !isOwn && !isHinted {
				t.Errorf("a page of %s%s: %d %q", scheme, host, status, body)
			}
		}
		for _, line := range []string{
			"GET / HTTP/1.1", "HEAD / HTTP/1.1", "GET /page.js HTTP/1.1", "GET /nothing HTTP/1.1", "POST / HTTP/1.1", "OPTIONS / HTTP/1.1", "GET http://" + host + "/ HTTP/1.1",
		} {
			c := wstest.Connect(t, addr)
			c.Send(wstest.RequestHead(line, "Host: "+host))
			method, _, _ := strings.Cut(line, " ")
			if r, body := c.ResponseTo(method); isOwn == (r.StatusCode == http.StatusForbidden) || !isOwn && method != "HEAD" && !strings.Contains(body, "--allow-host") {
				t.Errorf("%s for %s: %s %q", line, host, r.Status, body)
			}
			c.Close()
		}
	}
	before := testenv.StatsOf(t, s)
	evil := "evil.example" + port
	for name, head := range map[string][]byte{
		"no origin":            wstest.UpgradeHead("/ws"), // Host: sluice.test
		"health":               wstest.PlainGet("/livez"),
		"health by a balancer": wstest.RequestHead("GET /livez HTTP/1.0"),
		"page by HTTP/1.0":     wstest.RequestHead("GET / HTTP/1.0"), // No browser.
	} {
		if status, body := ask(t, addr, head); status >= 400 {
			t.Errorf("%s: %d %q", name, status, body)
		}
	}
	for name, head := range map[string][]byte{
		"absolute":       upgradeWith("GET http://"+evil+"/ws HTTP/1.1", "127.0.0.1"+port, "http://"+evil),
		"behind a page":  upgradeFrom("http://"+evil, evil),
		"other origin":   upgradeFrom("http://other.example", evil),
		"null":           upgradeFrom("null", evil),
		"our own origin": upgradeFrom("http://localhost"+port, evil),
	} {
		c := wstest.Connect(t, addr)
		if name == "behind a page" { // On a connection that net/http had.
			c.Send(wstest.PlainGet("/livez"))
			c.Response()
		}
		c.Send(head)
		if r, body := c.Response(); r.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s %q", name, r.Status, body)
		}
		c.Close()
	}
	after := testenv.StatsOf(t, s)
	if n := after.Upgrades - before.Upgrades; n != 1 {
		t.Errorf("%d upgrades, want that without an origin", n)
	}
}

// N74: a browser that has a stranger's name lead to 127.0.0.1. Whatever is in its tab now, the
// gateway's refusal here, has that name's origin and may run scripts: its requests and its
// WebSocket come to nothing. With the name allowed the page works.
func TestN74_BrowserWhoseNameWasRebound(t *testing.T) {
	t.Parallel()
	browser := browsertest.Start(t)
	for _, hosts := range [][]string{nil, {browsertest.ReboundName}} {
		_, _, port := startAs(t, hosts...)
		url := "http://" + browsertest.ReboundName + port + "/"
		tab := browsertest.NewTab(t, browser)
		if hosts != nil {
			openPage(t, tab, url) // It waits until its WebSocket is open.
			continue
		}
		p := page{t, tab, nil}
		p.do(chromedp.Navigate(url))
		p.until(`document.body.innerText.includes("--allow-host")`)
		p.do(chromedp.Evaluate[chromedp.Void](`{
			window.became = [];
			const s = new WebSocket("ws://" + location.host + "/ws");
			s.onopen = () => became.push("open");
			s.onerror = () => became.push("refused");
			fetch("/").then((r) => became.push(r.status));
			fetch("/nothing", { method: "POST", body: "x" }).then((r) => became.push(r.status));
		}`))
		p.until(`became.length === 3 && became.map(String).sort().join() === "403,403,refused"`)
	}
}

func upgradeWith(line, host, origin string) []byte {
	_, headers, _ := strings.Cut(string(upgradeFrom(origin, host)), "\r\n")
	return []byte(line + "\r\n" + headers)
}

// N74: what --allow-host adds is the gateway's own, and with "*" all is as it was.
func TestN74_AllowedHostsAreOwn(t *testing.T) {
	_, addr, port := startAs(t, "app.example.com", "*.apps.example.com")
	_, anyAddr, _ := startAs(t, "*")
	for host, isOwn := range map[string]bool{
		"app.example.com": true, "App.Example.com." + port: true, "x.apps.example.com:443": true, "localhost" + port: true,
		"apps.example.com": false, "app.example.com.evil": false, "evil.example" + port: false,
	} {
		page := wstest.RequestHead("GET / HTTP/1.1", "Host: "+host)
		for _, head := range [][]byte{upgradeFrom("https://"+strings.TrimSuffix(host, ":443"), host), page} {
			if status, body := ask(t, addr, head); isOwn != (status < 400) {
				t.Errorf("%s: %d %q", host, status, body)
			}
			if status, body := ask(t, anyAddr, head); status >= 400 {
				t.Errorf("with any host: %s: %d %q", host, status, body)
			}
		}
	}
}

// N06: a person who is refused reads what was compared and which flag it is about.
func TestN06_RefusedOriginSaysWhatDiffersAndWhichFlag(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	for name, head := range map[string][]byte{
		"behind nginx without Host": upgradeFrom("https://app.example.com", "127.0.0.1:8080"),
		"a dev server":              upgradeFrom("http://localhost:3000", "localhost:8080"),
		"null":                      upgradeFrom("null", "localhost:8080"),
		"nonsense":                  upgradeFrom("nonsense", "localhost:8080"),
		"empty":                     upgradeFrom("", "localhost:8080"),
	} {
		status, body := ask(t, addr, head)
		if status != http.StatusForbidden || strings.Count(body, "\n") != 1 {
			t.Errorf("%s: %d %q", name, status, body)
		}
		for _, want := range []string{"origin", "host", "differs", "--allow-origin", "proxy"} {
			if !strings.Contains(body, want) {
				t.Errorf("%s: no word of %s in %q", name, want, body)
			}
		}
	}
}

// N07, N08, N09: what is allowed gets in, by two independent clients, and what is not gets none of
// them in.
func TestN07_N08_N09_OriginsInAHandshake(t *testing.T) {
	for _, tc := range []struct {
		allow  string
		origin string
		host   string // empty: the address
		isIn   bool
	}{
		{"file://", "file://", "", true},
		{"file://", "null", "", false},
		{"capacitor://localhost", "capacitor://localhost", "", true},
		{"capacitor://localhost", "http://localhost", "", false},
		{"chrome-extension://mhjfbmdgcfjbbpaeojofohoefgiehjai", "chrome-extension://mhjfbmdgcfjbbpaeojofohoefgiehjai", "", true},
		{"chrome-extension://mhjfbmdgcfjbbpaeojofohoefgiehjai", "chrome-extension://mhjfbmdgcfjbbpaeojofohoefgiehjaj", "", false},
		{"tauri://localhost", "tauri://localhost", "", true},
		{"null", "null", "", true},
		{"null", "file://", "", false},
		{"https://*.example.com", "https://a.example.com", "", true},
		{"https://*.example.com", "https://a.b.example.com", "", true},
		{"https://*.example.com", "https://example.com", "", false},
		{"https://*.example.com", "https://evilexample.com", "", false},
		{"https://*.example.com", "https://a.example.com.evil", "", false},
		{"https://*.example.com", "http://a.example.com", "", false},
		{"http://else.where", "https://sluice.test", "sluice.test:80", true},
		{"http://else.where", "wss://sluice.test", "sluice.test:443", true},
		{"http://else.where", "https://sluice.test", "sluice.test:", true},
		{"http://else.where", "https://sluice.test", "sluice.test:8080", false},
	} {
		o := gatewaytest.Options()
		o.AllowOrigin = []string{tc.allow}
		_, addr := gatewaytest.Start(t, o)
		ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
		header := http.Header{"Origin": {tc.origin}}
		c, r, err := websocket.Dial(ctx, "ws://"+addr+"/ws", &websocket.DialOptions{HTTPHeader: header, Host: tc.host})
		if tc.isIn != (err == nil) || err != nil && (r == nil || r.StatusCode != http.StatusForbidden) {
			t.Errorf("allowed %s, origin %s: %v", tc.allow, tc.origin, err)
		}
		if err == nil {
			c.CloseNow()
		}
		if tc.host != "" {
			header.Set("Host", tc.host)
		}
		g, r, err := gorilla.DefaultDialer.DialContext(ctx, "ws://"+addr+"/ws", header)
		if tc.isIn != (err == nil) || err != nil && (r == nil || r.StatusCode != http.StatusForbidden) {
			t.Errorf("allowed %s, origin %s: gorilla: %v", tc.allow, tc.origin, err)
		}
		if err == nil {
			g.Close()
		}
		cancel()
	}
}

// N05: the first of the client's that is listed, whatever else is offered. Without a list none is
// answered, and clients that asked for one give up.
func TestN05_FirstOfferedSubprotocolThatIsListedIsAnswered(t *testing.T) {
	o := gatewaytest.Options()
	o.Subprotocols = []string{"mqtt", "bearer", "v2.chat.example.com"}
	_, addr := gatewaytest.Start(t, o)
	_, plain := gatewaytest.Start(t, gatewaytest.Options())
	for _, tc := range []struct {
		offered []string
		want    string
	}{
		{[]string{"mqtt"}, "mqtt"},
		{[]string{"bearer", "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl"}, "bearer"},
		{[]string{"v3.chat.example.com", "v2.chat.example.com", "mqtt"}, "v2.chat.example.com"}, // the client's order
		{[]string{"MQTT"}, ""}, // names are compared exactly
		{[]string{"mqttx", "xmqtt", "mqt"}, ""},
		{nil, ""},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
		c, _, err := websocket.Dial(ctx, "ws://"+addr+"/ws", &websocket.DialOptions{Subprotocols: tc.offered})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Subprotocol(); got != tc.want {
			t.Errorf("offered %q: %q", tc.offered, got)
		}
		if err := c.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		wstest.ExpectText(t, c, "hello")
		c.CloseNow()
		dialer := gorilla.Dialer{Subprotocols: tc.offered}
		g, _, err := dialer.DialContext(ctx, "ws://"+addr+"/ws", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := g.Subprotocol(); got != tc.want {
			t.Errorf("offered %q: gorilla has %q", tc.offered, got)
		}
		g.Close()
		c, r, err := websocket.Dial(ctx, "ws://"+plain+"/ws", &websocket.DialOptions{Subprotocols: tc.offered})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Header.Values("Sec-WebSocket-Protocol"); got != nil {
			t.Errorf("without a list: offered %q: %q", tc.offered, got)
		}
		c.CloseNow()
		cancel()
	}
	for _, lines := range [][]string{
		{"Sec-WebSocket-Protocol: nothing", "Sec-WebSocket-Protocol: mqtt"},
		{"sec-websocket-protocol: ,, \t,mqtt,mqtt"},
	} {
		c := wstest.Connect(t, addr)
		c.Send(wstest.UpgradeHead("/ws", lines...))
		if r, _ := c.Response(); r.StatusCode != http.StatusSwitchingProtocols || strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), "|") != "mqtt" {
			t.Errorf("%q: %s %v", lines, r.Status, r.Header)
		}
	}
}

// N05: a browser keeps the connection only if one of its own was answered (WHATWG WebSockets §3,
// "establish a WebSocket connection").
func TestN05_BrowserThatOffersSubprotocolsConnects(t *testing.T) {
	t.Parallel()
	tab := browsertest.NewTab(t, browsertest.Start(t))
	for _, tc := range []struct {
		listed []string
		want   string
	}{
		{[]string{"bearer"}, "open bearer"},
		{nil, "error"},
	} {
		o := gatewaytest.Options()
		o.Subprotocols = tc.listed
		_, addr := gatewaytest.Start(t, o)
		p := openPage(t, tab, "http://"+addr+"/")
		p.do(chromedp.Evaluate[chromedp.Void](`{
			const s = new WebSocket("ws://" + location.host + "/ws", ["bearer", "token"]);
			s.onopen = () => window.became = "open " + s.protocol;
			s.onerror = () => window.became = "error";
		}`))
		p.until(`window.became === "` + tc.want + `"`)
	}
}

// N50: the answer says what a name is, and what it says is so: the characters and the length, and
// no others.
func TestN50_RefusedRoomNameSaysWhatIsAllowed(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	join := func(name string) (int, string) {
		return ask(t, addr, wstest.UpgradeHead("/ws/"+url.PathEscape(name)))
	}
	_, body := join("not a room")
	_, said, _ := strings.Cut(body, "/ws/ and 1 to 128 of ")
	said, rest, _ := strings.Cut(said, " and not ")
	if !strings.Contains(body, "not a room name") || !strings.HasPrefix(rest, ". or .. alone") || strings.Count(body, "\n") != 1 {
		t.Fatalf("the answer is %q", body)
	}
	allowed := map[rune]bool{}
	for _, part := range strings.Fields(said) {
		if from, to, isRange := strings.Cut(part, "-"); isRange && from != "" {
			for c := from[0]; c <= to[0]; c++ {
				allowed[rune(c)] = true
			}
			continue
		}
		allowed[rune(part[0])] = true
	}
	for c := rune(0x20); c < 0x180; c++ {
		name := "a" + string(c) + "a" // At the end a slash would be none of the name (N12).
		if status, body := join(name); (status == http.StatusSwitchingProtocols) != allowed[c] {
			t.Errorf("room %q: %d %q", name, status, body)
		}
	}
	for name, isRoom := range map[string]bool{
		strings.Repeat("r", 128): true, strings.Repeat("r", 129): false, ".": false, "..": false, "...": true, "a.": true, "a/b": false,
	} {
		status, body := join(name)
		if (status == http.StatusSwitchingProtocols) != isRoom || !isRoom && !strings.Contains(body, "1 to 128 of") {
			t.Errorf("room %q: %d %q", name, status, body)
		}
	}
}
