//go:build linux

package gateway

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor"
	"sluice/reactor/reactortest"
	"sluice/wsproto"
)

// spreadOver opens connections until each loop has as many as wanted, and closes the others.
func spreadOver(t *testing.T, s *Server, addr, path string, wanted []int) (byLoop [][]net.Conn) {
	t.Helper()
	byLoop = make([][]net.Conn, len(wanted))
	for isDone := false; !isDone; {
		c, err := wstest.UpgradeRaw(addr, path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if i := loopOf(t, s, c); len(byLoop[i]) < wanted[i] {
			byLoop[i] = append(byLoop[i], c)
		} else {
			defer c.Close() // Not before, or the next one would come to the same loop.
		}
		isDone = true
		for i := range wanted {
			isDone = isDone && len(byLoop[i]) == wanted[i]
		}
	}
	return byLoop
}

// loopOf says which loop serves a client.
func loopOf(t *testing.T, s *Server, client net.Conn) int {
	t.Helper()
	found, port := make(chan int, len(s.workers)), client.LocalAddr().(*net.TCPAddr).Port
	for i, w := range s.workers {
		if !w.loop.Post(func(l *reactor.Loop) {
			for _, source := range l.Sources {
				if c, ok := source.(*conn); ok && c.life == open {
					if peer, err := unix.Getpeername(int(c.fd)); err == nil && peer.(*unix.SockaddrInet4).Port == port {
						found <- i
						return
					}
				}
			}
			found <- -1
		}) {
			t.Fatal("the loop takes no task")
		}
	}
	at := -1
	for range s.workers {
		at = max(at, <-found)
	}
	if at < 0 {
		t.Fatal("no loop serves the client")
	}
	return at
}

// pour sends numbered messages of one sender for as long as they are taken.
func pour(c net.Conn, sender byte) {
	payload := make([]byte, floodMessage)
	payload[8] = sender
	var batch []byte
	for i := uint64(0); ; i++ {
		binary.BigEndian.PutUint64(payload, i)
		batch = wsproto.AppendMaskedFrame(batch, wsproto.OpBinary, true, [4]byte{1, 2, 3, byte(i)}, payload)
		if len(batch) >= 64<<10 {
			if _, err := c.Write(batch); err != nil {
				return
			}
			batch = batch[:0]
		}
	}
}

// listen reads messages of floodMessage bytes, and gives each to heard until that says that it is
// enough.
func listen(c net.Conn, heard func(payload []byte) bool) error {
	frame := make([]byte, 4+floodMessage)
	for {
		if _, err := io.ReadFull(c, frame); err != nil {
			return err
		}
		if !heard(frame[4:]) {
			return nil
		}
	}
}

// Publishers of one room have equal shares of it, on whichever loops they are.
//
// Relatives: several on one loop against one on another; three loops; all on one loop; next to
// nobody who reads. One that sends now and then is beside these in package hub's tests.
func TestN73_PublishersOnDifferentLoopsHaveEqualShares(t *testing.T) {
	type plan struct{ senders, readers []int } // by loop
	plans, messages := []plan{{[]int{1, 1}, []int{0, 40}}, {[]int{1, 3}, []int{0, 20}}}, 5_000
	if testenv.IsWholeSize(t) {
		messages = 30_000
		plans = append(
			plans,
			plan{[]int{1, 1}, []int{0, 100}},
			plan{[]int{4, 1}, []int{0, 40}},
			plan{[]int{1, 2, 1}, []int{0, 40, 5}},
			plan{[]int{3, 0}, []int{0, 40}},
			plan{[]int{1, 1}, []int{0, 2}},
		)
	}
	const unheard = 3_000 // The first may fill the room before the others have begun.
	for _, plan := range plans {
		t.Run(fmt.Sprintf("%v senders,%v readers", plan.senders, plan.readers), func(t *testing.T) {
			cfg := testConfig()
			cfg.Loops = len(plan.senders)
			cfg.StallTimeout = time.Hour
			s, addr := startGateway(t, cfg)
			wanted := slices.Clone(plan.senders)
			for i, n := range plan.readers {
				wanted[i] += n
			}
			clients := spreadOver(t, s, addr, "/ws/shared", wanted)
			var all, senders []net.Conn
			for i, some := range clients {
				all = append(all, some...)
				senders = append(senders, some[:plan.senders[i]]...)
			}
			shares := make([]int, len(senders))
			total := 0
			began := time.Now()
			done := make(chan error, 1)
			for i, c := range all {
				if i > 0 {
					go func() { _, _ = io.Copy(io.Discard, c) }()
					continue
				}
				c.SetReadDeadline(time.Now().Add(testenv.Patience))
				go func() {
					done <- listen(c, func(p []byte) bool {
						total++
						if total > unheard {
							shares[p[8]]++
						}
						return total < unheard+messages
					})
				}()
			}
			for i, c := range senders {
				go pour(c, byte(i))
			}
			if err := <-done; err != nil {
				t.Fatalf("after %d messages: %v", total, err)
			}
			t.Logf("shares %v; %.0f MB/s in all", shares, float64(total*floodMessage)/1e6/time.Since(began).Seconds())
			if least, most := slices.Min(shares), slices.Max(shares); 2*most > 3*least {
				t.Errorf("of %d messages the senders' shares are %v: the largest is more than 1.5 times the smallest", messages, shares)
			}
		})
	}
}

// A publisher whose turn it is holds nobody, whatever becomes of it. The clock stands still
// meanwhile, so nobody is given up.
//
// Relatives: the frame that it sends is not whole; it is over its rate; it sends a ping; it goes,
// in order or not; its loop is stuck, and only time helps.
func TestN73_PublisherInItsTurnHoldsNobody(t *testing.T) {
	text := func(n int) []byte { return wstest.MaskedBinary(string(make([]byte, n))) }
	for _, end := range []struct {
		name   string
		input  []byte
		happen func(*steppedClient)
	}{
		{"all is said", text(100), nil},
		{"a frame is not whole", append(text(100), text(1000)[:500]...), nil},
		{"only a frame that is not whole", text(1000)[:500], nil},
		{"a ping", wstest.MaskedPing("x"), nil},
		{"over its rate", append(text(100), append(text(100), append(text(100), append(text(100), text(100)...)...)...)...), nil},
		{"a Close frame", wstest.MaskedClose(1000, ""), nil},
		{"a violation", []byte{0xff, 0xff}, nil},
		{"goes in order", text(100), func(c *steppedClient) { c.CloseWrite() }},
		{"goes by a reset", text(100), func(c *steppedClient) { c.Reset() }},
		{"closed by the gateway", text(100), func(c *steppedClient) { c.c.close(ClosedDrain) }},
		{"cut by the gateway", text(100), func(c *steppedClient) { c.c.abort(ClosedStalled) }},
		{"its loop is stuck", text(100), nil},
	} {
		t.Run(end.name, func(t *testing.T) {
			cfg := testConfig()
			cfg.Loops, cfg.PublishWindow, cfg.MessageRate = 2, 20<<10, 3
			st := newStepped(t, cfg, nil)
			// Three on loop 1 that do not read, so the room is full of two messages; and loop 1
			// says when it is no longer.
			st.kernel.SetBuffers(reactortest.Buffers{Send: 1 << 10, PeerReceive: 1 << 10, PeerSend: 64 << 10, Receive: 64 << 10})
			readers := []*steppedClient{st.join(1, "/ws/r"), st.join(1, "/ws/r"), st.join(1, "/ws/r"), st.join(1, "/ws/r"), st.join(1, "/ws/r")}
			st.kernel.SetBuffers(reactortest.Buffers{Send: 64 << 10, PeerReceive: 64 << 10, PeerSend: 64 << 10, Receive: 64 << 10})
			first, holder, next := st.join(0, "/ws/r"), st.join(0, "/ws/r"), st.join(1, "/ws/r")
			first.send(text(12<<10), text(12<<10))
			st.tickAll(5)
			if !first.c.reader.Room().IsFull() {
				t.Fatal("the room is not full")
			}
			holder.send(end.input)
			st.tickAll(5)
			if !holder.hasPaused() {
				t.Fatal("a publisher does not wait for a full room")
			}
			for i := 0; holder.hasPaused() || next.c.reader.Room().IsFull(); i++ {
				if i > 1000 {
					t.Fatal("its turn does not come")
				}
				for _, r := range readers {
					r.take()
				}
				first.take()
				st.tick(1, 1)
				if !holder.c.reader.Room().IsFull() {
					st.tick(0, 1) // Resumed at the end of this tick, to be read in the next.
				}
			}
			next.send(text(100))
			st.tick(1, 3)
			if !next.hasPaused() {
				t.Fatal("the next one does not wait for one whose turn it is")
			}
			if end.happen != nil {
				end.happen(holder)
			}
			if end.name == "its loop is stuck" {
				st.lapse(200*time.Millisecond, 0)
			} else {
				st.tick(0, 2)
				st.tick(1, 3)
			}
			if before := st.s.workers[1].stats.Messages; next.hasPaused() || before != 1 {
				t.Errorf("the next one still waits (%v); of its message %d were taken", next.hasPaused(), before)
			}
		})
	}
}
