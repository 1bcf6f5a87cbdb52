package conformance

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"sluice/gateway"
	"sluice/internal/browsertest"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// ask sends a request and returns the answer's head. If it is a stream, that is left.
func askAs(t *testing.T, addr, method, path string, lines ...string) *http.Response {
	t.Helper()
	c := wstest.Connect(t, addr)
	defer c.Close()
	c.Send(wstest.RequestHead(method+" "+path+" HTTP/1.1", append([]string{"Host: sluice.test"}, lines...)...))
	r, err := http.ReadResponse(c.In, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Which pages may read events, and what they are told. A page of another origin may only if it is
// listed; cookies are for those that are listed by name. Without an Origin Sec-Fetch-Site decides,
// and the host has to be ours.
func TestEventsOfOtherOrigins(t *testing.T) {
	const page = "https://page.example"
	for _, tc := range []struct {
		name   string
		allow  string
		lines  []string
		status int
		origin string // Access-Control-Allow-Origin
		creds  string
	}{
		{"no browser", "", nil, 200, "", ""},
		{"own page with Origin", "", []string{"Origin: http://sluice.test"}, 200, "", ""},
		{"own page without", "", []string{"Sec-Fetch-Site: same-origin"}, 200, "", ""},
		{"typed", "", []string{"Sec-Fetch-Site: none"}, 200, "", ""},
		{"an image of another page", "", []string{"Sec-Fetch-Site: cross-site"}, 403, "", ""},
		{"… of a sister's page", "", []string{"Sec-Fetch-Site: same-site"}, 403, "", ""},
		{"… though any may connect", "*", []string{"Sec-Fetch-Site: cross-site"}, 403, "", ""},
		{"another page", "", []string{"Origin: " + page, "Sec-Fetch-Site: cross-site"}, 403, "", ""},
		{"a listed page", page, []string{"Origin: " + page, "Sec-Fetch-Site: cross-site"}, 200, page, "true"},
		{"listed by its domain", "https://*.page.example", []string{"Origin: https://a.page.example"}, 200, "https://a.page.example", "true"},
		{"not the listed one", page, []string{"Origin: https://other.example"}, 403, "", ""},
		{"any", "*", []string{"Origin: " + page}, 200, "*", ""},
		{"any, of no origin", "*", []string{"Origin: null"}, 200, "*", ""},
		{"no origin", "null", []string{"Origin: null"}, 200, "null", ""},
		{"no origin, not listed", page, []string{"Origin: null"}, 403, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := gatewaytest.Options()
			if tc.allow != "" {
				o.AllowOrigin = []string{tc.allow}
			}
			_, addr := gatewaytest.Start(t, o)
			for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
				status := tc.status
				if status == 200 && method == "OPTIONS" {
					status = 204
				}
				r := askAs(t, addr, method, "/sse/a", append(tc.lines, "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization")...)
				origin, creds := r.Header.Get("Access-Control-Allow-Origin"), r.Header.Get("Access-Control-Allow-Credentials")
				if r.StatusCode != status || origin != tc.origin || creds != tc.creds {
					t.Errorf("%s: %s, origin %q, credentials %q", method, r.Status, origin, creds)
				}
				if asked := r.Header.Get("Access-Control-Allow-Headers"); (method == "OPTIONS" && origin != "") != strings.Contains(asked, "Authorization") {
					t.Errorf("%s: headers %q", method, asked)
				}
			}
		})
	}
}

// A name of a stranger's that leads here is not this server's, whatever the browser says of the
// page.
func TestEventsUnderAForeignHost(t *testing.T) {
	o := gatewaytest.Options()
	o.AllowHost = nil
	_, addr := gatewaytest.Start(t, o)
	for _, lines := range [][]string{nil, {"Sec-Fetch-Site: same-origin"}, {"Origin: http://sluice.test"}} {
		if r := askAs(t, addr, "GET", "/sse/a", lines...); r.StatusCode != http.StatusForbidden {
			t.Errorf("%q: %s", lines, r.Status)
		}
	}
}

