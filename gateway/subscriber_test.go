package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"sluice/internal/testenv"
)

// A peer is a client of the protocol that says what a test has it say, line by line, and reads
// replies by the standard library.
type peer struct {
	t     testing.TB
	conn  *websocket.Conn
	lines []string // of the frame that was read last
}

// dialPeer opens a connection on which nothing has been said.
func dialPeer(t testing.TB, addr string, o *websocket.DialOptions) *peer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+addr+"/connection/websocket", o)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &peer{t: t, conn: conn}
}

// connectPeer is dialPeer, connected.
func connectPeer(t testing.TB, addr string) *peer {
	t.Helper()
	p := dialPeer(t, addr, nil)
	p.say(`{"id":1,"connect":{}}`)
	if r := p.next(); !strings.HasPrefix(r, `{"id":1,"connect":{`) {
		t.Fatalf("connect is answered with %s", r)
	}
	return p
}

// say sends one frame of lines.
func (p *peer) say(lines ...string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), testenv.Patience)
	defer cancel()
	if err := p.conn.Write(ctx, websocket.MessageText, []byte(strings.Join(lines, "\n"))); err != nil {
		p.t.Fatal(err)
	}
}

// read is the next line, pings left out, or how the connection ended.
func (p *peer) read() (string, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), testenv.Patience)
	defer cancel()
	for {
		for len(p.lines) > 0 {
			line := p.lines[0]
			if p.lines = p.lines[1:]; line != "{}" {
				return line, nil
			}
		}
		kind, frame, err := p.conn.Read(ctx)
		if err != nil {
			return "", err
		}
		if kind != websocket.MessageText {
			p.t.Errorf("a frame of JSON is %v", kind)
		}
		p.lines = strings.Split(string(frame), "\n")
	}
}

func (p *peer) next() string {
	p.t.Helper()
	line, err := p.read()
	if err != nil {
		p.t.Fatalf("instead of a reply: %v", err)
	}
	return line
}

// expect reads as many lines and compares them, as JSON.
func (p *peer) expect(want ...string) {
	p.t.Helper()
	for _, line := range want {
		if got := p.next(); cmp.Diff(decoded(p.t, line), decoded(p.t, got)) != "" {
			p.t.Fatalf("got  %s\nwant %s", got, line)
		}
	}
}

func decoded(t testing.TB, line string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(line), &v); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return v
}

// expectClose waits for the Close frame, and lets pass what comes before.
func (p *peer) expectClose(code websocket.StatusCode, reason string) {
	p.t.Helper()
	for {
		_, err := p.read()
		if err == nil {
			continue
		}
		closed := new(websocket.CloseError)
		if !errors.As(err, closed) || closed.Code != code || closed.Reason != reason {
			p.t.Fatalf("closed with %v, want %d %q", err, code, reason)
		}
		return
	}
}

