package gateway_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sluice/gateway"
	"sluice/wsproto"
)

func TestServeHTTPWithoutServe(t *testing.T) {
	t.Parallel()
	ask := func(t *testing.T, addr string) (*http.Response, string) {
		t.Helper()
		c := connect(t, "tcp", addr)
		c.send(handshake("/ws"))
		r, body := c.response()
		if r.StatusCode != http.StatusSwitchingProtocols {
			c.expectEnd()
		}
		return r, body
	}
	t.Run("never", func(t *testing.T) {
		s := newServer(t, gateway.Options{})
		addr := embed(t, s)
		if r, body := ask(t, addr); r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "Serve") {
			t.Errorf("%s %q, want 503 that names Serve", r.Status, body)
		}
		if st := statsOf(t, s); st.Refusals[wsproto.ReasonUnavailable] != 1 {
			t.Errorf("%d refusals counted, want 1", st.Refusals[wsproto.ReasonUnavailable])
		}
	})
	t.Run("a_moment_later", func(t *testing.T) {
		s := newServer(t, gateway.Options{})
		arrived := make(chan struct{})
		addr := embed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(arrived)
			s.ServeHTTP(w, r)
		}))
		served := make(chan struct{})
		go func() { <-arrived; serve(t, s); close(served) }()
		defer func() { <-served }()
		if r, body := ask(t, addr); r.StatusCode != http.StatusSwitchingProtocols {
			t.Errorf("%s %q, want 101", r.Status, body)
		}
	})
	t.Run("closed", func(t *testing.T) {
		for _, served := range []bool{false, true} {
			s := newServer(t, gateway.Options{})
			addr := embed(t, s)
			if served {
				serve(t, s)
				ask(t, addr)
			}
			s.Close()
			if r, body := ask(t, addr); r.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("served %t: %s %q, want 503", served, r.Status, body)
			}
		}
	})
}

// Shutdown of the program's server knows nothing of what has left it; Drain closes that with 1001,
// and takes no more.
func TestDrainEndsWhatServeHTTPTook(t *testing.T) {
	s := newServer(t, gateway.Options{DrainTimeout: time.Second})
	serve(t, s)
	mux := http.NewServeMux()
	mux.Handle("/ws/", s)
	server := httptest.NewServer(mux)
	defer server.Close()
	addr := server.Listener.Addr().String()
	var all []*websocket.Conn
	for i := range 20 {
		c := dial(t, fmt.Sprintf("ws://%s/ws/%d", addr, i%3))
		all = append(all, c)
	}
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(soon(t)) }()
	for _, c := range all {
		if _, _, err := c.Read(soon(t)); websocket.CloseStatus(err) != websocket.StatusGoingAway {
			t.Errorf("read ended with %v, want close 1001", err)
		}
	}
	if err := <-drained; err != nil {
		t.Errorf("Drain: %v", err)
	}
	late := connect(t, "tcp", addr)
	late.send(handshake("/ws/late"))
	if r, body := late.response(); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("afterwards %s %q, want 503", r.Status, body)
	}
	if err := server.Config.Shutdown(soon(t)); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// Clients come by the dozen while the gateway drains, and while it is closed: each hears of it, and
// Drain waits for those it took.
func TestServeHTTPWhileTheGatewayStops(t *testing.T) {
	for name, stop := range map[string]func(s *gateway.Server) error{
		"Drain": func(s *gateway.Server) error { return s.Drain(soon(t)) },
		"Close": func(s *gateway.Server) error { s.Close(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			const clients = 64
			s := newServer(t, gateway.Options{DrainTimeout: 200 * time.Millisecond})
			serve(t, s)
			addr := embed(t, s)
			var wg sync.WaitGroup
			var begun sync.WaitGroup
			begun.Add(clients / 2)
			for i := range clients {
				wg.Go(func() {
					c, err := net.Dial("tcp", addr)
					if err != nil {
						t.Error(err)
						return
					}
					defer c.Close()
					_ = c.SetDeadline(time.Now().Add(patience))
					if i < clients/2 {
						begun.Done()
					}
					if _, err := io.WriteString(c, handshake("/ws")); err != nil {
						t.Error(err)
						return
					}
					p, err := io.ReadAll(c)
					answer, frames, _ := strings.Cut(string(p), "\r\n\r\n")
					isTold := strings.HasPrefix(answer, "HTTP/1.1 503 ") || strings.HasPrefix(answer, "HTTP/1.1 101 ") && strings.HasPrefix(frames, "\x88") &&
						strings.Contains(frames, "\x03\xe9") // Close, 1001
					if os.IsTimeout(err) || name == "Drain" && !isTold {
						t.Errorf("client got %q, %v", p, err)
					}
				})
			}
			begun.Wait()
			if err := stop(s); err != nil {
				t.Error(err)
			}
			if name == "Drain" && s.Open() != 0 {
				t.Errorf("Drain returns, and %d are open", s.Open())
			}
			wg.Wait()
			eventually(t, "nobody is there", func() bool { return s.Open() == 0 })
		})
	}
}
