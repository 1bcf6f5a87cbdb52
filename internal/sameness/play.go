package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// quiet is how long clients listen at the end of a script for what should not come. What should
// come is waited for by steps, so that a slow machine changes no answer.
const quiet = 20 * time.Millisecond

// A script is one play. Its answer is what each connection got and how that ended.
type script struct {
	name  string
	flags []string // of the gateway
	env   []string
	kind  kind
	steps []step
	// isShape is for what depends on the kernel's buffers: of frames it counts that their numbers
	// rise, what follows a gap, and how they end; not where the gap is.
	isShape bool
}

type kind int

const (
	shared  kind = iota // with others, on one gateway for all scripts of the same flags
	alone               // on a gateway of its own; its log and how it ends are part of the answer
	command             // no connections: what the program prints and how it ends
)

// A step is one thing that a script does, or waits for.
type step struct {
	what string
	do   func(*player) error
}

// A player is one run of a script.
type player struct {
	gateway *gateway
	room    string
	clients map[string]*client
}

// play returns the script's answer.
func (f *fleet) play(s *script) string {
	if s.kind == command {
		return f.normal(f.command(s), nil)
	}
	g, err := f.shared(s.flags)
	if s.kind == alone {
		g, err = f.start(s.flags, s.env)
	}
	if err != nil {
		return f.normal(fmt.Sprintf("no gateway: %v\n", err), nil)
	}
	// The names are of one length: nothing may depend on it.
	p := &player{gateway: g, room: fmt.Sprintf("room%08d", f.rooms.Add(1)), clients: map[string]*client{}}
	var answer strings.Builder
	for i, step := range s.steps {
		if err := step.do(p); err != nil {
			fmt.Fprintf(&answer, "gave up at step %d, %s: %v\n", i+1, step.what, err)
			break
		}
	}
	p.finish(&answer, s)
	if s.kind == alone {
		if err := g.stop(); err != nil {
			fmt.Fprintln(&answer, err)
		}
		g.kill()
		fmt.Fprintf(&answer, "log:\n%sended: %v\n", g.log.String(), g.process.ProcessState)
	}
	return f.normal(answer.String(), g)
}

// finish tells what the clients got, and lets them go.
func (p *player) finish(answer *strings.Builder, s *script) {
	for _, c := range p.clients {
		if !c.isOver() && !c.isDeaf {
			time.Sleep(quiet)
			break
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.clients)) {
		c := p.clients[name]
		c.mu.Lock()
		got, end := slices.Clone(c.got), c.end
		c.mu.Unlock()
		fmt.Fprintf(answer, "client %s:\n%send: %s\n", name, describe(got, s.isShape), cmp.Or(end, "still open"))
		c.conn.Close()
	}
}

// A client is one connection, and what came of it.
type client struct {
	conn   net.Conn
	isDeaf bool // does not read until it is told to

	mu   sync.Mutex
	cond *sync.Cond
	got  []byte
	seen int    // how much of it steps have waited for
	end  string // how it ended; empty while it has not
}

func (p *player) dial(name string, isDeaf bool) error {
	network := "tcp"
	if path, ok := strings.CutPrefix(p.gateway.address, "/"); ok {
		network, p.gateway.address = "unix", "/"+path
	}
	dialer := net.Dialer{Timeout: patience}
	if isDeaf {
		// So that little of what it does not read is in its kernel.
		dialer.Control = func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(fd uintptr) { shrink(fd) })
		}
	}
	conn, err := dialer.Dial(network, p.gateway.address)
	if err != nil {
		return err
	}
	c := &client{conn: conn, isDeaf: isDeaf}
	c.cond = sync.NewCond(&c.mu)
	p.clients[name] = c
	if !isDeaf {
		go c.listen()
	}
	return nil
}

func (c *client) listen() {
	buf := make([]byte, 64<<10)
	for {
		n, err := c.conn.Read(buf)
		if c.note(buf[:n], err); err != nil {
			return
		}
	}
}

func (c *client) note(p []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, p...)
	switch {
	case errors.Is(err, io.EOF):
		c.end = "FIN"
	case errors.Is(err, syscall.ECONNRESET):
		c.end = "RST"
	case err != nil:
		c.end = "closed here"
	}
	c.cond.Broadcast()
}

func (c *client) isOver() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end != ""
}

// await waits until enough has come. enough is told what no step has waited for yet, and returns
// how much of that it takes, or -1.
func (c *client) await(enough func(fresh []byte) int) error {
	isLate := false
	timer := time.AfterFunc(patience, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		isLate = true
		c.cond.Broadcast()
	})
	defer timer.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if n := enough(c.got[c.seen:]); n >= 0 {
			c.seen += n
			return nil
		}
		switch {
		case c.end != "":
			return errors.New("the connection ended")
		case isLate:
			return os.ErrDeadlineExceeded
		}
		c.cond.Wait()
	}
}