// Every command has its answer, and every one that cannot be one the end of its connection; some of
// them as on a real Centrifugo.
func TestCommandsAreAnswered(t *testing.T) {
	cfg := testConfig()
	cfg.MaxSubscriptions = 3
	cfg.Rooms = []RoomRule{{Pattern: "ro.*", ReadOnly: true}}
	_, addr := startGateway(t, cfg)
	for _, c := range []struct{ say, want string }{
		{`{"id":2,"subscribe":{"channel":"a","flag":1}}`, `{"id":2,"subscribe":{}}`},
		{`{"id":2,"subscribe":{"channel":"a"}}|{"id":3,"subscribe":{"channel":"a"}}`, `{"id":2,"subscribe":{}}|{"id":3,"error":{"code":105,"message":"already subscribed"}}`},
		{`{"id":2,"subscribe":{"channel":"a","delta":"fossil","positioned":true,"recoverable":true,"join_leave":true,"new":[1]}}`, `{"id":2,"subscribe":{}}`},
		{`{"id":2,"subscribe":{"channel":"a","recover":true,"epoch":"x","offset":7}}`, `{"id":2,"subscribe":{"was_recovering":true}}`},
		{`{"id":2,"subscribe":{"channel":"a","recover":true,"epoch":"x","offset":7,"flag":3}}`, `{"id":2,"error":{"code":112,"message":"unrecoverable position"}}`},
		{`{"id":2,"subscribe":{"channel":"` + strings.Repeat("a", 256) + `"}}`, `{"id":2,"error":{"code":107,"message":"bad request"}}`},
		{`{"id":2,"subscribe":{"channel":"a b"}}`, `{"id":2,"error":{"code":107,"message":"bad request"}}`},
		{`{"id":2,"subscribe":{"channel":""}}`, `{"id":2,"error":{"code":107,"message":"bad request"}}`},
		{`{"id":2,"subscribe":{"channel":"a","tf":{}}}`, `{"id":2,"error":{"code":107,"message":"bad request"}}`},
		{`{"id":2,"subscribe":{"channel":"a","type":1}}`, `{"id":2,"error":{"code":103,"message":"permission denied"}}`},
		{
			`{"id":2,"subscribe":{"channel":"a"}}|{"id":3,"subscribe":{"channel":"b"}}|{"id":4,"subscribe":{"channel":"c"}}|{"id":5,"subscribe":{"channel":"d"}}|{"id":6,"unsubscribe":{"channel":"b"}}|{"id":7,"subscribe":{"channel":"d"}}`,
			`{"id":2,"subscribe":{}}|{"id":3,"subscribe":{}}|{"id":4,"subscribe":{}}|{"id":5,"error":{"code":106,"message":"limit exceeded"}}|{"id":6,"unsubscribe":{}}|{"id":7,"subscribe":{}}`,
		},
		{`{"id":2,"unsubscribe":{"channel":"never"}}`, `{"id":2,"unsubscribe":{}}`},
		{`{"id":2,"unsubscribe":{"channel":"a/b"}}`, `{"id":2,"error":{"code":107,"message":"bad request"}}`},
		{`{"id":2,"publish":{"channel":"a"}}`, `{"id":2,"error":{"code":107,"message":"bad request"}}`},
		{`{"id":2,"publish":{"channel":"a","data":null}}`, `{"id":2,"publish":{}}`},
		{`{"id":2,"publish":{"channel":"ro.a","data":1}}`, `{"id":2,"error":{"code":103,"message":"permission denied"}}`},
		{`{"id":2,"publish":{"channel":"..","data":1}}`, `{"id":2,"error":{"code":107,"message":"bad request"}}`},
		{`{"id":4294967295,"rpc":{"method":"x","data":{}}}`, `{"id":4294967295,"error":{"code":108,"message":"not available"}}`},
		{`{"id":2,"rpc":{"data":` + strings.Repeat("[", 50_000) + strings.Repeat("]", 50_000) + `}}`, `{"id":2,"error":{"code":108,"message":"not available"}}`},
		{`{"id":2,"publish":{"channel":"a","data":` + strings.Repeat("[", 50_000) + strings.Repeat("]", 50_000) + `}}`, `{"id":2,"publish":{}}`},
		{`{"id":2,"ping":{}}`, `{"id":2,"error":{"code":104,"message":"method not found"}}`},
		{`{"id":2,"subscribe":{"channel":"a"},"publish":{"channel":"ro.a","data":1}}`, `{"id":2,"subscribe":{}}`},
		{`{"id":2,"unsubscribe":{"channel":"a"}}` + "\r|" + `{"id":3,"unsubscribe":{"channel":"a"}}|`, `{"id":2,"unsubscribe":{}}|{"id":3,"unsubscribe":{}}`},
	} {
		p := connectPeer(t, addr)
		p.say(strings.Split(c.say, "|")...)
		p.expect(strings.Split(c.want, "|")...)
	}
	for name, c := range map[string]struct {
		say    string
		code   websocket.StatusCode
		reason string
	}{
		"empty":               {"", 3501, "bad request"},
		"no JSON":             {"hello", 3501, "bad request"},
		"null":                {"null", 3501, "bad request"},
		"an array":            {`[{"id":2,"rpc":{}}]`, 3501, "bad request"},
		"cut":                 {`{"id":2,"rpc":{}`, 3501, "bad request"},
		"blank line":          {`{"id":2,"rpc":{}}` + "||" + `{"id":3,"rpc":{}}`, 3501, "bad request"},
		"no method":           {`{"id":2}`, 3501, "bad request"},
		"unknown method":      {`{"id":2,"dance":{}}`, 3501, "bad request"},
		"no id":               {`{"subscribe":{"channel":"a"}}`, 3501, "bad request"},
		"id zero":             {`{"id":0,"rpc":{}}`, 3501, "bad request"},
		"id too large":        {`{"id":4294967296,"rpc":{}}`, 3501, "bad request"},
		"id below zero":       {`{"id":-1,"rpc":{}}`, 3501, "bad request"},
		"huge id":             {`{"id":` + strings.Repeat("9", 1000) + `,"rpc":{}}`, 3501, "bad request"},
		"string id":           {`{"id":"2","rpc":{}}`, 3501, "bad request"},
		"deep and cut":        {`{"id":2,"x":` + strings.Repeat(`{"a":`, 100_000), 3501, "bad request"},
		"unknown delta":       {`{"id":2,"subscribe":{"channel":"a","delta":"best"}}`, 3501, "bad request"},
		"connect twice":       {`{"id":2,"connect":{}}`, 3501, "bad request"},
		"pong without a ping": {`{}`, 3501, "bad request"},
		"send":                {`{"send":{"data":1}}`, 3508, "not available"},
		"not UTF-8":           {"{\"id\":2,\"rpc\":{\"data\":\"\xff\"}}", 3501, "text is not UTF-8"},
		"too large":           {`{"id":2,"publish":{"channel":"a","data":"` + strings.Repeat("x", 2<<20) + `"}}`, 1009, "message too big"},
	} {
		t.Run(name, func(t *testing.T) {
			p := connectPeer(t, addr)
			p.say(strings.Split(c.say, "|")...)
			p.expectClose(c.code, c.reason)
		})
	}
}

