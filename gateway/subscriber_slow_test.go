package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"

	"sluice/hub"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// slowly is a config in which a room keeps little for who is behind, with a policy.
func slowly(policy hub.Policy) *config {
	cfg := keeping()
	cfg.History[0].Bytes, cfg.History[0].Messages = 256<<10, 1000
	cfg.SlowPolicy, cfg.MaxMessage, cfg.RoomBacklog, cfg.PublishWindow = policy, 64<<10, 256<<10, 64<<10
	cfg.SendBuffer = 64 << 10
	cfg.Loops = 1
	return cfg
}

// A slow is a client of the protocol that reads only when it is told to.
type slow struct {
	t     testing.TB
	conn  *gorilla.Conn
	lines []string
}

func dialSlow(t testing.TB, addr string, commands ...string) *slow {
	t.Helper()
	c := &slow{t: t, conn: dialNarrow(t, addr, "/connection/websocket")}
	c.say(append([]string{`{"id":1,"connect":{}}`}, commands...)...)
	for range len(commands) + 1 {
		if line, err := c.next(); err != nil || strings.Contains(line, "error") {
			t.Fatalf("%s, %v", line, err)
		}
	}
	return c
}

func (c *slow) say(lines ...string) {
	c.t.Helper()
	if err := c.conn.WriteMessage(gorilla.TextMessage, []byte(strings.Join(lines, "\n"))); err != nil {
		c.t.Fatal(err)
	}
}

func (c *slow) next() (string, error) {
	for len(c.lines) == 0 {
		_ = c.conn.SetReadDeadline(time.Now().Add(testenv.Patience))
		_, p, err := c.conn.ReadMessage()
		if err != nil {
			return "", err
		}
		c.lines = strings.Split(string(p), "\n")
	}
	line := c.lines[0]
	c.lines = c.lines[1:]
	return line, nil
}

// publication takes a publication's line apart; nil: it is none.
func publication(line string) (channel string, offset uint64, isOne bool) {
	var got struct {
		Push struct {
			Channel string
			Pub     *struct{ Offset uint64 }
		}
	}
	if json.Unmarshal([]byte(line), &got) != nil || got.Push.Pub == nil {
		return "", 0, false
	}
	return got.Push.Channel, got.Push.Pub.Offset, true
}

// outvote makes others in a room who read all, so that publishers do not wait for a slow one.
func outvote(t testing.TB, addr, room string) {
	t.Helper()
	for range 3 {
		c := wstest.Dial(t, addr, "/ws/"+room)
		go func() {
			for {
				if _, _, err := c.Read(context.Background()); err != nil {
					return
				}
			}
		}()
	}
}

// publishUntil publishes in a room until is holds.
func publishUntil(t testing.TB, s *Server, room string, is func(Stats) bool) (n int) {
	t.Helper()
	text := []byte(`"` + strings.Repeat("x", 8<<10) + `"`)
	for end := time.Now().Add(testenv.Patience); ; {
		if n%16 == 0 && is(testenv.StatsOf(t, s)) {
			return n
		}
		if time.Now().After(end) {
			t.Fatalf("after %d messages: %+v", n, testenv.StatsOf(t, s).Hub)
		}
		publishInTurn(t, s, room, text)
		n++
	}
}

// publishInTurn publishes a message as soon as the room is not full: from outside nobody is made to
// wait for those who read, and they may be some way behind.
func publishInTurn(t testing.TB, s *Server, room string, data []byte) {
	t.Helper()
	testenv.Eventually(t, "the room takes a message", func() bool {
		_, err := s.Publish(room, Message{Data: data})
		if err != nil && !errors.Is(err, ErrRoomFull) && !errors.Is(err, ErrMemory) {
			t.Fatal(err)
		}
		return err == nil
	})
}

// S02, K02 over the protocol. Where a client counts by offsets it is told of a gap, once, between
// two publications, and what it has got until then and gets afterwards is contiguous; its other
// rooms go on. Another gap at once ends the connection.
func TestS02_GapIsTold(t *testing.T) {
	s, addr := startGateway(t, slowly(hub.Skip))
	outvote(t, addr, "kept.a")
	c := dialSlow(t, addr, `{"id":2,"subscribe":{"channel":"kept.a"}}`, `{"id":3,"subscribe":{"channel":"kept.b"}}`)
	if _, err := s.Publish("kept.b", Message{Data: []byte("first")}); err != nil {
		t.Fatal(err)
	}
	publishUntil(t, s, "kept.a", func(st Stats) bool { return st.Hub.Overrun[hub.Skip] > 0 })
	last := uint64(0)
	var told string
	for told == "" {
		line, err := c.next()
		if err != nil {
			t.Fatalf("behind offset %d: %v", last, err)
		}
		switch room, offset, isOne := publication(line); {
		case !isOne:
			told = line
		case room == "kept.a" && offset == last+1:
			last++
		case room == "kept.a":
			t.Fatalf("behind offset %d comes %d", last, offset)
		}
	}
	if told != `{"push":{"channel":"kept.a","unsubscribe":{"code":2500,"reason":"insufficient state"}}}` {
		t.Errorf("told %s", told)
	}
	if _, err := s.Publish("kept.b", Message{Data: []byte("second")}); err != nil {
		t.Fatal(err)
	}
	for {
		line, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		if room, offset, isOne := publication(line); !isOne || room == "kept.a" {
			t.Fatalf("behind the notice comes %s", line)
		} else if offset == 2 {
			break
		}
	}
	c.say(fmt.Sprintf(`{"id":4,"subscribe":{"channel":"kept.a","recover":true,"epoch":"E","offset":%d}}`, last))
	line, err := c.next()
	if err != nil || strings.Contains(line, `"recovered":true`) || !strings.Contains(line, `"was_recovering":true`) {
		t.Errorf("subscribing anew is answered with %s, %v", line, err)
	}
	publishUntil(t, s, "kept.a", func(st Stats) bool { return st.Hub.Overrun[hub.Skip] > 1 })
	last = 0
	for err == nil {
		if line, err = c.next(); err == nil {
			if room, offset, _ := publication(line); room == "kept.a" {
				if last != 0 && offset != last+1 {
					t.Errorf("behind offset %d comes %d, before the connection ends", last, offset)
				}
				last = offset
			}
		}
	}
	if !gorilla.IsCloseError(err, 3010) {
		t.Errorf("a second gap ends with %v", err)
	}
	if st := testenv.StatsOf(t, s); st.Gaps != 2 {
		t.Errorf("%d gaps are counted", st.Gaps)
	}
}

