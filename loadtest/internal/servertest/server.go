// Package servertest is a server that does wrong what a test tells it to, on somebody else's
// WebSocket library.
package servertest

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// patience bounds every wait for something that is sure to come.
const patience = 40 * time.Second

// A Server broadcasts with somebody else's WebSocket library, and lets each test do to its
// deliveries what it likes. All of its functions are called under its lock, in which one message
// after another is broadcast.
type Server struct {
	http     *httptest.Server
	secure   bool                                       // speaks TLS
	Compress bool                                       // agrees on permessage-deflate
	Refuse   func(request int) bool                     // answers 503 instead of upgrading
	Greeting string                                     // sent to each client that comes
	Mangle   func(conn, message int, p []byte) [][]byte // what conn gets instead of p; nil: p
	HangUp   func(conn, message int) bool               // ends conn instead of delivering
	Before   func(message int)                          // called before a message is broadcast
	Wrap     func(conn int, p []byte) []byte            // an envelope
	Channels *Channels                                  // makes it speak the Centrifuge protocol
	Events   *Events                                    // what it gives to readers of events; nil: it knows none

	mu       sync.Mutex
	Sender   int // of the message being broadcast
	requests int
	messages int
	Conns    []*websocket.Conn // nil where one is gone
}

// Start runs s until the test ends and returns its URL.
func Start(t testing.TB, s *Server) string {
	t.Helper()
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	// Clients that refuse the certificate are wanted here.
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0)
	if s.secure {
		s.http.StartTLS()
	} else {
		s.http.Start()
	}
	t.Cleanup(func() {
		s.mu.Lock()
		for i := range s.Conns {
			s.Drop(i)
		}
		s.mu.Unlock()
		s.http.Close()
	})
	return "ws" + strings.TrimPrefix(s.http.URL, "http") + "/ws"
}

// StartAnother runs a second server of the same rooms until the test ends, and returns its address
// and how many requests have come to it. s must have been started.
func (s *Server) StartAnother(t testing.TB) (addr string, came *atomic.Int64) {
	t.Helper()
	came = new(atomic.Int64)
	another := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		came.Add(1)
		s.serve(w, r)
	}))
	t.Cleanup(another.Close) // Its connections are the first one's, and end with it.
	return another.Listener.Addr().String(), came
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if s.Events != nil && strings.HasPrefix(r.URL.Path, "/sse") {
		s.serveEvents(w, r)
		return
	}
	s.mu.Lock()
	number := s.requests
	s.requests++
	if s.Refuse != nil && s.Refuse(number) {
		s.mu.Unlock()
		http.Error(w, "no", http.StatusServiceUnavailable)
		return
	}
	c, err := (&websocket.Upgrader{EnableCompression: s.Compress}).Upgrade(w, r, nil)
	if err != nil {
		s.mu.Unlock()
		return
	}
	id := len(s.Conns)
	s.Conns = append(s.Conns, c)
	if s.Greeting != "" {
		_ = c.WriteMessage(websocket.TextMessage, []byte(s.Greeting))
	}
	s.mu.Unlock()
	for s.turn(id, c) {
	}
}

// turn reads one message and does what it asks for. A test's function that panics leaves the lock,
// or all others would wait for it.
func (s *Server) turn(id int, c *websocket.Conn) (isOpen bool) {
	kind, p, err := c.ReadMessage()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if id < len(s.Conns) && s.Conns[id] == c { // Not of a run before reset.
			s.Drop(id)
		}
		return false
	}
	s.Sender = id
	if s.Channels != nil {
		s.obey(id, p)
	} else {
		s.broadcast(kind, p)
	}
	return true
}

// Rooms has a server for each path.
type Rooms struct{ ByPath map[string]*Server }

// ServeHTTP implements http.Handler.
func (s *Rooms) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.ByPath[r.URL.Path].serve(w, r)
}

// Drop ends a connection without a Close frame. It is for functions of the server, which has the
// lock.
func (s *Server) Drop(id int) {
	if s.Conns[id] != nil {
		s.Conns[id].Close()
		s.Conns[id] = nil
	}
}

// next is the number of the message that is about to be broadcast.
func (s *Server) next() int {
	number := s.messages
	s.messages++
	if s.Before != nil {
		s.Before(number)
	}
	return number
}

func (s *Server) broadcast(kind int, p []byte) {
	number := s.next()
	if s.Events != nil {
		s.Events.keep(kind, p)
	}
	for id, c := range s.Conns {
		if c == nil {
			continue
		}
		if s.HangUp != nil && s.HangUp(id, number) {
			s.Drop(id)
			continue
		}
		all := [][]byte{p}
		if s.Mangle != nil {
			if other := s.Mangle(id, number, p); other != nil {
				all = other
			}
		}
		for _, one := range all {
			if s.Wrap != nil {
				one = s.Wrap(id, one)
			}
			_ = c.WriteMessage(kind, one)
		}
	}
}

// Clients is how many requests came.
func (s *Server) Clients() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// AwaitRequests holds the message that is about to be broadcast until n requests have come, of
// sockets or of streams of events. It is for Before, and lets go of the lock meanwhile.
func (s *Server) AwaitRequests(t testing.TB, n int) {
	for end := time.Now().Add(patience); s.came() < n; {
		s.mu.Unlock()
		time.Sleep(time.Millisecond)
		s.mu.Lock()
		if time.Now().After(end) {
			t.Errorf("%d requests came, want %d", s.came(), n)
			return
		}
	}
}

func (s *Server) came() int {
	if s.Events != nil {
		return s.requests + s.Events.readers
	}
	return s.requests
}

// Await waits until all connections of the server have ended.
func (s *Server) Await(t testing.TB) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		s.mu.Lock()
		open := 0
		for _, c := range s.Conns {
			if c != nil {
				open++
			}
		}
		s.mu.Unlock()
		if open == 0 {
			return
		}
		if time.Since(began) > patience {
			t.Fatalf("the server still has %d connections", open)
		}
	}
}

// Reset forgets all connections and requests, and how many messages there were.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Conns, s.requests, s.messages = nil, 0, 0
}

// StartSecure is Start over net/http's TLS: somebody else's on that side, except for the records,
// which are crypto/tls's on both.
func StartSecure(t testing.TB, s *Server) string {
	s.secure = true
	return Start(t, s)
}
