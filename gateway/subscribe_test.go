package gateway

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"sluice/internal/sdktest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// pushed is the line of a publication, with an offset unless it is zero, and with info unless
// client is empty.
func pushed(room, data string, offset int, client string) string {
	line := fmt.Sprintf(`{"push":{"channel":%q,"pub":{"data":%s`, room, data)
	if offset > 0 {
		line += fmt.Sprintf(`,"offset":%d`, offset)
	}
	if client != "" {
		line += fmt.Sprintf(`,"info":{"client":%q}`, client)
	}
	return line + "}}}"
}

// clientOf is the id that a reply to connect gives its client.
func clientOf(t testing.TB, line string) string {
	t.Helper()
	var reply struct{ Connect struct{ Client string } }
	if err := json.Unmarshal([]byte(line), &reply); err != nil || reply.Connect.Client == "" {
		t.Fatalf("%s: %v", line, err)
	}
	return reply.Connect.Client
}

// keeping is a config with a history in rooms that begin with kept.
func keeping() *config {
	cfg := testConfig()
	cfg.History = []HistoryRule{{Pattern: "kept.*", Messages: 1000, Bytes: 1 << 20, Age: time.Hour}}
	cfg.newEpoch = func() string { return "E" }
	return cfg
}

// Everybody in a room gets what is published there, of a subscriber with its name, itself included;
// others nothing. What subscribers publish is what it is; of others text that is no object is a
// string.
func TestSubscribersHearTheirRooms(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	raw := wstest.Dial(t, addr, "/ws/a")
	a, b := dialPeer(t, addr, nil), connectPeer(t, addr)
	a.say(`{"id":1,"connect":{}}`)
	id := clientOf(t, a.next())
	a.say(`{"id":2,"subscribe":{"channel":"a"}}`, `{"id":3,"subscribe":{"channel":"b"}}`)
	a.expect(`{"id":2,"subscribe":{}}`, `{"id":3,"subscribe":{}}`)
	b.say(`{"id":2,"subscribe":{"channel":"b"}}`, `{"id":3,"subscribe":{"channel":"a"}}`)
	b.expect(`{"id":2,"subscribe":{}}`, `{"id":3,"subscribe":{}}`)
	for i, data := range []string{`{"x":[1,null]}`, `5`, `"five"`, `null`, `"{}"`} {
		a.say(fmt.Sprintf(`{"id":%d,"publish":{"channel":"a","data":%s}}`, i+4, data))
		a.expect(fmt.Sprintf(`{"id":%d,"publish":{}}`, i+4), pushed("a", data, 0, id))
		b.expect(pushed("a", data, 0, id))
		wstest.ExpectText(t, raw, data)
	}
	b.say(`{"id":4,"unsubscribe":{"channel":"a"}}`)
	b.expect(`{"id":4,"unsubscribe":{}}`)
	for text, data := range map[string]string{"five": `"five"`, "[1,\n2]": `[1,2]`, `"five"`: `"\"five\""`} {
		if err := raw.Write(t.Context(), 1, []byte(text)); err != nil {
			t.Fatal(err)
		}
		a.expect(pushed("a", data, 0, ""))
	}
	if n, err := s.Publish("b", Message{Data: []byte("bye")}); n != 2 || err != nil {
		t.Errorf("%d members, %v", n, err)
	}
	b.expect(pushed("b", `"bye"`, 0, "")) // and nothing of a before it
	if st := testenv.StatsOf(t, s); st.Subscribers != 2 || st.Subscribed != 4 || st.Unsubscribed != 1 || st.CommandErrors != 0 {
		t.Errorf("counted %d subscribers, %d and %d subscriptions, %d errors", st.Subscribers, st.Subscribed, st.Unsubscribed, st.CommandErrors)
	}
}

