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

	"sluice/wsproto"
)

func TestH28_TargetIsDecodedOnce(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	witness := map[string]*Client{}
	for _, room := range []string{"lobby", "room1", "a.b"} {
		witness[room] = Join(t, addr, "/ws/"+room)
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
			c := Join(t, addr, tc.target, MaskedText(tc.name))
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
			c := Connect(t, addr)
			c.Send(UpgradeHead(tc.target))
			r, _ := c.Response()
			is414 := tc.status == 431 && r.StatusCode == 414 // The whole head is over its limit, and so is the first line.
			if r.StatusCode != tc.status && !is414 {
				t.Errorf("%s, want %d", r.Status, tc.status)
			}
			c.ExpectEnd()
		})
	}
	t.Run("double_slash", func(t *testing.T) {
		c := Connect(t, addr)
		c.Send(UpgradeHead("//ws"))
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
		c := Connect(t, addr)
		c.Send(UpgradeHead(fmt.Sprintf("/ws/room%d", i%3)))
		c.Reset()
	}
	Eventually(t, "all accepted and gone", func() bool { return StatsOf(t, s).Accepted == clients && s.Open() == 0 })
	if s.hub.Rooms() != 0 {
		t.Errorf("%d rooms are left", s.hub.Rooms())
	}
	if st := StatsOf(t, s); st.Closed[ClosedGone] != clients {
		t.Errorf("%d counted as gone, want %d", st.Closed[ClosedGone], clients)
	}
}

func TestH34_ImpossibleRoomNamesMakeNoRoom(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	for _, name := range []string{
		"", strings.Repeat("a", 129), strings.Repeat("a", 300), "a%01b", "%0d%0a", "%7f", "%ff%fe", "%c3%28", "*", ">", "a*", "%3e",
		".", "..", "a%20b", "caf%c3%a9", "%f0%9f%98%80", "a,b", "a%2fb", "%25",
	} {
		c := Connect(t, addr)
		c.Send(UpgradeHead("/ws/" + name))
		if r, _ := c.Response(); r.StatusCode != http.StatusBadRequest {
			t.Errorf("room %q: %s, want 400", name, r.Status)
		}
		c.Close()
	}
	if n := s.hub.Rooms(); n != 0 {
		t.Errorf("%d rooms were made", n)
	}
	for _, name := range []string{"a", strings.Repeat("a", 128), "A-z_0.9:~", "...", "-"} {
		c := Join(t, addr, "/ws/"+name, MaskedText("hello"))
		c.ExpectFrame(ws.OpText, "hello")
	}
	if n := s.hub.Rooms(); n != 5 {
		t.Errorf("%d rooms, want 5", n)
	}
}

func TestH34_RoomsGoWithTheirLastMember(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	a, b := Join(t, addr, "/ws/short"), Join(t, addr, "/ws/short")
	a.Close()
	b.Close()
	Eventually(t, "no room is left", func() bool { return s.hub.Rooms() == 0 })
}

