package gateway

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/wsproto"
)

// startHeldBuilder starts a gateway that makes histories when it is let.
func startHeldBuilder(t *testing.T, cfg *config) (s *Server, addr string, begun chan string, free chan struct{}) {
	t.Helper()
	s = newGateway(t, cfg, nil, testenv.LogTo(t))
	begun, free = make(chan string, 100), make(chan struct{})
	build := s.builder.answer
	s.builder.answer = func(ctx context.Context, q *question) error {
		begun <- q.room
		select {
		case <-free:
		case <-ctx.Done(): // Its connection has gone, or the server ends.
		}
		return build(ctx, q)
	}
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(func() { s.Close(); checkAccounts(t, s) })
	return s, s.Addrs()[0].String(), begun, free
}

// While what a room keeps is made in another encoding its clients wait unread, and their loop
// serves the others. One is made at a time. A client that goes meanwhile is forgotten, and what was
// sent behind the request is handled once.
func TestClientsWaitForTheHistoryOfTheirEncoding(t *testing.T) {
	cfg := historyConfig()
	cfg.Loops = 1
	s, addr, begun, free := startHeldBuilder(t, cfg)
	mustPublish(t, s, "h1", "a")
	mustPublish(t, s, "h2", "b")
	var parked []*wstest.Client
	for i := range 20 {
		c := wstest.Connect(t, addr)
		c.Send(wstest.UpgradeHead(fmt.Sprintf("/ws/h%d?last=all", 1+i%2)), wstest.MaskedText("early"))
		parked = append(parked, c)
	}
	first := <-begun
	testenv.Eventually(t, "the others wait", func() bool {
		s.builder.mu.Lock()
		defer s.builder.mu.Unlock()
		return s.builder.waiting.Len() == 19 && s.builder.running == 1
	})
	wstest.Join(t, addr, "/ws/quick", wstest.MaskedText("x")).ExpectFrame(0x1, "x")
	parked[19].Reset()
	testenv.Eventually(t, "one is forgotten", func() bool {
		s.builder.mu.Lock()
		defer s.builder.mu.Unlock()
		return s.builder.waiting.Len() == 18
	})
	if first != "h1" || len(begun) != 0 {
		t.Errorf("%s was first, and %d more were begun", first, len(begun))
	}
	close(free)
	for i, c := range parked[:19] {
		c.ExpectUpgrade()
		c.ExpectFrame(0x1, string("ab"[i%2]))
	}
	testenv.Eventually(t, "all early messages are taken", func() bool { return testenv.StatsOf(t, s).Messages == 20 })
	if st := s.hub.Histories(); st.Built != 2 {
		t.Errorf("%+v", st)
	}
}

// A client whose history is not made in time is told to come again; a drain and the server's end
// wait for nobody.
func TestWhoWaitsForAHistoryIsAnsweredInTime(t *testing.T) {
	t.Parallel()
	cfg := historyConfig()
	cfg.HandshakeTimeout = 2 * time.Second // In less who waits for a processor has not sent its head.
	s, addr, begun, _ := startHeldBuilder(t, cfg)
	mustPublish(t, s, "h", "a")
	c := wstest.Connect(t, addr)
	c.Send(wstest.UpgradeHead("/ws/h?last=1"))
	<-begun
	if r := c.ExpectRefusal(http.StatusServiceUnavailable); r.Header.Get("Retry-After") == "" {
		t.Errorf("%v", r.Header)
	}
	if st := testenv.StatsOf(t, s); st.Refusals[wsproto.ReasonHistory] != 1 || st.Refusals[wsproto.ReasonTimeout] != 0 {
		t.Errorf("%v", st.Refusals)
	}

	cfg = historyConfig()
	cfg.DrainTimeout = 5 * time.Second
	s, addr, begun, _ = startHeldBuilder(t, cfg)
	mustPublish(t, s, "h", "a")
	c = wstest.Connect(t, addr)
	c.Send(wstest.UpgradeHead("/ws/h?last=1"))
	<-begun
	expectDrainRefuses(t, s, c)
}

// A client that is asked about first and waits for its history then is not asked about twice.
func TestWhoIsKnownStaysKnownWhileItsHistoryIsMade(t *testing.T) {
	asked := make(chan string, 10)
	cfg := historyConfig()
	cfg.Auth = scriptedAuth{ask: func(_ context.Context, h *Handshake) (Principal, error) {
		asked <- h.Token
		return Principal{Kind: KindToken, Subject: h.Token, Grants: grants(t, "h=read,history")}, nil
	}}
	s, addr := startGateway(t, cfg)
	mustPublish(t, s, "h", "a")
	c := wstest.Connect(t, addr)
	c.Send(wstest.UpgradeHead("/ws/h?last=1", "Authorization: Bearer ann"))
	c.ExpectUpgrade()
	c.ExpectFrame(0x1, "a")
	if len(asked) != 1 {
		t.Errorf("asked %d times", len(asked))
	}
	conns, _, err := s.Connections(t.Context(), ConnQuery{Room: "h", Limit: 1})
	if err != nil || len(conns) != 1 || conns[0].Subject != "ann" {
		t.Errorf("%+v, %v", conns, err)
	}
}
