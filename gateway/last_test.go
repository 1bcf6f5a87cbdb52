package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"

	"sluice/hub"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/wsproto"
)

// historyConfig keeps messages in rooms that begin with h.
func historyConfig() *config {
	cfg := testConfig()
	cfg.History = []HistoryRule{{Pattern: "h*", Bytes: 64 << 10}, {Pattern: "h3", Messages: 3}}
	return cfg
}

// dialLast joins with another library's client.
func dialLast(t *testing.T, addr, path string, isDeflated bool) *gorilla.Conn {
	t.Helper()
	d := gorilla.Dialer{EnableCompression: isDeflated}
	c, r, err := d.Dial("ws://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Header.Get("Sec-WebSocket-Extensions") != ""; got != isDeflated {
		t.Fatalf("deflated: %v", got)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(testenv.Patience))
	return c
}

// expectNext reads messages and wants these.
func expectNext(t *testing.T, c *gorilla.Conn, want ...string) {
	t.Helper()
	for _, text := range want {
		kind, p, err := c.ReadMessage()
		isBinary := strings.HasPrefix(text, "\x00")
		if err != nil || string(p) != text || (kind == gorilla.BinaryMessage) != isBinary {
			t.Fatalf("got %d %q, %v; want %q", kind, wstest.Clip(string(p)), err, wstest.Clip(text))
		}
	}
}

func mustPublish(t testing.TB, s *Server, room string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if _, err := s.Publish(room, Message{Data: []byte(text), IsBinary: strings.HasPrefix(text, "\x00")}); err != nil {
			t.Fatal(err)
		}
	}
}

