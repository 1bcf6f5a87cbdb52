package admin

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"sluice/internal/gatewaytest"
)

// P03. JSON that two readers may read in two ways is refused, and so is what is deep for no reason,
// at a cost that is its length.
func TestP03_BrokenDoubledAndDeepJSON(t *testing.T) {
	t.Parallel()
	s := startSite(t, gatewaytest.Options(), nil)
	deep := strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	for _, bad := range []string{
		``, `{`, `[]`, `"x"`, `null`, `{"channel":"r","data":1`, `{"channel":"r","data":1}}`, `{"channel":"r" "data":1}`, `{"channel":"r","data":01}`,
		`{"channel":"r","data":1,"channel":"q"}`, `{"channel":"r","data":1,"chan\u006eel":"q"}`, `{"channel":"r","data":` + deep + `}`, deep, "\xef\xbb\xbf{}",
	} {
		s.expect(bad[:min(40, len(bad))], s.ask("POST", "/api/publish", bad), 400, `"code":"json"`)
		s.expect("in the old form", s.ask("POST", "/api", bad), 400, `"code":"json"`)
		s.expect("in a batch", s.ask("POST", "/api/batch", `{"commands":[{"publish":{"channel":"r","data":1}},`+bad+`]}`), 400, `"code":"json"`)
	}
	s.expect("a line", s.publish("r", deep+"\n", "Content-Type", "application/x-ndjson"), 200, `"published":0`)
	c := s.join("r")
	deepEnough := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	s.expect("deep, but not for no reason", s.ask("POST", "/api/publish", `{"channel":"r","data":`+deepEnough+`}`), 200, `{"result":{}}`)
	s.hears(c, websocket.MessageText, deepEnough)
}

// data goes out so that clients without a protocol get what clients would have sent.
func TestCentrifugoDataBecomesAMessage(t *testing.T) {
	t.Parallel()
	s := startSite(t, gatewaytest.Options(), nil)
	c := s.join("r")
	for _, one := range []struct {
		params, text string
		kind         websocket.MessageType
	}{
		{`"data":{"a" : [1, 2],` + "\n" + `"b":"\u00e4"}`, `{"a":[1,2],"b":"\u00e4"}`, websocket.MessageText},
		{`"data":[ 1 ]`, `[1]`, websocket.MessageText},
		{`"data":"plain \u00e4\n"`, "plain \u00e4\n", websocket.MessageText},
		{`"data":1.50`, `1.50`, websocket.MessageText},
		{`"data":null`, `null`, websocket.MessageText},
		{`"b64data":"/wD+"`, "\xff\x00\xfe", websocket.MessageBinary},
		{`"data":{},"skip_history":true,"unknown":1`, `{}`, websocket.MessageText},
		{`"data":{},"b64data":"","tags":null,"version":0,"version_epoch":"","delta":false,"idempotency_key":""`, `{}`, websocket.MessageText},
		{`"data":null,"b64data":"AA==","tags":{},"idempotency_key":null`, "\x00", websocket.MessageBinary},
	} {
		s.expect(one.params, s.ask("POST", "/api/publish", `{"channel":"r",`+one.params+`}`), 200, `{"result":{}}`)
		s.hears(c, one.kind, one.text)
	}
	for _, bad := range []string{
		`{"channel":"r"}`, `{"data":1}`, `{"channel":1,"data":1}`, `{"channel":"","data":1}`, `{"channel":"a b","data":1}`, `{"channel":null,"data":1}`,
		`{"channel":"r","b64data":"%"}`, `{"channel":"r","b64data":"AA==","data":1}`, `{"channel":"r","data":1,"idempotency_key":"a b"}`, `{"channel":"r","b64data":""}`,
		`{"channel":"r","data":1,"idempotency_key":0}`, `{"channel":"r","data":1,"version":"2"}`, `{"channel":"r","data":1,"version":-1}`, `{"channel":"r","data":1,"tags":["a"]}`,
		`{"channel":"r","data":1,"skip_history":"yes"}`,
		`{"channel":"r","data":"` + strings.Repeat("x", 1<<20+1) + `"}`,
	} {
		s.expect(bad[:min(60, len(bad))], s.ask("POST", "/api/publish", bad), 200, `{"error":{"code":107,"message":"`)
	}
	for _, lost := range []string{`"tags":{"a":"b"}`, `"version":2`} { // Clients would get the message without them.
		s.expect(lost, s.ask("POST", "/api/publish", `{"channel":"r","data":1,`+lost+`}`), 200, `{"error":{"code":108,`)
		s.expect(lost, s.ask("POST", "/api/broadcast", `{"channels":["r"],"data":1,`+lost+`}`), 200, `{"responses":[{"error":{"code":108,`)
	}
	for range 2 {
		s.expect("once", s.ask("POST", "/api/publish", `{"channel":"r","data":"once","idempotency_key":"k"}`), 200, `{"result":{}}`)
	}
	s.publish("r", "end")
	s.hears(c, websocket.MessageText, "once")
	s.hears(c, websocket.MessageText, "end")
}

