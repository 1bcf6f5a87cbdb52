package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"sluice/internal/sdktest"
	"sluice/internal/wstest"
)

// A speaker is a client of the protocol in JSON that is no SDK: it says what those never would.
type speaker struct {
	t      *testing.T
	conn   *websocket.Conn
	unread [][]byte // lines of a frame
}

// heard is a reply or a push, as much of it as these tests look at.
type heard struct {
	ID        uint32           `json:"id"`
	Error     *sdktest.Refusal `json:"error"`
	Connect   *json.RawMessage `json:"connect"`
	Subscribe *struct {
		sdktest.Position
		Recoverable   bool `json:"recoverable"`
		WasRecovering bool `json:"was_recovering"`
		Recovered     bool `json:"recovered"`
	} `json:"subscribe"`
	Push *struct {
		Channel string               `json:"channel"`
		Pub     *sdktest.Publication `json:"pub"`
	} `json:"push"`
}

// speak connects, and says connect if it should.
func speak(t *testing.T, e *endpoint, isConnecting bool) *speaker {
	t.Helper()
	s := &speaker{t: t, conn: wstest.Dial(t, e.addr, "/connection/websocket")}
	if isConnecting {
		s.say(`{"id":1,"connect":{}}`)
		if h := s.next(); h.ID != 1 || h.Connect == nil {
			t.Fatalf("%+v", h)
		}
	}
	return s
}

func (s *speaker) say(frame string) {
	s.t.Helper()
	if err := s.conn.Write(s.t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		s.t.Fatal(err)
	}
}

// line is the next thing that the server says, or the code that it has closed with.
func (s *speaker) line() (line []byte, closed websocket.StatusCode) {
	s.t.Helper()
	for len(s.unread) == 0 {
		kind, frame, err := s.conn.Read(s.t.Context())
		if err != nil {
			return nil, websocket.CloseStatus(err)
		}
		if kind != websocket.MessageText {
			s.t.Fatalf("JSON in a frame of %v", kind)
		}
		s.unread = bytes.Split(frame, []byte("\n"))
	}
	line, s.unread = s.unread[0], s.unread[1:]
	return line, 0
}

// next is the next reply or push.
func (s *speaker) next() (h heard) {
	s.t.Helper()
	for {
		line, closed := s.line()
		if closed != 0 {
			s.t.Fatalf("closed with %d", closed)
		}
		if string(line) == "{}" {
			continue // a ping
		}
		if err := json.Unmarshal(line, &h); err != nil {
			s.t.Fatalf("%q: %v", line, err)
		}
		if h.Push == nil || h.Push.Pub != nil { // Who comes and goes is not asked for here.
			return h
		}
		h = heard{}
	}
}

// subscribe subscribes to a room, with more fields.
func (s *speaker) subscribe(id int, room, more string) heard {
	s.t.Helper()
	s.say(fmt.Sprintf(`{"id":%d,"subscribe":{"channel":%q%s}}`, id, room, more))
	return s.next()
}

