package gateway

import (
	"context"
	"fmt"
	"strings"
	"testing"

	gorilla "github.com/gorilla/websocket"

	"sluice/internal/testenv"
	"sluice/reactor"
)

// asking is a gateway of one loop whose room kept.a is answered for with 60 KB.
func asking(t *testing.T) (s *Server, addr string) {
	t.Helper()
	cfg := keeping()
	cfg.Loops = 1
	cfg.MaxMessage, cfg.AssemblyMemory = 64<<10, 64<<10
	cfg.SendBuffer = 64 << 10
	s, addr = startGateway(t, cfg)
	for range 2 {
		if _, err := s.Publish("kept.a", Message{Data: []byte(strings.Repeat("kept", 7500))}); err != nil {
			t.Fatal(err)
		}
	}
	return s, addr
}

// askFor opens a connection that asks n times what the room keeps, and reads nothing.
func askFor(t *testing.T, addr string, n int) *gorilla.Conn {
	t.Helper()
	c := dialNarrow(t, addr, "/connection/websocket")
	frame := `{"id":1,"connect":{}}` + strings.Repeat("\n"+`{"id":2,"history":{"channel":"kept.a","limit":-1}}`, n)
	if err := c.WriteMessage(gorilla.TextMessage, []byte(frame)); err != nil {
		t.Fatal(err)
	}
	return c
}

// repliesHeld is what the loop counts, and how many hold it, after it was held against what its
// outboxes take.
func repliesHeld(t *testing.T, s *Server) (held, holders int) {
	t.Helper()
	w, done := s.workers[0], make(chan struct{})
	if err := post(context.Background(), w.loop, func(l *reactor.Loop) {
		defer close(done)
		held, holders = w.replyBudget.held, len(w.replyBudget.largest)
		real, large := 0, 0
		for _, source := range l.Sources {
			if c, ok := source.(*conn); ok && c.own != nil && cap(c.own.bytes) > outboxKept {
				real += cap(c.own.bytes)
				large++
			}
		}
		if shown := w.replyBudget.shown.Load(); shown != int64(held) {
			t.Errorf("others are shown %d bytes, %d are counted", shown, held)
		}
		if real > held || large > holders || held > w.replyBudget.limit && holders > 1 {
			t.Errorf("%d bytes of %d are counted, %d of %d are there, the limit is %d", held, holders, real, large, w.replyBudget.limit)
		}
	}); err != nil {
		t.Fatal(err)
	}
	<-done
	return held, holders
}

// Clients that ask and read nothing, each of them within --reply-backlog, hold together no more
// than a loop's share, and one that reads is served beside them.
func TestClientsThatDoNotReadRepliesStayWithinTheirShare(t *testing.T) {
	s, addr := asking(t)
	healthy := connectPeer(t, addr)
	healthy.say(`{"id":2,"subscribe":{"channel":"a"}}`)
	healthy.expect(`{"id":2,"subscribe":{}}`)
	const n = 24
	var conns []*gorilla.Conn
	for i := range n {
		conns = append(conns, askFor(t, addr, 14))
		repliesHeld(t, s)
		healthy.say(fmt.Sprintf(`{"id":%d,"rpc":{}}`, i+3))
		healthy.expect(fmt.Sprintf(`{"id":%d,"error":{"code":108,"message":"not available"}}`, i+3))
	}
	testenv.Eventually(t, "some are cut", func() bool {
		repliesHeld(t, s)
		return testenv.StatsOf(t, s).Closed[ClosedReplies] >= 3
	})
	if _, err := s.Publish("a", Message{Data: []byte("hello")}); err != nil {
		t.Fatal(err)
	}
	healthy.expect(pushed("a", `"hello"`, 0, ""))
	for _, c := range conns {
		c.Close()
	}
	testenv.Eventually(t, "nothing is held any more", func() bool {
		held, holders := repliesHeld(t, s)
		return held == 0 && holders == 0 && s.Open() == 1
	})
}

// Beyond the share it is the one that holds most that is cut, and nobody for what it holds alone.
func TestWhoHoldsMostRepliesIsCut(t *testing.T) {
	s, addr := asking(t)
	done := make(chan struct{})
	if err := post(context.Background(), s.workers[0].loop, func(*reactor.Loop) {
		s.workers[0].replyBudget.limit = 1
		close(done)
	}); err != nil {
		t.Fatal(err)
	}
	<-done
	commands := func(n uint64) func() bool { return func() bool { return testenv.StatsOf(t, s).Commands == n } }
	most := askFor(t, addr, 14)
	testenv.Eventually(t, "all are carried out", commands(15))
	if held, holders := repliesHeld(t, s); held == 0 || holders != 1 {
		t.Fatalf("%d bytes are held by %d, and one does not read", held, holders)
	}
	less := askFor(t, addr, 11)
	testenv.Eventually(t, "all are carried out", commands(27))
	expectClosed(t, s, ClosedReplies, 1)
	if err := less.WriteMessage(gorilla.TextMessage, []byte(`{"id":3,"rpc":{}}`)); err != nil {
		t.Fatal(err)
	}
	for {
		_, frame, err := less.ReadMessage()
		if err != nil {
			t.Fatalf("the one that holds less has ended with %v", err)
		}
		if strings.Contains(string(frame), `"id":3`) {
			break
		}
	}
	for {
		if _, _, err := most.ReadMessage(); err != nil {
			break // It is at its end, whatever of its replies it has.
		}
	}
}