// A client without a protocol begins with what its room keeps, in its encoding, and goes on with what is said. Text stays text, and
// binary binary. Where nothing is kept it begins with nothing.
func TestRawClientsBeginWithWhatIsKept(t *testing.T) {
	s, addr := startGateway(t, historyConfig())
	long := strings.Repeat("long ", 200) // Worth deflating.
	said := []string{"one", "\x00two", long, "four"}
	mustPublish(t, s, "h", said...)
	mustPublish(t, s, "h3", said...)
	mustPublish(t, s, "other", said...)
	for path, want := range map[string][]string{
		"/ws/h":            nil,
		"/ws/h?last=0":     nil,
		"/ws/h?last=1":     said[3:],
		"/ws/h?last=3":     said[1:],
		"/ws/h?last=4":     said,
		"/ws/h?last=1000":  said,
		"/ws/h?last=all":   said,
		"/ws/h3?last=all":  said[1:],
		"/ws/h3?last=2":    said[2:],
		"/ws/other?last=2": nil,
		"/ws/hnew?last=2":  nil,
	} {
		for _, isDeflated := range []bool{false, true} {
			c := dialLast(t, addr, path, isDeflated)
			expectNext(t, c, want...)
			room, _, _ := strings.Cut(strings.TrimPrefix(path, "/ws/"), "?")
			live := fmt.Sprintf("to %s, %v", path, isDeflated)
			if room == "h" || room == "h3" { // What is said there would be kept for the next.
				if err := c.WriteMessage(gorilla.PingMessage, nil); err != nil {
					t.Fatal(err)
				}
				continue
			}
			mustPublish(t, s, room, live)
			expectNext(t, c, live)
			if room == "hnew" {
				if err := s.RemoveKept(room); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	st := s.hub.Histories()
	if st.Built < 2 || st.Messages != 7 {
		t.Errorf("%+v", st)
	}
}

// Who asks for what nobody can be given is told so.
func TestLastIsRefusedInWords(t *testing.T) {
	cfg := historyConfig()
	cfg.Anonymous = grants(t, "h*=read", "h3=history", "hw=history,publish")
	_, addr := startGateway(t, cfg)
	for path, want := range map[string]wsproto.Reason{
		"/ws/h?last=x":         wsproto.ReasonLast,
		"/ws/h?last=1&last=2":  wsproto.ReasonLast,
		"/ws/h?last=1&echo=0":  wsproto.ReasonLast,
		"/ws/h?last=1":         wsproto.ReasonForbidden,
		"/ws/h?last=all":       wsproto.ReasonForbidden,
		"/ws/x?last=1":         wsproto.ReasonForbidden,
		"/ws/hw?echo=0":        0,
		"/ws/hw?echo=0&last=0": 0,
		"/ws/h?last=0":         0,
		"/ws/h3?last=1":        0,
	} {
		_, r, err := gorilla.DefaultDialer.Dial("ws://"+addr+path, nil)
		if r == nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(r.Body)
		refusal := wsproto.Refuse(want)
		if want == 0 && r.StatusCode != 101 || want != 0 && (r.StatusCode != refusal.Status || string(text) != refusal.Text+"\n") {
			t.Errorf("%s: %d %s", path, r.StatusCode, text)
		}
	}
}

// A heldBuilder is a gateway that makes histories when it is let.
func startHeldBuilder(t *testing.T, cfg *config) (s *Server, addr string, begun chan string, free chan struct{}) {
	t.Helper()
	s = newGateway(t, cfg, nil, testenv.LogTo(t))
	begun, free = make(chan string, 100), make(chan struct{})
	build := s.builder.answer
	s.builder.answer = func(ctx context.Context, q *question) error {
		begun <- q.room
		select {
		case <-free:
		case <-ctx.Done(): // Its connection has gone, or the server ends.
		}
		return build(ctx, q)
	}
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(func() { s.Close(); checkAccounts(t, s) })
	return s, s.Addrs()[0].String(), begun, free
}

// While what a room keeps is made in another encoding its clients wait unread, and their loop serves the others. One is made at a
// time. Who goes meanwhile is forgotten, and what was sent behind the request is handled once.
func TestClientsWaitForTheHistoryOfTheirEncoding(t *testing.T) {
	cfg := historyConfig()
	cfg.Loops = 1
	s, addr, begun, free := startHeldBuilder(t, cfg)
	mustPublish(t, s, "h1", "a")
	mustPublish(t, s, "h2", "b")
	var parked []*wstest.Client
	for i := range 20 {
		c := wstest.Connect(t, addr)
		c.Send(wstest.UpgradeHead(fmt.Sprintf("/ws/h%d?last=all", 1+i%2)), wstest.MaskedText("early"))
		parked = append(parked, c)
	}
	first := <-begun
	testenv.Eventually(t, "the others wait", func() bool {
		s.builder.mu.Lock()
		defer s.builder.mu.Unlock()
		return s.builder.waiting.Len() == 19 && s.builder.running == 1
	})
	wstest.Join(t, addr, "/ws/quick", wstest.MaskedText("x")).ExpectFrame(0x1, "x")
	parked[19].Reset()
	testenv.Eventually(t, "one is forgotten", func() bool {
		s.builder.mu.Lock()
		defer s.builder.mu.Unlock()
		return s.builder.waiting.Len() == 18
	})
	if first != "h1" || len(begun) != 0 {
		t.Errorf("%s was first, and %d more were begun", first, len(begun))
	}
	close(free)
	for i, c := range parked[:19] {
		c.ExpectUpgrade()
		c.ExpectFrame(0x1, string("ab"[i%2]))
	}
	testenv.Eventually(t, "all early messages are taken", func() bool { return testenv.StatsOf(t, s).Messages == 20 })
	if st := s.hub.Histories(); st.Built != 2 {
		t.Errorf("%+v", st)
	}
}

// Whose history is not made in time is told to come again; a drain and the server's end wait for nobody.
func TestWhoWaitsForAHistoryIsAnsweredInTime(t *testing.T) {
	t.Parallel()
	cfg := historyConfig()
	cfg.HandshakeTimeout = 200 * time.Millisecond
	s, addr, begun, _ := startHeldBuilder(t, cfg)
	mustPublish(t, s, "h", "a")
	c := wstest.Connect(t, addr)
	c.Send(wstest.UpgradeHead("/ws/h?last=1"))
	<-begun
	if r := c.ExpectRefusal(http.StatusServiceUnavailable); r.Header.Get("Retry-After") == "" {
		t.Errorf("%v", r.Header)
	}
	if st := testenv.StatsOf(t, s); st.Refusals[wsproto.ReasonHistory] != 1 || st.Refusals[wsproto.ReasonTimeout] != 0 {
		t.Errorf("%v", st.Refusals)
	}

	cfg = historyConfig()
	cfg.DrainTimeout = 5 * time.Second
	s, addr, begun, _ = startHeldBuilder(t, cfg)
	mustPublish(t, s, "h", "a")
	c = wstest.Connect(t, addr)
	c.Send(wstest.UpgradeHead("/ws/h?last=1"))
	<-begun
	expectDrainRefuses(t, s, c)
}

// Who is asked about first and waits for its history then is not asked about twice.
func TestWhoIsKnownStaysKnownWhileItsHistoryIsMade(t *testing.T) {
	asked := make(chan string, 10)
	cfg := historyConfig()
	cfg.Auth = scriptedAuth{ask: func(_ context.Context, h *Handshake) (Principal, error) {
		asked <- h.Token
		return Principal{Kind: KindToken, Subject: h.Token, Grants: grants(t, "h=read,history")}, nil
	}}
	s, addr := startGateway(t, cfg)
	mustPublish(t, s, "h", "a")
	c := wstest.Connect(t, addr)
	c.Send(wstest.UpgradeHead("/ws/h?last=1", "Authorization: Bearer ann"))
	c.ExpectUpgrade()
	c.ExpectFrame(0x1, "a")
	if len(asked) != 1 {
		t.Errorf("asked %d times", len(asked))
	}
	conns, _, err := s.Connections(t.Context(), ConnQuery{Room: "h", Limit: 1})
	if err != nil || len(conns) != 1 || conns[0].Subject != "ann" {
		t.Errorf("%+v, %v", conns, err)
	}
}

// Publishing says where in its room's history a message stands, and what is kept can be read a page at a time, by position, by number
// or from the oldest, and be removed.
func TestKeptMessagesAreReadAPageAtATime(t *testing.T) {
	s, _ := startGateway(t, historyConfig())
	var at []hub.Position
	for i := range 5 {
		p, err := s.PublishAt("h", Message{Data: fmt.Append(nil, i), IsBinary: i == 3})
		if err != nil || p.Epoch == "" || p.Offset != uint64(i+1) || p.Members != 0 {
			t.Fatalf("%+v, %v", p, err)
		}
		at = append(at, p.Position)
	}
	if p, err := s.PublishAt("other", Message{Data: []byte("x")}); err != nil || p != (hub.Published{}) {
		t.Errorf("%+v, %v", p, err)
	}
	read := func(room string, start hub.Start, limit int) (texts string, page KeptPage) {
		t.Helper()
		page, err := s.Kept(t.Context(), room, start, limit, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page.Messages {
			if texts += string(m.Data); m.IsBinary != (string(m.Data) == "3") || time.Since(time.UnixMilli(m.Millis)) > time.Hour || m.Offset != uint64(m.Data[0]-'0')+1 {
				t.Errorf("%+v", m)
			}
		}
		return texts, page
	}
	for _, one := range []struct {
		start  hub.Start
		limit  int
		want   string
		next   hub.Position
		more   bool
		answer hub.Answer
	}{
		{hub.Start{}, 10, "01234", at[4], false, hub.Recovered},
		{hub.Start{}, 2, "01", at[1], true, hub.Recovered},
		{hub.Start{Since: at[1]}, 2, "23", at[3], true, hub.Recovered},
		{hub.Start{Since: at[3]}, 2, "4", at[4], false, hub.Recovered},
		{hub.Start{Since: at[4]}, 2, "", at[4], false, hub.Recovered},
		{hub.Start{Last: 2}, 10, "34", at[4], false, hub.Recovered},
		{hub.Start{Last: 100}, 1, "0", at[0], true, hub.Recovered},
		{hub.Start{Since: hub.Position{Epoch: "another", Offset: 1}}, 10, "", at[4], false, hub.WrongEpoch},
		{hub.Start{Since: hub.Position{Epoch: at[0].Epoch, Offset: 6}}, 10, "", at[4], false, hub.BeyondEnd},
	} {
		texts, page := read("h", one.start, one.limit)
		if texts != one.want || page.Answer != one.answer || page.HasMore != one.more || page.End != at[4] || page.Answer == hub.Recovered && page.Position != one.next {
			t.Errorf("%+v, %d: %q %+v", one.start, one.limit, texts, page)
		}
	}
	if page, err := s.Kept(t.Context(), "h", hub.Start{}, 10, 1); err != nil || len(page.Messages) != 1 || !page.HasMore {
		t.Errorf("%+v, %v", page, err)
	}
	if _, page := read("hnone", hub.Start{Since: at[0]}, 1); page.Answer != hub.WrongEpoch || page.End != (hub.Position{}) {
		t.Errorf("%+v", page)
	}
	if _, page := read("hnone", hub.Start{Last: 3}, 1); page.Answer != hub.Recovered || page.End != (hub.Position{}) {
		t.Errorf("%+v", page)
	}
	if err := s.RemoveKept("h"); err != nil {
		t.Fatal(err)
	}
	if texts, page := read("h", hub.Start{}, 10); texts != "" || page.End != at[4] {
		t.Errorf("%q %+v", texts, page)
	}
	if _, page := read("h", hub.Start{Since: at[3]}, 10); page.Answer != hub.TooOld {
		t.Errorf("%+v", page)
	}
	for room, want := range map[string]error{"other": ErrNoHistory, "a/b": ErrRoomName} {
		if _, err := s.Kept(t.Context(), room, hub.Start{}, 1, 1); !errors.Is(err, want) {
			t.Errorf("%s: %v", room, err)
		}
		if err := s.RemoveKept(room); !errors.Is(err, want) {
			t.Errorf("%s: %v", room, err)
		}
	}
}

// Attackers who ask for all that many rooms keep, each in both encodings, and read nothing, cost no more than --history-memory, beside
// what their sockets take; histories are made for them in turn, rooms go on, and whoever reads is served.
func TestAttackersWhoAskForAllThatIsKeptAreBounded(t *testing.T) {
	const rooms, size, each = 24, 16 << 10, 40
	cfg := testConfig()
	cfg.MaxMessage, cfg.RoomBacklog, cfg.PublishWindow = 64<<10, 1<<20, 1<<20
	cfg.History = []HistoryRule{{Pattern: "h*", Bytes: 512 << 10}}
	cfg.HistoryMemory = 4 << 20 // of 12 MiB that rules would let rooms keep, and as much in each encoding
	s, addr := startGateway(t, cfg)
	most := int64(0)
	publish := func(n int) {
		for i := range n {
			for r := range rooms {
				text := wstest.Message(uint64(i), size)
				if _, err := s.Publish(fmt.Sprintf("h%d", r), Message{Data: text, IsBinary: true}); err != nil && !errors.Is(err, ErrMemory) && !errors.Is(err, ErrRoomFull) {
					t.Fatal(err)
				}
				most = max(most, s.hub.Histories().Memory)
			}
		}
	}
	publish(each)
	for r := range rooms {
		for _, header := range []string{"X: y", "Sec-WebSocket-Extensions: permessage-deflate"} {
			c := wstest.Connect(t, addr).Narrow()
			c.Send(wstest.UpgradeHead(fmt.Sprintf("/ws/h%d?last=all", r), header))
		}
	}
	testenv.Eventually(t, "all are in their rooms", func() bool {
		st := testenv.StatsOf(t, s)
		return st.Upgrades+st.Refusals[wsproto.ReasonHistory] == 2*rooms
	})
	publish(each)
	if allowed := cfg.HistoryMemory + 4*cfg.RoomBacklog/16; most > allowed { // a few segments that are on their way
		t.Errorf("%d bytes of memory, %d are allowed", most, allowed)
	}
	reader := dialLast(t, addr, "/ws/h0?last=1", false)
	if kind, p, err := reader.ReadMessage(); err != nil || kind != gorilla.BinaryMessage || len(p) != size {
		t.Errorf("%d bytes, %v", len(p), err)
	}
	quiet := wstest.Join(t, addr, "/ws/quiet", wstest.MaskedText("a"))
	quiet.ExpectFrame(0x1, "a")
	t.Logf("%d bytes at most of %d; %+v", most, cfg.HistoryMemory, s.hub.Histories())
}

// While a room is published into as fast as it goes, clients come that begin with some of what it keeps, in both encodings, and with
// nobody else there or with others: each begins exactly there, and gets each message once, in order. The room's messages count up, so
// what is right is known of all that was ever said.
func TestWhoBeginsWithWhatIsKeptMissesNothing(t *testing.T) {
	const readers, heard, keeps = 4, 120, 50
	visits := 20
	if testenv.IsWholeSize(t) {
		visits = 200
	}
	cfg := historyConfig()
	cfg.History = []HistoryRule{{Pattern: "h", Messages: keeps, Bytes: 1 << 20}}
	s, addr := startGateway(t, cfg)
	var said, wanted atomic.Int64 // how many were said; how many visits have yet to be over
	wanted.Store(int64(readers * visits))
	ended := make(chan error, readers+1)
	go func() {
		for wanted.Load() > 0 {
			text := fmt.Sprintf("%d %s", said.Load(), strings.Repeat("x", 300))
			switch _, err := s.Publish("h", Message{Data: []byte(text)}); {
			case err == nil:
				said.Add(1)
			case errors.Is(err, ErrRoomFull) || errors.Is(err, ErrMemory):
				runtime.Gosched()
			default:
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	for i := range readers {
		go func() {
			var err error
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for range visits {
				if err == nil {
					err = visit(addr, i%2 == 0, random.IntN(2*keeps), keeps, heard, &said)
				}
				wanted.Add(-1)
			}
			ended <- err
		}()
	}
	for range readers + 1 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// visit joins with the last n messages of a room that keeps so many and hears some.
func visit(addr string, isDeflated bool, n, keeps, heard int, said *atomic.Int64) error {
	d := gorilla.Dialer{EnableCompression: isDeflated}
	var c *gorilla.Conn
	var before int64
	for c == nil {
		var r *http.Response
		var err error
		before = said.Load()
		c, r, err = d.Dial(fmt.Sprintf("ws://%s/ws/h?last=%d", addr, n), nil)
		if err != nil && (r == nil || r.StatusCode != http.StatusServiceUnavailable) { // It may be dropped faster than it is made.
			return err
		}
	}
	defer c.Close()
	after := said.Load() + 1 // One may be in the room and not counted yet.
	next := int64(-1)
	for range heard {
		_ = c.SetReadDeadline(time.Now().Add(testenv.Patience))
		_, p, err := c.ReadMessage()
		if err != nil {
			return err
		}
		var no int64
		if _, err := fmt.Sscan(string(p), &no); err != nil {
			return err
		}
		from := int64(min(n, keeps))
		switch {
		case next < 0 && (no < max(0, before-from) || no > max(0, after-from)):
			return fmt.Errorf("the last %d begin with message %d, of %d to %d that were said", n, no, before, after)
		case next >= 0 && no != next:
			return fmt.Errorf("message %d came where %d is due", no, next)
		}
		next = no + 1
	}
	return nil
}

// A reload gives rooms that keep something other bounds at once. A gateway without any rule gets its first one with a restart.
func TestHistoryFollowsItsRulesWhenTheyAreReloaded(t *testing.T) {
	cfg := historyConfig()
	o := cfg.Options
	s, _ := startGateway(t, cfg)
	mustPublish(t, s, "h", "one", "two", "three")
	kept := func() int {
		page, err := s.Kept(t.Context(), "h", hub.Start{}, 10, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Messages)
	}
	o.History = []HistoryRule{{Pattern: "h", Messages: 2}}
	if needs, err := s.Reload(o); err != nil || len(needs) > 0 || kept() != 2 {
		t.Errorf("%v, %v; %d are kept", needs, err, kept())
	}
	o.HistoryMemory = 1 << 30
	if needs, err := s.Reload(o); err != nil || len(needs) != 1 || needs[0] != "HistoryMemory" {
		t.Errorf("%v, %v", needs, err)
	}
	o.History = []HistoryRule{{Pattern: "h", Bytes: -1}}
	if _, err := s.Reload(o); err == nil || kept() != 2 {
		t.Errorf("%v; %d are kept", err, kept())
	}

	none := testConfig()
	o = none.Options
	s, _ = startGateway(t, none)
	o.History = []HistoryRule{{Pattern: "h"}}
	if needs, err := s.Reload(o); err != nil || len(needs) != 1 || needs[0] != "History" {
		t.Errorf("%v, %v", needs, err)
	}
	if _, err := s.Kept(t.Context(), "h", hub.Start{}, 1, 1); !errors.Is(err, ErrNoHistory) {
		t.Errorf("%v", err)
	}
}
