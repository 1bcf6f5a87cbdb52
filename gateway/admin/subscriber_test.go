package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"sluice/gateway"
	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
)

// subscribe connects a client of the protocol, known by a token, to some rooms, and returns its id.
func (s *site) subscribe(token string, rooms ...string) (c *websocket.Conn, id string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), testenv.Patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws://"+s.clients+"/connection/websocket", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.CloseNow() })
	say := fmt.Sprintf(`{"id":1,"connect":{"token":%q}}`, token)
	for i, room := range rooms {
		say += fmt.Sprintf("\n"+`{"id":%d,"subscribe":{"channel":%q}}`, i+2, room)
	}
	if err := c.Write(ctx, websocket.MessageText, []byte(say)); err != nil {
		s.t.Fatal(err)
	}
	_, frame, err := c.Read(ctx)
	var r struct{ Connect struct{ Client string } }
	lines := strings.Split(string(frame), "\n")
	if err != nil || json.Unmarshal([]byte(lines[0]), &r) != nil || len(lines) != 1+len(rooms) || strings.Contains(string(frame), "error") {
		s.t.Fatalf("%s, %v", frame, err)
	}
	return c, r.Connect.Client
}

// Clients of the protocol are taken out of one channel alone, found by the ids that they and others
// know them by, and disconnected.
func TestCentrifugoMethodsForSubscribers(t *testing.T) {
	t.Parallel()
	o := gatewaytest.Options()
	o.Auth = nameTags{}
	o.Rooms = []gateway.RoomRule{{Pattern: "*", Presence: true}}
	s := startSite(t, o, nil)
	ann, id := s.subscribe("ann", "a", "b", "c")
	bob, _ := s.subscribe("bob", "a", "b")
	s.join("a?token=carl")
	s.expect("info", s.ask("POST", "/api/info", `{}`), 200, `"num_clients":3,"num_users":3,"num_subs":6,"num_channels":3`)
	s.expect("presence", s.ask("POST", "/api/presence", `{"channel":"c"}`), 200,
		fmt.Sprintf(`{"result":{"presence":{%q:{"client":%q,"user":"ann","conn_info":{"name":"ann"}}}}}`, id, id))
	out := func(room string) string {
		return fmt.Sprintf(`{"push":{"channel":%q,"unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}`, room)
	}
	for _, params := range []string{`{"user":"ann","channel":"x"}`, `{"user":"nobody","channel":"a"}`, fmt.Sprintf(`{"client":%q,"user":"bob","channel":"a"}`, id)} {
		s.expect("nobody", s.ask("POST", "/api/unsubscribe", params), 200, `{"result":{}}`)
	}
	s.expect("no room", s.ask("POST", "/api/unsubscribe", `{"user":"ann","channel":"a b"}`), 200, `"code":107`)
	s.expect("by user", s.ask("POST", "/api/unsubscribe", `{"user":"ann","channel":"a"}`), 200, `{"result":{}}`)
	s.hears(ann, websocket.MessageText, out("a"))
	s.expect("by client", s.ask("POST", "/api/unsubscribe", fmt.Sprintf(`{"client":%q,"channel":"b"}`, id)), 200, `{"result":{}}`)
	s.hears(ann, websocket.MessageText, out("b"))
	s.expect("channels", s.ask("POST", "/api/channels", `{}`), 200, `{"a":{"num_clients":2},"b":{"num_clients":1},"c":{"num_clients":1}}`)
	s.expect("bob is there", s.ask("POST", "/api/presence_stats", `{"channel":"b"}`), 200, `{"num_clients":1,"num_users":1}`)
	s.expect("disconnect", s.ask("POST", "/api/disconnect", fmt.Sprintf(`{"client":%q}`, id)), 200, `{"result":{}}`)
	s.expectClose(ann, 3503, "force disconnect")
	s.expect("disconnect", s.ask("POST", "/api/disconnect", `{"user":"bob","disconnect":{"code":4500,"reason":"away"}}`), 200, `{"result":{}}`)
	s.expectClose(bob, 4500, "away")
}

