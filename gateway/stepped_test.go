//go:build linux

package gateway

import (
	"testing"
	"time"

	"sluice/internal/wstest"
	"sluice/reactor"
	"sluice/reactor/reactortest"
)

// A stepped is a gateway on a kernel in memory, of which a test lets loops tick one by one, and
// time pass.
type stepped struct {
	t      *testing.T
	s      *Server
	kernel *reactortest.Sim
	listen int
}

// newStepped makes one. around, if it is not nil, puts something in front of the kernel.
func newStepped(t *testing.T, cfg *config, around func(*reactortest.Sim) reactor.Kernel) *stepped {
	t.Helper()
	if err := cfg.prepare(); err != nil {
		t.Fatal(err)
	}
	st := &stepped{t: t, kernel: reactortest.NewSim(1)}
	st.kernel.Advance(time.Minute) // A clock at zero means "never" here and there.
	var kernel reactor.Kernel = st.kernel
	if around != nil {
		kernel = around(st.kernel)
	}
	var err error
	if st.s, err = newServer(cfg, simLog, kernel); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.s.release)
	if st.listen, err = st.kernel.Listen(8); err != nil {
		t.Fatal(err)
	}
	if err := st.s.workers[0].newListener(st.listen, true, false, ListenOptions{}); err != nil {
		t.Fatal(err)
	}
	return st
}

// tick lets a loop tick n times, without waiting.
func (st *stepped) tick(loop, n int) {
	st.t.Helper()
	w := st.s.workers[loop]
	for range n {
		w.loop.Wake()
		if err := w.loop.Tick(); err != nil {
			st.t.Fatal(err)
		}
	}
}

// tickAll lets all loops tick n times, in turns.
func (st *stepped) tickAll(n int) {
	st.t.Helper()
	for range n {
		for i := range st.s.workers {
			st.tick(i, 1)
		}
	}
}

// A steppedClient is a client, and what the gateway made of it.
type steppedClient struct {
	*reactortest.Peer
	st   *stepped
	c    *conn
	loop int
}

// join connects a client that the loop serves.
func (st *stepped) join(loop int, path string) *steppedClient {
	st.t.Helper()
	var elsewhere []*steppedClient // They stay meanwhile, or the next one would come to the same loop.
	defer func() {
		for _, c := range elsewhere {
			c.Close()
			st.tickAll(10)
		}
	}()
	for range 64 {
		p, err := st.kernel.Dial(st.listen)
		if err != nil {
			st.t.Fatal(err)
		}
		client := &steppedClient{Peer: p, st: st}
		client.send(wstest.UpgradeHead(path))
		st.tickAll(10)
		for i, w := range st.s.workers {
			for _, source := range w.loop.Sources {
				if c, ok := source.(*conn); ok && c.life == open && st.kernel.LinkNo(int(c.fd)) == p.No() {
					client.c, client.loop = c, i
				}
			}
		}
		if client.c == nil {
			st.t.Fatal("a client is not upgraded")
		}
		if client.loop == loop {
			client.take()
			return client
		}
		elsewhere = append(elsewhere, client)
	}
	st.t.Fatal("no client comes to the loop")
	return nil
}

// send sends what the wire has room for, and returns how much that was.
func (c *steppedClient) send(parts ...[]byte) (n int) {
	c.st.t.Helper()
	for _, p := range parts {
		k, err := c.Write(p)
		if n += k; k < len(p) {
			c.st.t.Logf("of %d bytes the wire takes %d: %v", len(p), k, err)
			return n
		}
	}
	return n
}

// take reads all that has come, and returns how many bytes that was.
func (c *steppedClient) take() (n int) {
	buf := make([]byte, 64<<10)
	for {
		k, err := c.Read(buf)
		if n += k; k <= 0 || err != nil {
			return n
		}
	}
}

// hasPaused reports whether the client is not read on for its room's sake.
func (c *steppedClient) hasPaused() bool { return c.c.pauses&pauseRoom != 0 }

// lapse lets time pass, a little at a time, while all loops but one tick.
func (st *stepped) lapse(d time.Duration, without int) {
	st.t.Helper()
	const step = 5 * time.Millisecond
	for ; d > 0; d -= step {
		st.kernel.Advance(step)
		for i := range st.s.workers {
			if i != without {
				st.tick(i, 1)
			}
		}
	}
}
