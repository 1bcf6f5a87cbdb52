package gateway_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sluice/gateway"
	"sluice/internal/testenv"
)

const patience = testenv.Patience

// soon returns a context that ends when nothing is worth waiting for any more.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func newServer(t testing.TB, o gateway.Options) *gateway.Server {
	t.Helper()
	s, err := gateway.New(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// serve makes a server serve until the returned function ends it, or the test does, and holds what
// Serve returns to nil.
func serve(t testing.TB, s *gateway.Server) (end func()) {
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	<-s.Serving()
	t.Cleanup(func() {
		end()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return end
}

func listen(t testing.TB, s *gateway.Server) string {
	t.Helper()
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	return s.Addrs()[0].String()
}

// dial joins a room with an independent client.
func dial(t testing.TB, url string) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(soon(t), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	return c
}

func say(t testing.TB, c *websocket.Conn, text string) {
	t.Helper()
	if err := c.Write(soon(t), websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func hear(t testing.TB, c *websocket.Conn, text string) {
	t.Helper()
	if kind, p, err := c.Read(soon(t)); err != nil || kind != websocket.MessageText || string(p) != text {
		t.Fatalf("heard %v %q, %v; want %q", kind, p, err, text)
	}
}

func statsOf(t testing.TB, s *gateway.Server) gateway.Stats {
	t.Helper()
	st, err := s.Stats(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func TestServeIsCalledOnce(t *testing.T) {
	s := newServer(t, gateway.Options{})
	addr := listen(t, s)
	serve(t, s)
	c := dial(t, "ws://"+addr+"/ws") // It serves.
	<-s.Serving()
	if err := s.Serve(t.Context()); err == nil || errors.Is(err, gateway.ErrClosed) {
		t.Errorf("a second Serve: %v, want another error than ErrClosed", err)
	}
	if err := s.Listen("127.0.0.1:0"); err == nil {
		t.Error("Listen after Serve is no error")
	}
	say(t, c, "the first goes on")
	hear(t, c, "the first goes on")
}

func TestServerIsClosedBeforeItServes(t *testing.T) {
	s := newServer(t, gateway.Options{})
	addr := listen(t, s)
	s.Close()
	s.Close()
	if err := s.Serve(context.Background()); !errors.Is(err, gateway.ErrClosed) {
		t.Errorf("Serve: %v, want ErrClosed", err)
	}
	if err := s.Listen("127.0.0.1:0"); !errors.Is(err, gateway.ErrClosed) {
		t.Errorf("Listen: %v, want ErrClosed", err)
	}
	if err := s.Drain(context.Background()); err != nil {
		t.Errorf("Drain: %v", err)
	}
	if st := statsOf(t, s); st != (gateway.Stats{}) {
		t.Errorf("counted %+v", st)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("it listens still")
	}
}

// Whichever way it ends Serve returns nil, and what was counted can be asked for.
func TestServeEndsWithItsContextAndWithClose(t *testing.T) {
	for name, end := range map[string]func(s *gateway.Server, cancel func()){
		"context": func(_ *gateway.Server, cancel func()) { cancel() },
		"Close":   func(s *gateway.Server, _ func()) { s.Close() },
		"both":    func(s *gateway.Server, cancel func()) { go cancel(); s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, gateway.Options{})
			addr := listen(t, s)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- s.Serve(ctx) }()
			c := dial(t, "ws://"+addr+"/ws")
			say(t, c, "hello")
			hear(t, c, "hello")
			if st := statsOf(t, s); st.Messages != 1 || st.Upgrades != 1 || s.Open() != 1 {
				t.Errorf("%d messages, %d upgrades, %d open; want 1 of each", st.Messages, st.Upgrades, s.Open())
			}
			end(s, cancel)
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("Serve: %v", err)
				}
			case <-time.After(patience):
				t.Fatal("Serve does not return")
			}
			if _, _, err := c.Read(soon(t)); err == nil {
				t.Error("the connection goes on")
			}
			if st := statsOf(t, s); st.Messages != 1 || s.Open() != 0 {
				t.Errorf("afterwards %d messages and %d open; want 1 and 0", st.Messages, s.Open())
			}
		})
	}
}

// Nobody waits for loops that do not run: neither a context nor Close would end that.
func TestStatsAndDrainOfAServerThatNeverServed(t *testing.T) {
	s := newServer(t, gateway.Options{})
	path := filepath.Join(t.TempDir(), "socket")
	if err := s.Listen("unix:" + path); err != nil {
		t.Fatal(err)
	}
	waiting, err := net.Dial("unix", path) // in the accept queue
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	if st := statsOf(t, s); st != (gateway.Stats{}) {
		t.Errorf("counted %+v", st)
	}
	select {
	case <-s.Serving():
		t.Error("Serving is closed; Serve was not called")
	default:
	}
	if err := s.Drain(context.Background()); err != nil {
		t.Errorf("Drain: %v", err)
	}
	if err := s.Serve(context.Background()); !errors.Is(err, gateway.ErrClosed) {
		t.Errorf("Serve after Drain: %v, want ErrClosed", err)
	}
	if err := waiting.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := waiting.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("who waited to be accepted reads %v; the queue is to be gone", err)
	}
}

func TestDrainIsCalledTwiceAndServeGoesOn(t *testing.T) {
	s := newServer(t, gateway.Options{})
	addr := listen(t, s)
	end := serve(t, s)
	c := dial(t, "ws://"+addr+"/ws")
	drained := make(chan error, 2)
	for range 2 {
		go func() { drained <- s.Drain(soon(t)) }()
	}
	if _, _, err := c.Read(soon(t)); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("read ended with %v, want close 1001", err)
	}
	for range 2 {
		if err := <-drained; err != nil {
			t.Errorf("Drain: %v", err)
		}
	}
	if st := statsOf(t, s); st.Upgrades != 1 || s.Open() != 0 {
		t.Errorf("%d upgrades, %d open; want 1, 0", st.Upgrades, s.Open())
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("it listens still")
	}
	end()
}

