package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/wsproto"
)

func TestH28_TargetIsDecodedOnce(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	witness := map[string]*wstest.Client{}
	for _, room := range []string{"lobby", "room1", "a.b"} {
		witness[room] = wstest.Join(t, addr, "/ws/"+room)
	}
	rooms := s.hub.Rooms()
	for _, tc := range []struct{ name, target, room string }{
		{"plain", "/ws/room1", "room1"},
		{"absolute_form", "http://sluice.test/ws/room1", "room1"},
		{"absolute_form_ws", "ws://sluice.test/ws/room1", "room1"},
		{"encoded_letter", "/ws/r%6fom1", "room1"},
		{"encoded_dot", "/ws/a%2eb", "a.b"},
		{"encoded_route", "/%77s/room1", "room1"},
		{"encoded_slash", "/ws%2Froom1", "room1"},
		{"query_is_not_the_room", "/ws/room1?room=other", "room1"},
		{"5000_query_params", "/ws/room1?" + strings.Repeat("&", 4000), "room1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := wstest.Join(t, addr, tc.target, wstest.MaskedText(tc.name))
			c.ExpectFrame(ws.OpText, tc.name)
			witness[tc.room].ExpectFrame(ws.OpText, tc.name)
			c.Close()
		})
	}
	for _, tc := range []struct {
		name, target string
		status       int
	}{
		{"NUL", "/ws/a%00b", 400},
		{"double_encoded", "/ws/r%256fom1", 400}, // decodes once, to r%6fom1, which is no room name
		{"overlong_UTF8", "/ws/%c0%ae", 400},
		{"broken_escape", "/ws/%4", 400},
		{"not_hex", "/ws/%zz", 400},
		{"dot_segments", "/ws/%2e%2e", 400},
		{"up_and_out", "/ws/../livez", 400},
		{"slash_in_name", "/ws/a/b", 400},
		{"raw_non_ASCII", "/ws/caf\xc3\xa9", 400},
		{"space", "/ws/a b", 400},
		{"target_of_5000_params", "/ws/room1?" + strings.Repeat("a=b&", 5000), 431},
		{"target_over_the_limit", "/ws/room1?" + strings.Repeat("a", wsproto.MaxTargetBytes), 414},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := wstest.Connect(t, addr)
			c.Send(wstest.UpgradeHead(tc.target))
			r, _ := c.Response()
			is414 := tc.status == 431 && r.StatusCode == 414 // The whole head is over its limit, and so is the first line.
			if r.StatusCode != tc.status && !is414 {
				t.Errorf("%s, want %d", r.Status, tc.status)
			}
			c.ExpectEnd()
		})
	}
	t.Run("double_slash", func(t *testing.T) {
		c := wstest.Connect(t, addr)
		c.Send(wstest.UpgradeHead("//ws"))
		if r, _ := c.Response(); r.StatusCode == http.StatusSwitchingProtocols {
			t.Error("//ws was taken for /ws")
		}
	})
	if s.hub.Rooms() != rooms {
		t.Errorf("%d rooms, had %d", s.hub.Rooms(), rooms)
	}
}

func TestH31_ResetBeforeThe101FreesTheConnection(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	const clients = 200
	for i := range clients {
		c := wstest.Connect(t, addr)
		c.Send(wstest.UpgradeHead(fmt.Sprintf("/ws/room%d", i%3)))
		c.Reset()
	}
	testenv.Eventually(t, "all accepted and gone", func() bool { return testenv.StatsOf(t, s).Accepted == clients && s.Open() == 0 })
	if s.hub.Rooms() != 0 {
		t.Errorf("%d rooms are left", s.hub.Rooms())
	}
	if st := testenv.StatsOf(t, s); st.Closed[ClosedGone] != clients {
		t.Errorf("%d counted as gone, want %d", st.Closed[ClosedGone], clients)
	}
}