// In a room without a history nobody counts, and a client that has missed something goes on, as one
// of the room alone would.
func TestGapWithoutHistoryIsCountedOnly(t *testing.T) {
	s, addr := startGateway(t, slowly(hub.Skip))
	outvote(t, addr, "a")
	c := dialSlow(t, addr, `{"id":2,"subscribe":{"channel":"a"}}`)
	n := publishUntil(t, s, "a", func(st Stats) bool { return st.Hub.Overrun[hub.Skip] > 0 })
	publishInTurn(t, s, "a", []byte("last"))
	got := 0
	for {
		line, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(line, `"last"`) {
			break
		}
		if _, _, isOne := publication(line); !isOne {
			t.Fatalf("among publications comes %s", line)
		}
		got++
	}
	if got >= n {
		t.Errorf("it got all of %d", n)
	}
	if st := testenv.StatsOf(t, s); st.Gaps != 0 || st.Hub.Skipped == 0 {
		t.Errorf("%d gaps, %d skipped", st.Gaps, st.Hub.Skipped)
	}
}

// Where the policy is to disconnect, a client that is overrun in one of its rooms gets the rest of
// its frame and 3008.
func TestSlowSubscriberIsDisconnected(t *testing.T) {
	s, addr := startGateway(t, slowly(hub.Disconnect))
	outvote(t, addr, "a")
	c := dialSlow(t, addr, `{"id":2,"subscribe":{"channel":"a"}}`, `{"id":3,"subscribe":{"channel":"kept.b"}}`)
	publishUntil(t, s, "a", func(st Stats) bool { return st.Closed[ClosedSlow] > 0 || livesIn(t, s, parting) > 0 })
	var err error
	for err == nil {
		_, err = c.next()
	}
	if !gorilla.IsCloseError(err, 3008) || !strings.HasSuffix(err.Error(), "slow") {
		t.Errorf("it ended with %v", err)
	}
	c.conn.Close()
	expectClosed(t, s, ClosedSlow, 1)
}

// What a room has kept before it had a subscriber is made for the first one while its commands
// wait, and those behind it.
func TestHistoryIsMadeForTheFirstSubscriber(t *testing.T) {
	s, addr := startGateway(t, keeping())
	for i := range 500 {
		if _, err := s.Publish("kept.a", Message{Data: fmt.Appendf(nil, "%d", i+1)}); err != nil {
			t.Fatal(err)
		}
	}
	p := connectPeer(t, addr)
	p.say(`{"id":2,"subscribe":{"channel":"b"}}`, `{"id":3,"subscribe":{"channel":"kept.a","recover":true,"epoch":"E"}}`, `{"id":4,"unsubscribe":{"channel":"b"}}`)
	p.say(`{"id":5,"publish":{"channel":"kept.a","data":true}}`)
	seen := map[string]bool{}
	for i := 1; i <= 501; {
		line := p.next()
		_, offset, isOne := publication(line)
		if !isOne {
			seen[line] = true
			continue
		}
		if offset != uint64(i) {
			t.Fatalf("instead of offset %d comes %s", i, line)
		}
		i++
	}
	for _, want := range []string{`{"id":2,"subscribe":{}}`, `{"id":4,"unsubscribe":{}}`, `{"id":5,"publish":{}}`} {
		if !seen[want] {
			t.Errorf("there was no %s", want)
		}
	}
}

// S16. Behind the answer to unsubscribe nothing of the room comes, though it talks on and the
// client is inside one of its messages.
func TestS16_NothingComesBehindUnsubscribe(t *testing.T) {
	s, addr := startGateway(t, slowly(hub.Skip))
	outvote(t, addr, "a")
	c := dialSlow(t, addr, `{"id":2,"subscribe":{"channel":"a"}}`, `{"id":3,"subscribe":{"channel":"b"}}`)
	publishUntil(t, s, "a", func(st Stats) bool { return st.Hub.Blocked > 0 })
	c.say(`{"id":4,"unsubscribe":{"channel":"a"}}`)
	testenv.Eventually(t, "it is heard", func() bool { return testenv.StatsOf(t, s).Unsubscribed == 1 })
	for _, room := range []string{"a", "b"} {
		publishInTurn(t, s, room, []byte("later"))
	}
	isOver := false
	for {
		line, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		switch room, _, isOne := publication(line); {
		case !isOne && line == `{"id":4,"unsubscribe":{}}`:
			isOver = true
		case !isOne, room == "a" && isOver:
			t.Fatalf("got %s", wstest.Clip(line))
		case room == "b":
			if !isOver {
				t.Error("the answer is behind what was published after it")
			}
			return
		}
	}
}
