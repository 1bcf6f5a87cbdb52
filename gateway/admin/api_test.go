package admin

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sluice/gateway"
	"sluice/hub"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// dialerTo dials a unix socket whatever is asked for.
func dialerTo(path string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
}

// P01. Each client of the room gets the body as it is, text or binary by its type.
func TestP01_PublishedMessageReachesEveryClientOfTheRoom(t *testing.T) {
	t.Parallel()
	s := startSite(t, gatewaytest.Options(), nil)
	clients := []*websocket.Conn{s.join("r"), s.join("r"), s.join("r")}
	large := strings.Repeat("\u00e4", 1<<19) // of exactly MaxMessage bytes
	for _, one := range []struct {
		kind websocket.MessageType
		mime string
		body string
	}{
		{websocket.MessageText, "", "hello"},
		{websocket.MessageText, "text/plain; charset=UTF-8", "h\u00e4ll\u00f6"},
		{websocket.MessageText, "application/json", "{\n  \"as\": \"it is\"\n}\n"},
		{websocket.MessageText, "application/x-www-form-urlencoded", "what=curl+-d"},
		{websocket.MessageText, "application/problem+json", ""},
		{websocket.MessageText, "text/plain", large},
		{websocket.MessageBinary, "application/octet-stream", "\xff\x00\xfe"},
		{websocket.MessageBinary, "image/png", "\x89PNG"},
	} {
		s.expect(one.mime, s.publish("r", one.body, "Content-Type", one.mime), 200, `{"members":3}`)
		for _, c := range clients {
			s.hears(c, one.kind, one.body)
		}
	}
	for _, one := range []struct {
		what, room, body string
		status           int
		code             string
		fields           []string
	}{
		{"a byte more", "r", large + "x", 413, "too_large", nil},
		{"no room's name", "a%20b", "x", 400, "room_name", nil},
		{"another charset", "r", "x", 415, "content_type", []string{"Content-Type", "text/plain; charset=latin1"}},
		{"a form with files", "r", "x", 415, "content_type", []string{"Content-Type", "multipart/form-data; boundary=x"}},
		{"no type", "r", "x", 415, "content_type", []string{"Content-Type", ";;"}},
	} {
		s.expect(one.what, s.publish(one.room, one.body, one.fields...), one.status, one.code)
	}
	s.publish("r", "the next one")
	s.hears(clients[0], websocket.MessageText, "the next one")
}

// P07. No body is inflated, so none can be a bomb.
func TestP07_CompressedBodiesAreRefused(t *testing.T) {
	t.Parallel()
	s := startSite(t, gatewaytest.Options(), nil)
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 10<<20)) // A Buffer takes all.
	z.Close()
	for _, coding := range []string{"gzip", "br", "deflate", "zstd", "identity, gzip"} {
		for _, path := range []string{"/api/rooms/r/messages", "/api/publish", "/api"} {
			a := s.ask("POST", path, bomb.String(), "Content-Encoding", coding)
			s.expect(coding+" to "+path, a, 415, "content_encoding")
			if a.header.Get("Accept-Encoding") != "identity" {
				t.Errorf("%s: it does not say what is taken", coding)
			}
		}
	}
	s.expect("identity", s.publish("r", "x", "Content-Encoding", "identity"), 200, "")
}

// P12. One message that is no UTF-8 would close every browser in the room.
func TestP12_TextThatIsNotUTF8IsRefusedOnEveryWayIn(t *testing.T) {
	t.Parallel()
	s := startSite(t, gatewaytest.Options(), nil)
	c := s.join("r")
	for _, bad := range []string{"\xff", "abc\xc3", "\xed\xa0\x80", "\xc0\xaf", "\xf4\x90\x80\x80"} {
		s.expect("the body", s.publish("r", bad), 400, "not_utf8")
		a := s.publish("r", `"`+bad+`"`, "Content-Type", "application/x-ndjson")
		s.expect("a line", a, 200, `{"published":0,"results":[{"error":{"code":"not_utf8"`)
		for _, data := range []string{`"` + bad + `"`, `{"a":"` + bad + `"}`} {
			s.expect("data", s.ask("POST", "/api/publish", `{"channel":"r","data":`+data+`}`), 200, `{"error":{"code":107`)
			s.expect("data of many", s.ask("POST", "/api/broadcast", `{"channels":["r"],"data":`+data+`}`), 200, `"code":107`)
			s.expect("the old form", s.ask("POST", "/api", `{"method":"publish","params":{"channel":"r","data":`+data+`}}`), 200, `{"error":{"code":107`)
		}
	}
	s.publish("r", "good")
	s.hears(c, websocket.MessageText, "good")
}

