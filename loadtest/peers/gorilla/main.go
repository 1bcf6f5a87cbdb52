// Command gorilla is a broadcast server in the manner of gorilla/websocket's chat example: a hub
// goroutine for each room, and a goroutine each to read and to write a connection.
//
// Choices: what the hub takes in is prepared once for all (PreparedMessage, which the documentation
// advises for many receivers) and written with one call each; the example's joining of queued lines
// into one message would change the messages. The example's pings and its deadline before each
// write are left out, for they only cost; without the deadline the hub closes the connection of a
// client whose writer is stuck. Messages are in one order for all: the hub's.
//
// Slow clients: one that has 256 messages waiting, as in the example, is closed.
package main

import (
	"net/http"
	"sync"

	"github.com/gorilla/websocket"

	"sluice/loadtest/peers/internal/peer"
)

const sendQueue = 256 // messages a client may have waiting

// A client is one connection. The hub alone sends to and closes its channel.
type client struct {
	conn *websocket.Conn
	send chan *websocket.PreparedMessage
}

// A hub knows the clients of a room. Its channels are all that goroutines share.
type hub struct {
	join, leave chan *client
	publish     chan *websocket.PreparedMessage
}

func (h *hub) run() {
	clients := make(map[*client]struct{})
	drop := func(c *client) {
		delete(clients, c)
		close(c.send)
		c.conn.Close() // Ends a write that waits, too.
	}
	for {
		select {
		case c := <-h.join:
			clients[c] = struct{}{}
		case c := <-h.leave:
			if _, ok := clients[c]; ok {
				drop(c)
			}
		case m := <-h.publish:
			for c := range clients {
				select {
				case c.send <- m:
				default:
					drop(c)
				}
			}
		}
	}
}

func (h *hub) read(c *client) {
	defer func() { h.leave <- c }()
	for {
		kind, data, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		m, err := websocket.NewPreparedMessage(kind, data)
		if err != nil {
			return
		}
		h.publish <- m
	}
}

func (c *client) write() {
	for m := range c.send {
		if c.conn.WritePreparedMessage(m) != nil {
			c.conn.Close() // The reader sees it and leaves.
			return
		}
	}
}

func main() { peer.Main(serve) }

func serve(addr string) error {
	rooms := &peer.Rooms[hub]{Make: func() *hub {
		h := &hub{join: make(chan *client), leave: make(chan *client), publish: make(chan *websocket.PreparedMessage)}
		go h.run()
		return h
	}}
	upgrader := websocket.Upgrader{
		ReadBufferSize:  1024, // as in the example
		WriteBufferSize: 1024,
		WriteBufferPool: new(sync.Pool), // Prepared messages need no buffer: without a pool it would lie idle.
		CheckOrigin:     func(*http.Request) bool { return true },
	}
	return http.ListenAndServe(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return // The upgrader has answered.
		}
		h, c := rooms.At(r.URL.Path), &client{conn, make(chan *websocket.PreparedMessage, sendQueue)}
		h.join <- c
		// New goroutines, so that the handler's can end and net/http's buffers be collected.
		go c.write()
		go h.read(c)
	}))
}
