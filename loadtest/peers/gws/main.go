// Command gws is a broadcast server on lxzan/gws: a goroutine to read each connection, a queue each
// to write, and a Broadcaster that encodes a message once.
//
// Choices: the library's own server, which is its shortest way from accept to reading; no parallel
// handling of one connection's messages, for that would lose their order; no check of UTF-8, which
// the documentation calls faster and is the default; no deadlines, for clients that only listen
// would meet them. Messages are in one order for all: queues are filled under one lock, where
// nothing waits for a socket.
//
// Slow clients: the queue of one that does not read grows until it leaves, without bound, as the
// library has none.
package main

import (
	"net"
	"net/http"
	"sync"

	"github.com/lxzan/gws"

	"sluice/loadtest/peers/internal/peer"
)

// A room is all clients of a path.
type room struct {
	mu      sync.Mutex
	clients map[*gws.Conn]struct{}
}

// inRoom is the key of a connection's room in what the library keeps for its user.
const inRoom = "room"

func roomOf(c *gws.Conn) *room {
	r, _ := c.Session().Load(inRoom)
	return r.(*room)
}

// handler has the library's callbacks.
type handler struct{ gws.BuiltinEventHandler }

// OnOpen implements gws.Event.
func (handler) OnOpen(c *gws.Conn) {
	r := roomOf(c)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clients[c] = struct{}{}
}

// OnClose implements gws.Event.
func (handler) OnClose(c *gws.Conn, _ error) {
	r := roomOf(c)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.clients, c)
}

// OnPing implements gws.Event. The handler that comes with the library does not return the payload.
func (handler) OnPing(c *gws.Conn, payload []byte) { _ = c.WritePong(payload) }

// OnMessage implements gws.Event. The message may be given back at once: the first Broadcast copies
// it into a frame, and without compression nobody looks at it again.
func (handler) OnMessage(from *gws.Conn, m *gws.Message) {
	defer m.Close()
	b := gws.NewBroadcaster(m.Opcode, m.Bytes())
	defer b.Close()
	r := roomOf(from)
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.clients {
		_ = b.Broadcast(c) // It fails only for a message that is too large, and then for all.
	}
}

func main() { peer.Main(serve) }

func serve(addr string) error {
	rooms := &peer.Rooms[room]{Make: func() *room { return &room{clients: make(map[*gws.Conn]struct{})} }}
	s := gws.NewServer(handler{}, &gws.ServerOption{Authorize: func(r *http.Request, s gws.SessionStorage) bool {
		s.Store(inRoom, rooms.At(r.URL.Path))
		return true
	}})
	s.OnError = func(c net.Conn, _ error) { // Whoever connects and asks for nothing is no error worth a line.
		if c != nil {
			c.Close()
		}
	}
	return s.Run(addr)
}
