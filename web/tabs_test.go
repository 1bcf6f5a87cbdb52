package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"

	"sluice/gateway"
	"sluice/internal/browsertest"
)

// sockets is how many connections pages have had so far.
func (r *rooms) sockets() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.opened
}

// texts are the messages in view, in order.
func (v tab) texts() []string {
	v.t.Helper()
	return evaluate[[]string](v, `[...document.querySelectorAll(".scroll:not([hidden]) .log li.msg .text")].map((p) => p.textContent)`)
}

// isIn waits until a room is in view and the page is in it.
func (v tab) isIn(room string) {
	v.t.Helper()
	v.until(fmt.Sprintf(`location.hash === "#%s" && document.querySelector(".scroll:not([hidden]) .log").innerText.includes("You are in the room %s.")`, room, room))
}

// Relatives: a room that is joined again, one that is left and joined anew, the last one; keys in
// place of clicks; a phone.
func TestPageHasRoomsInTabsOfOneSocket(t *testing.T) {
	t.Parallel()
	r, url := newGateway(t)
	v := visit(t, browsertest.Start(t), url+"/#tea")
	if evaluate[bool](v, `document.getElementById("tabs").checkVisibility()`) {
		t.Error("there are tabs for one room")
	}
	v.fill("#room", "coffee\n")
	v.isIn("coffee")
	v.say("black")
	v.hears("black")
	for i := range 3 {
		r.publish("tea", websocket.MessageText, fmt.Appendf(nil, "green %d", i))
	}
	const tea = `document.querySelector("#tabs [role=tab]:not([aria-selected=true])")`
	v.until(tea + `.querySelector(".unread").textContent === "3"`)
	if got := evaluate[string](v, tea+`.getAttribute("aria-label")`); got != "tea, 3 messages not read" {
		t.Errorf("the other tab is called %q", got)
	}
	if got := v.texts(); !slices.Equal(got, []string{"black"}) {
		t.Errorf("in coffee: %q", got)
	}
	for _, size := range [][2]int64{{390, 844}, {320, 568}} {
		v.do(chromedp.EmulateViewport(size[0], size[1], chromedp.EmulateScale(1), chromedp.EmulateMobile, chromedp.EmulateTouch))
		v.until(fmt.Sprintf(`innerWidth === %d && innerHeight === %d`, size[0], size[1]))
		for _, want := range []string{
			`document.documentElement.scrollWidth <= innerWidth && document.documentElement.scrollHeight <= innerHeight`,
			`document.getElementById("send").getBoundingClientRect().bottom <= innerHeight`,
			`[...document.querySelectorAll("#tabs button")].every((b) => b.getBoundingClientRect().height >= 30)`,
			`document.querySelector(".scroll:not([hidden]) .log").getBoundingClientRect().top <= 190`,
			`document.querySelector(".scroll:not([hidden]) .log").clientHeight >= 200`,
		} {
			if !evaluate[bool](v, want) {
				t.Errorf("%v, with tabs: not so: %s", size, want)
			}
		}
	}
	v.do(chromedp.EmulateViewport(1280, 800))
	v.do(chromedp.Click(chromedp.CSS(`#tabs [role=tab]:not([aria-selected=true])`)))
	v.isIn("tea")
	if got := v.texts(); !slices.Equal(got, []string{"green 0", "green 1", "green 2"}) {
		t.Errorf("in tea: %q", got)
	}
	if evaluate[bool](v, `document.querySelector(".unread:not(:empty)") !== null`) {
		t.Error("what was read is counted as not read")
	}
	if n := r.sockets(); n != 1 {
		t.Errorf("%d connections for two rooms", n)
	}

	// By keys: to the other one, and out of it.
	v.do(chromedp.Focus(chromedp.CSS("#tabs [aria-selected=true]")))
	v.do(chromedp.KeyEvent("\u0303")) // right
	v.isIn("coffee")
	v.do(chromedp.Click(chromedp.CSS(`#tabs .tab[data-selected] .close`)))
	v.until(`location.hash === "#tea" && document.getElementById("tabs").hidden`)
	v.until(`document.querySelectorAll(".log").length === 1`)
	heard := r.listen(t, "coffee")
	r.publish("coffee", websocket.MessageText, []byte("cold"))
	<-heard
	v.say("still in tea")
	v.hears("still in tea")
	if room, ok := r.gateway.Room("coffee"); !ok || room.Members != 1 {
		t.Errorf("in coffee is not the other program alone: %+v", room)
	}
	v.fill("#room", "coffee\n")
	v.isIn("coffee")
	if got := v.texts(); len(got) != 0 {
		t.Errorf("after a return: %q", got)
	}
	v.wantNoErrors()
}

// Relatives: the tab in view, another one, the last but one; by the button, by the key.
func TestFocusStaysWhereATabWasClosed(t *testing.T) {
	t.Parallel()
	_, url := newGateway(t)
	v := visit(t, browsertest.Start(t), url+"/#a")
	for _, room := range []string{"b", "c", "d", "e"} {
		v.fill("#room", room+"\n")
		v.isIn(room)
	}
	focus := func(room string) {
		v.t.Helper()
		v.until(fmt.Sprintf(`document.activeElement === document.querySelector("#tabs [aria-selected=true]") && location.hash === "#%s"`, room))
	}
	leave := func(room string) {
		v.do(chromedp.Click(chromedp.CSS(fmt.Sprintf(`[aria-label="Leave the room %s"]`, room))))
	}
	leave("e")
	focus("d")
	leave("a")
	focus("d")
	v.do(chromedp.KeyEvent("\u007f")) // Delete
	focus("c")
	leave("c")
	v.until(`document.activeElement === document.querySelector(".scroll:not([hidden]) .log") && location.hash === "#b"`)
	v.wantNoErrors()
}

