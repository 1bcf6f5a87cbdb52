package gateway

import (
	"context"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sluice/internal/testenv"
)

// A subscriber that is told of its end at all is told with a code of its protocol and a reason:
// npm's SDK comes back for ever where that is empty.
func TestSubscribersAreToldCodesOfTheProtocolAndReasons(t *testing.T) {
	c := &conn{past: subscribes}
	for r := range NumCloseReasons {
		code, text := c.wordsFor(r)
		switch {
		case code == 0 && reasons[r].code != 0:
			t.Errorf("%v ends a client of a room with %d, and a subscriber without a word", r, reasons[r].code)
		case code != 0 && text == "":
			t.Errorf("%v has no reason", r)
		case code != 0 && (code < 3000 || code >= 4000) && r != ClosedTooBig && r != ClosedMayNotPublish && r != ClosedUnread:
			t.Errorf("%v has the code %d", r, code)
		}
	}
}

// docs/protocol.md has the codes that subscribers' connections end with, and no others.
func TestTheDocumentHasTheCodesOfSubscribers(t *testing.T) {
	text, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "### Ends of the connection")
	isSent := map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\d{4}) \|`).FindAllStringSubmatch(table, -1) {
		isSent[row[1]] = false
	}
	for r, f := range subscriberReasons {
		code := strconv.Itoa(int(f.code))
		if _, isThere := isSent[code]; f.code != 0 && !isThere {
			t.Errorf("%s ends with %s, which is not in the document", CloseReason(r), code)
		}
		isSent[code] = true
	}
	for code := range isSent {
		if !isSent[code] {
			t.Errorf("nothing ends with %s", code)
		}
	}
}

// What ends everybody's connection ends a subscriber's with the protocol's code, behind whatever
// was published before.
func TestSubscribersAreToldWhyTheyAreClosed(t *testing.T) {
	t.Parallel()
	join := func(t *testing.T, cfg *config) (*Server, *peer) {
		s, addr := startGateway(t, cfg)
		p := connectPeer(t, addr)
		p.say(`{"id":2,"subscribe":{"channel":"a"}}`)
		p.expect(`{"id":2,"subscribe":{}}`)
		if _, err := s.Publish("a", Message{Data: []byte("last")}); err != nil {
			t.Fatal(err)
		}
		return s, p
	}
	expect := func(p *peer, code websocket.StatusCode, reason string) {
		p.t.Helper()
		p.expect(pushed("a", `"last"`, 0, ""))
		p.expectClose(code, reason)
	}
	t.Run("drain", func(t *testing.T) {
		s, p := join(t, testConfig())
		done := make(chan error, 1)
		go func() { done <- s.Drain(context.Background()) }()
		expect(p, 3001, "shutdown")
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Run("operator", func(t *testing.T) {
		s, p := join(t, testConfig())
		conns, _, err := s.Connections(t.Context(), ConnQuery{Room: "a", Limit: 1})
		if err != nil || len(conns) != 1 {
			t.Fatalf("%v, %v", conns, err)
		}
		if _, err := s.Disconnect(t.Context(), conns[0].ID, "", Farewell{}); err != nil {
			t.Error(err)
		}
		expect(p, 3503, "force disconnect")
	})
	t.Run("operator's own words", func(t *testing.T) {
		s, p := join(t, testConfig())
		conns, _, err := s.Connections(t.Context(), ConnQuery{Room: "a", Limit: 1})
		if err != nil || len(conns) != 1 {
			t.Fatalf("%v, %v", conns, err)
		}
		if _, err := s.Disconnect(t.Context(), conns[0].ID, "", Farewell{Code: 4500, Reason: "for good"}); err != nil {
			t.Error(err)
		}
		expect(p, 4500, "for good")
	})
	t.Run("lifetime", func(t *testing.T) {
		cfg := testConfig()
		cfg.MaxLifetime = time.Second
		_, p := join(t, cfg)
		expect(p, 3011, "time to reconnect")
	})
	t.Run("its own Close", func(t *testing.T) {
		s, p := join(t, testConfig())
		_ = p.conn.Close(1000, "")
		expectClosed(t, s, ClosedByPeer, 1)
		testenv.Eventually(t, "its room is empty", func() bool { _, isThere := s.Room("a"); return !isThere })
	})
}