// The first command is connect, and it comes in time.
func TestConnectComesFirst(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.HandshakeTimeout = 2 * time.Second // Those who do connect need some of it on a busy machine.
	_, addr := startGateway(t, cfg)
	p := dialPeer(t, addr, nil)
	p.say(`{"id":1,"subscribe":{"channel":"a"}}`)
	p.expectClose(3501, "bad request")
	dialPeer(t, addr, nil).expectClose(3502, "stale")
	// Everything may come in one frame.
	p = dialPeer(t, addr, nil)
	p.say(`{"id":1,"connect":{"name":"js"}}`, `{"id":2,"subscribe":{"channel":"a"}}`, `{"id":3,"subscribe":{"channel":"b"}}`)
	if r := p.next(); !strings.Contains(r, `"ping":`) || !strings.Contains(r, `"pong":true`) {
		t.Errorf("connect is answered with %s", r)
	}
	p.expect(`{"id":2,"subscribe":{}}`, `{"id":3,"subscribe":{}}`)
}

// JSON in a binary frame is taken, though never sent.
func TestCommandsInABinaryFrame(t *testing.T) {
	_, addr := startGateway(t, testConfig())
	p := dialPeer(t, addr, &websocket.DialOptions{Subprotocols: []string{"centrifuge-json"}})
	if got := p.conn.Subprotocol(); got != "centrifuge-json" {
		t.Errorf("the subprotocol is %q", got)
	}
	if err := p.conn.Write(t.Context(), websocket.MessageBinary, []byte(`{"id":1,"connect":{}}`)); err != nil {
		t.Fatal(err)
	}
	p.next()
}

// A client is pinged in each interval, however much it says, and closed when it does not answer.
func TestSubscribersArePinged(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.PingInterval, cfg.PongTimeout = 50*time.Millisecond, 2*time.Second // A busy machine is given time to answer.
	s, addr := startGateway(t, cfg)
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	p := connectPeer(t, addr)
	for pings := 0; pings < 3; pings++ {
		if _, frame, err := p.conn.Read(ctx); err != nil || string(frame) != "{}" {
			t.Fatalf("got %q, %v", frame, err)
		}
		p.say("{}")
	}
	p.expectClose(3012, "no pong")
	expectClosed(t, s, ClosedNoPong, 1)
}

func sameJSON(t testing.TB, a, b string) bool {
	t.Helper()
	return cmp.Diff(decoded(t, a), decoded(t, b)) == ""
}

func encoded(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
