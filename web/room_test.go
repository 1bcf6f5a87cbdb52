package web

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// rooms is the least that the page needs of a gateway: whatever one client of a room sends, all of it receive, in one order.
type rooms struct {
	mu        sync.Mutex
	members   map[string]map[*websocket.Conn]struct{}
	ws, livez http.HandlerFunc // what answers instead of a room and of /livez, if anything
}

// newGateway serves the page and rooms on a loopback port until the test ends.
func newGateway(t *testing.T) (*rooms, string) {
	t.Helper()
	r := &rooms{members: make(map[string]map[*websocket.Conn]struct{})}
	mux := http.NewServeMux()
	mux.Handle("/", New(Options{Version: "test"}))
	mux.HandleFunc("/ws/{room}", r.serve)
	mux.HandleFunc("/livez", func(w http.ResponseWriter, req *http.Request) {
		if _, livez := r.refusals(); livez != nil {
			livez(w, req)
			return
		}
		_, _ = io.WriteString(w, "ok\n") // as the gateway does
	})
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		r.closeAll(websocket.StatusGoingAway)
		server.Close()
	})
	return r, server.URL
}

// refuse answers upgrades and /livez so from now on; nil is as usual.
func (r *rooms) refuse(ws, livez http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ws, r.livez = ws, livez
}

func (r *rooms) refusals() (ws, livez http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ws, r.livez
}

func (r *rooms) serve(w http.ResponseWriter, req *http.Request) {
	if ws, _ := r.refusals(); ws != nil {
		ws(w, req)
		return
	}
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
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		_ = conn.Write(ctx, kind, data)
		cancel()
	}
}

// listen joins a room as another program and gives what it hears.
func (r *rooms) listen(t *testing.T, url, room string) <-chan []byte {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), url+"/ws/"+room, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	heard := make(chan []byte, 2000)
	go func() {
		for {
			_, data, err := conn.Read(context.Background())
			if err != nil {
				close(heard)
				return
			}
			heard <- data
		}
	}()
	return heard
}

// cutAll ends every connection without a word.
func (r *rooms) cutAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, members := range r.members {
		for conn := range members {
			_ = conn.CloseNow()
		}
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
