package conformance

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/wsproto"
)

// Every head on our listeners is judged by one parser, whatever went before it on its connection.
// What may go before:
var before = []struct {
	name     string
	requests []byte
	answers  int
}{
	{"first", nil, 0},
	{"behind_livez", wstest.PlainGet("/livez"), 1},
	{"behind_the_page", wstest.PlainGet("/"), 1},
	{"behind_a_body", append(wstest.RequestHead("POST / HTTP/1.1", "Host: sluice.test", "Content-Length: 5"), "hello"...), 1},
	{"behind_many", bytes.Repeat(append(wstest.PlainGet("/livez"), wstest.PlainGet("/nothing")...), 3), 6},
}

// eachBefore sends a request behind each of them: when they are answered, and in one packet with
// them.
func eachBefore(t *testing.T, addr string, request []byte, check func(t *testing.T, c *wstest.Client)) {
	for _, b := range before {
		for _, isPipelined := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,pipelined=%t", b.name, isPipelined), func(t *testing.T) {
				c := wstest.Connect(t, addr)
				if isPipelined {
					c.Send(b.requests, request)
				} else if b.answers > 0 {
					c.Send(b.requests)
				}
				for range b.answers {
					if r, _ := c.Response(); r.Close {
						t.Fatalf("what goes before: %s and closes", r.Status)
					}
				}
				if !isPipelined {
					c.Send(request)
				}
				check(t, c)
				c.Close()
			})
		}
	}
}

// A request whose body has two lengths, or one that somebody may read in another way, and in that
// body an upgrade: the relatives are in package wsproto, under the same id. Here it counts that the
// hidden request is never answered.
func TestN02_NothingIsSmuggledInABody(t *testing.T) {
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	hidden := string(wstest.UpgradeHead("/ws/smuggled")) + string(wstest.MaskedText("hidden"))
	for _, tc := range []struct {
		name, lines, body string
		status            int
	}{
		{"both", "Content-Length: %d\nTransfer-Encoding: chunked", "0\r\n\r\n" + hidden, 400},
		{"both_the_other_way", "Transfer-Encoding: chunked\nContent-Length: %d", "0\r\n\r\n" + hidden, 400},
		{"both_and_the_length_is_short", "Content-Length: 5\nTransfer-Encoding: chunked", "0\r\n\r\n" + hidden, 400},
		{"two_lengths", "Content-Length: 0\nContent-Length: %d", hidden, 400},
		{"two_equal_lengths", "Content-Length: 0\nContent-Length: 0", hidden, 400},
		{"list_of_lengths", "Content-Length: 0, 0", hidden, 400},
		{"sign", "Content-Length: +0", hidden, 400},
		{"identity", "Transfer-Encoding: identity\nContent-Length: %d", hidden, 400},
		{"identity_alone", "Transfer-Encoding: identity", hidden, 400},
		{"hidden_coding", "Transfer-Encoding:\n chunked\nContent-Length: %d", "0\r\n\r\n" + hidden, 400},
		{"coding_with_a_space", "Transfer-Encoding : chunked\nContent-Length: %d", "0\r\n\r\n" + hidden, 400},
		{"coding_behind_a_carriage_return", "X: a\rTransfer-Encoding: chunked\nContent-Length: %d", "0\r\n\r\n" + hidden, 400},
		{"coding_with_a_zero", "Transfer-Encoding: chunked\x00\nContent-Length: %d", "0\r\n\r\n" + hidden, 400},
		{"twice", "Transfer-Encoding: chunked\nTransfer-Encoding: identity", "0\r\n\r\n" + hidden, 400},
		{"chunks", "Transfer-Encoding: chunked", "0\r\n\r\n" + hidden, 411},
		{"length_of_a_page", "Content-Length: zero", hidden, 400},
	} {
		for _, line := range []string{"POST /livez HTTP/1.1", "GET /livez HTTP/1.1", "GET / HTTP/1.1", "POST /nothing HTTP/1.1", "OPTIONS * HTTP/1.1"} {
			lines := tc.lines
			if strings.Contains(lines, "%d") {
				lines = fmt.Sprintf(lines, len(tc.body))
			}
			head := wstest.RequestHead(line, append([]string{"Host: sluice.test"}, strings.Split(lines, "\n")...)...)
			t.Run(tc.name+"/"+line, func(t *testing.T) {
				eachBefore(t, addr, append(head, tc.body...), func(t *testing.T, c *wstest.Client) { c.ExpectRefusal(tc.status) })
			})
		}
	}
	// What has a length is read as a body, whatever it looks like, and what is behind it as a
	// request.
	body := hidden + strings.Repeat("x", 100_000)
	head := wstest.RequestHead("POST /nothing HTTP/1.1", "Host: sluice.test", fmt.Sprintf("Content-Length: %d", len(body)))
	eachBefore(t, addr, append(append(head, body...), wstest.PlainGet("/livez")...), func(t *testing.T, c *wstest.Client) {
		if r, _ := c.Response(); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s, want 404", r.Status)
		}
		if _, answer := c.Response(); answer != "ok\n" {
			t.Errorf("behind the body: %q", answer)
		}
	})
	// A body that a path takes none of ends the connection, and is not a request either.
	head = wstest.RequestHead("GET /livez HTTP/1.1", "Host: sluice.test", fmt.Sprintf("Content-Length: %d", len(hidden)))
	eachBefore(t, addr, append(head, hidden...), func(t *testing.T, c *wstest.Client) { c.ExpectRefusal(400) })
	if st := testenv.StatsOf(t, s); st.Upgrades != 0 || st.Refusals[wsproto.ReasonFraming] == 0 {
		t.Errorf("%d upgrades, %d refused for their framing", st.Upgrades, st.Refusals[wsproto.ReasonFraming])
	}
}

