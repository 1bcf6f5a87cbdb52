package gateway

import (
	"fmt"
	"slices"
	"testing"
)

// Where nobody has to be known everybody may count the clients of a room, and not be told who they
// are.
func TestEverybodyCountsWhereNobodyHasToBeKnown(t *testing.T) {
	for _, tc := range []struct {
		anonymous []Grant
		want      string
	}{
		{nil, `"presence_stats":{"num_clients":1,"num_users":1}`},
		{[]Grant{{Rooms: []string{"*"}, May: Read}}, `"error":{"code":103,"message":"permission denied"}`},
	} {
		cfg := testConfig()
		cfg.Rooms, cfg.Anonymous = rules(t, "kept=presence"), tc.anonymous
		_, addr := startGateway(t, cfg)
		p := dialPeer(t, addr, nil)
		p.say(`{"id":1,"connect":{}}`, `{"id":2,"subscribe":{"channel":"kept"}}`, `{"id":3,"presence_stats":{"channel":"kept"}}`,
			`{"id":4,"presence":{"channel":"kept"}}`)
		p.next()
		p.next()
		p.expect(`{"id":3,` + tc.want + `}`)
		p.expect(`{"id":4,"error":{"code":103,"message":"permission denied"}}`)
	}
}

// Presence is a permission, of counts too, and told of rooms that keep it.
func TestSubscribersAskWhoIsThere(t *testing.T) {
	_, addr, _ := startWithPasses(t, false, func(cfg *config) { cfg.Rooms = rules(t, "kept=presence") })
	p := dialPeer(t, addr, nil)
	p.say(`{"id":1,"connect":{"token":"sub:ann may:kept=read+presence may:other=read+presence may:x=read info:[1]"}}`, `{"id":2,"subscribe":{"channel":"other"}}`,
		`{"id":3,"subscribe":{"channel":"kept"}}`)
	p.next()
	p.next()
	p.next()
	q := dialPeer(t, addr, nil)
	q.say(`{"id":1,"connect":{"token":"sub:bob info:{}"}}`, `{"id":2,"subscribe":{"channel":"kept","token":"sub:bob room:kept info:\"chan\""}}`)
	q.next()
	q.next()
	for _, tc := range []struct{ ask, want string }{
		{`"presence":{"channel":"other"}`, `"error":{"code":108,"message":"not available"}`},
		{`"presence":{"channel":"x"}`, `"error":{"code":103,"message":"permission denied"}`},
		{`"presence":{"channel":"a/b"}`, `"error":{"code":107,"message":"bad request"}`},
		{`"presence_stats":{"channel":"x"}`, `"error":{"code":103,"message":"permission denied"}`},
		{`"presence_stats":{"channel":""}`, `"error":{"code":107,"message":"bad request"}`},
		{`"presence_stats":{"channel":"kept"}`, `"presence_stats":{"num_clients":2,"num_users":2}`},
		{`"presence_stats":{"channel":"other"}`, `"presence_stats":{"num_clients":1,"num_users":0}`},
	} {
		p.say(`{"id":4,` + tc.ask + `}`)
		p.expect(`{"id":4,` + tc.want + `}`)
	}
	p.say(`{"id":5,"presence":{"channel":"kept"}}`)
	r := decoded(t, p.next()).(map[string]any)["presence"].(map[string]any)["presence"].(map[string]any)
	var got []string
	for id, one := range r {
		info := one.(map[string]any)
		if info["client"] != id {
			t.Errorf("%s: %v", id, info)
		}
		got = append(got, fmt.Sprintf("%v, %v, %v", info["user"], info["conn_info"], info["chan_info"]))
	}
	slices.Sort(got)
	if want := []string{"ann, [1], <nil>", "bob, map[], chan"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