// A token comes as for WebSockets; a listed page can read why it was refused.
func TestEventsForWhoHasAToken(t *testing.T) {
	o := gatewaytest.Options()
	o.Auth, o.AuthCookie = knows{"good"}, "session"
	o.AllowOrigin = []string{"https://page.example"}
	_, addr := gatewaytest.Start(t, o)
	for _, tc := range []struct {
		path   string
		lines  []string
		status int
	}{
		{"/sse/a", nil, 401},
		{"/sse/a?token=bad", nil, 401},
		{"/sse/a?token=good", nil, 200},
		{"/sse/a", []string{"Authorization: Bearer good"}, 200},
		{"/sse/a?token=other", []string{"Authorization: Bearer good"}, 401},
		{"/sse/a", []string{"Cookie: session=good"}, 401},
		{"/sse/a", []string{"Cookie: session=good", "Sec-Fetch-Site: same-origin"}, 200},
		{"/sse/a", []string{"Cookie: session=good", "Origin: https://page.example"}, 200},
		{"/sse/a", []string{"Cookie: session=bad", "Origin: https://page.example"}, 401},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			r := askAs(t, addr, method, tc.path, tc.lines...)
			isListed := strings.Contains(strings.Join(tc.lines, " "), "page.example")
			if r.StatusCode != tc.status || isListed != (r.Header.Get("Access-Control-Allow-Origin") != "") {
				t.Errorf("%s %s %q: %s %v", method, tc.path, tc.lines, r.Status, r.Header)
			}
		}
	}
}

// Chromium's EventSource reads its own server's rooms, those of one that lists its page's origin,
// with cookies if it is listed by name, and nobody else's; an image cannot read them either.
func TestBrowserReadsEvents(t *testing.T) {
	testenv.LeaveToCI(t, "a browser takes more than a second")
	browser := browsertest.Start(t)
	o := gatewaytest.Options()
	o.Pages = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { // The demo page may ask nobody else.
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><title>reads</title>")
	})
	own, ownAddr := gatewaytest.Start(t, o)
	o.AllowOrigin = []string{"http://" + ownAddr}
	listing, listingAddr := gatewaytest.Start(t, o)
	o.AllowOrigin = []string{"*"}
	open, openAddr := gatewaytest.Start(t, o)
	_, closedAddr := gatewaytest.Start(t, gatewaytest.Options())
	p := page{t: t, ctx: browsertest.NewTab(t, browser)}
	p.do(chromedp.Navigate("http://" + ownAddr + "/"))
	p.until(`{
		window.came = {}
		window.read = (name, host, options) => {
			const events = new EventSource("http://" + host + "/sse/" + name, options)
			came[name] = ""
			events.onopen = () => { came[name] += "open" }
			events.onmessage = (event) => { came[name] += " " + JSON.stringify(event.data) + event.lastEventId }
			events.addEventListener("binary", (event) => { came[name] += " " + [...atob(event.data)].map((c) => c.charCodeAt(0)) })
			events.onerror = () => { if (events.readyState === EventSource.CLOSED) came[name] += "refused" }
		}
		read("own", "` + ownAddr + `")
		read("listed", "` + listingAddr + `")
		read("cookies", "` + listingAddr + `", {withCredentials: true})
		read("any", "` + openAddr + `")
		read("any-cookies", "` + openAddr + `", {withCredentials: true})
		read("foreign", "` + closedAddr + `")
		const image = new Image()
		image.onerror = () => { came.image = "failed" }
		image.src = "http://` + openAddr + `/sse/image"
		true
	}`)
	p.until(`came.own === "open" && came.listed === "open" && came.cookies === "open" && came.any === "open"`)
	p.until(`came["any-cookies"] === "refused" && came.foreign === "refused" && came.image === "failed"`)
	for room, s := range map[string]*gateway.Server{"own": own, "listed": listing, "cookies": listing, "any": open} {
		for _, m := range []gateway.Message{{Data: []byte("two\nlines \u2028 ä\n")}, {Data: []byte{0, 255, 10}, IsBinary: true}} {
			if n, err := s.Publish(room, m); n != 1 || err != nil {
				t.Fatalf("%s: %d, %v", room, n, err)
			}
		}
		p.until(`came["` + room + `"] === "open " + JSON.stringify("two\nlines \u2028 ä\n") + " 0,255,10"`)
	}
}
