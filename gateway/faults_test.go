package gateway

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor/reactortest"
)

// talk lets one client send messages of many sizes into a room of three and checks that each of
// them gets every message whole and in order, on a kernel that misbehaves.
func talk(t *testing.T, kernel *reactortest.Kernel) Stats {
	t.Helper()
	s, addr := startGatewayOn(t, testConfig(), kernel)
	ctx, cancel := context.WithTimeout(t.Context(), 10*testenv.Patience)
	defer cancel()
	var clients []*websocket.Conn
	for range 3 {
		clients = append(clients, wstest.Dial(t, addr, "/ws/faults"))
	}
	var sent [][]byte
	messages := 20
	if testenv.IsWholeSize(t) {
		messages = 60
	}
	for i := range messages {
		sent = append(sent, bytes.Repeat([]byte{byte('a' + i%26)}, i*i%700))
	}
	sent = append(sent, bytes.Repeat([]byte("x"), 1000))
	failed := make(chan error, 1)
	go func() {
		for _, p := range sent {
			if err := clients[0].Write(ctx, websocket.MessageBinary, p); err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
	}()
	for i, want := range sent {
		for n, c := range clients {
			if _, got, err := c.Read(ctx); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("client %d, message %d: %d bytes of %d, or they differ: %v", n, i, len(got), len(want), err)
			}
		}
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	// A ping is answered in the middle of it all, by a reading client.
	reading := clients[1].CloseRead(ctx)
	if err := clients[1].Ping(reading); err != nil {
		t.Errorf("ping: %v", err)
	}
	stats, err := s.Stats(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return stats
}

// Writes of every length from one byte on, each followed by a refusal: together they end at every
// offset of the stream.
func TestK10_WritesEndAtEveryOffset(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 5, 7, 64, 65, 66, 67, 1000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			kernel := reactortest.New()
			kernel.Limit(reactortest.Write, reactortest.CutEvery(n))
			if stats := talk(t, kernel); stats.Refused == 0 {
				t.Error("no write was refused: the script did not run")
			}
		})
	}
}

func TestF14_ReadsEndAtEveryOffset(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 13} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			kernel := reactortest.New()
			kernel.Limit(reactortest.Read, reactortest.CutEvery(n))
			talk(t, kernel)
		})
	}
}

// The very first write of a connection is refused, and so is each first try of a later one.
func TestK11_FirstWriteEverIsRefused(t *testing.T) {
	kernel := reactortest.New()
	refused := map[int]int64{} // by descriptor: the offset that was refused last
	kernel.Limit(reactortest.Write, func(fd int, off int64, want int) int {
		if last, ok := refused[fd]; ok && last == off {
			return want
		}
		refused[fd] = off
		return 0
	})
	if stats := talk(t, kernel); stats.Refused == 0 {
		t.Error("no write was refused: the script did not run")
	}
}

func TestInterruptedCallsAreMadeAgain(t *testing.T) {
	kernel := reactortest.New()
	for range 50 {
		kernel.Fail(reactortest.Write, reactortest.AnyFD, syscall.EINTR, nil)
		kernel.Fail(reactortest.Read, reactortest.AnyFD, syscall.EINTR, nil)
		kernel.Fail(reactortest.Wait, reactortest.AnyFD, syscall.EINTR, nil)
	}
	talk(t, kernel)
}

func TestK13_ErrorsOfOneConnectionDoNotStopTheListener(t *testing.T) {
	kernel := reactortest.New()
	kernel.Fail(reactortest.Accept, reactortest.AnyFD, syscall.ECONNABORTED, syscall.EPROTO, syscall.EPERM, syscall.ENETDOWN)
	if stats := talk(t, kernel); stats.AcceptFailed != 4 {
		t.Errorf("%d failures counted, want 4", stats.AcceptFailed)
	}
}

// Out of descriptors with connections pending: accepting rests, without spinning, and goes on by
// itself when there are some again, although no new connection comes.
func TestK14_AcceptingRestsWhileDescriptorsAreOut(t *testing.T) {
	t.Parallel()
	kernel := reactortest.New()
	s, addr := startGatewayOn(t, testConfig(), kernel)
	kernel.Fail(reactortest.Accept, reactortest.AnyFD, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM)
	var pending []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		pending = append(pending, c)
	}
	start, before := time.Now(), kernel.Count(reactortest.Accept)
	for end := start.Add(testenv.Patience); s.Open() < len(pending) && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	if n := s.Open(); n != len(pending) {
		t.Fatalf("%d of %d pending connections were taken", n, len(pending))
	}
	if calls := kernel.Count(reactortest.Accept) - before; calls > 20 {
		t.Errorf("accept was called %d times: it spins", calls)
	}
	stats, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if stats.AcceptPaused != 3 {
		t.Errorf("accepting rested %d times, want 3, one for each failure", stats.AcceptPaused)
	}
}

func TestK16_ConnectionThatCannotBeWatchedIsClosedAlone(t *testing.T) {
	kernel := reactortest.New()
	s, addr := startGatewayOn(t, testConfig(), kernel)
	kernel.Fail(reactortest.Register, reactortest.AnyFD, syscall.ENOSPC)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(testenv.Patience))
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes from a connection nobody watches", n)
	} else if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Error("the connection was not closed")
	}
	testenv.Eventually(t, "a count of no connections", func() bool { return s.Open() == 0 })
	a := wstest.Dial(t, addr, "/ws")
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	if err := a.Write(ctx, websocket.MessageText, []byte("still here")); err != nil {
		t.Fatal(err)
	}
	if _, p, err := a.Read(ctx); err != nil || string(p) != "still here" {
		t.Errorf("the next connection got %q, %v", p, err)
	}
}