// S05, S07, S08 over the protocol. Whoever comes back is answered with its own position, and what
// it has missed follows in order, behind the reply. It is never told the newest: a connection that
// breaks before the first push would lose all of it.
func TestS05_S07_S08_RecoveryIsACursor(t *testing.T) {
	s, addr := startGateway(t, keeping())
	p := connectPeer(t, addr)
	p.say(`{"id":2,"subscribe":{"channel":"kept.a"}}`)
	p.expect(`{"id":2,"subscribe":{"recoverable":true,"positioned":true,"epoch":"E"}}`)
	for i := 1; i <= 5; i++ {
		p.say(fmt.Sprintf(`{"id":%d,"publish":{"channel":"kept.a","data":%d}}`, i+2, i))
		p.next()
		if got, want := p.next(), fmt.Sprintf(`"offset":%d`, i); !strings.Contains(strings.ReplaceAll(got, " ", ""), want) {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	_ = p.conn.CloseNow()
	q := dialPeer(t, addr, nil)
	q.say(`{"id":1,"connect":{}}`, `{"id":2,"subscribe":{"channel":"kept.a","recover":true,"epoch":"E","offset":2}}`, `{"id":3,"subscribe":{"channel":"b"}}`)
	q.next()
	q.expect(`{"id":2,"subscribe":{"recoverable":true,"positioned":true,"epoch":"E","recovered":true,"was_recovering":true,"offset":2}}`, `{"id":3,"subscribe":{}}`)
	for i := 3; i <= 5; i++ {
		if got := q.next(); !strings.Contains(strings.ReplaceAll(got, " ", ""), fmt.Sprintf(`"data":%d`, i)) {
			t.Fatalf("got %s, want %d", got, i)
		}
	}
	if _, err := s.Publish("kept.a", Message{Data: []byte("six")}); err != nil {
		t.Fatal(err)
	}
	q.expect(pushed("kept.a", `"six"`, 6, ""))
	for ask, want := range map[string]string{
		`"epoch":"E","offset":6`:                    `{"id":2,"subscribe":{"recoverable":true,"positioned":true,"epoch":"E","recovered":true,"was_recovering":true,"offset":6}}`,
		`"epoch":"E","offset":7`:                    `{"id":2,"subscribe":{"recoverable":true,"positioned":true,"epoch":"E","was_recovering":true,"offset":6}}`,
		`"epoch":"F","offset":1`:                    `{"id":2,"subscribe":{"recoverable":true,"positioned":true,"epoch":"E","was_recovering":true,"offset":6}}`,
		`"offset":1`:                                `{"id":2,"subscribe":{"recoverable":true,"positioned":true,"epoch":"E","was_recovering":true,"offset":6}}`,
		`"epoch":"F","offset":1,"flag":2`:           `{"id":2,"error":{"code":112,"message":"unrecoverable position"}}`,
		`"epoch":"E","offset":18446744073709551615`: `{"id":2,"subscribe":{"recoverable":true,"positioned":true,"epoch":"E","was_recovering":true,"offset":6}}`,
	} {
		r := connectPeer(t, addr)
		r.say(`{"id":2,"subscribe":{"channel":"kept.a","recover":true,` + ask + `}}`)
		r.expect(want)
	}
}

// S10. A client that asks for a room a second time is told that it is in it, and gets one copy of
// what is published there.
func TestS10_SameRoomTwice(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	p := connectPeer(t, addr)
	p.say(`{"id":2,"subscribe":{"channel":"a"}}`, `{"id":3,"subscribe":{"channel":"a"}}`)
	p.say(`{"id":4,"subscribe":{"channel":"a"}}`)
	p.expect(`{"id":2,"subscribe":{}}`, `{"id":3,"error":{"code":105,"message":"already subscribed"}}`, `{"id":4,"error":{"code":105,"message":"already subscribed"}}`)
	for _, text := range []string{"one", "two"} {
		if n, err := s.Publish("a", Message{Data: []byte(text)}); n != 1 || err != nil {
			t.Fatalf("%d members, %v", n, err)
		}
	}
	p.expect(pushed("a", `"one"`, 0, ""), pushed("a", `"two"`, 0, ""))
}

// S14. Of many rooms on one connection each comes in its order, whole, whatever the others do.
func TestS14_EachRoomComesInItsOrder(t *testing.T) {
	const rooms, each = 20, 100
	s, addr := startGateway(t, testConfig())
	p := connectPeer(t, addr)
	for r := range rooms {
		p.say(fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"room%d"}}`, r+2, r))
		p.expect(fmt.Sprintf(`{"id":%d,"subscribe":{}}`, r+2))
	}
	for r := range rooms {
		go func() {
			for i := range each {
				if _, err := s.Publish(fmt.Sprint("room", r), Message{Data: fmt.Appendf(nil, "%d", i)}); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	next := map[string]int{}
	for range rooms * each {
		line := p.next()
		room, _, _ := publication(line)
		if !strings.Contains(line, fmt.Sprintf(`"data":"%d"`, next[room])) {
			t.Fatalf("instead of %d comes %s", next[room], line)
		}
		next[room]++
	}
}

// What SDKs make of it: connect, subscribe to three, publish, hear, come back after a cut with
// nothing lost and nothing doubled.
func TestSDKsComeBack(t *testing.T) {
	t.Parallel()
	for _, kind := range sdktest.OfGo {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			s, addr := startGateway(t, keeping())
			hears := kind.Open(t, sdktest.Options{URL: "ws://" + addr + "/connection/websocket"})
			hears.Connect()
			for _, room := range []string{"kept.a", "kept.b", "c"} {
				hears.Subscribe(room)
			}
			testenv.Eventually(t, "it is in three rooms", func() bool { st := testenv.StatsOf(t, s); return st.Subscribed-st.Unsubscribed == 3 })
			if err := hears.Publish("kept.a", json.RawMessage(`{"n":0}`)); err != nil {
				t.Fatal(err)
			}
			for n := range 40 {
				for _, room := range []string{"kept.a", "kept.b"} {
					if n == 0 && room == "kept.a" {
						continue
					}
					if _, err := s.Publish(room, Message{Data: fmt.Appendf(nil, `{"n":%d}`, n)}); err != nil {
						t.Fatal(err)
					}
				}
				if rand.IntN(10) == 0 {
					dropAll(t, s)
				}
			}
			for _, room := range []string{"kept.a", "kept.b"} {
				hears.Events().Expect(t, "publication", room, 40)
				for i, p := range hears.Events().Of("publication", room) {
					if p.Offset != uint64(i+1) || string(p.Data) != fmt.Sprintf(`{"n":%d}`, i) {
						t.Fatalf("%s: publication %d is %d %s", room, i, p.Offset, p.Data)
					}
				}
			}
		})
	}
}

// dropAll makes all subscribers reconnect.
func dropAll(t testing.TB, s *Server) {
	t.Helper()
	reconnect := Farewell{Code: 3011, Reason: "force reconnect"}
	is := func(c *conn) bool { return c.past == subscribes && c.life == open }
	if _, err := s.endAll(t.Context(), is, func(c *conn) { c.dismiss(reconnect) }); err != nil {
		t.Fatal(err)
	}
}
