package admin

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sluice/gateway"
	"sluice/internal/gatewaytest"
)

// historyOptions keep messages in rooms that begin with h or ticker.
func historyOptions() gateway.Options {
	o := gatewaytest.Options()
	o.History = []gateway.HistoryRule{{Pattern: "h*"}, {Pattern: "ticker.*", Messages: 1}}
	return o
}

// A line is one of the answer, as an independent parser has it.
type keptLine struct {
	Epoch        string
	Offset       uint64
	Time_MS      int64
	Text, Base64 *string
}

func (s *site) kept(room, query string) (texts string, lines []keptLine, a answer) {
	s.t.Helper()
	a = s.ask("GET", "/api/rooms/"+room+"/messages"+query, "")
	if a.status != 200 || a.header.Get("Content-Type") != "application/x-ndjson" {
		s.t.Fatalf("%s %s: %d %s", room, query, a.status, a.body)
	}
	for scanner := bufio.NewScanner(strings.NewReader(a.body)); scanner.Scan(); {
		var one keptLine
		if err := json.Unmarshal(scanner.Bytes(), &one); err != nil || (one.Text == nil) == (one.Base64 == nil) || time.Since(time.UnixMilli(one.Time_MS)) > time.Hour {
			s.t.Fatalf("%s: %v", scanner.Bytes(), err)
		}
		if one.Text != nil {
			texts += *one.Text + " "
		} else {
			p, err := base64.StdEncoding.DecodeString(*one.Base64)
			if err != nil {
				s.t.Fatal(err)
			}
			texts += fmt.Sprintf("%x ", p)
		}
		lines = append(lines, one)
	}
	return strings.TrimSpace(texts), lines, a
}