func TestH34_ImpossibleRoomNamesMakeNoRoom(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	for _, name := range []string{
		"/", "a//", "/a", strings.Repeat("a", 129), strings.Repeat("a", 300), "a%01b", "%0d%0a", "%7f", "%ff%fe", "%c3%28", "*", ">", "a*", "%3e",
		".", "..", "a%20b", "caf%c3%a9", "%f0%9f%98%80", "a,b", "a%2fb", "%25",
	} {
		c := wstest.Connect(t, addr)
		c.Send(wstest.UpgradeHead("/ws/" + name))
		if r, _ := c.Response(); r.StatusCode != http.StatusBadRequest {
			t.Errorf("room %q: %s, want 400", name, r.Status)
		}
		c.Close()
	}
	if n := s.hub.Rooms(); n != 0 {
		t.Errorf("%d rooms were made", n)
	}
	for _, name := range []string{"a", strings.Repeat("a", 128), "A-z_0.9:~", "...", "-"} {
		c := wstest.Join(t, addr, "/ws/"+name, wstest.MaskedText("hello"))
		c.ExpectFrame(ws.OpText, "hello")
	}
	if n := s.hub.Rooms(); n != 5 {
		t.Errorf("%d rooms, want 5", n)
	}
}

func TestH34_RoomsGoWithTheirLastMember(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	a, b := wstest.Join(t, addr, "/ws/short"), wstest.Join(t, addr, "/ws/short")
	a.Close()
	b.Close()
	testenv.Eventually(t, "no room is left", func() bool { return s.hub.Rooms() == 0 })
}

// What nginx sends to its upstream with proxy_http_version 1.1 and the usual headers for upgrades,
// with keepalive on.
func TestProxyThatKeepsConnectionsUpgradesOnOneOfThem(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	forwarded := []string{"X-Real-IP: 192.0.2.7", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https", "Accept-Encoding: gzip, deflate, br"}
	c := wstest.Connect(t, addr)
	for _, path := range []string{"/", "/livez", "/"} {
		c.Send(wstest.RequestHead("GET "+path+" HTTP/1.1", append([]string{"Host: sluice.test", "Connection: "}, forwarded...)...))
		if r, _ := c.Response(); r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", path, r.Status)
		}
	}
	c.Send(wstest.RequestHead("GET /ws/stage?token=a HTTP/1.1", append([]string{
		"Upgrade: websocket", "Connection: upgrade", "Host: sluice.test", "Origin: https://sluice.test",
		"sec-websocket-version: 13", "sec-websocket-key: " + wstest.SampleKey, "sec-websocket-extensions: permessage-deflate; client_max_window_bits",
	}, forwarded...)...))
	c.ExpectUpgrade()
	c.Send(wstest.MaskedText("through"))
	c.ExpectFrame(ws.OpText, "through")
	if _, ok := s.hub.Room("stage"); !ok {
		t.Error("the room is not the one of the path")
	}
}

func TestUpgradeOnALentConnectionIsJudgedAlike(t *testing.T) {
	for _, tc := range []struct {
		name   string
		head   []byte
		status int
	}{
		{"content_length", wstest.UpgradeHead("/ws", "Content-Length: 5"), 400},
		{"content_length_and_body", append(wstest.UpgradeHead("/ws", "Content-Length: 5"), "hello"...), 400},
		{"chunked", append(wstest.UpgradeHead("/ws", "Transfer-Encoding: chunked"), "0\r\n\r\n"...), 400},
		{"no_upgrade", wstest.PlainGet("/ws"), 426},
		{"origin", wstest.UpgradeHead("/ws", "Origin: https://evil.test"), 403},
		{"room_name", wstest.UpgradeHead("/ws/*"), 400},
		{"two_keys", wstest.UpgradeHead("/ws", "Sec-WebSocket-Key: "+wstest.SampleKey), 400},
		{"POST", wstest.RequestHead("POST /ws HTTP/1.1", "Host: sluice.test", "Content-Length: 0"), 405},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, addr := startGateway(t, testConfig())
			c := wstest.Connect(t, addr)
			c.Send(wstest.PlainGet("/livez"))
			c.Response()
			c.Send(tc.head, wstest.PlainGet("/livez"))
			r := c.ExpectRefusal(tc.status)
			if tc.status != 426 && r.Header.Get("Upgrade") != "" {
				t.Errorf("%s with Upgrade: %s", r.Status, r.Header.Get("Upgrade"))
			}
			c.Close()
			testenv.Eventually(t, "the connection is gone", func() bool { return s.Open() == 0 })
			if s.hub.Rooms() != 0 {
				t.Error("a room was made")
			}
		})
	}
}

