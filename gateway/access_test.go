package gateway

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/wsproto"
)

// grants parses what --anonymous takes.
func grants(t *testing.T, all ...string) (parsed []Grant) {
	t.Helper()
	for _, text := range all {
		var g Grant
		if err := g.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, g)
	}
	return parsed
}

// The table of who may do what: grants add up, restrictions add up and win, backends may do
// everything.
func TestPermissionsAreGrantsLessRestrictions(t *testing.T) {
	cfg := testConfig()
	cfg.Rooms = rules(t, "*=latest", "ticker.*=readonly", "ticker.eur=skip", "*.log=readonly")
	if err := cfg.prepare(); err != nil {
		t.Fatal(err)
	}
	ann := Principal{Kind: KindToken, Grants: grants(t, "chat.*=read", "chat.ann=publish,presence", "ticker.*=read,publish", "x?=history,read")}
	nobody, key := Principal{Kind: KindToken}, Principal{Kind: KindKey}
	for _, tc := range []struct {
		who  *Principal
		room string
		want Permission
	}{
		{&cfg.anonymous, "lobby", Read | Publish | History},
		{&cfg.anonymous, "ticker.eur", Read | History}, // The rule with more to it lifts no restriction.
		{&cfg.anonymous, "ticker", Read | Publish | History},
		{&cfg.anonymous, "a.b.log", Read | History}, // * crosses dots.
		{&key, "ticker.eur", everything},
		{&key, "anything", everything},
		{&nobody, "lobby", 0},
		{&ann, "chat.bob", Read},
		{&ann, "chat.a.b", Read},
		{&ann, "chat.ann", Read | Publish | Presence},
		{&ann, "chat.ann2", Read},
		{&ann, "Chat.ann", 0},
		{&ann, "chat", 0},
		{&ann, "ticker.eur", Read},
		{&ann, "x1", Read | History},
		{&ann, "x", 0},
	} {
		if got := cfg.permissions(tc.who, tc.room); got != tc.want {
			t.Errorf("%v %v in %s: %v, want %v", tc.who.Kind, tc.who.Grants, tc.room, got, tc.want)
		}
		for p := Permission(1); p <= everything; p++ {
			if got := cfg.allows(tc.who, tc.room, p); got != (tc.want&p == p) {
				t.Errorf("%v in %s: %v is %v", tc.who.Kind, tc.room, p, got)
			}
		}
	}
}

// However rules are ordered and however many there are, a room is read-only exactly if one of those
// that match says so, and nobody's grants make it otherwise.
func TestRestrictionsAddUpInAnyOrder(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(11, 2))
	patterns := []string{"*", "a*", "a.*", "a.b", "?.b", "[ab].*", "b", "*.b", "a.?"}
	rooms := []string{"a", "a.b", "a.c", "b", "b.b", "c.b", "ab", "a.b.b"}
	for range 500 {
		cfg := testConfig()
		random.Shuffle(len(patterns), func(i, j int) { patterns[i], patterns[j] = patterns[j], patterns[i] })
		for _, p := range patterns[:1+random.IntN(5)] {
			cfg.Rooms = append(cfg.Rooms, RoomRule{Pattern: p, Plain: true, ReadOnly: random.IntN(2) == 0})
		}
		if err := cfg.prepare(); err != nil {
			t.Fatal(err)
		}
		who := Principal{Kind: KindToken, Grants: grants(t, "*=read,publish", "a.b=publish")}
		for _, room := range rooms {
			isReadOnly := slices.ContainsFunc(cfg.Rooms, func(r RoomRule) bool {
				ok, _ := path.Match(r.Pattern, room)
				return ok && r.ReadOnly
			})
			for _, p := range []*Principal{&cfg.anonymous, &who} {
				if cfg.allows(p, room, Publish) == isReadOnly {
					t.Fatalf("%s may publish in %s: %v, by %+v", p.Kind, room, isReadOnly, cfg.Rooms)
				}
			}
		}
	}
}

