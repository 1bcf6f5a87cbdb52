package admin

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"sluice/gateway"
	"sluice/hub"
	"sluice/internal/gatewaytest"
)

// neighbours are two other nodes: one answers with what it is given, the other may not.
type neighbours struct {
	says   map[string]string // by what is asked for
	isDeaf bool              // the second one does not answer
}

func (n *neighbours) Ask(_ context.Context, question []byte) (a hub.NodeAnswers, err error) {
	var q struct{ Do string }
	if err := json.Unmarshal(question, &q); err != nil {
		return a, err
	}
	a.Asked = 2
	a.From = append(a.From, hub.NodeAnswer{Node: "id-b", Data: []byte(n.says[q.Do])})
	if !n.isDeaf {
		a.From = append(a.From, hub.NodeAnswer{Node: "id-c", Data: []byte(`{}`)})
	}
	return a, nil
}

func (n *neighbours) Tell([]byte)                   {}
func (n *neighbours) Tally(room string) hub.Tally   { return n.Tallies()[room] }
func (n *neighbours) Tallies() map[string]hub.Tally { return map[string]hub.Tally{"a": {Members: 40}} }

func (n *neighbours) Stats() hub.NodesStats { return hub.NodesStats{Nodes: 3, Gone: 2, Unanswered: 5} }

func (n *neighbours) List() []hub.NodeInfo {
	return []hub.NodeInfo{
		{ID: "id-a", Name: "a"},
		{ID: "id-b", Name: "b", Version: "v8", Address: "[::]:8080", Connections: 41, Rooms: 1, Members: 40, Uptime: time.Minute, Silent: 300 * time.Millisecond},
		{ID: "id-c", Name: "sluice-7c9f6d5b84-x2x4q", Version: "v0.9.0 0123456789ab go1.26.8", Address: "10.12.13.14:8080"}, // A pod.
	}
}

// startClustered runs a site whose gateway has neighbours.
func startClustered(t *testing.T) (*site, *neighbours) {
	n := &neighbours{says: map[string]string{"end": `{"clients":7}`, "users": `{"users":2,"keys":[1,2]}`, "who": `{"infos":[]}`}}
	o := gatewaytest.Options()
	o.Nodes, o.Rooms = n, []gateway.RoomRule{{Pattern: "kept", Presence: true}}
	return startSite(t, o, nil), n
}

// How far it has come what is done to clients is told, under either name of the API.
func TestAnswersSayHowManyNodesHaveAnswered(t *testing.T) {
	t.Parallel()
	s, n := startClustered(t)
	s.join("a")
	ask := func(method, body, want string) {
		t.Helper()
		s.expect(method, s.ask("POST", "/api/"+method, body), 200, want)
	}
	s.expect("a room", s.ask("GET", "/api/rooms/a", ""), 200, `"members_elsewhere":40`)
	ask("presence_stats", `{"channel":"a"}`, `{"result":{"num_clients":41,"num_users":3}}`)
	ask("channels", `{}`, `{"result":{"channels":{"a":{"num_clients":41}}}}`)
	ask("presence", `{"channel":"kept"}`, `{"result":{"presence":{}}}`)
	ask("disconnect", `{"user":"ann"}`, `{"result":{}}`)
	ask("unsubscribe", `{"user":"ann","channel":"a"}`, `{"result":{}}`)
	ask("info", `{}`, `{"uid":"id-b","name":"b","version":"v8","num_clients":41,"num_users":2,"num_subs":40,"num_channels":1,"uptime":60}`)
	ask("info", `{}`, `{"uid":"id-a","name":"a","version":"test","num_clients":`)
	s.expect("a room", s.ask("DELETE", "/api/rooms/a/members", ""), 200, `{"disconnected":8,"nodes":3,"answered":3}`)

	n.isDeaf = true
	s.expect("a subject", s.ask("DELETE", "/api/connections?subject=ann", ""), 200, `{"disconnected":7,"nodes":3,"answered":2}`)
	const unanswered = `{"error":{"code":100,"message":"Not all nodes of the cluster, or not the servers between them, have answered in time."}}`
	ask("presence", `{"channel":"kept"}`, unanswered)
	ask("disconnect", `{"user":"ann"}`, unanswered)
	ask("info", `{}`, unanswered)
	ask("disconnect", `{"client":"0.1-ffffffff"}`, `{"result":{}}`)
	n.says["end"] = `{}`
	ask("disconnect", `{"client":"0.1-ffffffff"}`, unanswered)
	if a := s.ask("DELETE", "/api/connections/0.1-ffffffff", ""); a.status != 503 || !strings.Contains(a.body, `"nodes"`) || a.header.Get("Retry-After") != "1" {
		t.Errorf("a client that may be on the node that does not answer: %d %s", a.status, a.body)
	}
}

// The live page and the metrics have what is known of other nodes.
func TestNodesAreShown(t *testing.T) {
	t.Parallel()
	o := gatewaytest.Options()
	o.Nodes = &neighbours{}
	_, _, url, key := startPage(t, o, nil)
	v := &visitor{t: t, url: url}
	_, body, _ := v.do("GET", "/status.json", nil, "Authorization", "Bearer "+key)
	if want := `{"id":"id-b","name":"b","version":"v8","address":"[::]:8080","connections":41,"rooms":1,"silent_ms":300}`; !strings.Contains(body, want) {
		t.Errorf("status: %s", body)
	}
	_, body, _ = v.do("GET", "/metrics", nil, "Authorization", "Bearer "+key)
	for _, want := range []string{"\nsluice_nodes 3\n", "\nsluice_nodes_gone_total 2\n", "\nsluice_node_unanswered_total 5\n"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q among the metrics", want)
		}
	}
}