// A client that has something to take holds Drain up; Close ends both, however long the context
// would go on.
func TestCloseCutsDrainShort(t *testing.T) {
	s := newServer(t, gateway.Options{CloseTimeout: time.Hour, PublishWindow: 12 << 20}) // Nobody is held by the one that does not read.
	addr := listen(t, s)
	serve(t, s)
	deaf := dialDeaf(t, addr)
	defer deaf.Close()
	loud := dial(t, "ws://"+addr+"/ws")
	say(t, loud, "there")
	loud.SetReadLimit(-1)
	hear(t, loud, "there")
	big := make([]byte, 1<<20)
	for range 8 { // More than the kernel holds for the one that does not read.
		if err := loud.Write(soon(t), websocket.MessageBinary, big); err != nil {
			t.Fatal(err)
		}
		if _, _, err := loud.Read(soon(t)); err != nil {
			t.Fatal(err)
		}
	}
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(context.Background()) }()
	if _, _, err := loud.Read(soon(t)); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Fatalf("read ended with %v, want close 1001", err)
	}
	select {
	case err := <-drained:
		t.Fatalf("Drain: %v; it was to wait for the client that does not read", err)
	default:
	}
	s.Close()
	select {
	case err := <-drained:
		if !errors.Is(err, gateway.ErrClosed) {
			t.Errorf("Drain: %v, want ErrClosed", err)
		}
	case <-time.After(patience):
		t.Fatal("Drain waits on")
	}
}

// dialDeaf joins /ws and reads no more than the answer.
func dialDeaf(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).SetReadBuffer(128 << 10); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, handshake("/ws")); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, len("HTTP/1.1 101"))
	if _, err := io.ReadFull(c, answer); err != nil || string(answer) != "HTTP/1.1 101" {
		t.Fatalf("answer %q, %v", answer, err)
	}
	return c
}

func handshake(target string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: sluice.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
}

// Serve, Close, Drain, Stats and Open at once, in any order: nobody hangs, and nothing stays behind
// (TestMain looks).
func TestLifeInAnyOrder(t *testing.T) {
	were := runtime.NumGoroutine()
	for range 30 {
		s := newServer(t, gateway.Options{Pages: http.NotFoundHandler()})
		listen(t, s)
		done := make(chan struct{})
		calls := []func(){
			func() { _ = s.Serve(soon(t)) },
			func() { _ = s.Drain(soon(t)) },
			func() { _, _ = s.Stats(soon(t)); s.Close() },
			func() { _ = s.Addrs(); _ = s.Open(); _ = s.Listen("127.0.0.1:0") },
		}
		for _, call := range calls {
			go func() { call(); done <- struct{}{} }()
		}
		for range calls {
			select {
			case <-done:
			case <-time.After(patience / 2): // soon has not ended.
				t.Fatal("a call hangs")
			}
		}
		if s.Open() != 0 {
			t.Errorf("%d connections are open", s.Open())
		}
	}
	eventually(t, "the goroutines have ended", func() bool { return runtime.NumGoroutine() <= were })
}
