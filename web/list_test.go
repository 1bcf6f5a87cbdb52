package web

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"

	"sluice/internal/browsertest"
	"sluice/internal/testenv"
)

// Relatives: a burst (TestPageBurstComesBackWholeAndInOrder), lines of different heights, and more
// than the list holds, below.
func TestN61_AllMessagesOfAnotherClientCanBeScrolledTo(t *testing.T) {
	t.Parallel()
	r, url := newGateway(t)
	v := visit(t, browsertest.Start(t), url)
	for i := range 1000 {
		text := fmt.Sprint("message ", i)
		for range i % 4 {
			text += "\nof several lines"
		}
		r.publish("lobby", websocket.MessageText, []byte(text))
	}
	v.until(`[...document.querySelectorAll(".scroll:not([hidden]) .log li.msg .text")].some((p) => p.textContent.startsWith("message 999"))`)
	v.readAll()
	if n := evaluate[int](v, `document.read.filter(({text}, i) => text.split("\n")[0] === "message " + i).length`); n != 1000 {
		t.Errorf("%d of 1000 were read in their places", n)
	}
	if n := evaluate[int](v, `document.drawnMax`); n > 400 {
		t.Errorf("%d lines were drawn at a time: the list is not a virtual one", n)
	}
	v.wantNoErrors()
}

// The end is followed while thousands come, a reader at the beginning stays there, and what is gone
// is said.
func TestN61_TheListIsBounded(t *testing.T) {
	testenv.LeaveToCI(t, "10,000 lines in a browser take three seconds")
	t.Parallel()
	r, url := newGateway(t)
	v := visit(t, browsertest.Start(t), url)
	publish := func(from, to int) {
		for i := from; i < to; i++ {
			r.publish("lobby", websocket.MessageText, fmt.Appendf(nil, "line %d", i))
		}
	}
	publish(0, 10_200)
	v.hears("line 10199")
	if !evaluate[bool](v, `(({scrollHeight, scrollTop, clientHeight}) => scrollHeight - scrollTop - clientHeight < 48)(document.querySelector(".scroll:not([hidden]) .log"))`) {
		t.Error("the list does not follow the newest line")
	}
	if n := evaluate[int](v, `document.querySelectorAll(".scroll:not([hidden]) .log li").length`); n > 300 {
		t.Errorf("%d lines are drawn", n)
	}
	evaluate[int](v, `document.querySelector(".scroll:not([hidden]) .log").scrollTop = 0`)
	v.until(`document.querySelector(".scroll:not([hidden]) .log > .notice")?.getBoundingClientRect().top > 0 && document.querySelector(".scroll:not([hidden]) .log li.msg") !== null`)
	notice := evaluate[string](v, `document.querySelector(".scroll:not([hidden]) .log > .notice").textContent`)
	var kept, gone int
	if _, err := fmt.Sscanf(notice, "The newest 10,%d lines are kept; %d older ones are gone", &kept, &gone); err != nil || kept > 50 || kept+gone != 201 {
		t.Errorf("first line = %q", notice)
	}
	v.until(fmt.Sprintf(`document.querySelector(".scroll:not([hidden]) .log li.msg .text").textContent === "line %d"`, gone-1))
	// Somebody reads in the middle while more comes.
	evaluate[int](v, `document.querySelector(".scroll:not([hidden]) .log").scrollTop = 100_000`)
	middle := `(() => {
		const {left, top} = document.querySelector(".scroll:not([hidden]) .log").getBoundingClientRect();
		const lineAt = (y) => document.elementFromPoint(left + 60, top + y)?.closest("li.msg");
		return (lineAt(200) ?? lineAt(204))?.querySelector(".text").textContent ?? ""; // One of them is not between two lines.
	})()`
	v.until(middle + ` !== ""`)
	evaluate[bool](v, `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))`, chromedp.EvalAwaitPromise)
	reads := evaluate[string](v, middle)
	publish(10_200, 10_400)
	v.until(`!document.querySelector(".scroll:not([hidden]) .newer").hidden`)
	if now := evaluate[string](v, middle); now != reads {
		t.Errorf("%q was being read, and is %q now", reads, now)
	}
	v.do(chromedp.Click(chromedp.CSS(".scroll:not([hidden]) .newer")))
	v.hears("line 10399")
	v.wantNoErrors()
}