// Relatives: everything that net/http would put right before a handler sees it, and what it would
// refuse with other words.
func TestN77_LaterHeadsAreJudgedLikeTheFirst(t *testing.T) {
	s, addr := gatewaytest.Start(t, gatewaytest.Options())
	good := string(wstest.UpgradeHead("/ws"))
	with := func(line string) string { return string(wstest.UpgradeHead("/ws", line)) }
	for _, tc := range []struct {
		name, head string
		status     int
	}{
		{"bare_line_feeds", strings.ReplaceAll(good, "\r\n", "\n"), 400},
		{"one_bare_line_feed", strings.Replace(good, "Upgrade: websocket\r\n", "Upgrade: websocket\n", 1), 400},
		{"folded_header", strings.Replace(good, "Upgrade: websocket", "Upgrade:\r\n websocket", 1), 400},
		{"folded_by_a_tab", with("X: a\r\n\tb"), 400},
		{"fragment", string(wstest.UpgradeHead("/ws#x")), 400},
		{"zero_in_a_value", with("X: a\x00b"), 400},
		{"zero_in_a_name", with("X\x00: a"), 400},
		{"space_before_the_colon", with("X : a"), 400},
		{"lone_carriage_return", with("X: a\rY: b"), 400},
		{"no_colon", with("nonsense"), 400},
		{"two_hosts", with("Host: other.test"), 400},
		{"two_keys", with("Sec-WebSocket-Key: " + wstest.SampleKey), 400},
		{"no_host", strings.Replace(good, "Host: sluice.test\r\n", "", 1), 400},
		{"absolute_without_a_host", string(wstest.UpgradeHead("http:///ws")), 400},
		{"absolute_of_another_scheme", string(wstest.UpgradeHead("ftp://sluice.test/ws")), 400},
		{"beyond_ASCII", string(wstest.UpgradeHead("/ws/\xc3\xa4")), 400},
		{"zero_in_the_path", string(wstest.UpgradeHead("/ws/%00")), 400},
		{"two_spaces", strings.Replace(good, "GET /ws", "GET  /ws", 1), 400},
		{"HTTP/1.0", strings.Replace(good, "HTTP/1.1", "HTTP/1.0", 1), 505},
		{"HTTP/2.0", strings.Replace(good, "HTTP/1.1", "HTTP/2.0", 1), 505},
		{"no_version", strings.Replace(good, " HTTP/1.1", "", 1), 400},
		{"target_too_long", string(wstest.UpgradeHead("/ws?" + strings.Repeat("a", wsproto.MaxTargetBytes))), 414},
		{"too_large", with("X: " + strings.Repeat("x", 32<<10)), 431},
		{"too_many_headers", with(strings.TrimSuffix(strings.Repeat("X: x\r\n", wsproto.MaxHeaders), "\r\n")), 431},
		{"no_HTTP", "\x16\x03\x01\x02\x00\x01", 400},
		{"page_with_bare_line_feeds", "GET / HTTP/1.1\nHost: sluice.test\n\n", 400},
		{"page_with_a_folded_header", "GET / HTTP/1.1\r\nHost: sluice.test\r\nX: a\r\n b\r\n\r\n", 400},
		{"page_with_a_fragment", "GET /#x HTTP/1.1\r\nHost: sluice.test\r\n\r\n", 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// Whatever stands behind what is refused is not read as a request.
			request := append([]byte(tc.head), wstest.UpgradeHead("/ws")...)
			eachBefore(t, addr, request, func(t *testing.T, c *wstest.Client) { c.ExpectRefusal(tc.status) })
		})
	}
	absolute := wstest.UpgradeHead("http://sluice.test/ws/absolute")
	eachBefore(t, addr, append(absolute, wstest.MaskedText("hello")...), func(t *testing.T, c *wstest.Client) {
		c.ExpectUpgrade()
		c.ExpectFrame(ws.OpText, "hello")
	})
	if st := testenv.StatsOf(t, s); st.Upgrades != uint64(2*len(before)) {
		t.Errorf("%d upgrades, want %d", st.Upgrades, 2*len(before))
	}
}