// What is no command, or comes when it must not, ends the connection with its code; what is one and
// cannot be done is an error with its code, and the connection goes on.
func TestCentrifuge_MalformedCommandsGetTheirCode(t *testing.T) {
	t.Parallel()
	e := startEndpoint(t, spoken())
	noRoom := uint32(107) // as for any name that no room can have
	if centrifugo() != "" {
		noRoom = 3501
	}
	for _, one := range []struct {
		name, say string
		isFirst   bool // said instead of connect
		want      uint32
	}{
		{"nothing", "", false, 3501},
		{"a line feed", "\n", false, 3501},
		{"no JSON", "hello", false, 3501},
		{"half of JSON", `{"id":2,"publish":{`, false, 3501},
		{"an array", `[]`, false, 3501},
		{"no method", `{"id":2}`, false, 3501},
		{"an unknown method", `{"id":2,"dance":{}}`, false, 3501},
		{"no id", `{"subscribe":{"channel":"x"}}`, false, 3501},
		{"the id 0", `{"id":0,"subscribe":{"channel":"x"}}`, false, 3501},
		{"the id 2^32", `{"id":4294967296,"subscribe":{"channel":"x"}}`, false, 3501},
		{"the id 10^5000", `{"id":1` + strings.Repeat("0", 5000) + `,"subscribe":{"channel":"x"}}`, false, 3501},
		{"a negative id", `{"id":-1,"subscribe":{"channel":"x"}}`, false, 3501},
		{"an id in quotes", `{"id":"2","subscribe":{"channel":"x"}}`, false, 3501},
		{"a second connect", `{"id":2,"connect":{}}`, false, 3501},
		{"subscribe first", `{"id":1,"subscribe":{"channel":"x"}}`, true, 3501},
		{"publish first", `{"id":1,"publish":{"channel":"x","data":1}}`, true, 3501},
		{"a channel that is a number", `{"id":2,"subscribe":{"channel":7}}`, false, 3501},
		{"an offset that is negative", `{"id":2,"subscribe":{"channel":"x","recover":true,"offset":-1,"epoch":"e"}}`, false, 3501},
		{"an offset of 2^64", `{"id":2,"subscribe":{"channel":"x","recover":true,"offset":18446744073709551616,"epoch":"e"}}`, false, 3501},
		{"an offset that is a word", `{"id":2,"subscribe":{"channel":"x","recover":true,"offset":"a","epoch":"e"}}`, false, 3501},
		{"a deep command", `{"id":2,"dance":` + nested(10_000) + `}`, false, 3501},
		{"no room to subscribe to", `{"id":2,"subscribe":{}}`, false, noRoom},
		{"a long room", `{"id":2,"subscribe":{"channel":"` + strings.Repeat("x", 300) + `"}}`, false, 107},
		{"no data to publish", `{"id":2,"publish":{"channel":"x"}}`, false, 107},
		{"no room to publish in", `{"id":2,"publish":{"data":{}}}`, false, noRoom},
		{"rpc", `{"id":2,"rpc":{"method":"x"}}`, false, 108},
	} {
		t.Run(one.name, func(t *testing.T) {
			s := speak(t, e, !one.isFirst)
			s.say(one.say)
			line, closed := s.line()
			var h heard
			_ = json.Unmarshal(line, &h)
			got := uint32(closed)
			if closed == 0 && h.Error != nil && h.ID == 2 {
				got = h.Error.Code
				s.say(`{"id":3,"unsubscribe":{"channel":"never"}}`)
				if h := s.next(); h.ID != 3 || h.Error != nil {
					t.Errorf("behind it: %+v", h)
				}
			}
			if got != one.want {
				t.Errorf("%d, %.100q; want %d", got, line, one.want)
			}
		})
	}
}

// Commands come one in a line, as many as there are in a frame, in text or binary, with line feeds
// of any system; and are answered in order.
func TestCentrifuge_CommandsInOneFrame(t *testing.T) {
	t.Parallel()
	e := startEndpoint(t, spoken())
	for _, between := range []string{"\n", "\r\n"} {
		for _, behind := range []string{"", between} {
			s := speak(t, e, false)
			s.say(strings.Join([]string{
				`{"id":1,"connect":{}}`, `{"id":2,"subscribe":{"channel":"a"}}`, `{"id":3,"subscribe":{"channel":"b"}}`,
				`{"id":4,"publish":{"channel":"b","data":[1]}}`, `{"id":5,"unsubscribe":{"channel":"a"}}`,
			}, between) + behind)
			own := 0
			for id := uint32(1); id <= 5; {
				switch h := s.next(); {
				case h.Push != nil && string(h.Push.Pub.Data) == "[1]":
					own++
				case h.ID != id || h.Error != nil:
					t.Fatalf("%+v, want an answer to %d", h, id)
				default:
					id++
				}
			}
			if own == 0 {
				s.next()
			}
		}
	}
}