// A client says something and resets the connection at once: the kernel reports bytes, end and
// error together. What it said is heard if the kernel still has it, and in any case the connection
// is gone and nobody else is harmed.
func TestK05_LastWordsBeforeAReset(t *testing.T) {
	const clients = 100
	s, addr := startGateway(t, testConfig())
	witness := wstest.Join(t, addr, "/ws/r")
	for i := range clients {
		c := wstest.Join(t, addr, "/ws/r")
		c.Send(wstest.MaskedText(fmt.Sprintf("%03d", i)))
		c.Reset()
	}
	testenv.Eventually(t, "they are gone", func() bool { return s.Open() == 1 })
	heard := testenv.StatsOf(t, s).Messages
	t.Logf("of %d last words %d were heard", clients, heard)
	witness.Send(wstest.MaskedText("end"))
	for last, n := "", uint64(0); ; n++ {
		f := witness.Frame()
		if string(f.Payload) == "end" {
			if n != heard {
				t.Errorf("%d messages came, of %d that were taken", n, heard)
			}
			break
		}
		if string(f.Payload) == last {
			t.Errorf("%q came twice", last)
		}
		last = string(f.Payload)
	}
	if st := testenv.StatsOf(t, s); st.Closed[ClosedGone] != clients {
		t.Errorf("closed: %v; want %d gone", st.Closed, clients)
	}
}

// No edge tells of what a turn's budget has left in the socket.
func TestE01_BurstBeyondATurnsBudgetIsReadToItsEnd(t *testing.T) {
	s, addr := startGateway(t, testConfig())
	c := wstest.Join(t, addr, "/ws/r")
	var burst []byte
	const messages, size = 1024, 1 << 10
	for i := range messages {
		burst = append(burst, wstest.Masked(ws.OpBinary, true, string(wstest.Message(uint64(i), size)))...)
	}
	go c.TrySend(burst)
	c.ExpectMessages(0, messages, size)
	if st := testenv.StatsOf(t, s); st.Messages != messages {
		t.Errorf("%d messages were received, of %d", st.Messages, messages)
	}
}

// Closing a socket with unread input resets the connection, and the reset can overtake the Close
// frame: 60 KiB that nobody will read stand behind the violation.
func TestK08_CloseFrameIsNotLostToUnreadInput(t *testing.T) {
	_, addr := startGateway(t, testConfig())
	for range 50 {
		c := wstest.Join(t, addr, "/ws/r")
		c.Send(wstest.FrameBytes(0x83, 0x80, wstest.ZeroMask), make([]byte, 60<<10))
		c.ExpectClose(1002)
		c.ExpectEnd()
		c.Close()
	}
}

// An endlessKernel has accept fail for as long as a test likes.
type endlessKernel struct {
	*reactortest.Kernel
	failure atomic.Pointer[syscall.Errno]
	calls   atomic.Int32
}

func (k *endlessKernel) Accept(fd int) (int, error) {
	k.calls.Add(1)
	if errno := k.failure.Load(); errno != nil {
		return -1, *errno
	}
	return k.Kernel.Accept(fd)
}

// An error of accept that comes again and again does not spin the loop, be it said to be one
// connection's. It is logged once a second, and accepting goes on when it is over. Relatives: all
// that accept(2) lists, and EINTR.
func TestN26_AcceptThatFailsForEverRests(t *testing.T) {
	t.Parallel()
	for _, errno := range []syscall.Errno{
		syscall.ECONNABORTED, syscall.EPERM, syscall.EPROTO, syscall.EINTR, syscall.ENETDOWN, syscall.EOPNOTSUPP, syscall.EINVAL, syscall.EBADF, syscall.EMFILE, syscall.ENOMEM,
	} {
		t.Run(errno.Error(), func(t *testing.T) {
			var log journal
			kernel := &endlessKernel{Kernel: reactortest.New()}
			kernel.StopClock()
			s, addr := startGatewayLogging(t, testConfig(), kernel, &log)
			here := wstest.Join(t, addr, "/ws/r")
			kernel.failure.Store(&errno)
			before := kernel.calls.Load()
			waiting := wstest.Connect(t, addr)
			testenv.Eventually(t, "accepting rests", func() bool { return testenv.StatsOf(t, s).AcceptPaused == 1 })
			const passed = 2 * time.Second
			for range passed / (10 * time.Millisecond) {
				kernel.Pass(10 * time.Millisecond)
			}
			tried := kernel.calls.Load() - before
			t.Logf("%d attempts in %v", tried, passed)
			if most := int32(acceptsPerTick * (passed/acceptPause + 1)); tried > most || tried < 5 {
				t.Errorf("%d attempts, want at most %d", tried, most)
			}
			here.Send(wstest.MaskedText("still served"))
			here.ExpectFrame(ws.OpText, "still served")
			kernel.failure.Store(nil)
			kernel.Pass(acceptRetry)
			waiting.Send(wstest.UpgradeHead("/ws/r"))
			waiting.ExpectUpgrade()
			if lines := log.lines("cannot accept connections"); len(lines) < 2 || len(lines) > 3 {
				t.Errorf("%d lines in %v: %q", len(lines), passed, lines)
			}
		})
	}
}