// P13. A line that is at fault has its answer in its place; the others go out in their order.
func TestP13_BatchWithABadItem(t *testing.T) {
	t.Parallel()
	o := gatewaytest.Options()
	o.MaxMessage = 100 << 10
	s := startSite(t, o, nil)
	c := s.join("r")
	good := []string{`{"n":1}`, `"` + strings.Repeat("x", 100<<10-2) + `"`, `3`, `[4]`}
	lines := []string{good[0], `{"n":`, good[1], "", `"` + strings.Repeat("x", 100<<10-1) + `"`, strings.Repeat("7", 300<<10), "  " + good[2] + " \r", `{} {}`, good[3]}
	for _, end := range []string{"", "\n", "\n\n"} {
		a := s.publish("r", strings.Join(lines, "\n")+end, "Content-Type", "application/x-ndjson")
		s.expect("the batch", a, 200, `"published":4`)
		var got struct {
			Results []struct {
				Members *int
				Error   *fault
			}
		}
		if err := json.Unmarshal([]byte(a.body), &got); err != nil {
			t.Fatal(err)
		}
		var said []string
		for _, one := range got.Results {
			if one.Error != nil {
				said = append(said, one.Error.Code)
			} else {
				said = append(said, fmt.Sprint(*one.Members))
			}
		}
		if want := "1 json 1 too_large too_large 1 json 1"; strings.Join(said, " ") != want {
			t.Errorf("results %v, want %s", said, want)
		}
		for _, text := range good {
			s.hears(c, websocket.MessageText, text)
		}
	}
	s.expect("nothing", s.publish("r", "\n", "Content-Type", "application/x-ndjson"), 200, `{"published":0,"results":[]}`)
	many := s.publish("r", strings.Repeat("1\n", linesMax+1), "Content-Type", "application/x-ndjson")
	s.expect("too many lines", many, 413, fmt.Sprintf(`"published":%d`, linesMax))
	line := `"` + strings.Repeat("x", 64<<10) + "\"\n"
	large := s.publish("nobody", strings.Repeat(line, batchMax/len(line)+1), "Content-Type", "application/x-ndjson")
	s.expect("too many bytes", large, 413, fmt.Sprintf(`"A batch has at most 10000 lines and 16 MiB: what came before was published."},"published":%d`, batchMax/len(line)))
	for range linesMax {
		s.hears(c, websocket.MessageText, "1")
	}
	s.expect("for one client", s.ask("POST", "/api/connections/0.1/messages", "1", "Content-Type", "application/x-ndjson"), 415, "batch")
}

// P15. Nobody hears it, and no room is made; at the limit of rooms nobody could.
func TestP15_RoomsThatDoNotExist(t *testing.T) {
	t.Parallel()
	o := gatewaytest.Options()
	o.MaxRooms = 1
	s := startSite(t, o, nil)
	s.expect("nobody there", s.publish("r", "x"), 200, `{"members":0}`)
	s.expect("no room was made", s.ask("GET", "/api/rooms/r", ""), 404, "no_room")
	c := s.join("other")
	a := s.publish("r", "x")
	s.expect("one too many", a, 429, "rooms_max")
	if a.header.Get("Retry-After") == "" {
		t.Error("without Retry-After")
	}
	s.expect("the one that is there", s.publish("other", "x"), 200, `{"members":1}`)
	speaker := s.join("other?echo=0")
	s.expect("who only publishes is no member", s.publish("other", "x"), 200, `{"members":1}`)
	_, _ = c, speaker
}

// P09. A publisher that leaves does not know whether its message is in. Publishing again under the
// same key is safe: it is in once.
func TestP09_PublishingAgainUnderAKeyIsSafe(t *testing.T) {
	t.Parallel()
	s := startSite(t, gatewaytest.Options(), nil)
	c := s.join("r")
	for i := range 20 {
		text := fmt.Sprint("message ", i)
		key := fmt.Sprintf("key-%d", i)
		leaver := wstest.Connect(t, s.admin)
		leaver.Send([]byte(fmt.Sprintf("POST /api/rooms/r/messages HTTP/1.1\r\nHost: localhost\r\nX-API-Key: %s\r\nIdempotency-Key: %s\r\nContent-Length: %d\r\n\r\n%s",
			testKey, key, len(text), text)))
		if i%2 == 0 {
			if err := leaver.SetLinger(0); err != nil { // Away with a reset.
				t.Fatal(err)
			}
		}
		leaver.Close()
		s.expect("again", s.publish("r", text, "Idempotency-Key", key), 200, `{"members":1}`)
		s.hears(c, websocket.MessageText, text)
	}
	for range 2 {
		s.expect("the first result", s.publish("r", "something else", "Idempotency-Key", "key-0"), 200, `{"members":1}`)
	}
	s.expect("another room is another matter", s.publish("q", "x", "Idempotency-Key", "key-0"), 200, `{"members":0}`)
	for range 2 { // Each line of a batch has its own.
		s.expect("a batch", s.publish("r", "1\n2\n", "Idempotency-Key", "batch", "Content-Type", "application/x-ndjson"), 200, `"published":2`)
	}
	s.publish("r", "the end")
	for _, text := range []string{"1", "2", "the end"} {
		s.hears(c, websocket.MessageText, text)
	}
	for _, key := range []string{"", "two words", "\u00e4", strings.Repeat("x", 256)} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+s.admin+"/api/rooms/r/messages", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-API-Key", testKey)
		r.Header["Idempotency-Key"] = []string{key}
		s.expect("no key: "+key, s.do(r), 400, "idempotency_key")
	}
}

