package gateway

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// A tunnel passes bytes between clients and a gateway until it goes dark: from then on it takes nothing from either side and says
// nothing to it, not even that the other one has gone. So does a network whose cable is cut, but for the kernels' own acknowledgements.
type tunnel struct {
	listener net.Listener
	to       string
	isDark   atomic.Bool
	ended    chan struct{}
	copies   sync.WaitGroup
}

func dig(t *testing.T, to string) *tunnel {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tun := &tunnel{listener: l, to: to, ended: make(chan struct{})}
	tun.copies.Go(tun.serve)
	t.Cleanup(func() {
		close(tun.ended)
		l.Close()
		tun.copies.Wait()
	})
	return tun
}

func (tun *tunnel) addr() string { return tun.listener.Addr().String() }

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
		tun.copies.Go(func() { tun.pass(server, client) })
		tun.copies.Go(func() { tun.pass(client, server) })
		tun.copies.Go(func() {
			<-tun.ended
			client.Close()
			server.Close()
		})
	}
}

func (tun *tunnel) pass(to, from net.Conn) {
	p := make([]byte, 4<<10)
	for {
		n, err := from.Read(p)
		if err != nil || tun.isDark.Load() {
			return
		}
		if _, err := to.Write(p[:n]); err != nil {
			return
		}
	}
}
