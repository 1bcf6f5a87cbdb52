package conformance

import (
	"context"
	"flag"
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"sluice/internal/browsertest"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

var screenshot = flag.String("screenshot", "", "write a picture of the demo page to this file")

// page is the demo page in one tab of a real browser.
type page struct {
	t      *testing.T
	ctx    context.Context
	errors func() []string
}

func openPage(t *testing.T, tab context.Context, url string) page {
	t.Helper()
	p := page{t, tab, browsertest.ConsoleErrors(t, tab)}
	p.do(chromedp.EmulateViewport(1280, 800))
	p.do(chromedp.Navigate(url))
	p.until(`document.body.dataset.state === "open"`)
	return p
}

func (p page) do(step chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	browsertest.Do(p.t, p.ctx, step)
}

func (p page) until(condition string) {
	p.t.Helper()
	if !browsertest.Until(p.t, p.ctx, condition) {
		p.t.Fatalf("never became true: %s", condition)
	}
}

func (p page) say(text string) {
	p.t.Helper()
	p.do(chromedp.SendKeys(chromedp.CSS("#text"), text+"\n"))
}

func (p page) hears(text string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`[...document.querySelectorAll(".scroll:not([hidden]) .log li.msg .text")].some((e) => e.textContent === %q)`, text))
}

const returns = `[...document.querySelectorAll(".scroll:not([hidden]) .log li.notice")].filter((e) => e.innerText.includes("Reconnected")).length`

// returns is how often the page says in its log that it is back after a loss.
func (p page) returns() int {
	p.t.Helper()
	n, err := chromedp.Run(p.ctx, chromedp.Evaluate[int](returns))
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// isBack waits until the page has noticed that it lost its connection, and has another.
func (p page) isBack(before int) {
	p.t.Helper()
	p.until(fmt.Sprintf(`%s > %d && document.body.dataset.state === "open"`, returns, before))
}

func TestTwoPagesTalkThroughTheGatewayAfterALossToo(t *testing.T) {
	t.Parallel()
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	network := wstest.Dig(t, addr)
	browser := browsertest.Start(t)
	url := "http://" + network.Addr() + "/#garden"
	a := openPage(t, browser, url)
	before := a.returns()
	network.Reset() // only a is there
	a.isBack(before)
	b := openPage(t, browsertest.NewTab(t, browser), url)

	if testenv.IsWholeSize(t) || *screenshot != "" {
		b.do(chromedp.Click(chromedp.CSS("#burst")))
		b.until(`document.querySelector("#burst-result").dataset.back === "1000"`)
	}
	a.say("The seed swap is on Saturday. Who brings the beans?")
	b.hears("The seed swap is on Saturday. Who brings the beans?")
	b.say("I do, and two trays of leeks.")
	a.hears("I do, and two trays of leeks.")

	beforeA, beforeB := a.returns(), b.returns()
	network.Reset() // both
	a.isBack(beforeA)
	b.isBack(beforeB)
	b.say("Back again.")
	a.hears("Back again.")
	a.say("So am I. See you on Saturday!")
	b.hears("So am I. See you on Saturday!")

	for _, p := range []page{a, b} {
		for _, line := range p.errors() {
			// A connection that is cut is an error to Chromium's console; nothing else may be.
			if !strings.Contains(line, "WebSocket connection to") {
				t.Errorf("console: %s", line)
			}
		}
	}
	a.until(`document.getElementById("present").textContent === "2 here"`)
	if *screenshot != "" {
		picture, err := chromedp.Run(a.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(*screenshot, picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A proxy that does not pass the Host on makes the gateway take the page for a stranger's: its
// upgrade is refused, and the gateway is there all the same.
func TestN63_PageSaysThatTheGatewayRefusesIt(t *testing.T) {
	t.Parallel()
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: addr}) // and the Host is the gateway's address
	}})
	t.Cleanup(proxy.Close)
	p := page{t, browsertest.Start(t), nil}
	p.do(chromedp.Navigate(proxy.URL))
	p.until(`[...document.querySelectorAll(".scroll:not([hidden]) .log li.notice")].some((e) => e.innerText.includes("No connection: the gateway is there, but refused the WebSocket"))`)
	p.until(`document.getElementById("why").textContent.includes(location.origin)`)
}
