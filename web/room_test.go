package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// rooms is the least that the page needs of a gateway: whatever one client of a room sends, all of it receive, in one order.
type rooms struct {
	mu      sync.Mutex
	members map[string]map[*websocket.Conn]struct{}
}

// newGateway serves the page and rooms on a loopback port until the test ends.
func newGateway(t *testing.T) (*rooms, string) {
	t.Helper()
	r := &rooms{members: make(map[string]map[*websocket.Conn]struct{})}
	mux := http.NewServeMux()
	mux.Handle("/", New(Options{Version: "test"}))
	mux.HandleFunc("/ws/{room}", r.serve)
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		r.closeAll(websocket.StatusGoingAway)
		server.Close()
	})
	return r, server.URL
}

func (r *rooms) serve(w http.ResponseWriter, req *http.Request) {
	conn, err := websocket.Accept(w, req, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	room := req.PathValue("room")
	r.mu.Lock()
	if r.members[room] == nil {
		r.members[room] = make(map[*websocket.Conn]struct{})
	}
	r.members[room][conn] = struct{}{}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.members[room], conn)
		r.mu.Unlock()
	}()
	for {
		kind, data, err := conn.Read(context.Background())
		if err != nil {
			return
		}
		r.publish(room, kind, data)
	}
}

// publish writes under the lock: that is what makes the order one for all. A member that has gone is left to its reader.
func (r *rooms) publish(room string, kind websocket.MessageType, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for conn := range r.members[room] {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		_ = conn.Write(ctx, kind, data)
		cancel()
	}
}

// closeAll ends every connection with the code, as a gateway that shuts down does.
func (r *rooms) closeAll(code websocket.StatusCode) {
	var ending sync.WaitGroup
	r.mu.Lock()
	for _, members := range r.members {
		for conn := range members {
			ending.Go(func() { _ = conn.Close(code, "") })
		}
	}
	r.mu.Unlock()
	ending.Wait()
}