// open connects clients.
func open(names ...string) step {
	return step{fmt.Sprint("open ", names), func(p *player) error {
		for _, name := range names {
			if err := p.dial(name, false); err != nil {
				return err
			}
		}
		return nil
	}}
}

// openDeaf connects a client that reads no more than head waits for, until it is to listen.
func openDeaf(name string) step {
	return step{"open deaf " + name, func(p *player) error { return p.dial(name, true) }}
}

func listen(name string) step {
	return step{"listen " + name, func(p *player) error {
		p.clients[name].isDeaf = false
		go p.clients[name].listen()
		return nil
	}}
}

// send writes each of some pieces. {room} stands for the name of a room of this run alone.
func send(name string, pieces ...[]byte) step { return sendIn(name, whole, pieces...) }

// sendIn writes them cut.
func sendIn(name string, c cut, pieces ...[]byte) step {
	return step{"send " + name, func(p *player) error {
		for _, piece := range pieces {
			for _, part := range c.cut(bytes.ReplaceAll(piece, []byte("{room}"), []byte(p.room))) {
				// The gateway may have closed: then what it says is the answer.
				if _, err := p.clients[name].conn.Write(part); err != nil {
					return nil
				}
			}
		}
		return nil
	}}
}

// head waits for an HTTP head.
func head(name string) step {
	return step{"head " + name, func(p *player) error {
		c := p.clients[name]
		for b := make([]byte, 1); c.isDeaf && !bytes.HasSuffix(c.got, []byte("\r\n\r\n")); {
			if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
				return err
			}
			n, err := c.conn.Read(b)
			if c.note(b[:n], err); err != nil {
				return err
			}
		}
		return c.await(func(fresh []byte) int {
			if i := bytes.Index(fresh, []byte("\r\n\r\n")); i >= 0 {
				return i + 4
			}
			return -1
		})
	}}
}

// page waits for an HTTP response whose length is in its head, or that has no body.
func page(name string) step {
	return step{"page " + name, func(p *player) error {
		return p.clients[name].await(func(fresh []byte) int {
			n := responseLength(fresh)
			if n > len(fresh) {
				return -1
			}
			return n
		})
	}}
}

// frames waits for so many more frames from each of the clients.
func frames(n int, names ...string) step {
	return step{fmt.Sprint("frames ", n, names), func(p *player) error {
		for _, name := range names {
			err := p.clients[name].await(func(fresh []byte) int {
				taken := 0
				for range n {
					size := frameLength(fresh[taken:])
					if size < 0 {
						return -1
					}
					taken += size
				}
				return taken
			})
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	}}
}

// until waits for bytes.
func until(name string, what []byte) step {
	return step{fmt.Sprintf("until %s %q", name, what), func(p *player) error {
		return p.clients[name].await(func(fresh []byte) int {
			if i := bytes.Index(fresh, what); i >= 0 {
				return i + len(what)
			}
			return -1
		})
	}}
}

// end waits for the end of connections.
func end(names ...string) step {
	return step{fmt.Sprint("end ", names), func(p *player) error {
		for _, name := range names {
			c := p.clients[name]
			err := c.await(func([]byte) int { return -1 })
			if !c.isOver() {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	}}
}

// halfClose ends what a client sends.
func halfClose(name string) step {
	return step{"half close " + name, func(p *player) error {
		return p.clients[name].conn.(interface{ CloseWrite() error }).CloseWrite()
	}}
}

// reset makes a client vanish with a reset. What it got before is its answer.
func reset(name string) step {
	return step{"reset " + name, func(p *player) error {
		c := p.clients[name]
		if err := c.conn.(*net.TCPConn).SetLinger(0); err != nil {
			return err
		}
		return c.conn.Close()
	}}
}

// pause lets time pass, where a deadline of the gateway's is to pass while nobody listens.
func pause(d time.Duration) step {
	return step{"pause", func(*player) error {
		time.Sleep(d)
		return nil
	}}
}

// signal sends the gateway a signal.
func signal(s syscall.Signal) step {
	return step{"signal " + s.String(), func(p *player) error {
		p.gateway.isSignalled = true
		return p.gateway.process.Process.Signal(s)
	}}
}

// logged waits for words in the gateway's log.
func logged(words string) step {
	return step{"logged " + words, func(p *player) error {
		if p.gateway.log.await(literally(words), p.gateway.ended) == nil {
			return errors.New("it did not say so")
		}
		return nil
	}}
}

// exited waits for the gateway's end.
func exited() step {
	return step{"exited", func(p *player) error {
		select {
		case <-p.gateway.ended:
			return nil
		case <-time.After(patience):
			return os.ErrDeadlineExceeded
		}
	}}
}
