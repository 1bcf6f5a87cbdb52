package web

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"

	"sluice/internal/browsertest"
	"sluice/internal/testenv"
)

// tab is one visitor of the page.
type tab struct {
	t      *testing.T
	ctx    context.Context
	errors func() []string
}

// visit opens the page in a tab and waits for its connection. Whatever the page complains about
// fails the test at its end.
func visit(t *testing.T, ctx context.Context, url string) tab {
	t.Helper()
	v := tab{t, ctx, browsertest.ConsoleErrors(t, ctx)}
	v.do(chromedp.Navigate(url))
	v.until(`document.body.dataset.state === "open"`)
	return v
}

func (v tab) do(steps ...chromedp.Action[chromedp.Void]) {
	v.t.Helper()
	browsertest.Do(v.t, v.ctx, steps...)
}

// evaluate runs an expression in the page.
func evaluate[T any](v tab, expression string, how ...chromedp.EvaluateOption) T {
	v.t.Helper()
	return browsertest.Evaluate[T](v.t, v.ctx, expression, how...)
}

// until waits for a condition in the page.
func (v tab) until(condition string) {
	v.t.Helper()
	if !browsertest.Until(v.t, v.ctx, condition) {
		v.t.Fatalf("never became true: %s\nstate %s, log:\n%s", condition,
			evaluate[string](v, `document.body.dataset.state`), evaluate[string](v, `document.querySelector(".scroll:not([hidden]) .log").innerText`))
	}
}

// say writes into the page's input as a user does and waits for nothing.
func (v tab) say(text string) {
	v.t.Helper()
	v.do(chromedp.SendKeys(chromedp.CSS("#text"), text+"\n"))
}

// fill replaces what an input holds. A "\n" is the Enter key.
func (v tab) fill(input, text string) {
	v.t.Helper()
	evaluate[string](v, fmt.Sprintf(`document.querySelector(%q).value = ""`, input))
	v.do(chromedp.SendKeys(chromedp.CSS(input), text))
}

// hears waits until the text of some message is exactly this.
func (v tab) hears(text string) {
	v.t.Helper()
	v.until(fmt.Sprintf(`[...document.querySelectorAll(".scroll:not([hidden]) .log li.msg .text")].some((p) => p.textContent === %q)`, text))
}

// readAll scrolls through the whole list, from its beginning, and leaves what it read on the way in
// document.read: of each message {who, you, text}, in order.
func (v tab) readAll() {
	v.t.Helper()
	v.do(chromedp.EmulateViewport(1280, 3000)) // fewer steps
	evaluate[bool](v, `(async () => {
		const log = document.querySelector(".scroll:not([hidden]) .log");
		const frames = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
		const met = new WeakSet();
		const isInView = (e) => {
			const {top, bottom} = e.getBoundingClientRect(), view = log.getBoundingClientRect();
			return bottom > view.top && top < view.bottom;
		};
		// The list fills what comes within a screen of the view when the browser has told it, and
		// is moved by that; it follows its end until it has heard of the scrolling, and a higher
		// window is a reason to go there.
		const settle = async () => {
			for (let was = -1; ; await frames()) {
				const now = log.scrollTop + log.scrollHeight;
				if (now === was && [...log.querySelectorAll("ol")].every((box) => box.childElementCount > 0 || !isInView(box))) return;
				was = now;
			}
		};
		document.read = [];
		document.drawnMax = 0;
		do {
			log.scrollTop = 0;
			await settle();
		} while (log.scrollTop > 0);
		for (let end = false; !end; log.scrollTop += 0.9 * log.clientHeight) {
			await settle();
			const drawn = [...log.querySelectorAll("li.msg")];
			document.drawnMax = Math.max(document.drawnMax, drawn.length);
			for (const li of drawn.filter(isInView)) {
				if (met.has(li)) continue;
				met.add(li);
				document.read.push({
					who: li.querySelector(".who").textContent,
					you: li.dataset.own !== undefined || li.dataset.delivery !== undefined || li.querySelector(".you") !== null,
					text: li.querySelector(".text").textContent,
				});
			}
			end = log.scrollHeight - log.scrollTop - log.clientHeight < 2;
		}
		return true;
	})()`, chromedp.EvalAwaitPromise)
}

func (v tab) wantNoErrors() {
	v.t.Helper()
	if errors := v.errors(); len(errors) > 0 {
		v.t.Errorf("console errors:\n%s", strings.Join(errors, "\n"))
	}
}

