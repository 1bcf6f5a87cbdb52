//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package reactor_test

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"

	"sluice/reactor/reactortest"
)

// stream is n bytes in which every stretch of a few is unlike the others.
func stream(n int) []byte {
	p := make([]byte, n)
	x := uint32(n) | 1
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = byte(x >> 24)
	}
	return p
}

// receive reads n bytes from each of conns at once.
func receive(t *testing.T, conns []*net.TCPConn, n int) [][]byte {
	t.Helper()
	got := make([][]byte, len(conns))
	var all sync.WaitGroup
	for i, c := range conns {
		all.Go(func() {
			got[i] = make([]byte, n)
			if read, err := io.ReadFull(c, got[i]); err != nil {
				t.Errorf("client %d: %v after %d of %d bytes", i, err, read, n)
			}
		})
	}
	all.Wait()
	return got
}

func send(t *testing.T, c *net.TCPConn, p []byte) *sync.WaitGroup {
	var sent sync.WaitGroup
	sent.Go(func() {
		if _, err := c.Write(p); err != nil {
			t.Error(err)
		}
	})
	return &sent
}

func TestFanoutAllReceiveWhatSeveralSendInOneOrder(t *testing.T) {
	const senders, each = 5, 300_000
	f, addr, stop := serve(t, reactortest.New())
	conns := join(t, f, addr, 20)
	for _, c := range conns[:senders] {
		defer send(t, c, stream(each)).Wait()
	}
	got := receive(t, conns, senders*each)
	stop()
	for i := range got {
		if !bytes.Equal(got[i], f.log) {
			t.Errorf("client %d received something else than the others", i)
		}
	}
	if f.spent == 0 {
		t.Error("no turn ended at its budget: the test sends too little")
	}
}

func TestFanoutLoneMessageComesWithoutRearming(t *testing.T) {
	k := reactortest.New()
	f, addr, _ := serve(t, k)
	conns := join(t, f, addr, 10)
	for _, sender := range conns {
		defer send(t, sender, []byte("hello")).Wait()
		for i, got := range receive(t, conns, 5) {
			if string(got) != "hello" {
				t.Errorf("client %d received %q", i, got)
			}
		}
	}
	if n := k.Count(reactortest.Rearm); n != 0 {
		t.Errorf("%d rearms for clients that keep up", n)
	}
}

// The stalled client's share waits behind its cursor; the others have all of theirs before it reads
// its first byte.
func TestFanoutClientThatStopsReadingGetsEveryByteLater(t *testing.T) {
	const total = 4 << 20
	k := reactortest.New()
	f, addr, stop := serve(t, k)
	conns := join(t, f, addr, 6)
	stalled, others := conns[0], conns[1:]
	want := stream(total)
	defer send(t, others[0], want).Wait()
	for i, got := range receive(t, others, total) {
		if !bytes.Equal(got, want) {
			t.Errorf("client %d received other bytes than were sent", i+1)
		}
	}
	eventually(t, f, func() bool { return len(f.log) == total })
	if k.Count(reactortest.Rearm) == 0 {
		t.Error("nobody was refused: the test sends too little")
	}
	if got := receive(t, conns[:1], total)[0]; !bytes.Equal(got, want) {
		t.Error("the stalled client received other bytes than were sent")
	}
	defer send(t, stalled, []byte("and on")).Wait()
	for i, got := range receive(t, conns, 6) {
		if string(got) != "and on" {
			t.Errorf("client %d received %q after the stall", i, got)
		}
	}
	stop()
	if f.refused == 0 {
		t.Error("no write was refused")
	}
}

// A short write at every offset of the stream, and a refusal at each place where one ends.
func TestK10_FanoutSurvivesAShortWriteAtEveryOffset(t *testing.T) {
	const total = 2000
	for _, n := range []int{1, 2, 3, 7, 64, 1999} {
		k := reactortest.New()
		k.Limit(reactortest.Write, reactortest.CutEvery(n))
		k.Limit(reactortest.Read, reactortest.CutEvery(n+1))
		f, addr, stop := serve(t, k)
		conns := join(t, f, addr, 3)
		want := stream(total)
		sent := send(t, conns[0], want)
		for i, got := range receive(t, conns, total) {
			if !bytes.Equal(got, want) {
				t.Errorf("cut every %d: client %d received other bytes than were sent", n, i)
			}
		}
		sent.Wait()
		stop()
		if f.refused < total/n {
			t.Errorf("cut every %d: %d refusals", n, f.refused)
		}
	}
}

// K11: the kernel refuses the very first write of each connection.
func TestK11_FanoutContinuesAfterItsFirstWriteWasRefused(t *testing.T) {
	k := reactortest.New()
	refused := map[int]bool{}
	k.Limit(reactortest.Write, func(fd int, _ int64, want int) int {
		if !refused[fd] {
			refused[fd] = true
			return 0
		}
		return want
	})
	f, addr, _ := serve(t, k)
	conns := join(t, f, addr, 4)
	defer send(t, conns[3], []byte("first")).Wait()
	for i, got := range receive(t, conns, 5) {
		if string(got) != "first" {
			t.Errorf("client %d received %q", i, got)
		}
	}
}

func TestFanoutCleansUpAfterHangups(t *testing.T) {
	f, addr, stop := serve(t, reactortest.New())
	conns := join(t, f, addr, 60)
	for i, c := range conns[:40] {
		switch i % 4 {
		case 0:
			must(t, c.SetLinger(0)) // A reset.
		case 1:
			must(t, c.CloseWrite())
			continue
		case 2:
			_, err := c.Write([]byte("x")) // It leaves unread input behind, which makes a reset too.
			must(t, err)
		}
		must(t, c.Close())
	}
	eventually(t, f, func() bool { return f.loop.Len() == 1+20 })
	rest := conns[40:]
	receive(t, rest, 10) // What the leavers had said.
	sent := send(t, rest[0], []byte("still here"))
	for i, got := range receive(t, rest, 10) {
		if string(got) != "still here" {
			t.Errorf("client %d received %q", i, got)
		}
	}
	sent.Wait()
	stop()
	if f.loop.Len() != 0 {
		t.Errorf("%d sources after the end", f.loop.Len())
	}
}

func TestFanoutHasNoGoroutinePerConnection(t *testing.T) {
	f, addr, _ := serve(t, reactortest.New())
	join(t, f, addr, 1)
	before := runtime.NumGoroutine()
	conns := join(t, f, addr, 300)
	// One that has helped to connect may be just about to end.
	eventually(t, f, func() bool { return runtime.NumGoroutine() <= before })
	_, err := conns[0].Write([]byte("busy"))
	must(t, err)
	buf := make([]byte, 4)
	for _, c := range conns {
		_, err := io.ReadFull(c, buf)
		must(t, err)
	}
	eventually(t, f, func() bool { return runtime.NumGoroutine() <= before })
}