// What is published is answered with its position, and is read by it, a page at a time.
func TestKeptMessagesAreReadByPosition(t *testing.T) {
	t.Parallel()
	s := startSite(t, historyOptions(), nil)
	var p struct {
		Members int
		Epoch   string
		Offset  uint64
	}
	s.decode(s.publish("h", "one"), &p)
	if len(p.Epoch) != 8 || p.Offset != 1 || p.Members != 0 {
		t.Fatalf("%+v", p)
	}
	s.expect("binary", s.publish("h", "\xff\x00", "Content-Type", "image/png"), 200, `{"members":0,"epoch":"`+p.Epoch+`","offset":2}`)
	s.expect("batch", s.publish("h", "3\n{\n4\n", "Content-Type", "application/x-ndjson"), 200,
		`"results":[{"members":0,"epoch":"`+p.Epoch+`","offset":3},{"error":`)
	first := s.publish("h", "five", "Idempotency-Key", "k")
	s.expect("first", first, 200, `"offset":5}`)
	s.publish("h", "six")
	if again := s.publish("h", "five", "Idempotency-Key", "k"); again.body != first.body {
		t.Errorf("again %s, first %s", again.body, first.body)
	}
	s.expect("nothing kept", s.publish("other", "x"), 200, `{"members":0}`)

	at := func(offset int) string { return fmt.Sprintf("%s:%d", p.Epoch, offset) }
	for query, want := range map[string]struct{ texts, position, more string }{
		"":                                     {"one ff00 3 4 five six", at(6), "false"},
		"?limit=2":                             {"one ff00", at(2), "true"},
		"?since=" + at(2) + "&limit=2":         {"3 4", at(4), "true"},
		"?since=" + at(4):                      {"five six", at(6), "false"},
		"?since=" + at(6):                      {"", at(6), "false"},
		"?since=" + p.Epoch + ":0000000000005": {"six", at(6), "false"},
		"?last=1":                              {"six", at(6), "false"},
		"?last=3&limit=1":                      {"4", at(4), "true"},
		"?last=all":                            {"one ff00 3 4 five six", at(6), "false"},
	} {
		texts, lines, a := s.kept("h", query)
		if texts != want.texts || a.header.Get("Sluice-Position") != want.position || a.header.Get("Sluice-More") != want.more {
			t.Errorf("%s: %q, %v", query, texts, a.header)
		}
		if n := len(lines); n > 0 && fmt.Sprintf("%s:%d", lines[n-1].Epoch, lines[n-1].Offset) != want.position {
			t.Errorf("%s: %+v", query, lines)
		}
	}
	for query, code := range map[string]string{
		"?since=another1:2":   `"code":"wrong_epoch"`,
		"?since=" + at(7):     `"code":"beyond_end"`,
		"?since=" + at(1<<30): `"epoch":"` + p.Epoch + `","offset":6}`,
	} {
		s.expect(query, s.ask("GET", "/api/rooms/h/messages"+query, ""), 410, code)
	}
	for _, query := range []string{"?since=x", "?since=" + p.Epoch, "?since=" + at(1) + "&last=1", "?last=0", "?last=-1", "?last=x", "?limit=0", "?limit=1001", "?x=1", "?last=1&last=1"} {
		s.expect(query, s.ask("GET", "/api/rooms/h/messages"+query, ""), 400, `"code":"query"`)
	}
	if texts, _, a := s.kept("hnever", ""); texts != "" || a.header.Get("Sluice-Position") != "" {
		t.Errorf("%q %v", texts, a.header)
	}
	s.expect("no such room", s.ask("GET", "/api/rooms/hnever/messages?since="+at(1), ""), 410, `wrong_epoch`)
	s.expect("nothing kept", s.ask("GET", "/api/rooms/other/messages", ""), 404, `"code":"no_history"`)
	s.expect("nothing kept", s.ask("DELETE", "/api/rooms/other/messages", ""), 404, `"code":"no_history"`)
	s.expect("no name", s.ask("GET", "/api/rooms/a%20b/messages", ""), 400, `"code":"room_name"`)

	var room struct {
		Kept       int
		Kept_Bytes int
		Epoch      string
		Offset     int
	}
	s.decode(s.ask("GET", "/api/rooms/h", ""), &room)
	if room.Kept != 6 || room.Kept_Bytes < 20 || room.Offset != 6 || room.Epoch != p.Epoch {
		t.Errorf("%+v", room)
	}
	s.expect("forget", s.ask("DELETE", "/api/rooms/h/messages", ""), 200, `{}`)
	if texts, _, a := s.kept("h", "?since="+at(6)); texts != "" || a.header.Get("Sluice-Position") != at(6) {
		t.Errorf("%q %v", texts, a.header)
	}
	s.expect("forgotten", s.ask("GET", "/api/rooms/h/messages?since="+at(5), ""), 410, `"code":"too_old"`)

	limited := []string{"Authorization", "Bearer " + roomsKey}
	s.expect("other rooms", s.ask("GET", "/api/rooms/h/messages", "", limited...), 403, `"code":"rooms"`)
	s.expect("other rooms", s.ask("DELETE", "/api/rooms/h/messages", "", limited...), 403, `"code":"rooms"`)
	s.publish("ticker.a", "1")
	s.publish("ticker.a", "2")
	s.expect("its rooms", s.ask("GET", "/api/rooms/ticker.a/messages", "", limited...), 200, `"text":"2"}`)
}