// An insertion is a connection of a client library that adds a header line to the first request it
// sends.
type insertion struct {
	net.Conn
	line string
	in   io.Reader
}

func (c *insertion) Write(p []byte) (int, error) {
	if c.line != "" {
		first, rest, _ := bytes.Cut(p, []byte("\r\n"))
		whole := fmt.Sprintf("%s\r\n%s\r\n%s", first, c.line, rest)
		c.line = ""
		_, err := io.WriteString(c.Conn, whole)
		return len(p), err
	}
	return c.Conn.Write(p)
}

func (c *insertion) Read(p []byte) (int, error) { return c.in.Read(p) }

// Requests with and without bodies, answered on a loop and by net/http, and an upgrade at the end,
// on one connection and cut anywhere: the answers are the same.
func TestRequestsOnOneConnectionMayBeCutAnywhere(t *testing.T) {
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	all := bytes.Join([][]byte{
		wstest.PlainGet("/livez"),
		wstest.RequestHead("POST / HTTP/1.1", "Host: sluice.test", "Content-Length: 25"), []byte("GET /ws HTTP/1.1\r\nHost: a"),
		[]byte("\r\n"), wstest.PlainGet("/style.css"), // One empty line may precede a request.
		wstest.RequestHead("OPTIONS /livez HTTP/1.1", "Host: sluice.test", "Content-Length: 0"),
		wstest.PlainGet("/nothing"),
		wstest.UpgradeHead("/ws", "Content-Length: 0"), wstest.MaskedText("hello"),
	}, nil)
	answers := []struct {
		method string
		status int
	}{{"GET", 200}, {"POST", 405}, {"GET", 200}, {"OPTIONS", 204}, {"GET", 404}}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 12 {
		size := 1 // Byte by byte first.
		if i > 0 {
			size = 1 + random.IntN(200)
		}
		c := wstest.Connect(t, addr)
		for rest := all; len(rest) > 0; {
			n := min(len(rest), size)
			if i > 0 {
				n = min(len(rest), 1+random.IntN(size))
			}
			c.Send(rest[:n])
			rest = rest[n:]
			if random.IntN(20) == 0 {
				time.Sleep(time.Millisecond) // so that the gateway sees parts alone, too
			}
		}
		for j, want := range answers {
			if r, _ := c.ResponseTo(want.method); r.StatusCode != want.status || r.Close {
				t.Fatalf("in pieces of up to %d: answer %d is %s, want %d", size, j, r.Status, want.status)
			}
		}
		c.ExpectUpgrade()
		c.ExpectFrame(ws.OpText, "hello")
		c.Close()
	}
}

// Relatives: the second head behind each kind of answer, and silence, which has a minute. Before it
// was lent, a head had this deadline all along (H07).
func TestN15_LaterHeadsHaveTheHandshakeTimeoutToo(t *testing.T) {
	cfg := gatewaytest.Options()
	cfg.HandshakeTimeout = time.Second
	s, addr := gatewaytest.Start(t, cfg)
	var silent, dribblers []*wstest.Client
	for range 2 {
		for _, b := range before[1:] {
			c := wstest.Connect(t, addr)
			c.Send(b.requests)
			for range b.answers {
				c.Response()
			}
			silent, dribblers = append(silent, c), append(dribblers, c)
		}
	}
	silent, dribblers = silent[:len(before)-1], dribblers[len(before)-1:]
	began := time.Now()
	head := wstest.UpgradeHead("/ws")
	for i := 0; i < len(head)-4 && testenv.StatsOf(t, s).Refusals[wsproto.ReasonTimeout] < uint64(len(dribblers)); i++ {
		for _, c := range dribblers {
			c.TrySend(head[i : i+1])
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, c := range dribblers {
		c.ExpectRefusal(http.StatusRequestTimeout)
	}
	if took := time.Since(began); took < cfg.HandshakeTimeout {
		t.Errorf("refused after %v", took)
	}
	for _, c := range silent {
		c.Send(wstest.UpgradeHead("/ws"))
		c.ExpectUpgrade()
	}
}
