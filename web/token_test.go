package web

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"

	"sluice/gateway"
	"sluice/internal/browsertest"
)

// tickets are tokens of the form name.seconds.rooms.number, the rooms with + between them. The time
// of one begins when it is first seen.
type tickets struct {
	mu      sync.Mutex
	expires map[string]int64 // in seconds of Unix time; of those that were seen
	isOver  map[string]bool
}

func newTickets() *tickets { return &tickets{expires: map[string]int64{}, isOver: map[string]bool{}} }

func (k *tickets) Judge(h *gateway.Handshake) (p gateway.Principal, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	parts := strings.Split(h.Token, ".")
	if len(parts) != 4 {
		return p, &gateway.AuthError{Status: 401, Text: "no ticket"}
	}
	if k.isOver[h.Token] {
		return p, &gateway.AuthError{Status: 401, Text: "the ticket is too old", IsExpired: true}
	}
	if k.expires[h.Token] == 0 {
		n, _ := strconv.ParseInt(parts[1], 10, 64)
		k.expires[h.Token] = time.Now().Unix() + n
	}
	p = gateway.Principal{Kind: gateway.KindToken, Subject: parts[0], Expires: k.expires[h.Token]}
	p.Grants = []gateway.Grant{{Rooms: []string{"*"}, May: gateway.Read | gateway.Publish | gateway.History}}
	if parts[2] != "" {
		p.Rooms = strings.Split(parts[2], "+")
	}
	return p, nil
}

func (*tickets) Ask(context.Context, *gateway.Handshake) (gateway.Principal, error) {
	panic("nobody is to be asked")
}

func (*tickets) Headers() []string { return nil }

// seen tells whether somebody has come with a ticket.
func (k *tickets) seen(ticket string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.expires[ticket] != 0
}

// end makes a ticket's time be over.
func (k *tickets) end(ticket string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.isOver[ticket] = true
}

func (v tab) hints(text string) {
	v.t.Helper()
	v.until(fmt.Sprintf(`document.getElementById("hint").textContent.includes(%q)`, text))
}

// Relatives: a token that is asked for in time, one that stands in the field already, one of
// another user, one that is not good; a time that no timer of a browser has.
func TestPageGoesOnByAnotherToken(t *testing.T) {
	t.Parallel()
	k := newTickets()
	r, url := newGatewayWith(t, gateway.Options{Auth: k})
	browser := browsertest.Start(t)
	v := visit(t, browser, url+"/#tea&token=ann.6..1")
	v.say("before")
	v.hears("before")
	v.hints("The token ends in 3 seconds. Enter another one above, and join.")
	v.fill("#token", "ann.6..2\n")
	v.until(`document.getElementById("hint").textContent.startsWith("Everyone")`)
	v.say("between")
	v.hears("between")
	if n := r.sockets(); n != 1 || !k.seen("ann.6..2") {
		t.Errorf("%d connections, the other token was seen: %v", n, k.seen("ann.6..2"))
	}
	// Nobody presses anything.
	evaluate[string](v, `document.getElementById("token").value = "ann.9999999..3"`)
	for end := time.Now().Add(time.Minute); !k.seen("ann.9999999..3"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the token in the field is not used")
		}
	}
	v.say("behind")
	v.hears("behind")
	if got, n := v.texts(), r.sockets(); n != 1 || !slices.Equal(got, []string{"before", "between", "behind"}) {
		t.Errorf("%q by %d connections", got, n)
	}
	v.wantNoErrors()

	w := visit(t, browsertest.NewTab(t, browser), url+"/#tea&token=ann.4..4")
	w.hints("The token ends in 2 seconds.")
	w.fill("#token", "bob.900..5\n")
	w.until(`document.querySelector(".scroll:not([hidden]) .log").innerText.includes("Reconnected.") && document.body.dataset.state === "open"`)
	w.say("as bob")
	w.hears("as bob")
	if n := r.sockets(); n != 3 {
		t.Errorf("%d connections, want one more for another user", n-1)
	}
	w.wantNoErrors()
}

