package wstest

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// A tunnel passes bytes between clients and a server, as a network does, until something happens to
// it.
type tunnel struct {
	listener net.Listener
	to       string
	isDark   atomic.Bool
	ended    chan struct{}
	copies   sync.WaitGroup

	mu  sync.Mutex
	cut chan struct{} // closed to cut those who are there
}

// Dig makes a tunnel to an address. It ends with the test.
func Dig(t testing.TB, to string) *tunnel {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tun := &tunnel{listener: l, to: to, ended: make(chan struct{}), cut: make(chan struct{})}
	tun.copies.Go(tun.serve)
	t.Cleanup(func() {
		close(tun.ended)
		l.Close()
		tun.copies.Wait()
	})
	return tun
}

// GoDark makes the tunnel take nothing from either side and say nothing to it from now on, not even
// that the other one has gone. So does a network whose cable is cut, but for the kernels' own
// acknowledgements.
func (tun *tunnel) GoDark() { tun.isDark.Store(true) }

// Reset resets every connection that is there, on both sides.
func (tun *tunnel) Reset() {
	tun.mu.Lock()
	defer tun.mu.Unlock()
	close(tun.cut)
	tun.cut = make(chan struct{})
}

// whenCut is closed when those who are there are cut.
func (tun *tunnel) whenCut() chan struct{} {
	tun.mu.Lock()
	defer tun.mu.Unlock()
	return tun.cut
}

// Addr is where clients enter.
func (tun *tunnel) Addr() string { return tun.listener.Addr().String() }

func (tun *tunnel) serve() {
	for {
		client, err := tun.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", tun.to)
		if err != nil {
			client.Close()
			return
		}
		cut := tun.whenCut()
		tun.copies.Go(func() { tun.pass(server, client) })
		tun.copies.Go(func() { tun.pass(client, server) })
		tun.copies.Go(func() {
			select {
			case <-tun.ended:
			case <-cut:
			}
			for _, c := range []net.Conn{client, server} {
				_ = c.(*net.TCPConn).SetLinger(0) // RST instead of FIN.
				c.Close()
			}
		})
	}
}

func (tun *tunnel) pass(to, from net.Conn) {
	p := make([]byte, 4<<10)
	for {
		n, err := from.Read(p)
		if tun.isDark.Load() {
			return
		}
		if err == nil {
			_, err = to.Write(p[:n])
		}
		if err != nil {
			to.Close() // which ends the other direction, too
			return
		}
	}
}
