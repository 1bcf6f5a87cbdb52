package web

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"

	"sluice/internal/browsertest"
	"sluice/internal/testenv"
)

// notices are the page's own lines of the log, each with its time in front.
func (v tab) notices() []string {
	v.t.Helper()
	return evaluate[[]string](v, `[...document.querySelectorAll(".scroll:not([hidden]) .log li.notice")].map((e) => e.innerText.replace(/\s+/g, " "))`)
}

// wantNotices waits for as many lines as there are patterns, and compares.
func (v tab) wantNotices(patterns ...string) {
	v.t.Helper()
	v.until(fmt.Sprintf(`document.querySelectorAll(".scroll:not([hidden]) .log li.notice").length >= %d`, len(patterns)))
	got := v.notices()
	for i, pattern := range patterns {
		if !regexp.MustCompile(`^\d\d?:\d\d:\d\d( [AP]M)? ` + pattern).MatchString(got[i]) {
			v.t.Errorf("line %d is %q, want the time and %q", i, got[i], pattern)
		}
	}
	if len(got) > len(patterns) {
		v.t.Errorf("more lines than %d: %q", len(patterns), got)
	}
}

// Relatives: a Close with and without a reason, one that is final, a connection that breaks,
// silence (TestPageOffersToResend… drops so), and a device that goes offline, which a browser tells
// at once and a socket not for minutes.
func TestN62_LossIsALineAtOnce(t *testing.T) {
	t.Parallel()
	r, url := newGateway(t)
	v := visit(t, browsertest.Start(t), url)
	inRoom := `You are in the room lobby`
	back := `Reconnected`
	r.closeAll(websocket.StatusGoingAway)
	v.wantNotices(inRoom, `Connection lost: the gateway is going away \(1001\)\. Trying again`, back)
	r.cutAll()
	v.wantNotices(inRoom, `Connection lost`, back, `Connection lost: .*1006`, back)

	if evaluate[bool](v, `document.querySelector(".scroll:not([hidden]) .empty").checkVisibility()`) {
		t.Error("the invitation of an empty room lies over the lines")
	}

	offline := func(is bool) {
		t.Helper()
		_, err := chromedp.Call(v.ctx, network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: is})
		if err != nil {
			t.Fatal(err)
		}
	}
	offline(true)
	v.wantNotices(inRoom, `Connection lost`, back, `Connection lost`, back, `Connection lost: this device is offline\. Trying again`, back)
	offline(false)
	v.say("still here")
	v.hears("still here")

	r.closeAll(websocket.StatusPolicyViolation)
	v.wantNotices(inRoom, `Connection lost`, back, `Connection lost`, back, `Connection lost`, back, `Connection lost: .*1008.* Not trying again`)
	v.wantNoErrors()
}

// Browsers do not tell pages why an upgrade failed. Relatives: refusals by status, before an
// answer, and by silence; /livez that is refused too, and one that something else answers; a
// gateway that was there and has gone.
func TestN63_RefusedAndNotReachableAreToldApart(t *testing.T) {
	t.Parallel()
	r, url := newGateway(t)
	v := visit(t, browsertest.Start(t), url)
	answer := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", status) }
	}
	hangUp := func(w http.ResponseWriter, _ *http.Request) {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = conn.Close()
		}
	}
	silent := func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }
	refused := `No connection: the gateway is there, but refused the WebSocket: .*full.*take no page.*` + regexp.QuoteMeta(url)
	type refusal struct {
		what      string
		ws, livez http.HandlerFunc
		want      string
	}
	refusals := []refusal{
		{"nobody", answer(401), nil, `No connection: the gateway wants a token \(401, “no”\)\. Not trying again\.`},
		{"forbidden", answer(403), nil, `No connection: the gateway does not let this page in \(403, “no”\)\. Trying again\.`},
		{"room", answer(404), nil, refused},
		{"full", answer(503), nil, refused},
		{"hangs up", hangUp, nil, refused},
		{"full for everybody", answer(503), answer(503), `No connection: the gateway is full or too busy \(503\)`},
		{"proxy alone", answer(502), answer(502), `No connection: no gateway answers here, but something else with status 502`},
		{"gone", hangUp, hangUp, `No connection: the gateway cannot be reached`},
		{"livez says nothing", hangUp, silent, `No connection: the gateway cannot be reached`},
	}
	if testenv.IsWholeSize(t) {
		refusals = append(refusals, refusal{"silence", silent, nil, `No connection: the gateway is there, but did not answer the WebSocket within 10 s`})
	}
	for _, tt := range refusals {
		r.refuse(tt.ws, tt.livez)
		r.closeAll(websocket.StatusGoingAway)
		v.until(`document.getElementById("retry").click() ?? [...document.querySelectorAll(".scroll:not([hidden]) .log li.notice")].at(-1).innerText.includes("No connection")`)
		if got := v.notices(); !regexp.MustCompile(tt.want).MatchString(got[len(got)-1]) {
			t.Errorf("%s: %q, want %q", tt.what, got[len(got)-1], tt.want)
		}
		r.refuse(nil, nil)
		v.until(`document.getElementById("retry").click() ?? [...document.querySelectorAll(".scroll:not([hidden]) .log li.notice")].at(-1).innerText.includes("Reconnected")`)
	}
	for _, line := range v.errors() {
		// What is refused is an error to the browser's console, too; nothing else may be.
		if !strings.Contains(line, "WebSocket connection to") && !strings.Contains(line, "Failed to load resource") {
			t.Errorf("console: %s", line)
		}
	}
}