// S08. A position of the future, or of another epoch, is not recovered: the answer has the newest
// one.
func TestS08_PositionsThatSpeakersCannotGoOnFrom(t *testing.T) {
	t.Parallel()
	e := startEndpoint(t, spoken())
	if err := e.publishNumbers([]string{"r"}, 0, 5); err != nil {
		t.Fatal(err)
	}
	newest := speak(t, e, true).subscribe(2, "r", "").Subscribe
	if newest == nil || newest.Offset != 5 || newest.WasRecovering || !newest.Recoverable {
		t.Fatalf("%+v", newest)
	}
	for _, more := range []string{
		fmt.Sprintf(`"offset":6,"epoch":%q`, newest.Epoch),
		fmt.Sprintf(`"offset":18446744073709551615,"epoch":%q`, newest.Epoch),
		`"offset":3,"epoch":"another"`,
		`"offset":0,"epoch":"another"`,
	} {
		s := speak(t, e, true)
		h := s.subscribe(2, "r", `,"recover":true,`+more)
		if r := h.Subscribe; r == nil || !r.WasRecovering || r.Recovered || r.Position != newest.Position || !r.Recoverable {
			t.Errorf("%s: %+v, error %v", more, r, h.Error)
		}
		if err := e.publish("r", `"next"`); err != nil {
			t.Fatal(err)
		}
		newest.Offset++
		if h := s.next(); h.Push == nil || h.Push.Pub.Offset != newest.Offset {
			t.Errorf("%s: %+v came behind it, want %d", more, h.Push, newest.Offset)
		}
	}
}

// S10. A room that is subscribed to twice on one connection is error 105, and each message comes
// once.
func TestS10_SubscribedTwice(t *testing.T) {
	t.Parallel()
	e := startEndpoint(t, spoken())
	s := speak(t, e, true)
	if h := s.subscribe(2, "r", ""); h.Error != nil {
		t.Fatal(h.Error)
	}
	if h := s.subscribe(3, "r", ""); h.Error == nil || h.Error.Code != 105 {
		t.Errorf("%+v, want error 105", h)
	}
	if err := e.publishNumbers([]string{"r"}, 0, 20); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if h := s.next(); h.Push == nil || string(h.Push.Pub.Data) != fmt.Sprintf(`{"n":%d}`, i) {
			t.Fatalf("%+v, want %d", h.Push, i)
		}
	}
}

// S14. Two rooms on one connection each keep their order, whoever publishes at a time.
func TestS14_RoomsOfOneConnectionKeepTheirOrder(t *testing.T) {
	t.Parallel()
	e := startEndpoint(t, spoken())
	s := speak(t, e, true)
	rooms := []string{"a", "b", "c"}
	for i, room := range rooms {
		s.subscribe(2+i, room, "")
	}
	const messages = 200
	var publishing sync.WaitGroup
	defer publishing.Wait()
	for _, room := range rooms {
		publishing.Go(func() {
			if err := e.publishNumbers([]string{room}, 0, messages); err != nil {
				t.Error(err)
			}
		})
	}
	next := map[string]uint64{}
	for range messages * len(rooms) {
		h := s.next()
		if h.Push == nil {
			t.Fatalf("%+v", h)
		}
		room := h.Push.Channel
		if want := fmt.Sprintf(`{"n":%d}`, next[room]); string(h.Push.Pub.Data) != want || h.Push.Pub.Offset != next[room]+1 {
			t.Fatalf("%s at %d in %s, want %s", h.Push.Pub.Data, h.Push.Pub.Offset, room, want)
		}
		next[room]++
	}
}

// S16. Nothing of a room comes behind the answer to unsubscribe, though messages were on their way,
// and the room beside goes on.
func TestS16_NothingBehindUnsubscribe(t *testing.T) {
	t.Parallel()
	e := startEndpoint(t, spoken())
	for range 20 {
		s := speak(t, e, true)
		s.subscribe(2, "flood", "")
		s.subscribe(3, "beside", "")
		var publishing sync.WaitGroup
		publishing.Go(func() {
			if err := e.publishNumbers([]string{"flood"}, 0, 50); err != nil {
				t.Error(err)
			}
		})
		s.next() // The flood has begun.
		s.say(`{"id":4,"unsubscribe":{"channel":"flood"}}`)
		for h := s.next(); h.ID != 4; h = s.next() {
			if h.Push == nil || h.Push.Channel != "flood" {
				t.Fatalf("%+v", h)
			}
		}
		publishing.Wait()
		if err := e.publish("beside", `"last"`); err != nil {
			t.Fatal(err)
		}
		if h := s.next(); h.Push == nil || h.Push.Channel != "beside" || string(h.Push.Pub.Data) != `"last"` {
			t.Fatalf("%+v behind the answer", h.Push)
		}
		s.conn.CloseNow()
	}
}