// Relatives: the connection ends with its token; an attempt to come back is refused; another token.
func TestPageDoesNotComeBackByATokenThatIsOver(t *testing.T) {
	t.Parallel()
	k := newTickets()
	r, url := newGatewayWith(t, gateway.Options{Auth: k})
	v := visit(t, browsertest.Start(t), url+"/#tea&token=ann.900..1")
	k.end("ann.900..1")
	const over = "The token has expired. Enter another one above, and join."
	r.closeAll(3005)
	v.until(`document.body.dataset.state === "closed"`)
	v.hints(over)
	v.until(`document.querySelector(".scroll:not([hidden]) .log").innerText.includes("Connection lost: the token has expired (3005). Not trying again.")`)
	v.do(chromedp.Click(chromedp.CSS("#retry")))
	v.until(`document.querySelector(".scroll:not([hidden]) .log").innerText.includes("No connection: the token has expired (109")`)
	v.until(`document.body.dataset.state === "closed"`)
	v.hints(over)
	if n := r.sockets(); n != 2 {
		t.Errorf("%d connections, want one and an attempt", n)
	}
	v.fill("#token", "ann.900..2\n")
	v.until(`document.body.dataset.state === "open"`)
	v.say("back")
	v.hears("back")
	v.wantNoErrors()
}

// Relatives: the room in the address among them; what was missed in them; one that is left, and
// stays so over a lost connection; one that is joined again; more than there are tabs for.
func TestPageHasTabsForTheRoomsOfItsToken(t *testing.T) {
	t.Parallel()
	k := newTickets()
	r, url := newGatewayWith(t, gateway.Options{Auth: k, History: []gateway.HistoryRule{{Pattern: "*", Messages: 100}}})
	browser := browsertest.Start(t)
	v := visit(t, browser, url+"/#tea&token=ann.900.coffee+constructor+tea.1")
	names := func(v tab) []string {
		v.t.Helper()
		return evaluate[[]string](v, `[...document.querySelectorAll("#tabs bdi")].map((e) => e.textContent)`)
	}
	if got := names(v); !slices.Equal(got, []string{"tea", "coffee", "constructor"}) {
		t.Fatalf("tabs for %q", got)
	}
	v.isIn("tea")
	evaluate[any](v, `[...document.querySelectorAll("#tabs [role=tab]")].find((e) => e.textContent === "coffee").click()`)
	v.isIn("coffee")
	v.say("black")
	v.hears("black")
	v.do(chromedp.Click(chromedp.CSS(`[aria-label="Leave the room constructor"]`)))
	r.cutAll()
	v.until(`document.body.dataset.state !== "open"`)
	r.publish("coffee", websocket.MessageText, []byte("missed"))
	r.publish("constructor", websocket.MessageText, []byte("unheard"))
	v.until(`document.body.dataset.state === "open"`)
	v.hears("missed")
	v.until(`document.querySelector(".scroll:not([hidden]) .log").innerText.includes("Reconnected. 1 message that you missed:")`)
	if got := names(v); !slices.Equal(got, []string{"tea", "coffee"}) {
		t.Errorf("after a return: tabs for %q", got)
	}
	v.fill("#room", "constructor\n")
	v.isIn("constructor")
	r.publish("constructor", websocket.MessageText, []byte("heard"))
	v.hears("heard")
	v.wantNoErrors()

	var many []string
	for i := range 25 {
		many = append(many, fmt.Sprintf("r%02d", i))
	}
	w := visit(t, browsertest.NewTab(t, browser), url+"/#lobby&token=bob.900."+strings.Join(many, "+")+".2")
	if got := names(w); len(got) != 20 || got[19] != "r18" {
		t.Errorf("%d tabs: %q", len(got), got)
	}
	w.until(`document.querySelector(".scroll:not([hidden]) .log").innerText.includes("The token brings more rooms along than the 20 that this page has tabs for: the others are left.")`)
	w.wantNoErrors()
}
