// Command gws is a broadcast server on lxzan/gws: a goroutine to read each connection, a queue each to write, and a
// Broadcaster that encodes a message once.
//
// Choices: the library's own server, which is its shortest way from accept to reading; no parallel handling of one
// connection's messages, for that would lose their order; no check of UTF-8, which the documentation calls faster and is the
// default; no deadlines, for clients that only listen would meet them. Messages are in one order for all: queues are filled
// under one lock, where nothing waits for a socket.
//
// Slow clients: the queue of one that does not read grows until it leaves, without bound, as the library has none.
package main

import (
	"net"
	"sync"

	"github.com/lxzan/gws"

	"sluice/loadtest/peers/internal/peer"
)

// A room is all clients, and the library's callbacks.
type room struct {
	gws.BuiltinEventHandler
	mu      sync.Mutex
	clients map[*gws.Conn]struct{}
}

// OnOpen implements gws.Event.
func (r *room) OnOpen(c *gws.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clients[c] = struct{}{}
}

// OnClose implements gws.Event.
func (r *room) OnClose(c *gws.Conn, _ error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.clients, c)
}

// OnPing implements gws.Event. The handler that comes with the library does not return the payload.
func (r *room) OnPing(c *gws.Conn, payload []byte) { _ = c.WritePong(payload) }

// OnMessage implements gws.Event. The message may be given back at once: the first Broadcast copies it into a frame, and
// without compression nobody looks at it again.
func (r *room) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	b := gws.NewBroadcaster(m.Opcode, m.Bytes())
	defer b.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.clients {
		_ = b.Broadcast(c) // It fails only for a message that is too large, and then for all.
	}
}

func main() { peer.Main(serve) }

func serve(addr string) error {
	s := gws.NewServer(&room{clients: make(map[*gws.Conn]struct{})}, nil)
	s.OnError = func(c net.Conn, _ error) { // Whoever connects and asks for nothing is no error worth a line.
		if c != nil {
			c.Close()
		}
	}
	return s.Run(addr)
}