func TestGrantsAreParsed(t *testing.T) {
	for text, want := range map[string]Permission{
		"chat.*=read": Read, " *=read,publish,presence,history ": everything, "a=history,history": History,
		"": 0, "a": 0, "=read": 0, "a=": 0, "a=write": 0, "a=read,": 0, "a/b=read": 0, "[=read": 0, "a=Read": 0,
	} {
		var g Grant
		err := g.UnmarshalText([]byte(text))
		if (err == nil) != (want != 0) || err == nil && g.May != want {
			t.Errorf("%q: %+v, %v", text, g, err)
		}
	}
	for p := Permission(1); p <= everything; p++ {
		if err := new(Grant).UnmarshalText([]byte("r=" + p.String())); err != nil {
			t.Errorf("%v is not taken: %v", p, err)
		}
	}
	for _, bad := range []Grant{{}, {Rooms: []string{"a"}}, {Rooms: []string{"a/b"}, May: Read}, {Rooms: []string{"a"}, May: 1 << 7}} {
		if err := (Options{Anonymous: []Grant{bad}}).Validate(); err == nil || !strings.Contains(err.Error(), "Options.Anonymous") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// Whoever may only read hears everything, is pinged and ponged, and is closed with 4003 for the
// first bytes of a message, however it comes. Nobody hears it, nothing of it is kept, and it is
// logged once a second and counted.
func TestReadOnlyRoomIsReadAndNotWritten(t *testing.T) {
	var log journal
	cfg := testConfig()
	cfg.Rooms = rules(t, "*=latest", "ticker.*=readonly")
	s, addr := startGatewayLogging(t, cfg, nil, &log)
	reader := wstest.Dial(t, addr, "/ws/ticker.eur")
	attempts := [][]byte{
		wstest.MaskedText("hello"), wstest.MaskedBinary("hello"), wstest.MaskedText(""),
		wstest.Masked(0x1, false, ""), // of a message that never ends
		wstest.Masked(0x2, true, strings.Repeat("x", 1<<20))[:20],
		slices.Concat(wstest.MaskedPing("first"), wstest.MaskedText("hello")),
	}
	for _, p := range attempts {
		c := wstest.Join(t, addr, "/ws/ticker.eur", wstest.MaskedPing("here"))
		c.ExpectFrame(0xA, "here")
		c.Send(p)
		if strings.Contains(string(p), "first") || p[0]&0xf == 0x9 {
			c.ExpectFrame(0xA, "first")
		}
		c.ExpectClose(4003)
		c.Close()
	}
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	c := wstest.Dial(t, addr, "/ws/ticker.eur")
	if err := c.Write(ctx, websocket.MessageText, []byte("one more")); err != nil {
		t.Fatal(err)
	}
	_, _, err := c.Read(ctx)
	if closed := (websocket.CloseError{}); !errors.As(err, &closed) || closed.Code != 4003 || closed.Reason != "may not publish here" {
		t.Errorf("another client's library reads %v", err)
	}
	expectClosed(t, s, ClosedMayNotPublish, uint64(len(attempts)+1))
	// What a backend publishes comes, and was not preceded by anything.
	mustPublish(t, s, "ticker.eur", "1.08")
	if kind, p, err := reader.Read(ctx); err != nil || kind != websocket.MessageText || string(p) != "1.08" {
		t.Errorf("the reader gets %v %q, %v", kind, p, err)
	}
	if st := testenv.StatsOf(t, s); st.Messages != 0 {
		t.Errorf("%d messages were taken", st.Messages)
	}
	lines := log.lines("may_not_publish")
	if len(lines) == 0 || !strings.Contains(lines[0], "readonly") || !strings.Contains(lines[0], "room=ticker.eur") {
		t.Errorf("logged %q", lines)
	}
}

// A11. A room where somebody may not be is refused in the same words whether it exists or not, is
// not made, and counts as one reason. So is a producer that may not publish. Others' rooms go on.
func TestA11_ForbiddenAndAbsentRoomsAnswerAlike(t *testing.T) {
	cfg := testConfig()
	cfg.Anonymous = grants(t, "public.*=read,publish", "drop.*=publish", "ticker=read")
	cfg.Rooms = rules(t, "ticker=readonly")
	cfg.MaxRooms = 3
	s, addr := startGateway(t, cfg)
	for _, room := range []string{"public.a", "public.b", "ticker"} {
		wstest.Join(t, addr, "/ws/"+room)
	}
	secret := Principal{Kind: KindKey}
	if !cfg.allows(&secret, "private.there", Publish) {
		t.Fatal("a key may not publish")
	}
	refused := map[string]bool{}
	for _, path := range []string{
		"/ws/private.there", "/ws/private.none", "/ws", "/ws/lobby", "/ws/private.there?echo=0", "/ws/ticker?echo=0", "/ws/drop.box", "/ws/PUBLIC.a",
	} {
		c := wstest.Connect(t, addr)
		c.Send(wstest.UpgradeHead(path))
		r, text := c.Response()
		c.Close()
		if r.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d %q, want 403", path, r.StatusCode, text)
		}
		refused[fmt.Sprint(r.Header, text)] = true
	}
	if len(refused) != 1 {
		t.Errorf("answers differ: %v", refused)
	}
	if st := testenv.StatsOf(t, s); st.Refusals[wsproto.ReasonForbidden] != 8 || s.hub.Rooms() != 3 {
		t.Errorf("%d counted, %d rooms", st.Refusals[wsproto.ReasonForbidden], s.hub.Rooms())
	}
	// It may publish where it may not read, without hearing; a room too many is another matter.
	c := wstest.Connect(t, addr)
	c.Send(wstest.UpgradeHead("/ws/drop.box?echo=0"))
	c.ExpectRefusal(http.StatusServiceUnavailable)
}

// Rules that are read anew count at once for those who are there: leave to publish goes and comes
// with readonly. What a token does not grant does not come.
func TestD07_LeaveToPublishFollowsTheRules(t *testing.T) {
	cfg := testConfig()
	cfg.Anonymous = grants(t, "a=read,publish", "b=read")
	auth := named()
	auth.judge = func(h *Handshake) (Principal, error) {
		switch h.Token {
		case "":
			return Principal{}, nil
		case "writer":
			return Principal{Kind: KindKey, Grants: grants(t, "*=read,publish")}, nil // It is no backend for that.
		}
		return Principal{Kind: KindToken, Grants: grants(t, "*=read")}, nil
	}
	cfg.Auth = &auth // The same one, when options are compared.
	s, addr := startGateway(t, cfg)
	join := func(path string) *wstest.Client {
		t.Helper()
		return wstest.Join(t, addr, path)
	}
	says := func(c *wstest.Client, may bool) {
		t.Helper()
		c.Send(wstest.MaskedText("hello"))
		if may {
			c.ExpectFrame(0x1, "hello")
		} else {
			c.ExpectClose(4003)
		}
		c.Close()
	}
	reload := func(texts ...string) {
		t.Helper()
		o := cfg.Options
		o.Rooms = rules(t, texts...)
		if needs, err := s.Reload(o); err != nil || needs != nil {
			t.Fatal(needs, err)
		}
	}
	says(join("/ws/a"), true)
	before := []*wstest.Client{join("/ws/a"), join("/ws/c?token=writer"), join("/ws/b"), join("/ws/d?token=reader")}
	reload("*=readonly")
	for _, c := range before {
		says(c, false)
	}
	before = []*wstest.Client{join("/ws/a"), join("/ws/c?token=writer"), join("/ws/b"), join("/ws/d?token=reader")}
	reload("x=readonly")
	for i, c := range before {
		says(c, i < 2)
	}
}

// Thousands follow rules that are read anew in turns, all of them before Reload returns.
func TestRulesAreFollowedInTurns(t *testing.T) {
	cfg := testConfig()
	cfg.Loops, cfg.walkTime = 1, 1
	s, addr := startGateway(t, cfg)
	const all = 100
	for range all {
		wstest.Join(t, addr, "/ws/a")
	}
	o := cfg.Options
	o.Rooms = rules(t, "*=readonly")
	before := testenv.StatsOf(t, s).Loop.Ticks
	if _, err := s.Reload(o); err != nil {
		t.Fatal(err)
	}
	if ticks := testenv.StatsOf(t, s).Loop.Ticks - before; ticks < all { // With no time for more than one.
		t.Errorf("%d follow within %d ticks", all, ticks)
	}
	muted := 0
	if err := s.onEachLoop(t.Context(), func(w *worker) {
		for _, source := range w.loop.Sources {
			if c, ok := source.(*conn); ok && c.past == mute {
				muted++
			}
		}
	}); err != nil || muted != all {
		t.Errorf("%d of %d follow, %v", muted, all, err)
	}
}