func TestPageTwoTabsTalk(t *testing.T) {
	t.Parallel()
	_, url := newGateway(t)
	browser := browsertest.Start(t)
	a := visit(t, browser, url+"/#tea")
	b := visit(t, browsertest.NewTab(t, browser), url+"/#tea")
	elsewhere := visit(t, browsertest.NewTab(t, browser), url+"/#coffee")

	a.say("hello from a")
	b.hears("hello from a")
	a.until(`document.querySelector(".scroll:not([hidden]) .log li.msg[data-own]")?.dataset.delivery === "delivered"`)
	b.say("hello from b")
	a.hears("hello from b")

	if n := evaluate[int](b, `document.querySelectorAll(".scroll:not([hidden]) .log li.msg:not([data-own])").length`); n != 1 {
		t.Errorf("b shows %d messages of others, want 1", n)
	}
	if n := evaluate[int](elsewhere, `document.querySelectorAll(".scroll:not([hidden]) .log li.msg").length`); n != 0 {
		t.Errorf("the other room shows %d messages, want 0", n)
	}
	a.until(`parseFloat(document.getElementById("rtt").textContent) >= 0`)
	for _, v := range []tab{a, b, elsewhere} {
		v.wantNoErrors()
	}
}

func TestPageShowsMarkupLiterally(t *testing.T) {
	t.Parallel()
	_, url := newGateway(t)
	browser := browsertest.Start(t)
	a := visit(t, browser, url)
	b := visit(t, browsertest.NewTab(t, browser), url)
	const markup = `<img src=x onerror="window.hit=1"><script>window.hit=1</script>`
	a.fill("#name", "<b>Eve</b>\n")
	a.say(markup)
	b.hears(markup)
	if who := evaluate[string](b, `document.querySelector(".scroll:not([hidden]) .log li.msg .who").textContent`); who != "<b>Eve</b>" {
		t.Errorf("name shown as %q", who)
	}
	if evaluate[bool](b, `"hit" in window || document.querySelector(".scroll:not([hidden]) .log img, .scroll:not([hidden]) .log script, .scroll:not([hidden]) .log b") !== null`) {
		t.Error("markup from a message became part of the page")
	}
	b.wantNoErrors()
}

func TestPageShowsWhatOtherProgramsSend(t *testing.T) {
	t.Parallel()
	r, url := newGateway(t)
	v := visit(t, browsertest.Start(t), url)
	for _, text := range []string{
		"just text",
		`{"v":1}`,
		`{"v":1,"kind":"chat","id":"x","from":null,"text":"t","seq":0}`,
		`{"v":1,"kind":"chat","id":"x","from":{"id":"y","name":7},"text":{},"seq":0}`,
		`{broken`,
		"null",
	} {
		r.publish("lobby", websocket.MessageText, []byte(text))
		v.hears(text)
	}
	r.publish("lobby", websocket.MessageBinary, make([]byte, 1234))
	v.hears("binary, 1,234 bytes")
	r.publish("lobby", websocket.MessageText, nil)
	v.hears("")
	r.publish("lobby", websocket.MessageText, []byte(strings.Repeat("x", 100_000)))
	v.hears(strings.Repeat("x", 2000) + "… (100,000 characters in all)")
	r.publish("lobby", websocket.MessageText, []byte(`{"v":1,"kind":"chat","id":"x","from":{"id":"y","name":"Bob"},"text":"odd clock","seq":0,"at":1e300}`))
	v.hears("odd clock")
	v.wantNoErrors()
}

func TestPageComesBackAfterTheGatewayClosed(t *testing.T) {
	t.Parallel()
	r, url := newGateway(t)
	v := visit(t, browsertest.Start(t), url)
	v.say("before")
	v.hears("before")
	for _, code := range []websocket.StatusCode{websocket.StatusGoingAway, 3008} {
		// The explanation may be on display for a moment only: record it rather than race it.
		evaluate[bool](v, `(() => {
			const seen = [];
			new MutationObserver(() => seen.push(document.getElementById("announce").textContent))
				.observe(document.getElementById("announce"), {childList: true});
			document.seen = seen;
			return true;
		})()`)
		r.closeAll(code)
		v.until(fmt.Sprintf(`document.seen.some((s) => s.includes("%d"))`, code))
		v.until(`document.body.dataset.state === "open"`)
	}
	v.say("after")
	v.hears("after")
	v.wantNoErrors()
}

func TestPageStopsAtAFinalCloseUntilAsked(t *testing.T) {
	t.Parallel()
	r, url := newGateway(t)
	v := visit(t, browsertest.Start(t), url)
	r.closeAll(websocket.StatusPolicyViolation)
	v.until(`document.body.dataset.state === "closed"`)
	v.say("kept while closed")
	v.until(`document.getElementById("hint").textContent.includes("Not connected")`)
	if text := evaluate[string](v, `document.getElementById("text").value`); text != "kept while closed" {
		t.Errorf("input = %q: the text was lost", text)
	}
	v.do(chromedp.Click(chromedp.CSS("#retry")))
	v.until(`document.body.dataset.state === "open"`)
	v.say("")
	v.hears("kept while closed")
	v.wantNoErrors()
}