// Clients of the protocol are brought into channels, and told when they expire, in Centrifugo's
// words.
func TestCentrifugoMethodsThatGiveClientsSomething(t *testing.T) {
	t.Parallel()
	o := gatewaytest.Options()
	o.Auth = nameTags{}
	o.Rooms = []gateway.RoomRule{{Pattern: "*", Presence: true}}
	o.MaxSubscriptions = 2
	s := startSite(t, o, nil)
	ann, id := s.subscribe("ann")
	s.subscribe("bob")
	s.join("a?token=ann")
	in := func(room string) string { return fmt.Sprintf(`{"push":{"channel":%q,"subscribe":{}}}`, room) }
	s.expect("by user", s.ask("POST", "/api/subscribe", `{"user":"ann","channel":"a","info":{"seat" : 7}}`), 200, `{"result":{}}`)
	s.hears(ann, websocket.MessageText, in("a"))
	s.expect("presence", s.ask("POST", "/api/presence", `{"channel":"a"}`), 200, `"chan_info":{"seat":7}`)
	s.expect("of somebody else", s.ask("POST", "/api/subscribe", fmt.Sprintf(`{"user":"bob","client":%q,"channel":"b"}`, id)), 200, `{"result":{}}`)
	s.expect("by client", s.ask("POST", "/api/subscribe", fmt.Sprintf(`{"user":"ann","client":%q,"channel":"c"}`, id)), 200, `{"result":{}}`)
	s.hears(ann, websocket.MessageText, in("c"))
	s.expect("too many", s.ask("POST", "/api/subscribe", `{"user":"ann","channel":"d"}`), 200, `"code":106`)
	s.expect("channels", s.ask("POST", "/api/channels", `{}`), 200, `{"a":{"num_clients":2},"c":{"num_clients":1}}`)
	for params, code := range map[string]string{
		`{"user":"ann"}`: "107", `{"channel":"a"}`: "107", `{"user":"ann","channel":"a b"}`: "107", `{"user":"ann","channel":"x","expire_at":"soon"}`: "107",
		`{"user":"ann","channel":"x","expire_at":-1}`: "107", `{"user":"ann","channel":"x","info":"` + strings.Repeat("x", 1024) + `"}`: "107",
		`{"user":"ann","channel":"x","recover_since":{}}`: "108", `{"user":"ann","channel":"x","data":{}}`: "108", `{"user":"ann","channel":"x","session":"s"}`: "108",
	} {
		s.expect(params[:min(60, len(params))], s.ask("POST", "/api/subscribe", params), 200, `"code":`+code)
	}
	for params, code := range map[string]string{
		`{}`: "107", `{"user":"ann","expire_at":1.5}`: "107", `{"user":"ann","expired":1}`: "107", `{"user":"ann","info":{}}`: "108",
	} {
		s.expect(params, s.ask("POST", "/api/refresh", params), 200, `"code":`+code)
	}
	s.expect("never", s.ask("POST", "/api/refresh", `{"user":"ann"}`), 200, `{"result":{}}`)
	s.hears(ann, websocket.MessageText, `{"push":{"refresh":{}}}`)
	s.expect("later", s.ask("POST", "/api/refresh", fmt.Sprintf(`{"client":%q,"expire_at":99999999999}`, id)), 200, `{"result":{}}`)
	s.hears(ann, websocket.MessageText, `{"push":{"refresh":{"expires":true,"ttl":2147483647}}}`)
	s.expect("over", s.ask("POST", "/api/refresh", `{"user":"ann","expired":true}`), 200, `{"result":{}}`)
	s.expectClose(ann, 3005, "connection expired")
	limited := []string{"Authorization", "Bearer " + roomsKey}
	s.expect("a key for some rooms", s.ask("POST", "/api/subscribe", `{"user":"ann","channel":"ticker.a"}`, limited...), 200, `"code":103`)
}

// A client of the protocol is listed with its rooms, and found and taken out by each of them.
func TestRoomsOfSubscribersAreListed(t *testing.T) {
	t.Parallel()
	o := gatewaytest.Options()
	o.Auth = nameTags{}
	s := startSite(t, o, nil)
	ann, _ := s.subscribe("ann", "a", "b", "c")
	var conns struct {
		Total       int
		Connections []connJSON
	}
	for _, tc := range []struct {
		query string
		rooms []string
	}{
		{"", []string{"a", "b", "c"}}, {"?room=b", []string{"b"}}, {"?room=c&sort=id&subject=ann", []string{"c"}},
	} {
		conns.Connections = nil
		s.decode(s.ask("GET", "/api/connections"+tc.query, ""), &conns)
		if conns.Total != 1 || conns.Connections[0].Subscriptions != 3 || conns.Connections[0].Room != "" {
			t.Fatalf("%s: %+v", tc.query, conns)
		}
		var rooms []string
		for _, r := range conns.Connections[0].Rooms {
			rooms = append(rooms, r.Room)
		}
		if !slices.Equal(rooms, tc.rooms) {
			t.Errorf("%s: its rooms are %v", tc.query, rooms)
		}
	}
	id := conns.Connections[0].ID
	s.expect("one", s.ask("GET", "/api/connections/"+id, ""), 200, `"subscriptions":3,"rooms":[{"room":"a","messages_behind":0,`)
	s.expect("room", s.ask("DELETE", "/api/rooms/a/members", ""), 200, `{"disconnected":1}`)
	out := func(room string) {
		s.hears(ann, websocket.MessageText, fmt.Sprintf(`{"push":{"channel":%q,"unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}`, room))
	}
	out("a")
	s.expect("subject in a room", s.ask("DELETE", "/api/connections?subject=ann&room=b", ""), 200, `{"disconnected":1}`)
	out("b")
	s.expect("what is left", s.ask("GET", "/api/connections/"+id, ""), 200, `"subscriptions":1,"rooms":[{"room":"c",`)
	s.expect("no room", s.ask("DELETE", "/api/connections?subject=ann&room=a%20b", ""), 400, "room_name")
	s.expect("subject", s.ask("DELETE", "/api/connections?subject=ann", ""), 200, `{"disconnected":1}`)
	s.expectClose(ann, 3503, "force disconnect")
}

// The live page names the room in which a client is furthest behind.
func TestPageNamesTheRoomOfWhomItShows(t *testing.T) {
	t.Parallel()
	a, b := gateway.RoomLag{Room: "a"}, gateway.RoomLag{Room: "b"}
	for want, c := range map[string]gateway.ConnInfo{
		"lobby":         {Room: "lobby"},
		"a":             {Subscriptions: 1, Rooms: []gateway.RoomLag{a}},
		"b and 11 more": {Subscriptions: 12, Rooms: []gateway.RoomLag{b, a}},
	} {
		if got := roomsOf(&c); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