func TestUnknownPathsAreNotFound(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	for _, path := range []string{"/nothing", "/wsx", "/WS", "/ws.html", "/metrics", "/debug/pprof/"} {
		c := wstest.Connect(t, addr)
		c.Send(wstest.UpgradeHead(path)) // The path decides, not a header.
		if r, _ := c.Response(); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, r.Status)
		}
		c.Close()
	}
	if s.hub.Rooms() != 0 {
		t.Errorf("%d rooms were made", s.hub.Rooms())
	}
}

// Nobody keeps a window: a client that asks for context takeover costs what any other does.
func TestZ13_ContextTakeoverIsRefused(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	c := wstest.Connect(t, addr)
	c.Send(wstest.UpgradeHead("/ws/r", "Sec-WebSocket-Extensions: permessage-deflate"))
	r, _ := c.Response()
	if got := r.Header.Get("Sec-WebSocket-Extensions"); !strings.Contains(got, "server_no_context_takeover") || !strings.Contains(got, "client_no_context_takeover") {
		t.Fatalf("extensions %q", got)
	}
	c.Deflates = true
	// The same message twice is the same frame twice, and decodes by itself.
	for range 2 {
		c.Send(wstest.MaskedDeflated(ws.OpText, wstest.Deflated(string(wstest.Ticker(1)))))
		if got := wstest.Inflated(t, c.Frame()); got != string(wstest.Ticker(1)) {
			t.Fatalf("got %q", wstest.Clip(got))
		}
	}
	if r, ok := s.hub.Room("r"); !ok || r.Stats().End[encodingPlain] != 0 {
		t.Error("a room without plain clients keeps a plain track")
	}
}

// A client that has closed its half gets what was said until then, whole, and is not written to for
// ever.
func TestK07_HalfClosedListenerIsGoneAlthoughTheRoomTalksOn(t *testing.T) {
	const size = 1 << 10
	s, addr := startGateway(t, testConfig())
	others := wstest.Gather(t, addr, "/ws/stage", 3, size)
	c := wstest.Join(t, addr, "/ws/stage")
	others.Publish(50)
	c.ExpectMessages(0, 50, size)
	c.EndWrites()
	isGone := func() bool { return testenv.StatsOf(t, s).Closed[ClosedGone] == 1 }
	for end := time.Now().Add(testenv.Patience); !isGone() && time.Now().Before(end); {
		others.Publish(10)
	}
	if !isGone() {
		t.Fatal("it is still written to")
	}
	others.Publish(50)
	others.HearAll()
	seq := uint64(50)
	for ; ; seq++ {
		h, err := ws.ReadHeader(c.In)
		if errors.Is(err, io.EOF) {
			break // between two frames
		}
		p := make([]byte, h.Length)
		if _, err := io.ReadFull(c.In, p); err != nil || !wstest.IsMessage(p, seq, size) {
			t.Fatalf("message %d: %d bytes, %v", seq, len(p), err)
		}
	}
	if seq == others.Sent {
		t.Error("it got what was said after it was gone")
	}
	if room, ok := s.hub.Room("stage"); !ok || room.Stats().Members != 3 {
		t.Error("it is still a member")
	}
}

// The same seen from inside, where members and reasons can be counted.
func TestK04_ResetMembersAreForgotten(t *testing.T) {
	t.Parallel()
	s, addr := startGateway(t, testConfig())
	clients := 50
	if testenv.IsWholeSize(t) {
		clients = 200
	}
	others := wstest.LoseAFifth(t, addr, clients)
	rest := clients - clients/5
	testenv.Eventually(t, "the others alone are connected", func() bool { return s.Open() == rest })
	if room, ok := s.hub.Room("stage"); !ok || room.Stats().Members != rest {
		t.Errorf("members are not the %d that are left", rest)
	}
	expectClosed(t, s, ClosedGone, uint64(clients/5))
	others.Publish(40)
	others.HearAll()
}
