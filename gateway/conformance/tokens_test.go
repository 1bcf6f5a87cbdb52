package conformance

import (
	"context"
	"testing"

	"github.com/chromedp/chromedp"

	"sluice/gateway"
	"sluice/internal/browsertest"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
)

// knows lets those in who bring the token, who may read everywhere and publish in "open".
type knows struct{ token string }

func (k knows) Judge(h *gateway.Handshake) (gateway.Principal, error) {
	if h.Token != k.token {
		return gateway.Principal{}, nil
	}
	return gateway.Principal{Kind: gateway.KindToken, Grants: []gateway.Grant{
		{Rooms: []string{"*"}, May: gateway.Read}, {Rooms: []string{"open"}, May: gateway.Publish},
	}}, nil
}

func (k knows) Ask(context.Context, *gateway.Handshake) (gateway.Principal, error) {
	return gateway.Principal{}, nil
}

func (k knows) Headers() []string { return nil }

// A browser's page brings its token as a subprotocol, as a query and in the cookie of its login. The browser finds its offer answered, and
// the page hears why it is closed where it may only read. Without a token, or with another, it does not get in.
func TestBrowserBringsItsToken(t *testing.T) {
	if !testenv.IsWholeSize(t) {
		t.Skip("a browser takes more than a second")
	}
	browser := browsertest.Start(t)
	const token = "eyJ0.T0k-en_.c2ln"
	o := gatewaytest.Options()
	o.Auth, o.AuthCookie = knows{token}, "session"
	_, addr := gatewaytest.Start(t, o)
	p := page{t: t, ctx: browsertest.NewTab(t, browser)}
	p.do(chromedp.Navigate("http://" + addr + "/"))
	p.until(`{
		window.came = {}
		window.connect = (name, path, protocols) => {
			const socket = new WebSocket("ws://" + location.host + path, protocols)
			socket.onopen = () => { came[name] = "open " + socket.protocol; socket.send("hello") }
			socket.onmessage = (event) => { came[name] += " hears " + event.data; socket.close() }
			socket.onclose = (event) => { came[name] = (came[name] || "refused") + (event.code === 1006 || event.code === 1005 ? "" : " " + event.code + " " + event.reason) }
		}
		connect("nothing", "/ws/open")
		connect("offer", "/ws/open", ["bearer", "` + token + `"])
		connect("another", "/ws/open", ["bearer", "another"])
		connect("query", "/ws/open?token=` + token + `")
		connect("read-only", "/ws/news?token=` + token + `")
		true
	}`)
	p.until(`Object.keys(came).length === 5 && came["offer"].includes("hears") && came["query"].includes("hears") && came["read-only"].includes("4003")`)
	for name, want := range map[string]string{
		"nothing": "refused", "another": "refused", "offer": "open bearer hears hello", "query": "open  hears hello",
		"read-only": "open  4003 may not publish here",
	} {
		p.until(`came["` + name + `"] === "` + want + `"`)
	}
	p.until(`{ document.cookie = "session=` + token + `"; connect("cookie", "/ws/open"); true }`)
	p.until(`came["cookie"] === "open  hears hello"`)
}