// Centrifugo's history, its positions and errors, and what becomes of messages that are no JSON.
func TestCentrifugoHistory(t *testing.T) {
	t.Parallel()
	s := startSite(t, historyOptions(), nil)
	var p struct {
		Result struct {
			Offset uint64
			Epoch  string
		}
	}
	s.decode(s.ask("POST", "/api/publish", `{"channel":"h","data":{"a" : 1}}`), &p)
	epoch := p.Result.Epoch
	if p.Result.Offset != 1 || len(epoch) != 8 {
		t.Fatalf("%+v", p)
	}
	s.expect("broadcast", s.ask("POST", "/api/broadcast", `{"channels":["h","other"],"data":"plain"}`), 200,
		`{"result":{"responses":[{"result":{"epoch":"`+epoch+`","offset":2}},{"result":{}}]}}`)
	deep := strings.Repeat("[", 101) + strings.Repeat("]", 101)
	long := `{"n":` + strings.Repeat("1", 301) + `}`
	for _, text := range []string{"{\n \"x\": [1, 2]\n}", "17", deep, long, "{broken"} {
		s.publish("h", text)
	}
	s.publish("h", "\x01\x02", "Content-Type", "application/octet-stream")
	quoted := func(text string) string { q, _ := json.Marshal(text); return string(q) }
	all := []string{
		`{"data":{"a":1},"offset":1}`, `{"data":"plain","offset":2}`, `{"data":{"x":[1,2]},"offset":3}`, `{"data":"17","offset":4}`,
		`{"data":` + quoted(deep) + `,"offset":5}`, `{"data":` + quoted(long) + `,"offset":6}`, `{"data":"{broken","offset":7}`,
		`{"data":"AQI=","offset":8,"tags":{"encoding":"base64"}}`,
	}
	end := `],"offset":8,"epoch":"` + epoch + `"}`
	ask := func(params string, want ...string) {
		t.Helper()
		s.expect(params, s.ask("POST", "/api/history", `{"channel":"h"`+params+`}`), 200, `{"result":{"publications":[`+strings.Join(want, ",")+end)
	}
	ask("")
	ask(`,"limit":0`)
	ask(`,"limit":-1`, all...)
	ask(`,"limit":100000`, all...)
	ask(`,"limit":2`, all[:2]...)
	ask(`,"limit":2,"since":{"offset":2,"epoch":"`+epoch+`"}`, all[2:4]...)
	ask(`,"limit":-1,"since":{"offset":8,"epoch":"` + epoch + `"}`)
	ask(`,"limit":2,"reverse":true`, all[7], all[6])
	ask(`,"limit":2,"reverse":true,"since":{"offset":4,"epoch":"`+epoch+`"}`, all[2], all[1])
	ask(`,"limit":-1,"reverse":true,"since":{"offset":3,"epoch":"`+epoch+`"}`, all[1], all[0])
	ask(`,"limit":1,"reverse":true,"since":{"offset":1,"epoch":"` + epoch + `"}`)
	ask(`,"limit":2,"since":{"offset":0,"epoch":""}`, all[:2]...)
	for params, code := range map[string]int{
		`"channel":"h","limit":1,"since":{"offset":1,"epoch":""}`:                        112,
		`"channel":"h","limit":1,"reverse":true,"since":{"offset":1,"epoch":""}`:         112,
		`"channel":"h","limit":1,"since":{"offset":1,"epoch":"another1"}`:                112,
		`"channel":"h","limit":1,"reverse":true,"since":{"offset":1,"epoch":"another1"}`: 112,
		`"channel":"h","limit":1,"since":{"offset":9,"epoch":"` + epoch + `"}`:           112,
		`"channel":"other","limit":1`:                                                    108,
		`"channel":"h","limit":"1"`:                                                      107,
		`"channel":"h","since":1`:                                                        107,
		`"channel":""`:                                                                   107,
		`"limit":1`:                                                                      107,
		`"channel":"a b"`:                                                                107,
	} {
		s.expect(params, s.ask("POST", "/api/history", `{`+params+`}`), 200, fmt.Sprintf(`{"error":{"code":%d,`, code))
	}
	s.expect("not kept", s.ask("POST", "/api/publish", `{"channel":"h","data":1,"skip_history":true}`), 200, `"code":108`)
	s.expect("not kept", s.ask("POST", "/api/publish", `{"channel":"other","data":1,"skip_history":true}`), 200, `{"result":{}}`)
	limited := []string{"Authorization", "Bearer " + roomsKey}
	for _, method := range []string{"history", "history_remove"} {
		s.expect(method, s.ask("POST", "/api/"+method, `{"channel":"h","limit":1}`, limited...), 200, `"code":103`)
	}
	s.expect("remove", s.ask("POST", "/api/history_remove", `{"channel":"other"}`), 200, `"code":108`)
	s.expect("remove", s.ask("POST", "/api/history_remove", `{"channel":"h"}`), 200, `{"result":{}}`)
	ask(`,"limit":-1`)
	s.expect("removed", s.ask("POST", "/api/history", `{"channel":"h","limit":1,"since":{"offset":1,"epoch":"`+epoch+`"}}`), 200, `"code":112`)
}

