package wstest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/gobwas/ws"
)

// A Cut says where a connection through a Cutter is reset, on both sides. Zero is never.
type Cut struct {
	Frames int   // behind so many of the server's WebSocket frames
	Down   int64 // behind so many bytes of the server's, its head among them
	Up     int64 // behind so many bytes of the client's
}

// A Cutter passes connections on to a server, and resets each where the test has said, to a byte. A
// connection counts from its client's first byte on, in that order: a browser keeps connections in
// store that say nothing, and whoever looks for a program that had the port before may wait to be
// spoken to.
type Cutter struct {
	listener net.Listener
	cuts     []Cut
	running  sync.WaitGroup

	mu      sync.Mutex
	change  *sync.Cond
	to      string
	admit   int // connections that may pass; the others wait
	came    int
	cut     []chan struct{} // of each that came: closed when it was reset
	passed  []*passage      // those that passed
	isStill bool            // nothing passes from the server
	isOver  bool
	silent  map[net.Conn]struct{} // those that have said nothing yet
	mute    int                   // those that ended so
}

// A passage is a connection on its way through.
type passage struct{ client, server net.Conn }

// NewCutter makes one that leads to an address; the nth connection ends at the nth cut, those
// behind the last one do not end. It ends with the test.
func NewCutter(t testing.TB, to string, cuts ...Cut) *Cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cutter{listener: l, cuts: cuts, to: to, admit: 1 << 30, silent: map[net.Conn]struct{}{}}
	c.change = sync.NewCond(&c.mu)
	c.running.Go(c.serve)
	t.Cleanup(func() {
		if c.end(); c.mute > 0 {
			t.Logf("%d connections to %s said nothing", c.mute, c.Addr())
		}
	})
	return c
}

// Addr is where clients enter.
func (c *Cutter) Addr() string { return c.listener.Addr().String() }

// Lead has connections that come from now on go to another address.
func (c *Cutter) Lead(to string) { c.set(func() { c.to = to }) }

// Admit lets the first n connections pass, and keeps the others waiting until there is leave for
// more.
func (c *Cutter) Admit(n int) { c.set(func() { c.admit = n }) }

// Still stops what comes from the server, or lets it come again. The client's bytes pass.
func (c *Cutter) Still(isStill bool) { c.set(func() { c.isStill = isStill }) }

// WasCut is closed once the nth connection has come and was reset, from 0 on.
func (c *Cutter) WasCut(n int) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cutOf(n)
}

// Came is how many connections have come, and said a byte.
func (c *Cutter) Came() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.came
}

// Reset resets the connections that are there.
func (c *Cutter) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.passed {
		p.reset()
	}
	c.passed = nil
}

func (c *Cutter) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	c.change.Broadcast()
}

// cutOf is the nth channel, made if need be.
func (c *Cutter) cutOf(n int) chan struct{} {
	for len(c.cut) <= n {
		c.cut = append(c.cut, make(chan struct{}))
	}
	return c.cut[n]
}

func (c *Cutter) end() {
	c.listener.Close()
	c.set(func() {
		c.isOver = true
		for conn := range c.silent {
			conn.Close()
		}
	})
	c.Reset()
	c.running.Wait()
}

func (c *Cutter) serve() {
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.running.Go(func() {
			from := bufio.NewReader(client)
			if n, ok := c.come(client, from); ok {
				c.carry(n, client, from)
			}
		})
	}
}

// come waits for a connection's first byte, and gives it its number. A connection that ends before
// has none.
func (c *Cutter) come(client net.Conn, from *bufio.Reader) (n int, ok bool) {
	c.set(func() {
		c.silent[client] = struct{}{}
		if c.isOver {
			client.Close()
		}
	})
	_, err := from.Peek(1)
	c.set(func() {
		delete(c.silent, client)
		if err != nil {
			c.mute++
			return
		}
		n = c.came
		c.came++
	})
	if err != nil {
		client.Close()
	}
	return n, err == nil
}

// enter waits until the nth connection may pass, and dials for it.
func (c *Cutter) enter(n int, client net.Conn) *passage {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n >= c.admit && !c.isOver {
		c.change.Wait()
	}
	server, err := net.Dial("tcp", c.to)
	if c.isOver || err != nil {
		if err == nil {
			server.Close()
		}
		client.Close()
		return nil
	}
	p := &passage{client, server}
	c.passed = append(c.passed, p)
	return p
}

// carry makes the nth connection pass, to its cut.
func (c *Cutter) carry(n int, client net.Conn, from io.Reader) {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		close(c.cutOf(n))
	}()
	p := c.enter(n, client)
	if p == nil {
		return
	}
	var at Cut
	if n < len(c.cuts) {
		at = c.cuts[n]
	}
	var up sync.WaitGroup
	up.Go(func() { p.end(copyUntil(p.server, from, at.Up)) })
	p.end(c.down(p, at))
	up.Wait()
}

// errCut ends a connection at its cut.
var errCut = errors.New("cut")

// copyUntil copies to the end, or n bytes, if n is not zero.
func copyUntil(to io.Writer, from io.Reader, n int64) error {
	to = struct{ io.Writer }{to} // Or the kernel would copy, through pipes that stay open for another time.
	if n == 0 {
		_, err := io.Copy(to, from)
		return err
	}
	if _, err := io.CopyN(to, from, n); err != nil {
		return err
	}
	return errCut
}

// down passes what comes from the server: its head, then frame by frame.
func (c *Cutter) down(p *passage, at Cut) error {
	from := io.Reader(bufio.NewReader(p.server))
	if at.Down > 0 {
		return copyUntil(still{c, p.client}, from, at.Down)
	}
	if at.Frames == 0 {
		return copyUntil(still{c, p.client}, from, 0)
	}
	to := bufio.NewWriter(still{c, p.client})
	defer to.Flush()
	both := io.TeeReader(from, to)
	var head []byte
	for one := make([]byte, 1); !bytes.HasSuffix(head, []byte("\r\n\r\n")); head = append(head, one[0]) {
		if _, err := io.ReadFull(both, one); err != nil {
			return err
		}
	}
	for range at.Frames {
		if err := to.Flush(); err != nil {
			return err
		}
		h, err := ws.ReadHeader(both)
		if err == nil {
			_, err = io.CopyN(io.Discard, both, h.Length)
		}
		if err != nil {
			return err
		}
	}
	if err := to.Flush(); err != nil {
		return err
	}
	return errCut
}

// end closes both sides; by a reset, unless the one that was read has ended by itself.
func (p *passage) end(err error) {
	if err != nil && !errors.Is(err, io.EOF) {
		p.reset()
	}
	p.client.Close()
	p.server.Close()
}

func (p *passage) reset() {
	for _, conn := range []net.Conn{p.client, p.server} {
		_ = conn.(*net.TCPConn).SetLinger(0) // RST instead of FIN.
		conn.Close()
	}
}

// still writes while its Cutter is not still.
type still struct {
	c  *Cutter
	to io.Writer
}

func (s still) Write(p []byte) (int, error) {
	s.c.mu.Lock()
	for s.c.isStill && !s.c.isOver {
		s.c.change.Wait()
	}
	s.c.mu.Unlock()
	return s.to.Write(p)
}
