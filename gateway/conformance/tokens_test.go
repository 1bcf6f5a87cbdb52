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

// strict is knows, and lets nobody into the room "secret".
type strict struct{ knows }

func (s strict) Judge(h *gateway.Handshake) (gateway.Principal, error) {
	who, err := s.knows.Judge(h)
	for i, grant := range who.Grants {
		if grant.Rooms[0] == "*" {
			who.Grants[i].Rooms = []string{"open", "news"}
		}
	}
	return who, err
}

// The demo page where somebody has to be known: it says so, takes a token from its field or behind
// the room in the address, keeps it for its tab alone, and goes on where it may only read.
func TestPageBringsItsToken(t *testing.T) {
	testenv.LeaveToCI(t, "a browser takes more than a second")
	browser := browsertest.Start(t)
	const token = "eyJ0.T0k-en_.c2ln"
	o := gatewaytest.Options()
	o.Auth = strict{knows{token}}
	s, addr := gatewaytest.Start(t, o)
	p := page{t: t, ctx: browsertest.NewTab(t, browser)}
	open := func(hash string) {
		t.Helper()
		p.do(chromedp.Navigate("about:blank")) // Or another fragment would be no visit.
		p.do(chromedp.Navigate("http://" + addr + "/#" + hash))
	}
	enter := func(text string) {
		t.Helper()
		p.until(`document.getElementById("token").value = "", !document.getElementById("token-field").hidden`)
		p.do(chromedp.SendKeys(chromedp.CSS("#token"), text+"\n"))
	}
	isOpen := `document.body.dataset.state === "open"`
	closedFor := func(text string) {
		t.Helper()
		p.until(`document.body.dataset.state === "closed" && document.getElementById("why").textContent.includes("` + text + `")`)
	}
	isKept := func(where string) {
		t.Helper()
		p.until(where + ` && sessionStorage.getItem("sluice.token") === "` + token + `" && !location.href.includes("T0k") &&
			!JSON.stringify(localStorage).includes("T0k") && !document.cookie.includes("T0k") && !document.body.innerText.includes("T0k")`)
	}
	open("open")
	closedFor("wants a token (101")
	enter("another")
	closedFor("wants a token (101")
	enter(token)
	p.until(isOpen)
	p.say("hello")
	p.hears("hello")
	isKept(`location.hash === "#open"`)
	open("open") // As after a reload: the tab has it.
	p.until(isOpen)
	open("secret")
	p.until(`document.querySelector(".scroll:not([hidden]) .log").innerText.includes("Not in this room: this page may not be in it (103")`)

	open("news")
	p.until(`document.querySelector(".scroll:not([hidden]) .log").innerText.includes("This room is only to be read here.") && ` + isOpen)
	testenv.Eventually(t, "the reader hears what a backend says", func() bool {
		n, err := s.Publish("news", gateway.Message{Data: []byte("from a backend")})
		return err == nil && n == 1
	})
	p.hears("from a backend")
	p.say("not heard")
	p.until(`document.getElementById("hint").textContent.includes("takes no messages") && ` + isOpen)

	p = page{t: t, ctx: browsertest.NewTab(t, browser)}
	open("open&token=" + token)
	p.until(isOpen)
	isKept(`location.hash === "#open"`)
}

// A browser's page brings its token as a subprotocol, as a query and in the cookie of its login.
// The browser finds its offer answered, and the page hears why it is closed where it may only read.
// Without a token, or with another, it does not get in.
func TestBrowserBringsItsToken(t *testing.T) {
	testenv.LeaveToCI(t, "a browser takes more than a second")
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
