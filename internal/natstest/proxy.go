package natstest

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A Proxy is a network between clients and a server, or between two servers, that can be cut. While
// it is, nothing passes either way, new connections neither, and nobody is told; then all goes on.
// It can be long, too.
type Proxy struct {
	listener net.Listener
	to       string
	running  sync.WaitGroup
	late     atomic.Int64 // nanoseconds

	mu     sync.Mutex
	change *sync.Cond
	isCut  bool
	isOver bool
	conns  []net.Conn
}

// StartProxy makes one that leads to an address. It ends with the test.
func StartProxy(t testing.TB, to string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, to: to}
	p.change = sync.NewCond(&p.mu)
	p.running.Go(p.serve)
	t.Cleanup(p.end)
	return p
}

// Port is where one enters.
func (p *Proxy) Port() int { return p.listener.Addr().(*net.TCPAddr).Port }

// Cut lets nothing pass, or all again.
func (p *Proxy) Cut(isCut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isCut = isCut
	p.change.Broadcast()
}

// Delay makes what clients send come to the server so much later; what it sends comes at once.
func (p *Proxy) Delay(d time.Duration) { p.late.Store(int64(d)) }

func (p *Proxy) end() {
	p.listener.Close()
	p.mu.Lock()
	p.isOver = true
	p.change.Broadcast()
	for _, c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
}

func (p *Proxy) serve() {
	for {
		from, err := p.listener.Accept()
		if err != nil {
			return
		}
		if !p.keep(from) {
			return
		}
		p.running.Go(func() { p.pass(from) })
	}
}

// keep has the connection closed at the end. It returns false if that has come.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isOver {
		c.Close()
		return false
	}
	p.conns = append(p.conns, c)
	return true
}

func (p *Proxy) pass(from net.Conn) {
	defer from.Close()
	if !p.await() {
		return
	}
	to, err := net.Dial("tcp", p.to)
	if err != nil || !p.keep(to) {
		return
	}
	defer to.Close()
	p.running.Go(func() { p.copy(from, to, func() {}) })
	p.copy(to, from, func() { time.Sleep(time.Duration(p.late.Load())) })
}

// copy ends both when one has ended. It waits with what has come.
func (p *Proxy) copy(to, from net.Conn, wait func()) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		wait()
		if !p.await() {
			return
		}
		if _, e := to.Write(buf[:n]); e != nil || err != nil {
			return
		}
	}
}

// await waits while the network is cut. It returns false at the end.
func (p *Proxy) await() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.isCut && !p.isOver {
		p.change.Wait()
	}
	return !p.isOver
}
