// Command nbio is a broadcast server on lesismal/nbio: pollers and a pool of workers instead of a
// goroutine for each connection.
//
// Choices: the non-blocking mode, which is the default and what the library is for; --blocking
// gives its other one, a goroutine each, which its documentation calls the faster for few
// connections and the better for broadcasting. Payload buffers are the library's to reuse
// (ReleaseWebsocketPayload), as its examples have it. It prepares no messages: each write encodes
// its own frame. The keep-alive limit of two minutes is off, for clients that only listen would
// meet it. Messages are in one order for all: writes are under one lock and do not wait, since what
// a socket refuses is kept by the library.
//
// Slow clients: one for which more than 6 MiB is kept, the figure of the library's Quick Start, is
// closed; with --blocking one that has 256 messages waiting, as many as with gorilla.
package main

import (
	"flag"
	"net/http"
	"sync"

	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"

	"sluice/loadtest/peers/internal/peer"
)

const (
	writeBuffer = 6 << 20 // bytes that may be kept for a client
	sendQueue   = 256     // messages a client may have waiting, with --blocking
	maxFrame    = 4 << 20 // bytes in a frame: every message that the library accepts is one write
)

// A room is all clients of a path, and how they come in.
type room struct {
	mu      sync.Mutex
	clients map[*websocket.Conn]struct{}
	door    *websocket.Upgrader
}

func (r *room) join(c *websocket.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clients[c] = struct{}{}
}

func (r *room) leave(c *websocket.Conn, _ error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.clients, c)
}

func (r *room) publish(_ *websocket.Conn, kind websocket.MessageType, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.clients {
		if c.WriteMessage(kind, data) != nil {
			c.Close() // The library then says that it has left. A full queue alone would only lose the message.
		}
	}
}

func main() {
	blocking := flag.Bool("blocking", false, "a goroutine for each connection instead of pollers")
	peer.Main(func(addr string) error { return serve(addr, *blocking) })
}

func serve(addr string, blocking bool) error {
	logging.SetLevel(logging.LevelError)
	var engine *nbhttp.Engine
	rooms := &peer.Rooms[room]{Make: func() *room {
		r, u := &room{clients: make(map[*websocket.Conn]struct{})}, websocket.NewUpgrader()
		u.OnOpen(r.join)
		u.OnMessage(r.publish)
		u.OnClose(r.leave)
		u.KeepaliveTime = 0
		u.BlockingModSendQueueMaxSize = sendQueue
		u.CheckOrigin = func(*http.Request) bool { return true }
		u.Engine = engine
		r.door = u
		return r
	}}
	config := nbhttp.Config{
		Network:                      "tcp",
		Addrs:                        []string{addr},
		ReleaseWebsocketPayload:      true,
		MaxWriteBufferSize:           writeBuffer,
		MaxWebsocketFramePayloadSize: maxFrame,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			_, _ = rooms.At(req.URL.Path).door.Upgrade(w, req, nil) // The upgrader has answered whom it refused.
		}),
	}
	if blocking {
		config.IOMod = nbhttp.IOModBlocking
	}
	engine = nbhttp.NewEngine(config)
	if err := engine.Start(); err != nil {
		return err
	}
	select {} // The engine serves on its own.
}