// What rooms keep, who began with it, and what was encoded for that is on /metrics, and on the live
// page.
func TestKeptMessagesAreMeasured(t *testing.T) {
	t.Parallel()
	s := startSite(t, historyOptions(), nil)
	s.publish("h", strings.Repeat("x", 1000))
	s.publish("h", "two")
	s.publish("ticker.a", "1")
	c := s.join("h?last=1")
	s.hears(c, websocket.MessageText, "two")
	s.join("h")
	s.join("other?last=1")
	all := families(t, scrape(t, newMetrics(s.gateway, "v1", FigureOptions{})))
	for name, want := range map[string]float64{
		"sluice_history_rooms": 2, "sluice_history_messages": 3, "sluice_history_dropped_total": 0, "sluice_members_catching_up": 0,
		"sluice_history_memory_limit_bytes": 256 << 20, "sluice_history_encodings_built_total": 1, "sluice_history_frames_built_total": 2,
		"sluice_joins_total/live": 1, "sluice_joins_total/recovered": 1, "sluice_joins_total/no_history": 1, "sluice_joins_total/too_old": 0,
	} {
		metric, label, _ := strings.Cut(name, "/")
		if got := value(t, all, metric, label); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	source, memory := value(t, all, "sluice_history_source_bytes", ""), value(t, all, "sluice_history_memory_bytes", "")
	if source < 1004 || source > 1500 || memory < source || memory > value(t, all, "sluice_room_logs_bytes", "") {
		t.Errorf("%v bytes in %v of memory", source, memory)
	}
	st := statuser{figures: s.gateway, now: func() time.Duration { return time.Second }}
	for _, r := range st.make(t.Context()).Rooms {
		if want := map[string]uint64{"h": 2, "ticker.a": 1}[r.Name]; r.Kept != want {
			t.Errorf("%+v", r)
		}
	}
}

// What fits into one answer of Centrifugo's history in reverse is the newest, and going on from
// there shows each message once.
func TestCentrifugoHistoryInReverseBeginsWithTheNewest(t *testing.T) {
	t.Parallel()
	o := historyOptions()
	o.History[0].Bytes = 8 << 20
	s := startSite(t, o, nil)
	const messages, size = 9, 900 << 10 // twice what one answer has
	for i := range messages {
		s.publish("h", fmt.Sprint(i+1)+strings.Repeat("x", size))
	}
	var seen []uint64
	for since := ""; len(seen) < messages; {
		var a struct {
			Result struct {
				Publications []struct{ Offset uint64 }
				Epoch        string
			}
		}
		s.decode(s.ask("POST", "/api/history", `{"channel":"h","limit":100,"reverse":true`+since+`}`), &a)
		n := len(a.Result.Publications)
		if n == 0 || n*size > keptBytes {
			t.Fatalf("%d messages in one answer, behind %v", n, seen)
		}
		for _, p := range a.Result.Publications {
			seen = append(seen, p.Offset)
		}
		since = fmt.Sprintf(`,"since":{"offset":%d,"epoch":%q}`, seen[len(seen)-1], a.Result.Epoch)
	}
	for i, offset := range seen {
		if offset != uint64(messages-i) {
			t.Fatalf("%v", seen)
		}
	}
}
