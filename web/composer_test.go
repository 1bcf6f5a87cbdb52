package web

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"sluice/internal/browsertest"
)

// Relatives: lines that are pasted and lines that are typed, blanks at a line's beginning, a word
// that ends a text too long by one; names and rooms that are too long, which were cut silently,
// too.
func TestN64_LinesAreKept(t *testing.T) {
	t.Parallel()
	_, url := newGateway(t)
	browser := browsertest.Start(t)
	a := visit(t, browser, url)
	b := visit(t, browsertest.NewTab(t, browser), url)
	const text = "for a {\n\tb()\n\n}"
	a.paste("#text", text)
	a.say("")
	for _, v := range []tab{a, b} {
		v.hears(text)
		if !evaluate[bool](v, `document.querySelector(".scroll:not([hidden]) .log li.msg .text").getBoundingClientRect().height > 80`) {
			t.Error("four lines are not shown as four")
		}
	}
	a.do(chromedp.Focus(chromedp.CSS("#text")))
	a.do(chromedp.KeyEvent("one"), chromedp.KeyEvent("\r", chromedp.KeyModifiers(chromedp.ModifierShift)), chromedp.KeyEvent("two"), chromedp.KeyEvent("\r"))
	b.hears("one\ntwo")
	if left := evaluate[string](a, `document.getElementById("text").value`); left != "" {
		t.Errorf("left in the input: %q", left)
	}
	a.wantNoErrors()
	b.wantNoErrors()
}

func TestN64_TooLongATextIsSaidAndNotCut(t *testing.T) {
	t.Parallel()
	_, url := newGateway(t)
	v := visit(t, browsertest.Start(t), url)
	long := strings.Repeat("x", 2001)
	v.paste("#text", long)
	v.until(`document.getElementById("hint").textContent.startsWith("1 character too many")`)
	v.say("")
	v.until(`document.getElementById("hint").textContent.startsWith("Not sent, 1 character too many")`)
	if n := evaluate[int](v, `document.getElementById("text").value.length`); n != 2001 {
		t.Errorf("%d characters are left of 2001", n)
	}
	if n := evaluate[int](v, `document.querySelectorAll(".scroll:not([hidden]) .log li.msg").length`); n != 0 {
		t.Error("it was sent")
	}
	v.do(chromedp.KeyEvent("\b"))
	v.until(`document.getElementById("hint").textContent.startsWith("Everyone")`)
	v.say("")
	v.hears(long[:2000])

	name := evaluate[string](v, `document.getElementById("name").value`)
	v.paste("#name", strings.Repeat("n", 33))
	v.until(`document.getElementById("name").validationMessage.startsWith("1 character too many")`)
	v.do(chromedp.KeyEvent("\r"))
	v.paste("#room", strings.Repeat("r", 129))
	v.until(`document.getElementById("room").validationMessage.includes("1 to 128")`)
	v.do(chromedp.KeyEvent("\r"))
	v.say("still here")
	v.hears("still here")
	if got := evaluate[string](v, `[...document.querySelectorAll(".scroll:not([hidden]) .log .who")].at(-1).textContent`); got != name {
		t.Errorf("sent as %q, want still %q", got, name)
	}
	if room := evaluate[string](v, `location.hash`); room != "#lobby" {
		t.Errorf("went to %s", room)
	}
	v.wantNoErrors()
}

// Somebody who writes from the right to the left sees it so while writing, as everybody does
// afterwards.
func TestTextOfTheRightIsWrittenFromTheRight(t *testing.T) {
	t.Parallel()
	_, url := newGateway(t)
	v := visit(t, browsertest.Start(t), url)
	direction := func(element string) string {
		t.Helper()
		return evaluate[string](v, fmt.Sprintf(`getComputedStyle(document.querySelector(%q)).direction`, element))
	}
	v.paste("#name", "דנה")
	v.paste("#text", "שלום, world")
	for _, element := range []string{"#name", "#text"} {
		if got := direction(element); got != "rtl" {
			t.Errorf("in %s it is written %s", element, got)
		}
	}
	v.say("")
	v.hears("שלום, world")
	if got := direction(".scroll:not([hidden]) .log li.msg .text"); got != "rtl" {
		t.Errorf("the message is shown %s", got)
	}
	v.paste("#text", "from the left")
	if got := direction("#text"); got != "ltr" {
		t.Errorf("text of the left is written %s", got)
	}
	v.wantNoErrors()
}

// paste puts a text into an input as the clipboard does, instead of what it holds.
func (v tab) paste(input, text string) {
	v.t.Helper()
	v.do(chromedp.Focus(chromedp.CSS(input)))
	evaluate[bool](v, fmt.Sprintf(`document.activeElement.select() ?? document.execCommand("insertText", false, %q)`, text))
}
