package web

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"sluice/internal/browsertest"
)

// Relatives: a small phone, one that lies on its side, a keyboard that takes half of the screen;
// rooms and words that are long.
func TestN60_OnAPhoneTheConversationComesFirst(t *testing.T) {
	t.Parallel()
	_, url := newGateway(t)
	v := visit(t, browsertest.Start(t), url+"/#"+strings.Repeat("r", 128))
	long := strings.Repeat("unbreakable", 40)
	v.say(long)
	v.hears(long)
	for _, size := range []struct {
		width, height int64
		list          int // px of it at least
	}{{390, 844, 500}, {320, 568, 250}, {844, 390, 120}, {390, 420, 120}} {
		name := fmt.Sprintf("%d×%d", size.width, size.height)
		v.do(chromedp.EmulateViewport(size.width, size.height, chromedp.EmulateScale(1), chromedp.EmulateMobile, chromedp.EmulateTouch))
		v.until(fmt.Sprintf(`innerWidth === %d && innerHeight === %d`, size.width, size.height))
		check := func(when string, list int) {
			t.Helper()
			for _, want := range []string{
				`document.documentElement.scrollWidth <= innerWidth`,
				`document.documentElement.scrollHeight <= innerHeight`,
				`document.getElementById("send").getBoundingClientRect().bottom <= innerHeight`,
				`document.getElementById("text").getBoundingClientRect().width >= 150`,
				`document.querySelector(".scroll:not([hidden]) .log").getBoundingClientRect().top <= 140`,
				fmt.Sprintf(`document.querySelector(".scroll:not([hidden]) .log").clientHeight >= %d`, list),
				`(({right, bottom, width}) => width > 40 && right <= innerWidth && bottom < 100)(document.getElementById("copy").getBoundingClientRect())`,
			} {
				if !evaluate[bool](v, want) {
					t.Errorf("%s, %s: not so: %s (list: %s)", name, when, want, evaluate[string](v,
						`(({top, height}) => "from " + top + ", high " + height)(document.querySelector(".scroll:not([hidden]) .log").getBoundingClientRect())`))
				}
			}
		}
		check("at first", size.list)
		if evaluate[bool](v, `document.getElementById("rate").checkVisibility() || document.getElementById("plot").checkVisibility() || document.getElementById("burst").checkVisibility()`) {
			t.Errorf("%s: figures are shown that nobody asked for", name)
		}
		v.do(chromedp.Click(chromedp.CSS("#figures")))
		v.until(`document.getElementById("burst").checkVisibility() && document.getElementById("plot").checkVisibility()`)
		if evaluate[bool](v, `document.getElementById("live").getBoundingClientRect().top < document.getElementById("send").getBoundingClientRect().bottom`) {
			t.Errorf("%s: the figures stand above the conversation", name)
		}
		if size.height > 500 {
			check("with figures", 60)
		}
		v.do(chromedp.Click(chromedp.CSS("#figures")))
		v.until(`!document.getElementById("burst").checkVisibility()`)
	}
	v.wantNoErrors()
}

// Relatives: a page that comes by plain http from another machine has no clipboard; one that may
// not use it; a browser that copies by no way at all.
func TestN60_LinkCanBeCopied(t *testing.T) {
	t.Parallel()
	_, url := newGateway(t)
	v := visit(t, browsertest.Start(t), url+"/#tea")
	link := url + "/#tea"
	for _, tt := range []struct{ how, before, got string }{
		{
			"with a clipboard",
			`Object.defineProperty(navigator, "clipboard", {configurable: true, value: {writeText: async (text) => { document.copied = text; }}})`,
			`document.copied`,
		},
		{
			"without", `Object.defineProperty(navigator, "clipboard", {configurable: true, value: undefined});
			document.addEventListener("copy", () => { document.copied = document.activeElement.value; })`,
			`document.copied`,
		},
		{
			"with one that is forbidden",
			`Object.defineProperty(navigator, "clipboard", {configurable: true, value: {writeText: () => Promise.reject(new Error("no"))}})`,
			`document.copied`,
		},
		{"by no way", `document.execCommand = () => false`, `document.getElementById("link").checkVisibility() && document.getElementById("link").value`},
	} {
		evaluate[bool](v, fmt.Sprintf(`(() => { document.copied = ""; document.getElementById("hint").textContent = ""; %s; return true; })()`, tt.before))
		v.do(chromedp.Click(chromedp.CSS("#copy")))
		v.until(`document.getElementById("hint").textContent !== ""`)
		if got := evaluate[any](v, tt.got); got != link {
			t.Errorf("%s: %v, want %s", tt.how, got, link)
		}
	}
	v.wantNoErrors()
}
