//go:build unix

// Command gobwas is a broadcast server on gobwas/ws, with a goroutine to read each connection and
// none to write while a client keeps up.
//
// Choices: the library leaves input and output to its user. A message is compiled into a frame once
// (CompileFrame, its way for what is sent often) and whoever publishes writes it to everybody,
// which spares the change of goroutines that queues cost. What a socket refuses is finished by a
// goroutine that lives until the client has caught up. Reading is unbuffered, which costs
// publishers two calls a message and nobody memory. Messages are in one order for all: writes are
// under one lock, where nothing waits for a socket.
//
// Slow clients: one for which more than 6 MiB waits is closed.
package main

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"sluice/loadtest/peers/internal/peer"
)

const (
	pendingMax = 6 << 20  // bytes that may wait for a client
	messageMax = 16 << 20 // bytes a client may send at once
)

// A room is all clients of a path. Its lock guards theirs, too.
type room struct {
	mu      sync.Mutex
	clients map[*client]struct{}
}

// A client is one connection, whose fields the lock of its room guards.
type client struct {
	room     *room
	conn     net.Conn
	raw      syscall.RawConn
	try      func(fd uintptr) bool // of attempt, made once since it would be allocated each time
	frame    []byte                // what try writes
	written  int                   // how much of it the kernel took
	err      error                 // why not all of it
	pending  []byte                // what it refused and what came since
	draining bool                  // a goroutine works on that
}

// attempt is one write that does not wait. It reports true so that the runtime does not wait
// either.
func (c *client) attempt(fd uintptr) bool {
	for {
		if c.written, c.err = syscall.Write(int(fd), c.frame); c.err != syscall.EINTR {
			return true
		}
	}
}

// send writes a frame, or lets it wait behind what waits already. The room is locked.
func (c *client) send(frame []byte) {
	if c.draining {
		if c.pending = append(c.pending, frame...); len(c.pending) > pendingMax {
			c.conn.Close() // The reader sees it and leaves, the drain ends.
		}
		return
	}
	c.frame = frame
	c.written = 0
	if err := c.raw.Write(c.try); err != nil {
		return // Closed; the reader knows.
	}
	switch {
	case c.err == nil && c.written == len(frame):
	case c.err == nil || errors.Is(c.err, syscall.EAGAIN):
		c.pending = append(c.pending, frame[max(0, c.written):]...)
		c.draining = true
		go c.drain()
	default:
		c.conn.Close()
	}
}

// drain writes what waits until nothing does. After an error draining stays set: nothing more is to
// be written.
func (c *client) drain() {
	for {
		c.room.mu.Lock()
		waiting := c.pending
		c.pending = nil
		c.draining = len(waiting) > 0
		c.room.mu.Unlock()
		if len(waiting) == 0 {
			return
		}
		if _, err := c.conn.Write(waiting); err != nil {
			c.conn.Close()
			return
		}
	}
}

// Write implements io.Writer for the answers to control frames, one frame a call.
func (c *client) Write(p []byte) (int, error) {
	c.room.mu.Lock()
	defer c.room.mu.Unlock()
	c.send(p)
	return len(p), nil
}

func serveConn(rooms *peer.Rooms[room], conn *net.TCPConn) {
	defer conn.Close()
	var path string
	u := ws.Upgrader{OnRequest: func(uri []byte) error {
		path = string(uri)
		return nil
	}}
	if _, err := u.Upgrade(conn); err != nil {
		return
	}
	r := rooms.At(path)
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	c := &client{room: r, conn: conn, raw: raw}
	c.try = c.attempt
	r.mu.Lock()
	r.clients[c] = struct{}{}
	r.mu.Unlock()
	r.relay(c)
	r.mu.Lock()
	delete(r.clients, c)
	r.mu.Unlock()
}

// relay sends everybody what c says, until it ends.
func (r *room) relay(c *client) {
	rw := struct {
		io.Reader
		io.Writer
	}{c.conn, c}
	for {
		data, op, err := wsutil.ReadClientData(rw)
		if err != nil {
			return
		}
		frame, err := ws.CompileFrame(ws.NewFrame(op, true, data))
		if err != nil {
			return
		}
		r.mu.Lock()
		for other := range r.clients {
			other.send(frame)
		}
		r.mu.Unlock()
	}
}

func main() { peer.Main(serve) }

func serve(addr string) error {
	wsutil.SetMaxMessageSize(messageMax)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	rooms := &peer.Rooms[room]{Make: func() *room { return &room{clients: make(map[*client]struct{})} }}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go serveConn(rooms, conn.(*net.TCPConn))
	}
}
