package admin

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"sluice/internal/browsertest"
	"sluice/internal/gatewaytest"
	"sluice/internal/wstest"
)

// tab is the live page in a browser.
type tab struct {
	t      *testing.T
	ctx    context.Context
	errors func() []string
}

func (v tab) do(steps ...chromedp.Action[chromedp.Void]) {
	v.t.Helper()
	browsertest.Do(v.t, v.ctx, steps...)
}

func (v tab) is(condition string) bool {
	v.t.Helper()
	return browsertest.Evaluate[bool](v.t, v.ctx, condition)
}

// until waits for a condition.
func (v tab) until(condition string) {
	v.t.Helper()
	if !browsertest.Until(v.t, v.ctx, condition) {
		v.t.Fatalf("never became true: %s", condition)
	}
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

// In a browser: the login, figures of clients that talk and of one that does not read, on a desk
// and on a phone, by day and by night.
func TestLivePageInABrowser(t *testing.T) {
	t.Parallel()
	tail := NewTail(slog.NewTextHandler(io.Discard, nil))
	o := gatewaytest.Options()
	o.DrainDelay = time.Hour
	o.Nodes = &neighbours{}
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
		`[...document.querySelectorAll("table, ol, ul")].every((e) => e.ariaLabel !== null)`, // For who hears the page.
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
			// More than a few lines are single letters, one below the other.
			`[...document.querySelectorAll("#nodes td")].every((e) => e.getBoundingClientRect().height < 72)`,
			`[...document.querySelectorAll("#rooms td:first-child")].every((e) => e.getBoundingClientRect().height < (e.textContent.length > 100 ? 140 : 40))`,
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