// What the page says gets lost, so its echo cannot come before the connection is cut.
func TestPageOffersToResendWhatWasNotEchoed(t *testing.T) {
	t.Parallel()
	r, url := newGateway(t)
	v := visit(t, browsertest.Start(t), url)
	r.deafen()
	v.say("lost on the way")
	v.until(`document.querySelector(".scroll:not([hidden]) .log li.msg")?.dataset.delivery === "sending"`)
	evaluate[bool](v, `document.dispatchEvent(new Event("sluice:drop"))`)
	v.until(`document.querySelector(".scroll:not([hidden]) .log li.msg")?.dataset.delivery === "failed"`)
	v.until(`document.body.dataset.state === "open"`)
	v.do(chromedp.Click(chromedp.CSS(".scroll:not([hidden]) .log .again")))
	v.until(`document.querySelector(".scroll:not([hidden]) .log li.msg")?.dataset.delivery === "delivered"`)
	if n := evaluate[int](v, `document.querySelectorAll(".scroll:not([hidden]) .log li.msg").length`); n != 1 {
		t.Errorf("%d messages shown, want the one", n)
	}
	v.wantNoErrors()
}

func TestPageBurstComesBackWholeAndInOrder(t *testing.T) {
	t.Parallel()
	_, url := newGateway(t)
	browser := browsertest.Start(t)
	a := visit(t, browser, url)
	b := visit(t, browsertest.NewTab(t, browser), url)
	a.do(chromedp.Click(chromedp.CSS("#burst")))
	a.until(`document.getElementById("burst-result").dataset.back === "1000"`)
	if got := evaluate[string](a, `document.getElementById("burst-result").textContent`); !strings.Contains(got, "all in order") {
		t.Errorf("result = %q, want it in order", got)
	}
	// In both tabs all of them can be read, and the sender knows its own. What is another's is read
	// in TestN61_AllMessagesOfAnotherClientCanBeScrolledTo, too.
	b.hears("burst message 1,000 of 1,000")
	isWhole := testenv.IsWholeSize(t)
	for i, v := range []tab{a, b} {
		if i == 0 || isWhole {
			v.readAll()
			if n := evaluate[int](v, fmt.Sprintf(`document.read.filter(({you, text}, i) =>
				you === %t && text === "burst message " + (i + 1).toLocaleString("en") + " of 1,000").length`, i == 0)); n != 1000 {
				t.Errorf("tab %d shows %d of the burst in their places", i, n)
			}
		}
		v.wantNoErrors()
	}
}

func TestPageDoesNotPullAReaderDown(t *testing.T) {
	t.Parallel()
	r, url := newGateway(t)
	v := visit(t, browsertest.Start(t), url)
	for i := range 30 {
		r.publish("lobby", websocket.MessageText, fmt.Appendf(nil, "line %d", i))
	}
	v.hears("line 29")
	evaluate[int](v, `document.querySelector(".scroll:not([hidden]) .log").scrollTop = 0`)
	v.until(`document.querySelector(".scroll:not([hidden]) .log").scrollTop === 0`)
	// The scroll event comes with the next frame, before what that frame calls.
	evaluate[bool](v, `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))`, chromedp.EvalAwaitPromise)
	r.publish("lobby", websocket.MessageText, []byte("news"))
	v.until(`!document.querySelector(".scroll:not([hidden]) .newer").hidden`)
	if top := evaluate[float64](v, `document.querySelector(".scroll:not([hidden]) .log").scrollTop`); top != 0 {
		t.Errorf("scrolled to %v while somebody was reading", top)
	}
	v.do(chromedp.Click(chromedp.CSS(".scroll:not([hidden]) .newer")))
	v.until(`document.querySelector(".scroll:not([hidden]) .newer").hidden`)
	v.wantNoErrors()
}

func TestPageRefusesIllegalRooms(t *testing.T) {
	t.Parallel()
	_, url := newGateway(t)
	v := visit(t, browsertest.Start(t), url+"/#..")
	if room := evaluate[string](v, `location.hash`); room != "#lobby" {
		t.Errorf("a bad room in the address led to %q, want #lobby", room)
	}
	for _, bad := range []string{"a b", "a/b", "..", "ä"} {
		v.fill("#room", bad+"\n")
		if room := evaluate[string](v, `location.hash`); room != "#lobby" {
			t.Errorf("room %q was joined as %q", bad, room)
		}
	}
	v.fill("#room", "a.b:c~d-e_f\n")
	v.until(`location.hash === "#a.b:c~d-e_f" && document.body.dataset.state === "open"`)
	v.wantNoErrors()
}