// What nginx sends to its upstream with proxy_http_version 1.1 and the usual headers for upgrades, with keepalive on.
func TestProxyThatKeepsConnectionsUpgradesOnOneOfThem(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	forwarded := []string{"X-Real-IP: 192.0.2.7", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https", "Accept-Encoding: gzip, deflate, br"}
	c := Connect(t, addr)
	for _, path := range []string{"/", "/livez", "/"} {
		c.Send(RequestHead("GET "+path+" HTTP/1.1", append([]string{"Host: sluice.test", "Connection: "}, forwarded...)...))
		if r, _ := c.Response(); r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", path, r.Status)
		}
	}
	c.Send(RequestHead("GET /ws/stage?token=a HTTP/1.1", append([]string{
		"Upgrade: websocket", "Connection: upgrade", "Host: sluice.test", "Origin: https://sluice.test",
		"sec-websocket-version: 13", "sec-websocket-key: " + SampleKey, "sec-websocket-extensions: permessage-deflate; client_max_window_bits",
	}, forwarded...)...))
	c.ExpectUpgrade()
	c.Send(MaskedText("through"))
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
		{"content_length", UpgradeHead("/ws", "Content-Length: 5"), 400},
		{"content_length_and_body", append(UpgradeHead("/ws", "Content-Length: 5"), "hello"...), 400},
		{"chunked", append(UpgradeHead("/ws", "Transfer-Encoding: chunked"), "0\r\n\r\n"...), 400},
		{"no_upgrade", PlainGet("/ws"), 426},
		{"origin", UpgradeHead("/ws", "Origin: https://evil.test"), 403},
		{"room_name", UpgradeHead("/ws/*"), 400},
		{"two_keys", UpgradeHead("/ws", "Sec-WebSocket-Key: "+SampleKey), 400},
		{"POST", RequestHead("POST /ws HTTP/1.1", "Host: sluice.test", "Content-Length: 0"), 405},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, addr := startGateway(t, testConfig())
			c := Connect(t, addr)
			c.Send(PlainGet("/livez"))
			c.Response()
			c.Send(tc.head, PlainGet("/livez"))
			r := c.ExpectRefusal(tc.status)
			if tc.status != 426 && r.Header.Get("Upgrade") != "" {
				t.Errorf("%s with Upgrade: %s", r.Status, r.Header.Get("Upgrade"))
			}
			c.Close()
			Eventually(t, "the connection is gone", func() bool { return s.Open() == 0 })
			if s.hub.Rooms() != 0 {
				t.Error("a room was made")
			}
		})
	}
}

func TestUnknownPathsAreNotFound(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	for _, path := range []string{"/nothing", "/wsx", "/WS", "/ws.html", "/metrics", "/debug/pprof/"} {
		c := Connect(t, addr)
		c.Send(UpgradeHead(path)) // The path decides, not a header.
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
	c := Connect(t, addr)
	c.Send(UpgradeHead("/ws/r", "Sec-WebSocket-Extensions: permessage-deflate"))
	r, _ := c.Response()
	if got := r.Header.Get("Sec-WebSocket-Extensions"); !strings.Contains(got, "server_no_context_takeover") || !strings.Contains(got, "client_no_context_takeover") {
		t.Fatalf("extensions %q", got)
	}
	c.Deflates = true
	// The same message twice is the same frame twice, and decodes by itself.
	for range 2 {
		c.Send(MaskedDeflated(ws.OpText, Deflated(string(Ticker(1)))))
		if got := Inflated(t, c.Frame()); got != string(Ticker(1)) {
			t.Fatalf("got %q", Clip(got))
		}
	}
	if r, ok := s.hub.Room("r"); !ok || r.Stats().End[encodingPlain] != 0 {
		t.Error("a room without plain clients keeps a plain track")
	}
}

// A client that has closed its half gets what was said until then, whole, and is not written to for ever.
func TestK07_HalfClosedListenerIsGoneAlthoughTheRoomTalksOn(t *testing.T) {
	const size = 1 << 10
	s, addr := startGateway(t, testConfig())
	others := Gather(t, addr, "/ws/stage", 3, size)
	c := Join(t, addr, "/ws/stage")
	others.Publish(50)
	c.ExpectMessages(0, 50, size)
	c.EndWrites()
	isGone := func() bool { return StatsOf(t, s).Closed[ClosedGone] == 1 }
	for end := time.Now().Add(Patience); !isGone() && time.Now().Before(end); {
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
		if _, err := io.ReadFull(c.In, p); err != nil || !IsMessage(p, seq, size) {
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
	const clients = 200
	others := LoseAFifth(t, addr, clients)
	rest := clients - clients/5
	Eventually(t, "the others alone are connected", func() bool { return s.Open() == rest })
	if room, ok := s.hub.Room("stage"); !ok || room.Stats().Members != rest {
		t.Errorf("members are not the %d that are left", rest)
	}
	expectClosed(t, s, ClosedGone, uint64(clients/5))
	others.Publish(40)
	others.HearAll()
}
