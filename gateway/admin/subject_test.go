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
	return gateway.Principal{Kind: gateway.KindToken, Subject: h.Token, Grants: grants}, nil
}

func (nameTags) Ask(context.Context, *gateway.Handshake) (gateway.Principal, error) {
	panic("nobody is to be asked")
}

func (nameTags) Headers() []string { return nil }

// A09. Whoever is known by a token is found and ended by it, under either name of the API; the others stay.
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
	s.expect("everybody", s.ask("DELETE", "/api/connections", ""), 400, "query")
	s.expect("everybody", s.ask("DELETE", "/api/connections?subject=", ""), 400, "query")
	s.publish("a", "still here")
	s.hears(bob, 1, "still here")
	s.hears(long, 1, "still here")
	user, _ := json.Marshal(map[string]any{"user": "bob"})
	s.expect("disconnect", s.ask("POST", "/api/disconnect", string(user)), 200, `{"result":{}}`)
	s.expectClose(bob, 3503, "force disconnect")
}

// A09. A user and a client together are the client if it is the user's: a backend that ends a session which it remembers must not end
// somebody else's.
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
