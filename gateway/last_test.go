package gateway

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/wsproto"
)

// historyConfig keeps messages in rooms that begin with h.
func historyConfig() *config {
	cfg := testConfig()
	cfg.History = []HistoryRule{{Pattern: "h*", Bytes: 64 << 10}, {Pattern: "h3", Messages: 3}}
	return cfg
}

// dialLast joins with another library's client.
func dialLast(t *testing.T, addr, path string, isDeflated bool) *gorilla.Conn {
	t.Helper()
	d := gorilla.Dialer{EnableCompression: isDeflated}
	c, r, err := d.Dial("ws://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Header.Get("Sec-WebSocket-Extensions") != ""; got != isDeflated {
		t.Fatalf("deflated: %v", got)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(testenv.Patience))
	return c
}

// expectNext reads messages and wants these.
func expectNext(t *testing.T, c *gorilla.Conn, want ...string) {
	t.Helper()
	for _, text := range want {
		kind, p, err := c.ReadMessage()
		isBinary := strings.HasPrefix(text, "\x00")
		if err != nil || string(p) != text || (kind == gorilla.BinaryMessage) != isBinary {
			t.Fatalf("got %d %q, %v; want %q", kind, wstest.Clip(string(p)), err, wstest.Clip(text))
		}
	}
}

func mustPublish(t testing.TB, s *Server, room string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if _, err := s.Publish(room, Message{Data: []byte(text), IsBinary: strings.HasPrefix(text, "\x00")}); err != nil {
			t.Fatal(err)
		}
	}
}

// A client without a protocol begins with what its room keeps, in its encoding, and goes on with
// what is said. Text stays text, and binary binary. Where nothing is kept it begins with nothing.
func TestRawClientsBeginWithWhatIsKept(t *testing.T) {
	s, addr := startGateway(t, historyConfig())
	long := strings.Repeat("long ", 200) // Worth deflating.
	said := []string{"one", "\x00two", long, "four"}
	mustPublish(t, s, "h", said...)
	mustPublish(t, s, "h3", said...)
	mustPublish(t, s, "other", said...)
	for path, want := range map[string][]string{
		"/ws/h":            nil,
		"/ws/h?last=0":     nil,
		"/ws/h?last=1":     said[3:],
		"/ws/h?last=3":     said[1:],
		"/ws/h?last=4":     said,
		"/ws/h?last=1000":  said,
		"/ws/h?last=all":   said,
		"/ws/h3?last=all":  said[1:],
		"/ws/h3?last=2":    said[2:],
		"/ws/other?last=2": nil,
		"/ws/hnew?last=2":  nil,
	} {
		for _, isDeflated := range []bool{false, true} {
			c := dialLast(t, addr, path, isDeflated)
			expectNext(t, c, want...)
			room, _, _ := strings.Cut(strings.TrimPrefix(path, "/ws/"), "?")
			live := fmt.Sprintf("to %s, %v", path, isDeflated)
			if room == "h" || room == "h3" { // What is said there would be kept for the next.
				if err := c.WriteMessage(gorilla.PingMessage, nil); err != nil {
					t.Fatal(err)
				}
				continue
			}
			mustPublish(t, s, room, live)
			expectNext(t, c, live)
			if room == "hnew" {
				if err := s.RemoveKept(room); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	st := s.hub.Histories()
	if st.Built < 2 || st.Messages != 7 {
		t.Errorf("%+v", st)
	}
}

// A client that asks for what nobody can be given is told so.
func TestLastIsRefusedInWords(t *testing.T) {
	cfg := historyConfig()
	cfg.Anonymous = grants(t, "h*=read", "h3=history", "hw=history,publish")
	_, addr := startGateway(t, cfg)
	for path, want := range map[string]wsproto.Reason{
		"/ws/h?last=x":         wsproto.ReasonLast,
		"/ws/h?last=1&last=2":  wsproto.ReasonLast,
		"/ws/h?last=1&echo=0":  wsproto.ReasonLast,
		"/ws/h?last=1":         wsproto.ReasonForbidden,
		"/ws/h?last=all":       wsproto.ReasonForbidden,
		"/ws/x?last=1":         wsproto.ReasonForbidden,
		"/ws/hw?echo=0":        0,
		"/ws/hw?echo=0&last=0": 0,
		"/ws/h?last=0":         0,
		"/ws/h3?last=1":        0,
	} {
		_, r, err := gorilla.DefaultDialer.Dial("ws://"+addr+path, nil)
		if r == nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(r.Body)
		refusal := wsproto.Refuse(want)
		if want == 0 && r.StatusCode != 101 || want != 0 && (r.StatusCode != refusal.Status || string(text) != refusal.Text+"\n") {
			t.Errorf("%s: %d %s", path, r.StatusCode, text)
		}
	}
}

// While a room is published into as fast as it goes, clients come that begin with some of what it
// keeps, in both encodings, and with nobody else there or with others: each begins exactly there,
// and gets each message once, in order. The room's messages count up, so what is right is known of
// all that was ever said.
func TestWhoBeginsWithWhatIsKeptMissesNothing(t *testing.T) {
	const readers, heard, keeps = 4, 120, 50
	visits := 20
	if testenv.IsWholeSize(t) {
		visits = 200
	}
	cfg := historyConfig()
	cfg.History = []HistoryRule{{Pattern: "h", Messages: keeps, Bytes: 1 << 20}}
	s, addr := startGateway(t, cfg)
	var said, wanted atomic.Int64 // how many were said; how many visits have yet to be over
	wanted.Store(int64(readers * visits))
	ended := make(chan error, readers+1)
	go func() {
		for wanted.Load() > 0 {
			text := fmt.Sprintf("%d %s", said.Load(), strings.Repeat("x", 300))
			switch _, err := s.Publish("h", Message{Data: []byte(text)}); {
			case err == nil:
				said.Add(1)
			case errors.Is(err, ErrRoomFull) || errors.Is(err, ErrMemory):
				runtime.Gosched()
			default:
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	for i := range readers {
		go func() {
			var err error
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for range visits {
				if err == nil {
					err = visit(addr, i%2 == 0, random.IntN(2*keeps), keeps, heard, &said)
				}
				wanted.Add(-1)
			}
			ended <- err
		}()
	}
	for range readers + 1 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// visit joins with the last n messages of a room that keeps so many and hears some.
func visit(addr string, isDeflated bool, n, keeps, heard int, said *atomic.Int64) error {
	d := gorilla.Dialer{EnableCompression: isDeflated}
	var c *gorilla.Conn
	var before int64
	for c == nil {
		var r *http.Response
		var err error
		before = said.Load()
		c, r, err = d.Dial(fmt.Sprintf("ws://%s/ws/h?last=%d", addr, n), nil)
		if err != nil && (r == nil || r.StatusCode != http.StatusServiceUnavailable) { // It may be dropped faster than it is made.
			return err
		}
	}
	defer c.Close()
	after := said.Load() + 1 // One may be in the room and not counted yet.
	next := int64(-1)
	for range heard {
		_ = c.SetReadDeadline(time.Now().Add(testenv.Patience))
		_, p, err := c.ReadMessage()
		if err != nil {
			return err
		}
		var no int64
		if _, err := fmt.Sscan(string(p), &no); err != nil {
			return err
		}
		from := int64(min(n, keeps))
		switch {
		case next < 0 && (no < max(0, before-from) || no > max(0, after-from)):
			return fmt.Errorf("the last %d begin with message %d, of %d to %d that were said", n, no, before, after)
		case next >= 0 && no != next:
			return fmt.Errorf("message %d came where %d is due", no, next)
		}
		next = no + 1
	}
	return nil
}
