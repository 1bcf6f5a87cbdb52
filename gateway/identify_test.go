package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sluice/hub"
	"sluice/internal/testenv"
)

// passes are tokens as tests have them: words, each of which says one thing about whom it names.
//
//	sub:NAME  room:NAME  rooms:A,B  may:ROOM=read+publish  info:{…}  exp:SECONDS from the wall clock
//	bad  expired  forbidden  down
type passes struct {
	wall    func() int64
	isAsked bool // they cannot be judged at once
	asked   atomic.Int64
}

func (p *passes) Judge(h *Handshake) (Principal, error) {
	if p.isAsked {
		return Principal{}, ErrAsk
	}
	return p.Ask(context.Background(), h)
}

func (p *passes) Ask(_ context.Context, h *Handshake) (who Principal, err error) {
	p.asked.Add(1)
	if h.Token == "" {
		return who, nil
	}
	who.Kind = KindToken
	for word := range strings.FieldsSeq(h.Token) {
		key, value, _ := strings.Cut(word, ":")
		switch key {
		case "sub":
			who.Subject = value
		case "room":
			who.Room = value
			who.Grants = append(who.Grants, Grant{[]string{value}, Read})
		case "rooms":
			who.Rooms = strings.Split(value, ",")
			who.Grants = append(who.Grants, Grant{who.Rooms, Read})
		case "may":
			var g Grant
			err = g.UnmarshalText([]byte(strings.ReplaceAll(value, "+", ",")))
			who.Grants = append(who.Grants, g)
		case "info":
			who.Info = []byte(value)
		case "exp":
			var seconds int64
			_, err = fmt.Sscan(value, &seconds)
			who.Expires = p.wall()/1000 + seconds
		case "bad":
			err = &AuthError{Status: http.StatusUnauthorized, Text: "bad"}
		case "expired":
			err = &AuthError{Status: http.StatusUnauthorized, Text: "expired", IsExpired: true}
		case "forbidden":
			err = &AuthError{Status: http.StatusForbidden, Text: "forbidden"}
		case "down":
			err = errors.New("down")
		default:
			err = fmt.Errorf("test: no word %q", word)
		}
		if err != nil {
			return who, err
		}
	}
	return who, nil
}

func (p *passes) Headers() []string { return nil }

// startWithPasses starts a gateway that knows passes, with a wall clock that the test turns.
func startWithPasses(t *testing.T, isAsked bool, change func(*config)) (s *Server, addr string, wall *atomic.Int64) {
	wall = new(atomic.Int64)
	wall.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli())
	cfg := testConfig()
	cfg.wallClock = wall.Load
	cfg.Auth = &passes{wall: wall.Load, isAsked: isAsked}
	if change != nil {
		change(cfg)
	}
	s, addr = startGateway(t, cfg)
	return s, addr, wall
}

var clientID = regexp.MustCompile(`"client":"[0-9a-f.]+-[0-9a-f]+"`)

// hear is expect with clients' ids as C.
func (p *peer) hear(want ...string) {
	p.t.Helper()
	for _, line := range want {
		if got := clientID.ReplaceAllString(p.next(), `"client":"C"`); !sameJSON(p.t, line, got) {
			p.t.Fatalf("got  %s\nwant %s", got, line)
		}
	}
}

const welcomed = `"client":"C","version":"Sluice","ping":25,"pong":true`

