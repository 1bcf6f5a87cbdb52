package admin

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"sluice/gateway"
	"sluice/internal/gatewaytest"
)

// nameTags takes a token for its client's name.
type nameTags struct{ gateway.Authenticator }

func (nameTags) Judge(h *gateway.Handshake) (gateway.Principal, error) {
	grants := []gateway.Grant{{Rooms: []string{"*"}, May: gateway.Read | gateway.Publish}}
	return gateway.Principal{Kind: gateway.KindToken, Subject: h.Token, Grants: grants, Info: []byte(`{"name":"` + h.Token + `"}`)}, nil
}

func (nameTags) Ask(context.Context, *gateway.Handshake) (gateway.Principal, error) {
	panic("nobody is to be asked")
}

func (nameTags) Headers() []string { return nil }

// A09. Whoever is known by a token is found and ended by it, under either name of the API; the
// others stay.
func TestA09_ClientsAreKnownByTheirSubjects(t *testing.T) {
	t.Parallel()
	o := gatewaytest.Options()
	o.Auth = nameTags{}
	s := startSite(t, o, nil)
	ann, ann2, bob := s.join("a?token=ann"), s.join("b?token=ann"), s.join("a?token=bob")
	long := s.join("a?token=" + strings.Repeat("x", 300))
	var conns struct {
		Total       int
		Connections []connJSON
	}
	s.decode(s.ask("GET", "/api/connections?subject=ann", ""), &conns)
	if conns.Total != 2 || conns.Connections[0].Subject != "ann" {
		t.Errorf("%+v", conns)
	}
	s.decode(s.ask("GET", "/api/connections?subject=ann&room=b", ""), &conns)
	if conns.Total != 1 || conns.Connections[0].Room != "b" {
		t.Errorf("%+v", conns)
	}
	s.expect("users", s.ask("POST", "/api/presence_stats", `{"channel":"a"}`), 200, `{"num_clients":3,"num_users":3}`)
	s.expect("one room", s.ask("POST", "/api/unsubscribe", `{"user":"ann","channel":"b"}`), 200, `{"result":{}}`)
	s.expectClose(ann2, 3503, "unsubscribed")
	s.expect("all", s.ask("DELETE", "/api/connections?subject=ann&code=4401&reason=out", ""), 200, `{"disconnected":1}`)
	s.expectClose(ann, 4401, "out")
	s.expect("nobody", s.ask("DELETE", "/api/connections?subject=ann", ""), 200, `{"disconnected":0}`)
	s.expect("everybody", s.ask("DELETE", "/api/connections", ""), 400, "subject=NAME, which has to be said")
	s.expect("everybody", s.ask("DELETE", "/api/connections?subject=", ""), 400, "query")
	s.publish("a", "still here")
	s.hears(bob, 1, "still here")
	s.hears(long, 1, "still here")
	user, _ := json.Marshal(map[string]any{"user": "bob"})
	s.expect("disconnect", s.ask("POST", "/api/disconnect", string(user)), 200, `{"result":{}}`)
	s.expectClose(bob, 3503, "force disconnect")
}

// A09. A user and a client together are the client if it is the user's: a backend that ends a
// session which it remembers must not end somebody else's.
func TestA09_UserAndClientHaveToMatchBoth(t *testing.T) {
	t.Parallel()
	o := gatewaytest.Options()
	o.Auth = nameTags{}
	s := startSite(t, o, nil)
	ann, bob := s.join("a?token=ann"), s.join("a?token=bob")
	var conns struct{ Connections []connJSON }
	s.decode(s.ask("GET", "/api/connections?subject=ann", ""), &conns)
	if len(conns.Connections) != 1 {
		t.Fatalf("%+v", conns)
	}
	ask := func(method, user, channel string) {
		t.Helper()
		p, _ := json.Marshal(map[string]any{
			"user": user, "client": conns.Connections[0].ID, "channel": channel, "disconnect": map[string]any{"code": 4400, "reason": "both"},
		})
		s.expect(method, s.ask("POST", "/api/"+method, string(p)), 200, `{"result":{}}`)
	}
	ask("disconnect", "bob", "")
	ask("unsubscribe", "bob", "a")
	ask("unsubscribe", "ann", "b")
	s.publish("a", "still here")
	s.hears(ann, 1, "still here")
	s.hears(bob, 1, "still here")
	ask("disconnect", "ann", "")
	s.expectClose(ann, 4400, "both")
	ask("disconnect", "ann", "") // Whoever is gone is ended.
	s.publish("a", "here alone")
	s.hears(bob, 1, "here alone")
}

// Who is in a channel that keeps it, under Centrifugo's names.
func TestCentrifugoPresence(t *testing.T) {
	t.Parallel()
	o := gatewaytest.Options()
	o.Auth = nameTags{}
	o.Rooms = []gateway.RoomRule{{Pattern: "kept", Presence: true}, {Pattern: "ticker.*", Presence: true}}
	s := startSite(t, o, nil)
	s.join("kept?token=ann")
	s.join("kept?token=ann")
	s.join("kept?token=bob")
	s.join("other?token=ann")
	type attendee struct {
		User, Client string
		ConnInfo     map[string]string `json:"conn_info"`
	}
	var got struct {
		Result struct{ Presence map[string]attendee }
	}
	s.decode(s.ask("POST", "/api/presence", `{"channel":"kept"}`), &got)
	users := map[string]int{}
	for id, one := range got.Result.Presence {
		users[one.User]++
		if one.Client != id || one.ConnInfo["name"] != one.User {
			t.Errorf("%s: %+v", id, one)
		}
		s.expect(id, s.ask("GET", "/api/connections/"+id, ""), 200, `"subject":"`+one.User+`"`)
	}
	if len(users) != 2 || users["ann"] != 2 || users["bob"] != 1 {
		t.Errorf("%v", users)
	}
	s.expect("stats", s.ask("POST", "/api/presence_stats", `{"channel":"kept"}`), 200, `{"num_clients":3,"num_users":2}`)
	s.expect("not kept", s.ask("POST", "/api/presence", `{"channel":"other"}`), 200, `{"error":{"code":108,`)
	s.expect("nobody there", s.ask("POST", "/api/presence", `{"channel":"ticker.a"}`), 200, `{"result":{"presence":{}}}`)
	s.expect("no channel", s.ask("POST", "/api/presence", `{}`), 200, `{"error":{"code":107,`)
	s.expect("no room", s.ask("POST", "/api/presence", `{"channel":"a b"}`), 200, `{"error":{"code":107,`)
	limited := []string{"Authorization", "Bearer " + roomsKey}
	s.expect("its rooms", s.ask("POST", "/api/presence", `{"channel":"ticker.a"}`, limited...), 200, `{"result":{"presence":{}}}`)
	s.expect("other rooms", s.ask("POST", "/api/presence", `{"channel":"kept"}`, limited...), 200, `{"error":{"code":103,`)
}
