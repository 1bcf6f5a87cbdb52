package gateway

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/centrifugal/protocol"
	"github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"

	"sluice/gateway/centrifuge"
	"sluice/internal/testenv"
)

// A frame of many commands takes many turns, and each is answered once and in order; other
// connections' turns come in between.
func TestCommandsOfOneFrameTakeTurns(t *testing.T) {
	const n = 20 * commandsTurn
	cfg := testConfig()
	cfg.Loops = 1
	_, addr := startGateway(t, cfg)
	p, other := connectPeer(t, addr), connectPeer(t, addr)
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf(`{"id":%d,"unsubscribe":{"channel":"never"}}`, i+2))
	}
	p.say(lines...)
	other.say(`{"id":2,"rpc":{}}`)
	other.expect(`{"id":2,"error":{"code":108,"message":"not available"}}`)
	frames := 0
	for i := range n {
		if len(p.lines) == 0 {
			frames++
		}
		if got, want := p.next(), fmt.Sprintf(`{"id":%d,"unsubscribe":{}}`, i+2); got != want {
			t.Fatalf("reply %d is %s", i, got)
		}
	}
	if frames < n/commandsTurn || frames > 2*n/commandsTurn {
		t.Errorf("%d replies came in %d frames", n, frames)
	}
}

// longCommand is one of nearly centrifuge.CommandMax bytes, of which as much as can be becomes of
// them in memory, and an error.
func longCommand(id int) string {
	const around = 100
	nodes := strings.Repeat("{},", (centrifuge.CommandMax-around)/3)
	return fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"a","tf":{"nodes":[%s{}]}}}`, id, nodes)
}

// Commands that take long take turns as well, though a frame has only a few of them.
func TestLongCommandsOfOneFrameTakeTurns(t *testing.T) {
	_, addr := startGateway(t, testConfig())
	p := connectPeer(t, addr)
	var lines []string
	const n = 6
	for i := range n {
		lines = append(lines, longCommand(i+2))
	}
	p.say(lines...)
	for i := range n {
		if len(p.lines) > 0 {
			t.Errorf("the reply to command %d came with the one before", i)
		}
		p.expect(fmt.Sprintf(`{"id":%d,"error":{"code":107,"message":"bad request"}}`, i+2))
	}
}

// A client that asks for more rooms than it may be in is told each time, and what it is in goes on.
func TestMillionSubscriptionsAreRefused(t *testing.T) {
	n := 20_000
	if testenv.IsWholeSize(t) {
		n = 1_000_000
	}
	s, addr := startGateway(t, testConfig())
	p := connectPeer(t, addr)
	const each = 1000
	sent, ahead := make(chan struct{}), make(chan struct{}, 3) // frames: who asks and does not read is closed
	go func() {
		defer close(sent)
		for i := 0; i < n; i += each {
			ahead <- struct{}{}
			var frame strings.Builder
			for j := i; j < i+each; j++ {
				fmt.Fprintf(&frame, "{\"id\":%d,\"subscribe\":{\"channel\":\"room%d\"}}\n", j+2, j)
			}
			if p.conn.Write(t.Context(), 1, []byte(frame.String())) != nil {
				return
			}
		}
	}()
	for i := range n {
		want := fmt.Sprintf(`{"id":%d,"subscribe":{}}`, i+2)
		if i >= 1000 {
			want = fmt.Sprintf(`{"id":%d,"error":{"code":106,"message":"limit exceeded"}}`, i+2)
		}
		if got := p.next(); got != want {
			t.Fatalf("subscription %d is answered with %s", i, got)
		}
		if i%each == each-1 {
			<-ahead
		}
	}
	<-sent
	if st := testenv.StatsOf(t, s); st.Subscribed != 1000 || st.CommandErrors != uint64(n-1000) {
		t.Errorf("%d subscriptions, %d errors", st.Subscribed, st.CommandErrors)
	}
	for _, room := range []string{"room0", "room999"} {
		if _, err := s.Publish(room, Message{Data: []byte("hello")}); err != nil {
			t.Fatal(err)
		}
		p.expect(pushed(room, `"hello"`, 0, ""))
	}
}

// A client that asks and does not read what it is answered costs --reply-backlog and is closed.
func TestClientThatAsksAndDoesNotReadIsClosed(t *testing.T) {
	cfg := testConfig()
	cfg.ReplyBacklog = 64 << 10
	cfg.SendBuffer = 64 << 10
	s, addr := startGateway(t, cfg)
	c := dialNarrow(t, addr, "/connection/websocket")
	say := func(line string) bool { return c.WriteMessage(gorilla.TextMessage, []byte(line)) == nil }
	say(`{"id":1,"connect":{}}`)
	batch := strings.Repeat(`{"id":2,"rpc":{}}`+"\n", 1000)
	for i := 0; i < 1000 && testenv.StatsOf(t, s).CommandErrors < 1_000_000 && say(batch); i++ {
		if s.Open() == 0 || livesIn(t, s, open) == 0 {
			break
		}
	}
	testenv.Eventually(t, "it is closed", func() bool { return livesIn(t, s, open) == 0 })
	for {
		if _, _, err := c.ReadMessage(); err != nil {
			if !gorilla.IsCloseError(err, 3008) || !strings.Contains(err.Error(), "does not read replies") {
				t.Errorf("it ended with %v", err)
			}
			break
		}
	}
	c.Close()
	expectClosed(t, s, ClosedReplies, 1)
}

// Commands are messages where those have a rate, however many come in a frame.
func TestCommandsHaveTheRateOfMessages(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.MessageRate = 20
	s, addr := startGateway(t, cfg)
	p := connectPeer(t, addr)
	var lines []string
	for i := range 30 {
		lines = append(lines, fmt.Sprintf(`{"id":%d,"rpc":{}}`, i+2))
	}
	p.say(lines...)
	for i := range 30 {
		p.expect(fmt.Sprintf(`{"id":%d,"error":{"code":108,"message":"not available"}}`, i+2))
	}
	if st := testenv.StatsOf(t, s); st.Throttled == 0 || st.Commands != 31 {
		t.Errorf("throttled %d times at %d commands", st.Throttled, st.Commands)
	}
}

// A command that is carried out is answered, the one too with which a client is over its rate for
// too long: what it has brought about may follow.
func TestTheLastCommandOfTooManyIsAnswered(t *testing.T) {
	cfg := keeping()
	cfg.MessageRate, cfg.overTime = 10, time.Millisecond
	s, addr := startGateway(t, cfg)
	const n = 40
	for i := range n {
		if _, err := s.Publish(fmt.Sprintf("kept.%d", i), Message{Data: []byte("kept")}); err != nil {
			t.Fatal(err)
		}
	}
	p := connectPeer(t, addr)
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"kept.%d","recover":true,"epoch":"E"}}`, i+2, i))
	}
	p.say(lines...)
	answered := map[string]bool{}
	for {
		line, err := p.read()
		if err != nil {
			if websocket.CloseStatus(err) != 3013 {
				t.Errorf("it ended with %v", err)
			}
			break
		}
		var r protocol.Reply
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		switch {
		case r.Subscribe != nil:
			answered[fmt.Sprintf("kept.%d", r.Id-2)] = true
		case r.Push != nil && !answered[r.Push.Channel]:
			t.Errorf("%s comes before the answer to subscribe", line)
		}
	}
	if st := testenv.StatsOf(t, s); len(answered) == n || int(st.Commands) != len(answered)+1 {
		t.Errorf("of %d commands %d were answered", st.Commands-1, len(answered))
	}
}

// Beyond --max-rooms a client is told to come again, as whichever way it had come: who has a room
// may leave it.
func TestRoomsBeyondTheLimitAreTemporary(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.MaxRooms = 1
	_, addr := startGateway(t, cfg)
	p, q := dialPeer(t, addr, nil), dialPeer(t, addr, nil)
	for _, one := range []*peer{p, q} {
		one.say(`{"id":1,"connect":{}}`)
		one.next()
	}
	const tooMany = `"error":{"code":111,"message":"too many requests","temporary":true}`
	p.say(`{"id":2,"subscribe":{"channel":"a"}}`)
	p.expect(`{"id":2,"subscribe":{}}`)
	q.say(`{"id":2,"subscribe":{"channel":"b"}}`, `{"id":3,"publish":{"channel":"b","data":1}}`)
	q.expect(`{"id":2,`+tooMany+`}`, `{"id":3,`+tooMany+`}`)
	p.say(`{"id":3,"unsubscribe":{"channel":"a"}}`)
	p.expect(`{"id":3,"unsubscribe":{}}`)
	q.say(`{"id":4,"subscribe":{"channel":"b"}}`)
	q.expect(`{"id":4,"subscribe":{}}`)
}