// P10. A key has its rate, in messages, however they come.
func TestP10_KeyOverItsRateIsToldWhenToComeBack(t *testing.T) {
	t.Parallel()
	var clock aTestClock
	s := startSite(t, gatewaytest.Options(), func(h *Handler) { h.rules.Load().rate = 4; clock = newTestClock(h) })
	for range 4 {
		s.expect("within", s.publish("ticker.r", "x"), 200, "members")
	}
	a := s.publish("ticker.r", "x")
	s.expect("beyond", a, 429, `"code":"rate"`)
	if a.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	s.expect("another key", s.publish("ticker.r", "x", "Authorization", "Bearer "+roomsKey), 200, "members")
	s.expect("by another name", s.ask("POST", "/api/publish", `{"channel":"r","data":1}`), 200, `"code":111`)
	clock.pass(500 * time.Millisecond)
	// Two have flowed in: the third line, and all behind it, are to come later.
	batch := s.publish("ticker.r", "1\n2\n3\n4\n", "Content-Type", "application/x-ndjson")
	s.expect("a batch", batch, 429, `"published":2,"results":[{"members":0},{"members":0}]`)
	if batch.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", batch.header.Get("Retry-After"))
	}
	clock.pass(time.Second)
	keys, err := ParseKeys(testKey)
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		s.expect("within again", s.publish("ticker.r", "x"), 200, "members")
	}
	if err := s.handler.Reload(Options{Keys: keys, PublishRate: 4}); err != nil {
		t.Fatal(err)
	}
	s.expect("the same key read anew", s.publish("ticker.r", "x"), 429, "rate")
}

// A faulty gateway fails as it is told.
type faultyGateway struct {
	Gateway
	fails chan error
}

func (g *faultyGateway) PublishAt(string, gateway.Message) (hub.Published, error) {
	err := <-g.fails
	g.fails <- err
	return hub.Published{}, err
}

func (g *faultyGateway) PublishAhead(room string, m gateway.Message) (p hub.Published, wait func() (hub.Published, error), err error) {
	p, err = g.PublishAt(room, m)
	return p, nil, err
}

// What the gateway refuses for the moment is said with the time to come back, and what was refused
// is not kept under a key.
func TestRefusalsOfTheMomentSayWhenToComeBack(t *testing.T) {
	t.Parallel()
	g := &faultyGateway{fails: make(chan error, 1)}
	s := startSite(t, gatewaytest.Options(), func(h *Handler) { g.Gateway, h.gateway = h.gateway, g })
	for _, one := range []struct {
		err    error
		status int
		code   string
	}{
		{gateway.ErrRoomFull, 503, "room_full"},
		{gateway.ErrMemory, 503, "memory"},
		{gateway.ErrClosed, 503, "closed"},
		{gateway.ErrFault, 500, "fault"},
		{errors.New("another"), 500, "fault"},
	} {
		g.fails <- one.err
		a := s.publish("r", "x", "Idempotency-Key", "same")
		s.expect(one.code, a, one.status, one.code)
		if comesBack := a.header.Get("Retry-After") != ""; comesBack != (one.status == 503) {
			t.Errorf("%s: Retry-After %t", one.code, comesBack)
		}
		batch := s.publish("r", "1\n2\n", "Content-Type", "application/x-ndjson")
		s.expect("a batch", batch, one.status, `"published":0,"results":[]`)
		<-g.fails
	}
	g.fails <- nil
	s.expect("then it works", s.publish("r", "x", "Idempotency-Key", "same"), 200, "members")
	<-g.fails
	g.fails <- gateway.ErrRoomFull
	s.expect("and is kept", s.publish("r", "x", "Idempotency-Key", "same"), 200, "members")
	<-g.fails
}