// A06 over the protocol: who is behind a token is told at once or asked about, and each fault of a
// token has its answer.
func TestA06_TokensOfSubscribers(t *testing.T) {
	for _, isAsked := range []bool{false, true} {
		_, addr, _ := startWithPasses(t, isAsked, func(cfg *config) { cfg.PingInterval = 25 * time.Second })
		for _, tc := range []struct{ token, want string }{
			{"sub:ann", `{"id":1,"connect":{` + welcomed + `}}`},
			{"sub:ann exp:60", `{"id":1,"connect":{` + welcomed + `,"expires":true,"ttl":60}}`},
			{"sub: exp:-5", `{"id":1,"connect":{` + welcomed + `,"expires":true,"ttl":1}}`},
			{"sub:ann rooms:b,a", `{"id":1,"connect":{` + welcomed + `,"subs":{"a":{},"b":{}}}}`},
			{"sub:ann rooms:a,a/b", `{"id":1,"error":{"code":107,"message":"bad request"}}`},
			{"expired", `{"id":1,"error":{"code":109,"message":"token expired"}}`},
			{"forbidden", `{"id":1,"error":{"code":103,"message":"permission denied"}}`},
			{"down", `{"id":1,"error":{"code":100,"message":"internal server error","temporary":true}}`},
			{"", `{"id":1,"error":{"code":101,"message":"unauthorized"}}`},
		} {
			p := dialPeer(t, addr, nil)
			p.say(`{"id":1,"connect":{"token":"` + tc.token + `"}}`)
			p.hear(tc.want)
			if strings.Contains(tc.want, "error") { // It may come with another on the same connection.
				p.say(`{"id":2,"connect":{"token":"sub:ann"}}`)
				p.hear(`{"id":2,"connect":{` + welcomed + `}}`)
			}
		}
		p := dialPeer(t, addr, nil)
		p.say(`{"id":1,"connect":{"token":"bad"}}`)
		p.expectClose(3500, "invalid token")
		p = dialPeer(t, addr, &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer sub:ann"}}})
		p.say(`{"id":1,"connect":{}}`)
		p.hear(`{"id":1,"connect":{` + welcomed + `}}`)
	}
}

// A token for a room gives what it says in that room, to whom it is for, and lifts no restriction.
func TestTokensForOneRoom(t *testing.T) {
	t.Parallel()
	for _, isAsked := range []bool{false, true} {
		_, addr, _ := startWithPasses(t, isAsked, func(cfg *config) { cfg.Rooms = rules(t, "ro=readonly") })
		for _, tc := range []struct{ token, want string }{
			{"sub:ann room:a", `{"id":2,"subscribe":{}}`},
			{"sub:ann room:a exp:60", `{"id":2,"subscribe":{"expires":true,"ttl":60}}`},
			{"", `{"id":2,"error":{"code":103,"message":"permission denied"}}`},
			{"bad", `{"id":2,"error":{"code":103,"message":"permission denied"}}`},
			{"forbidden", `{"id":2,"error":{"code":103,"message":"permission denied"}}`},
			{"expired", `{"id":2,"error":{"code":109,"message":"token expired"}}`},
			{"down", `{"id":2,"error":{"code":100,"message":"internal server error","temporary":true}}`},
			{"sub:bob room:a", ""},
			{"sub:ann room:b", ""},
			{"sub:ann may:a=read", ""}, // It is no token for a room.
		} {
			p := dialPeer(t, addr, nil)
			p.say(`{"id":1,"connect":{"token":"sub:ann may:open=read"}}`)
			p.next()
			p.say(`{"id":2,"subscribe":{"channel":"a","token":"`+tc.token+`"}}`, `{"id":3,"subscribe":{"channel":"open"}}`)
			if tc.want == "" {
				p.expectClose(3500, "invalid token")
				continue
			}
			p.hear(tc.want, `{"id":3,"subscribe":{}}`)
		}
		p := dialPeer(t, addr, nil)
		p.say(`{"id":1,"connect":{"token":"sub:ann"}}`)
		p.next()
		p.say(
			`{"id":2,"publish":{"channel":"a","data":1}}`,
			`{"id":3,"subscribe":{"channel":"a","token":"sub:ann room:a may:*=publish"}}`,
			`{"id":4,"publish":{"channel":"a","data":1}}`,
			`{"id":5,"publish":{"channel":"b","data":1}}`,
			`{"id":6,"subscribe":{"channel":"ro","token":"sub:ann room:ro may:*=publish"}}`,
			`{"id":7,"publish":{"channel":"ro","data":1}}`,
			`{"id":8,"unsubscribe":{"channel":"a"}}`,
			`{"id":9,"publish":{"channel":"a","data":1}}`,
		)
		denied := `{"id":%d,"error":{"code":103,"message":"permission denied"}}`
		replies := []string{
			fmt.Sprintf(denied, 2), `{"id":3,"subscribe":{}}`, `{"id":4,"publish":{}}`, fmt.Sprintf(denied, 5), `{"id":6,"subscribe":{}}`,
			fmt.Sprintf(denied, 7), `{"id":8,"unsubscribe":{}}`, fmt.Sprintf(denied, 9),
		}
		for _, want := range replies {
			got := p.next()
			for strings.Contains(got, `"push"`) {
				got = p.next()
			}
			if !sameJSON(t, want, got) {
				t.Fatalf("got  %s\nwant %s", got, want)
			}
		}
	}
}

// A08 over the protocol: a client brings another token in time, or its connection ends a while
// behind the first one's end.
func TestA08_SubscribersRefresh(t *testing.T) {
	for _, isAsked := range []bool{false, true} {
		s, addr, wall := startWithPasses(t, isAsked, func(cfg *config) { cfg.PingInterval, cfg.PongTimeout = 20*time.Millisecond, time.Minute })
		connected := func(token string) *peer {
			p := dialPeer(t, addr, nil)
			p.say(`{"id":1,"connect":{"token":"` + token + `"}}`)
			if got := p.next(); !strings.Contains(got, `"connect":{`) {
				t.Fatal(got)
			}
			return p
		}
		p, other := connected("sub:ann exp:60 may:a=read may:b=read"), connected("sub:ann exp:60")
		p.say(`{"id":2,"subscribe":{"channel":"a"}}`, `{"id":3,"subscribe":{"channel":"b"}}`)
		p.hear(`{"id":2,"subscribe":{}}`, `{"id":3,"subscribe":{}}`)
		wall.Add(84_000)
		p.say(`{"id":4,"refresh":{"token":"sub:ann exp:600 may:b=read"}}`)
		p.hear(`{"push":{"channel":"a","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}`,
			`{"id":4,"refresh":{"client":"C","version":"Sluice","expires":true,"ttl":600}}`)
		wall.Add(2_000)
		other.expectClose(3005, "connection expired")
		p.say(`{"id":5,"subscribe":{"channel":"a"}}`, `{"id":6,"subscribe":{"channel":"b"}}`)
		p.hear(`{"id":5,"error":{"code":103,"message":"permission denied"}}`, `{"id":6,"error":{"code":105,"message":"already subscribed"}}`)
		for say, code := range map[string]websocket.StatusCode{
			`{"id":7,"refresh":{"token":"bad"}}`: 3500, `{"id":7,"refresh":{"token":"sub:bob"}}`: 3500, `{"id":7,"refresh":{}}`: 3501,
			`{"id":7,"refresh":{"token":"expired"}}`: 3005, `{"id":7,"sub_refresh":{"channel":"a"}}`: 3501,
		} {
			p := connected("sub:ann")
			p.say(say)
			p.expectClose(code, map[websocket.StatusCode]string{3500: "invalid token", 3501: "bad request", 3005: "connection expired"}[code])
		}
		p.say(`{"id":8,"refresh":{"token":"down"}}`)
		p.hear(`{"id":8,"error":{"code":100,"message":"internal server error","temporary":true}}`)
		p.say(`{"id":9,"refresh":{"token":"sub:ann"}}`) // One that never ends.
		p.hear(`{"push":{"channel":"b","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}`, `{"id":9,"refresh":{"client":"C","version":"Sluice"}}`)
		wall.Add(10_000_000)
		p.say(`{"id":10,"unsubscribe":{"channel":"b"}}`)
		p.hear(`{"id":10,"unsubscribe":{}}`)
		expectClosed(t, s, ClosedBadToken, 2)
	}
}

// A subscription whose token ends is ended a while later, and the connection goes on; unless
// another token came.
func TestSubscriptionsRefresh(t *testing.T) {
	_, addr, wall := startWithPasses(t, false, func(cfg *config) { cfg.PingInterval, cfg.PongTimeout = 20*time.Millisecond, time.Minute })
	p := dialPeer(t, addr, nil)
	p.say(`{"id":1,"connect":{"token":"sub:ann"}}`)
	p.next()
	for i, room := range []string{"a", "b", "c"} {
		p.say(fmt.Sprintf(`{"id":%d,"subscribe":{"channel":%q,"token":"sub:ann room:%s exp:60"}}`, i+2, room, room))
		p.hear(fmt.Sprintf(`{"id":%d,"subscribe":{"expires":true,"ttl":60}}`, i+2))
	}
	wall.Add(84_000)
	p.say(`{"id":5,"sub_refresh":{"channel":"b","token":"sub:ann room:b exp:600"}}`, `{"id":6,"sub_refresh":{"channel":"c","token":"sub:ann room:c"}}`)
	p.hear(`{"id":5,"sub_refresh":{"expires":true,"ttl":600}}`, `{"id":6,"sub_refresh":{}}`)
	wall.Add(2_000)
	p.hear(`{"push":{"channel":"a","unsubscribe":{"code":2501,"reason":"subscription expired"}}}`)
	p.say(`{"id":7,"sub_refresh":{"channel":"a","token":"sub:ann room:a"}}`, `{"id":8,"sub_refresh":{"channel":"b","token":"expired"}}`,
		`{"id":9,"sub_refresh":{"channel":"b","token":"bad"}}`, `{"id":10,"subscribe":{"channel":"c"}}`)
	p.hear(`{"id":7,"error":{"code":103,"message":"permission denied"}}`, `{"id":8,"error":{"code":109,"message":"token expired"}}`,
		`{"id":9,"error":{"code":103,"message":"permission denied"}}`, `{"id":10,"error":{"code":105,"message":"already subscribed"}}`)
	wall.Add(1_000_000)
	p.hear(`{"push":{"channel":"b","unsubscribe":{"code":2501,"reason":"subscription expired"}}}`)
	p.say(`{"id":11,"sub_refresh":{"channel":"c","token":"sub:ann room:b"}}`)
	p.expectClose(3500, "invalid token")
}

// A client is in the rooms that its token names from the beginning; what comes of them comes behind
// the reply. One room that cannot be is the end of all.
func TestRoomsFromTheBeginning(t *testing.T) {
	s, addr, _ := startWithPasses(t, false, func(cfg *config) { cfg.History, cfg.MaxSubscriptions = []HistoryRule{{Pattern: "kept.*"}}, 200 })
	if _, err := s.Publish("kept.a", Message{Data: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	position, _ := s.Kept(t.Context(), "kept.a", hub.Start{Earliest: true}, 1, 1)
	for i := range 3 {
		if _, err := s.Publish("kept.a", Message{Data: fmt.Append(nil, i+2)}); err != nil {
			t.Fatal(err)
		}
	}
	p := dialPeer(t, addr, nil)
	epoch := position.Position.Epoch
	p.say(fmt.Sprintf(`{"id":1,"connect":{"token":"sub:ann rooms:kept.a,b may:kept.*=history","subs":{"kept.a":{"recover":true,"offset":1,"epoch":%q},"x":{}}}}`, epoch))
	want := fmt.Sprintf(`"kept.a":{"recoverable":true,"positioned":true,"recovered":true,"was_recovering":true,"epoch":%q,"offset":1}`, epoch)
	r := p.next()
	if !strings.Contains(r, `"subs":{`) || !strings.Contains(r, `"b":{}`) || strings.Contains(r, `"x"`) {
		t.Fatal(r)
	}
	if got := decoded(t, r).(map[string]any)["connect"].(map[string]any)["subs"].(map[string]any)["kept.a"]; !sameJSON(t, "{"+want+"}", encoded(t, map[string]any{"kept.a": got})) {
		t.Errorf("%v, want %s", got, want)
	}
	for i := range 3 {
		p.expect(fmt.Sprintf(`{"push":{"channel":"kept.a","pub":{"data":"%d","offset":%d}}}`, i+2, i+2))
	}
	var many []string
	for i := range 200 {
		many = append(many, fmt.Sprint("r", i))
	}
	p = dialPeer(t, addr, nil)
	p.say(`{"id":1,"connect":{"token":"sub:ann rooms:` + strings.Join(many, ",") + `"}}`)
	if r := p.next(); strings.Count(r, `"r`) != 200 {
		t.Errorf("%d rooms: %.200s", strings.Count(r, `"r`), r)
	}
	many = append(many, "one.more")
	p = dialPeer(t, addr, nil)
	p.say(`{"id":1,"connect":{"token":"sub:ann rooms:` + strings.Join(many, ",") + `"}}`)
	p.expect(`{"id":1,"error":{"code":106,"message":"limit exceeded"}}`)
	testenv.Eventually(t, "it is in no room", func() bool { _, ok := s.Room("one.more"); return !ok })
}

// A command that has to wait twice, for whoever knows the client and for what the room keeps to be
// made in its encoding, asks once and has both answers, whichever command it is.
func TestCommandsWaitTwice(t *testing.T) {
	for _, isAsked := range []bool{false, true} {
		for name, say := range map[string]string{
			"connect":   `{"id":1,"connect":{"token":"sub:ann rooms:kept may:*=history","subs":{"kept":{"recover":true,"offset":1,"epoch":%q}}}}`,
			"subscribe": `{"id":2,"subscribe":{"channel":"kept","token":"sub:ann room:kept may:*=history","recover":true,"offset":1,"epoch":%q}}`,
		} {
			var auth *passes
			s, addr, _ := startWithPasses(t, isAsked, func(cfg *config) {
				cfg.History = []HistoryRule{{Pattern: "*"}}
				auth = cfg.Auth.(*passes)
			})
			for i := range 4 {
				if _, err := s.Publish("kept", Message{Data: fmt.Append(nil, i+1)}); err != nil {
					t.Fatal(err)
				}
			}
			room, _ := s.Room("kept")
			p := dialPeer(t, addr, nil)
			if name == "subscribe" {
				p.say(`{"id":1,"connect":{"token":"sub:ann"}}`)
				p.next()
			}
			before := auth.asked.Load()
			p.say(fmt.Sprintf(say, room.Position.Epoch), `{"id":3,"unsubscribe":{"channel":"other"}}`)
			if got := p.next(); !strings.Contains(got, `"recovered":true`) {
				t.Fatalf("%s, asked %t: %s", name, isAsked, got)
			}
			if n := auth.asked.Load() - before; n != 1 {
				t.Errorf("%s, asked %t: whoever knows was asked %d times", name, isAsked, n)
			}
			var got []string
			for range 4 {
				line := p.next()
				if strings.Contains(line, `"id":3`) {
					continue
				}
				got = append(got, line)
			}
			for i, line := range got {
				if want := fmt.Sprintf(`{"push":{"channel":"kept","pub":{"data":"%d","offset":%d}}}`, i+2, i+2); !sameJSON(t, want, line) {
					t.Errorf("%s: got %s, want %s", name, line, want)
				}
			}
		}
	}
}
