//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package reactor_test

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"sluice/internal/testenv"
	"sluice/reactor"
	"sluice/reactor/reactortest"
)

// A fanout is a server in miniature, on the public interface alone: what one socket sends, all
// receive. It has one log of bytes and one cursor per client. All of it belongs to its loop.
type fanout struct {
	loop    *reactor.Loop
	log     []byte // never shortened: a test sends little
	readBuf [4 << 10]byte

	accepted, refused, spent int // connections; writes the kernel refused or cut; budgets that ended a turn
}

const (
	readsPerTurn  = 4
	bytesPerWrite = 64 << 10
)

// room brings every client that is not blocked up to the end of the log. It runs after the tick's
// events, so that what came in one tick leaves in one write for each client.
func (f *fanout) room() time.Duration {
	for _, src := range f.loop.Sources {
		if c, ok := src.(*client); ok && !c.blocked {
			c.flush(f.loop)
		}
	}
	return -1
}

// door accepts.
type door struct {
	f  *fanout
	fd int
}

func (d *door) OnEvent(l *reactor.Loop, _ reactor.Event) {
	for {
		fd, err := l.Kernel().Accept(d.fd)
		if err != nil {
			return // EAGAIN: all have come in. Anything else is over with the next report, which Level repeats.
		}
		// Small, so that a client that stops reading is soon noticed.
		_ = l.Kernel().SetOption(fd, reactor.SendBuffer, 256<<10)
		c := &client{f: d.f, fd: fd, cursor: len(d.f.log)}
		if c.token, err = l.Register(fd, reactor.Readable, reactor.Edge, c); err != nil {
			_ = l.Kernel().Close(fd)
			continue
		}
		d.f.accepted++
	}
}

// client is one connection.
type client struct {
	f       *fanout
	token   reactor.Token
	fd      int
	cursor  int  // into the log
	blocked bool // a write was refused, and Writable is armed
}

func (c *client) OnEvent(l *reactor.Loop, ev reactor.Event) {
	if ev.Writable() {
		c.flush(l)
	}
	if ev.Readable() {
		c.read(l)
	}
}

// read appends what has come to the log, until EAGAIN or until its turn is over.
func (c *client) read(l *reactor.Loop) {
	for range readsPerTurn {
		n, err := l.Kernel().Read(c.fd, c.f.readBuf[:])
		if errors.Is(err, syscall.EAGAIN) {
			return
		}
		if err != nil || n == 0 {
			l.Close(c.token)
			return
		}
		c.f.log = append(c.f.log, c.f.readBuf[:n]...)
	}
	c.f.spent++
	l.Requeue(c.token, reactor.Readable) // No new edge tells of what is left.
}

// flush makes one write. A cut one counts as refused: rearming looks at the readiness anew, so a
// second call is saved. A peer that is gone may have said something before, which a reset leaves to
// be read: the read that finds the end closes.
func (c *client) flush(l *reactor.Loop) {
	pending := c.f.log[c.cursor:]
	if len(pending) == 0 {
		return
	}
	turn := pending[:min(len(pending), bytesPerWrite)]
	n, err := l.Kernel().Write(c.fd, turn)
	if err != nil && !errors.Is(err, syscall.EAGAIN) {
		l.Requeue(c.token, reactor.Readable)
		return
	}
	c.cursor += n
	switch {
	case n < len(turn):
		c.f.refused++
		c.arm(l, true)
	case n < len(pending):
		c.f.spent++
		l.Requeue(c.token, reactor.Writable)
	default:
		c.arm(l, false)
	}
}

// arm asks for Writable while the client is blocked, and only then, so that one that keeps up costs
// no call.
func (c *client) arm(l *reactor.Loop, blocked bool) {
	if !blocked && !c.blocked {
		return
	}
	c.blocked = blocked
	interest := reactor.Readable
	if blocked {
		interest |= reactor.Writable
	}
	if err := l.Rearm(c.token, interest); err != nil {
		l.Close(c.token)
	}
}

// serve runs a fanout and returns its address. stop ends it; after that the fanout may be looked
// at.
func serve(t *testing.T, k *reactortest.Kernel) (f *fanout, addr string, stop func()) {
	t.Helper()
	ln, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	defer ln.Close()
	raw, err := ln.SyscallConn()
	must(t, err)
	var fd int
	must(t, raw.Control(func(original uintptr) { fd, err = reactor.Duplicate(int(original)) }))
	must(t, err)

	f = &fanout{}
	f.loop, err = reactor.NewLoop(reactor.Options{Kernel: k})
	must(t, err)
	_, err = f.loop.Register(fd, reactor.Readable, reactor.Level, &door{f, fd})
	must(t, err)
	f.loop.BeforeSleep(f.room)
	done := make(chan error, 1)
	go func() { done <- f.loop.Run() }()
	var ended bool
	stop = func() {
		if ended {
			return
		}
		ended = true
		f.loop.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return f, ln.Addr().String(), stop
}

// join connects count clients and waits until the server has them.
func join(t *testing.T, f *fanout, addr string, count int) []*net.TCPConn {
	t.Helper()
	conns := make([]*net.TCPConn, count)
	for i := range conns {
		c, err := net.DialTimeout("tcp4", addr, patience)
		must(t, err)
		t.Cleanup(func() { c.Close() })
		must(t, c.SetDeadline(time.Now().Add(patience)))
		conns[i] = c.(*net.TCPConn)
	}
	eventually(t, f, func() bool { return f.accepted >= count })
	return conns
}

// eventually waits for a condition that is looked at on the loop.
func eventually(t *testing.T, f *fanout, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		met := make(chan bool, 1)
		if !f.loop.Post(func(*reactor.Loop) { met <- condition() }) {
			t.Fatal("the loop takes no task")
		}
		if <-met {
			return
		}
	}
	t.Fatal("waited in vain")
}

// patience is how long a peer waits before it calls the server stuck.
const patience = testenv.Patience

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
