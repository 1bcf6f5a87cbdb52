package web

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sluice/gateway"
	"sluice/internal/testenv"
)

// rooms is a gateway with the page, and the network between them, which a test may disturb.
type rooms struct {
	t         *testing.T
	gateway   *gateway.Server
	addr      string // of the gateway itself
	mu        sync.Mutex
	wires     map[*wire]struct{}
	opened    int              // wires so far
	ws, livez http.HandlerFunc // what answers instead of the gateway and of /livez, if anything
}

// A wire is one connection of a page.
type wire struct {
	page   *websocket.Conn
	isDeaf bool // what the page says gets lost
}

// newGateway serves the page and a gateway on a loopback port until the test ends.
func newGateway(t *testing.T) (*rooms, string) {
	t.Helper()
	return newGatewayWith(t, gateway.Options{})
}

func newGatewayWith(t *testing.T, o gateway.Options) (*rooms, string) {
	t.Helper()
	o.Loops, o.MaxMessage, o.StallTimeout = 1, 4<<20, time.Minute
	s, err := gateway.New(o.Defaults(), slog.New(slog.NewTextHandler(testenv.LogTo(t), nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen("127.0.0.1:0"); err != nil {
		s.Close()
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	r := &rooms{t: t, gateway: s, addr: s.Addrs()[0].(*net.TCPAddr).String(), wires: make(map[*wire]struct{})}
	mux := http.NewServeMux()
	mux.Handle("/", New(Options{Version: "test"}))
	mux.HandleFunc("/connection/websocket", r.serve)
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
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
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

// serve passes on what a page and the gateway say to each other.
func (r *rooms) serve(w http.ResponseWriter, req *http.Request) {
	if ws, _ := r.refusals(); ws != nil {
		ws(w, req)
		return
	}
	page, err := websocket.Accept(w, req, nil)
	if err != nil {
		return
	}
	defer page.CloseNow()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	there, _, err := websocket.Dial(ctx, "ws://"+r.addr+req.URL.Path, nil)
	if err != nil {
		return
	}
	defer there.CloseNow()
	page.SetReadLimit(-1)
	there.SetReadLimit(-1)
	m := &wire{page: page}
	r.mu.Lock()
	r.wires[m] = struct{}{}
	r.opened++
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.wires, m)
		r.mu.Unlock()
	}()
	var back sync.WaitGroup
	back.Go(func() {
		err := pass(ctx, page, there, func() bool { return true })
		if closed := (websocket.CloseError{}); errors.As(err, &closed) {
			_ = page.Close(closed.Code, closed.Reason)
		}
		_ = page.CloseNow()
	})
	_ = pass(ctx, there, page, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return !m.isDeaf
	})
	cancel()
	back.Wait()
}

// pass passes on messages until it cannot.
func pass(ctx context.Context, to, from *websocket.Conn, arrives func() bool) error {
	for {
		kind, data, err := from.Read(ctx)
		if err == nil && arrives() {
			err = to.Write(ctx, kind, data)
		}
		if err != nil {
			return err
		}
	}
}

// deafen loses what pages say on the connections that they have now.
func (r *rooms) deafen() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for m := range r.wires {
		m.isDeaf = true
	}
}

// publish says something as another program, once the room has place for it.
func (r *rooms) publish(room string, kind websocket.MessageType, data []byte) {
	r.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		_, err := r.gateway.Publish(room, gateway.Message{Data: data, IsBinary: kind == websocket.MessageBinary})
		if err == nil {
			return
		}
		if !errors.Is(err, gateway.ErrRoomFull) || time.Now().After(end) {
			r.t.Fatal(err)
		}
	}
}

// listen joins a room as a program without a protocol and gives what it hears.
func (r *rooms) listen(t *testing.T, room string) <-chan []byte {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), "ws://"+r.addr+"/ws/"+room, nil)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(-1)
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
	for m := range r.wires {
		_ = m.page.CloseNow()
	}
}

// closeAll ends every connection with the code, as a gateway that shuts down does.
func (r *rooms) closeAll(code websocket.StatusCode) {
	var ending sync.WaitGroup
	r.mu.Lock()
	for m := range r.wires {
		ending.Go(func() { _ = m.page.Close(code, "") })
	}
	r.mu.Unlock()
	ending.Wait()
}