func TestCentrifugoMethods(t *testing.T) {
	t.Parallel()
	s := startSite(t, gatewaytest.Options(), nil)
	a, b, b2 := s.join("a"), s.join("b"), s.join("b")
	ask := func(method, params, want string) {
		t.Helper()
		s.expect(method+" "+params, s.ask("POST", "/api/"+method, params), 200, want)
		// The old form has the same answer; nothing here changes by being asked for twice.
		s.expect("old "+method, s.ask("POST", "/api", fmt.Sprintf(`{"method":%q,"params":%s}`, method, params)), 200, want)
	}
	ask("presence_stats", `{"channel":"b"}`, `{"result":{"num_clients":2,"num_users":1}}`)
	ask("presence_stats", `{"channel":"nobody"}`, `{"result":{"num_clients":0,"num_users":0}}`)
	ask("presence_stats", `{}`, `"code":107`)
	ask("channels", `{}`, `{"result":{"channels":{"a":{"num_clients":1},"b":{"num_clients":2}}}}`)
	ask("channels", `{"pattern":"b*"}`, `{"result":{"channels":{"b":{"num_clients":2}}}}`)
	ask("info", `{}`, `"num_clients":3,"num_users":1,"num_subs":3,"num_channels":2`)
	for _, method := range []string{"history", "history_remove", "presence"} {
		ask(method, `{"channel":"b"}`, `{"error":{"code":108,"message":"not available"}}`)
	}
	ask("disconnect", `{"user":"42"}`, `{"result":{}}`)
	ask("disconnect", `{"user":""}`, `"code":107`)
	for _, method := range []string{"disconnect", "unsubscribe", "subscribe", "refresh"} { // Nor all of a user's, where one client is meant.
		ask(method, `{"user":"42","client":7,"channel":"b"}`, `"code":107`)
		ask(method, `{"user":42,"client":"0.1","channel":"b"}`, `"code":107`)
	}
	ask("disconnect", `{"user":"42","whitelist":["x"]}`, `"code":108`)
	ask("disconnect", `{"user":"42","client":"","session":"","whitelist":[],"disconnect":null}`, `{"result":{}}`)
	ask("channels", `{"pattern":null}`, `"b":{"num_clients":2}`)
	s.expect("no parameters", s.ask("POST", "/api", `{"method":"info","params":null}`), 200, `"num_clients":3`)
	s.expect("no parameters", s.ask("POST", "/api/batch", `{"commands":[{"info":null}]}`), 200, `"num_clients":3`)
	ask("unsubscribe", `{"user":"42","channel":"b"}`, `{"result":{}}`)

	s.expect("broadcast", s.ask("POST", "/api/broadcast", `{"channels":["a","b","no room"],"data":{"x":1}}`), 200,
		`{"result":{"responses":[{"result":{}},{"result":{}},{"error":{"code":107,`)
	for _, c := range []*websocket.Conn{a, b, b2} {
		s.hears(c, websocket.MessageText, `{"x":1}`)
	}
	s.expect("batch", s.ask("POST", "/api/batch", `{"commands":[{"publish":{"channel":"a","data":"1"}},{"history":{"channel":"a"}},{"presence_stats":{"channel":"a"}},{"nothing":{}},{"batch":{"commands":[]}},{}]}`), 200,
		`{"replies":[{"publish":{}},{"error":{"code":108,"message":"not available"}},{"presence_stats":{"num_clients":1,"num_users":1}},{"error":{"code":104,"message":"method not found"}},{"error":{"code":107,"message":"bad request"}},{"error":{"code":107,"message":"bad request"}}]}`)
	s.hears(a, websocket.MessageText, "1")
	old := s.ask("POST", "/api", `{"method":"publish","params":{"channel":"a","data":"2"}}`+"\n"+`{"method":"nothing","params":{}}`+"\n"+`{"method":"info"}`+"\n", "Authorization", "apikey "+testKey)
	if lines := strings.Split(old.body, "\n"); old.status != 200 || len(lines) != 3 || lines[0] != `{"result":{}}` || !strings.Contains(lines[1], "104") || !strings.Contains(lines[2], "nodes") {
		t.Errorf("%d %s", old.status, old.body)
	}
	s.hears(a, websocket.MessageText, "2")
	s.expect("unknown", s.ask("POST", "/api/nothing", `{}`), 404, "")

	limited := []string{"Authorization", "Bearer " + roomsKey}
	s.expect("other rooms", s.ask("POST", "/api/publish", `{"channel":"a","data":1}`, limited...), 200, `"code":103`)
	s.expect("other rooms", s.ask("POST", "/api/presence_stats", `{"channel":"a"}`, limited...), 200, `"code":103`)
	for _, method := range []string{"info", "channels", "disconnect", "unsubscribe"} {
		s.expect("all rooms", s.ask("POST", "/api/"+method, `{"user":"x","channel":"ticker.a"}`, limited...), 200, `"code":103`)
	}

	var conns struct{ Connections []connJSON }
	s.decode(s.ask("GET", "/api/connections?sort=id", ""), &conns)
	of := map[string]string{}
	for _, c := range conns.Connections {
		of[c.Room] = c.ID
	}
	id, _ := json.Marshal(of["a"])
	s.expect("not there", s.ask("POST", "/api/unsubscribe", fmt.Sprintf(`{"user":"","client":%s,"channel":"b"}`, id)), 200, `{"result":{}}`)
	s.expect("disconnect", s.ask("POST", "/api/disconnect", fmt.Sprintf(`{"user":"","client":%s,"disconnect":{"code":4444,"reason":"away"}}`, id)), 200, `{"result":{}}`)
	s.expectClose(a, 4444, "away")
	id, _ = json.Marshal(of["b"])
	s.expect("unsubscribe", s.ask("POST", "/api/unsubscribe", fmt.Sprintf(`{"user":"","client":%s,"channel":"b"}`, id)), 200, `{"result":{}}`)
	ask("presence_stats", `{"channel":"b"}`, `"num_clients":1`)
	s.expect("whoever is gone", s.ask("POST", "/api/disconnect", fmt.Sprintf(`{"client":%s}`, id)), 200, `{"result":{}}`)
}