// Operators see who is there and end them with a word.
func TestRoomsAndConnectionsAreListedAndEnded(t *testing.T) {
	t.Parallel()
	s := startSite(t, gatewaytest.Options(), nil)
	var clients []*websocket.Conn
	for i := range 5 {
		for range i + 1 {
			clients = append(clients, s.join(fmt.Sprintf("room.%d", i)))
		}
	}
	s.publish("room.4", "one")
	var rooms struct {
		Total int
		Rooms []roomJSON
	}
	s.decode(s.ask("GET", "/api/rooms?limit=2", ""), &rooms)
	if rooms.Total != 5 || len(rooms.Rooms) != 2 || rooms.Rooms[0].Room != "room.4" || rooms.Rooms[0].Members != 5 || rooms.Rooms[1].Members != 4 {
		t.Errorf("%+v", rooms)
	}
	s.decode(s.ask("GET", "/api/rooms?pattern=room.%5B13%5D&sort=name", ""), &rooms)
	if rooms.Total != 2 || rooms.Rooms[0].Room != "room.1" {
		t.Errorf("%+v", rooms)
	}
	var room roomJSON
	s.decode(s.ask("GET", "/api/rooms/room.4", ""), &room)
	if room.Messages != 1 || room.Owed != 5 || room.Policy != "disconnect" {
		t.Errorf("%+v", room)
	}
	var conns struct {
		Total       int
		Connections []connJSON
	}
	s.decode(s.ask("GET", "/api/connections?limit=4&sort=id", ""), &conns)
	if conns.Total != 15 || len(conns.Connections) != 4 {
		t.Errorf("%+v", conns)
	}
	s.decode(s.ask("GET", "/api/connections?room=room.0", ""), &conns)
	if conns.Total != 1 || conns.Connections[0].Room != "room.0" || conns.Connections[0].Address != "127.0.0.1" {
		t.Fatalf("%+v", conns)
	}
	id := conns.Connections[0].ID
	var one connJSON
	s.decode(s.ask("GET", "/api/connections/"+id, ""), &one)
	if one.ID != id || one.Room != "room.0" {
		t.Errorf("%+v", one)
	}
	s.expect("a word to one", s.ask("POST", "/api/connections/"+id+"/messages", "for you"), 200, "{}")
	s.hears(clients[0], websocket.MessageText, "for you")
	s.expect("its end", s.ask("DELETE", "/api/connections/"+id+"?code=4100&reason=good+bye", ""), 200, `{"disconnected":1}`)
	s.expectClose(clients[0], 4100, "good bye")
	for _, path := range []string{"/api/connections/" + id, "/api/connections/9.1", "/api/connections/x"} {
		s.expect("gone", s.ask("GET", path, ""), 404, "no_connection")
		s.expect("gone", s.ask("DELETE", path, ""), 404, "no_connection")
		s.expect("gone", s.ask("POST", path+"/messages", "x"), 404, "no_connection")
	}
	s.publish("room.4", "last words")
	s.expect("all of a room", s.ask("DELETE", "/api/rooms/room.4/members", ""), 200, `{"disconnected":5}`)
	for _, c := range clients[10:] {
		s.hears(c, websocket.MessageText, "one")
		s.hears(c, websocket.MessageText, "last words") // What was published before is theirs.
		s.expectClose(c, 4012, "disconnected by the operator")
	}
	gatewaytest.ExpectClosed(t, s.gateway, gateway.ClosedByOperator, 6)
	s.expect("no such room", s.ask("DELETE", "/api/rooms/room.4/members", ""), 200, `{"disconnected":0}`)
	for _, bad := range []string{"code=999", "code=5000", "code=0", "code=x", "code=4000&code=4001", "why=x", "reason=%ff", "reason=" + strings.Repeat("x", 124)} {
		s.expect(bad, s.ask("DELETE", "/api/rooms/room.3/members?"+bad, ""), 400, "")
	}
	for _, bad := range []string{"limit=0", "limit=1001", "sort=x", "x=1", "limit=1&limit=2", "%zz"} {
		s.expect(bad, s.ask("GET", "/api/rooms?"+bad, ""), 400, "pattern=PATTERN, sort=")
		s.expect(bad, s.ask("GET", "/api/connections?"+bad, ""), 400, "room=ROOM, subject=NAME, sort=")
	}
	s.expect("a pattern", s.ask("GET", "/api/rooms?pattern=%5B", ""), 400, "query")
	s.publish("room.3", "the others are there")
	s.hears(clients[6], websocket.MessageText, "the others are there")
}

func (s *site) decode(a answer, into any) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(a.body), into); err != nil || a.status != 200 {
		s.t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
}

func (s *site) expectClose(c *websocket.Conn, code websocket.StatusCode, reason string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Patience)
	defer cancel()
	_, _, err := c.Read(ctx)
	var closed websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != code || closed.Reason != reason {
		s.t.Errorf("closed with %v, want %d %s", err, code, reason)
	}
}
