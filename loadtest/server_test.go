package main

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"sluice/loadtest/internal/load"
	"sluice/loadtest/internal/progress"
)

// A badServer broadcasts with somebody else's WebSocket library, and lets each test do to its deliveries what it likes.
type badServer struct {
	http     *httptest.Server
	secure   bool                                       // speaks TLS
	compress bool                                       // agrees on permessage-deflate
	refuse   func(request int) bool                     // answers 503 instead of upgrading
	greeting string                                     // sent to whoever comes
	mangle   func(conn, message int, p []byte) [][]byte // what conn gets instead of p; nil: p
	hangUp   func(conn, message int) bool               // ends conn instead of delivering
	before   func(message int)                          // called before a message is broadcast
	wrap     func(conn int, p []byte) []byte            // an envelope

	mu       sync.Mutex
	sender   int // of the message being broadcast
	requests int
	messages int
	conns    []*websocket.Conn // nil where one is gone
}

// startServer runs s until the test ends and returns its URL.
func startServer(t testing.TB, s *badServer) string {
	t.Helper()
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0) // Clients that refuse the certificate are wanted here.
	if s.secure {
		s.http.StartTLS()
	} else {
		s.http.Start()
	}
	t.Cleanup(func() {
		s.mu.Lock()
		for i := range s.conns {
			s.drop(i)
		}
		s.mu.Unlock()
		s.http.Close()
	})
	return "ws" + strings.TrimPrefix(s.http.URL, "http") + "/ws"
}

func (s *badServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	number := s.requests
	s.requests++
	if s.refuse != nil && s.refuse(number) {
		s.mu.Unlock()
		http.Error(w, "no", http.StatusServiceUnavailable)
		return
	}
	c, err := (&websocket.Upgrader{EnableCompression: s.compress}).Upgrade(w, r, nil)
	if err != nil {
		s.mu.Unlock()
		return
	}
	id := len(s.conns)
	s.conns = append(s.conns, c)
	if s.greeting != "" {
		_ = c.WriteMessage(websocket.TextMessage, []byte(s.greeting))
	}
	s.mu.Unlock()
	for {
		kind, p, err := c.ReadMessage()
		s.mu.Lock()
		if err != nil {
			s.drop(id)
			s.mu.Unlock()
			return
		}
		s.sender = id
		s.broadcast(kind, p)
		s.mu.Unlock()
	}
}

// A roomServer has a server for each path.
type roomServer struct{ rooms map[string]*badServer }

// ServeHTTP implements http.Handler.
func (s *roomServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.rooms[r.URL.Path].serve(w, r)
}

func (s *badServer) drop(id int) {
	if s.conns[id] != nil {
		s.conns[id].Close()
		s.conns[id] = nil
	}
}

func (s *badServer) broadcast(kind int, p []byte) {
	number := s.messages
	s.messages++
	if s.before != nil {
		s.before(number)
	}
	for id, c := range s.conns {
		if c == nil {
			continue
		}
		if s.hangUp != nil && s.hangUp(id, number) {
			s.drop(id)
			continue
		}
		all := [][]byte{p}
		if s.mangle != nil {
			if other := s.mangle(id, number, p); other != nil {
				all = other
			}
		}
		for _, one := range all {
			if s.wrap != nil {
				one = s.wrap(id, one)
			}
			_ = c.WriteMessage(kind, one)
		}
	}
}

// testLoad is a small load. Its patience is what a busy machine may take, not what the load does.
func testLoad() *load.Load {
	return &load.Load{
		Clients: 20, Publishers: 1, Rooms: 1, Size: load.FixedSize(64), Messages: 200, Window: 16, Loops: 2,
		ConnectTimeout: 30 * time.Second, LossTimeout: 3 * time.Second, Drain: 10 * time.Second,
	}
}

// inOneRun makes a run up to five times until it is as it should be. It is for figures that a machine with other work can spoil, in one
// run or two but not in all: a tool that measures wrongly does so every time.
func inOneRun(t *testing.T, run func() error) {
	t.Helper()
	var err error
	for range 5 {
		if err = run(); err == nil {
			return
		}
		t.Log(err)
	}
	t.Error(err)
}

// loadServer makes one run and fails the test if it has no result.
func loadServer(t testing.TB, cfg *load.Load, urls ...string) *Result {
	t.Helper()
	if err := cfg.Prepare(); err != nil {
		t.Fatal(err)
	}
	targets, err := cfg.Aim(urls)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	res, err := measure(ctx, cfg, targets, nil, &progress.Display{})
	if err != nil {
		t.Fatal(err)
	}
	return res
}