// Relatives: a room that keeps nothing, one that kept too little; a message of its own whose echo
// was lost; nothing missed; rooms that are not in view.
func TestPageShowsWhatItMissed(t *testing.T) {
	t.Parallel()
	r, url := newGatewayWith(t, gateway.Options{History: []gateway.HistoryRule{{Pattern: "kept*", Messages: 100}, {Pattern: "short", Messages: 2}}})
	v := visit(t, browsertest.Start(t), url+"/#kept")
	for _, room := range []string{"none", "short", "kept2"} {
		v.fill("#room", room+"\n")
		v.isIn(room)
	}
	all := []string{"kept", "none", "short", "kept2"}
	for _, room := range all {
		r.publish(room, websocket.MessageText, []byte("before"))
	}
	v.hears("before")
	r.refuse(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) }, nil)
	evaluate[bool](v, `document.dispatchEvent(new Event("sluice:drop"))`)
	v.until(`document.body.dataset.state === "waiting"`)
	for _, room := range all[:3] {
		for i := range 5 {
			r.publish(room, websocket.MessageText, fmt.Appendf(nil, "missed %d", i))
		}
	}
	r.refuse(nil, nil)
	v.until(`document.getElementById("retry").click() ?? document.body.dataset.state === "open"`)
	for room, want := range map[string]struct {
		notice string
		texts  []string
	}{
		"kept":  {"Reconnected. 5 messages that you missed:", []string{"before", "missed 0", "missed 1", "missed 2", "missed 3", "missed 4", "live"}},
		"kept2": {"Reconnected. You missed nothing.", []string{"before", "live"}},
		"short": {"Reconnected. Some of what was said meanwhile is not kept any more; nothing of it is shown here.", []string{"before", "live"}},
		"none":  {"Reconnected. This room keeps no messages: what others said meanwhile is not known here.", []string{"before", "live"}},
	} {
		v.fill("#room", room+"\n")
		v.until(fmt.Sprintf(`location.hash === "#%s"`, room))
		v.until(fmt.Sprintf(`[...document.querySelectorAll(".scroll:not([hidden]) .log li.notice span")].some((e) => e.textContent === %q)`, want.notice))
		r.publish(room, websocket.MessageText, []byte("live"))
		v.hears("live")
		if got := v.texts(); !slices.Equal(got, want.texts) {
			t.Errorf("%s: %q, want %q", room, got, want.texts)
		}
	}
	for _, line := range v.errors() {
		// What is refused is an error to the browser's console, too; nothing else may be.
		if !strings.Contains(line, "WebSocket connection to") && !strings.Contains(line, "Failed to load resource") {
			t.Errorf("console: %s", line)
		}
	}
}

// Relatives: a program without a protocol; a room that tells who comes and goes, and one that does
// not; where it may not be told.
func TestPageShowsHowManyAreThere(t *testing.T) {
	t.Parallel()
	r, url := newGatewayWith(t, gateway.Options{Rooms: []gateway.RoomRule{{Pattern: "told", Joins: true}}})
	browser := browsertest.Start(t)
	v := visit(t, browser, url+"/#told")
	shows := func(v tab, text string) {
		t.Helper()
		v.until(fmt.Sprintf(`document.getElementById("present").textContent === %q`, text))
	}
	shows(v, "1 here")
	other := visit(t, browsertest.NewTab(t, browser), url+"/#told")
	shows(other, "2 here")
	shows(v, "2 here")
	v.until(`document.querySelector(".scroll:not([hidden]) .log").innerText.includes("Somebody came.")`)
	other.do(chromedp.Navigate("about:blank"))
	v.until(`document.querySelector(".scroll:not([hidden]) .log").innerText.includes("Somebody left.")`)
	shows(v, "1 here")
	v.fill("#room", "quiet\n")
	v.isIn("quiet")
	shows(v, "1 here")
	r.listen(t, "quiet")
	shows(v, "2 here")
	v.wantNoErrors()

	closed, url := newGatewayWith(t, gateway.Options{Anonymous: []gateway.Grant{{Rooms: []string{"lobby"}, May: gateway.Read}}})
	v = visit(t, browsertest.NewTab(t, browser), url)
	closed.publish("lobby", websocket.MessageText, []byte("from a backend"))
	v.hears("from a backend")
	shows(v, "")
	v.say("not heard")
	v.until(`document.getElementById("hint").textContent.includes("takes no messages") && document.body.dataset.state === "open"`)
	v.until(`document.querySelector(".scroll:not([hidden]) .log").innerText.includes("This room is only to be read here.")`)
	v.fill("#room", "secret\n")
	v.until(`document.querySelector(".scroll:not([hidden]) .log").innerText.includes("Not in this room: this page may not be in it (103")`)
	v.wantNoErrors()
}
