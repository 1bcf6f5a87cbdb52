package gateway

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor"
	"sluice/reactor/reactortest"
)

// Whatever the kernel lacks memory for, once or up to three times in a row, is done a little later.
// Relatives: a room's message, bytes of a client's own (the 101, pongs, the Close frame), the
// shutdown behind that, reading, and asking for an edge (ENOSPC as well), be it to be told of room
// or no longer. Errors of accept are N26's, of registering K16's.
func TestN23_ShortagesOfTheKernelLoseNothing(t *testing.T) {
	t.Parallel()
	most := 2
	if testenv.IsWholeSize(t) {
		most = len(retryAfter)
	}
	for _, errno := range []syscall.Errno{syscall.ENOBUFS, syscall.ENOMEM} {
		for _, times := range []int{1, most} {
			for _, c := range []struct {
				name string
				call reactortest.Call
				at   string // what is under way when it strikes
			}{
				{"the answer to the request", reactortest.Write, "upgrade"},
				{"a message", reactortest.Write, "message"},
				{"a pong", reactortest.Write, "ping"},
				{"the Close frame", reactortest.Write, "close"},
				{"reading a request", reactortest.Read, "upgrade"},
				{"reading a message", reactortest.Read, "message"},
				{"reading a Close frame", reactortest.Read, "close"},
			} {
				t.Run(fmt.Sprintf("%s/%v_%d", c.name, errno, times), func(t *testing.T) {
					t.Parallel() // It waits for what was put off.
					kernel := reactortest.New()
					s, addr := startGatewayOn(t, testConfig(), kernel)
					strike := func(at string) {
						if at == c.at {
							kernel.Fail(c.call, reactortest.AnyFD, slices.Repeat([]error{errno}, times)...)
						}
					}
					strike("upgrade")
					client := wstest.Connect(t, addr)
					client.Send(wstest.UpgradeHead("/ws/r"))
					client.ExpectUpgrade()
					strike("message")
					client.Send(wstest.MaskedText("hello"))
					client.ExpectFrame(ws.OpText, "hello")
					strike("ping")
					client.Send(wstest.MaskedPing("p"))
					client.ExpectFrame(ws.OpPong, "p")
					strike("close")
					client.Send(wstest.MaskedClose(1000, ""))
					client.ExpectClose(1000)
					client.ExpectEnd()
					client.EndWrites()
					expectClosed(t, s, ClosedByPeer, 1)
					if st := testenv.StatsOf(t, s); st.PutOff != uint64(times) {
						t.Errorf("%d calls were put off, of %d that failed", st.PutOff, times)
					}
				})
			}
		}
	}
}

// Rearming fails: writes are refused all the time, so that it is needed all the time.
func TestN23_ShortagesOfRearmingLoseNothing(t *testing.T) {
	t.Parallel()
	for _, errno := range []error{syscall.ENOMEM, syscall.ENOSPC} {
		kernel := reactortest.New()
		kernel.Limit(reactortest.Write, reactortest.CutEvery(7))
		for range 8 {
			kernel.Fail(reactortest.Rearm, reactortest.AnyFD, errno, nil, errno, errno, nil, nil, errno)
		}
		stats := talk(t, kernel)
		if stats.PutOff == 0 || stats.Closed[ClosedGone]+stats.Closed[ClosedShortage] > 0 {
			t.Errorf("%v: %d were put off, closed %v", errno, stats.PutOff, stats.Closed)
		}
	}
}

// A shutdownKernel has shutdown(2) fail a few times.
type shutdownKernel struct {
	*reactortest.Kernel
	fails atomic.Int32
}

func (k *shutdownKernel) CloseWrite(fd int) error {
	if k.fails.Add(-1) >= 0 {
		return syscall.ENOBUFS
	}
	return k.Kernel.CloseWrite(fd)
}

func TestN23_ShortageOfTheShutdown(t *testing.T) {
	t.Parallel()
	kernel := &shutdownKernel{Kernel: reactortest.New()}
	kernel.fails.Store(2)
	_, addr := startGatewayOn(t, testConfig(), kernel)
	client := wstest.Join(t, addr, "/ws/r", wstest.MaskedClose(1000, ""))
	client.ExpectClose(1000)
	client.ExpectEnd()
}

// A shortage that lasts: three more tries, each at its time, then the connection ends and others go
// on.
func TestN23_ShortageThatLastsEndsTheConnection(t *testing.T) {
	for _, call := range []reactortest.Call{reactortest.Read, reactortest.Write} {
		var log journal
		kernel := reactortest.New()
		kernel.StopClock()
		s, addr := startGatewayLogging(t, testConfig(), kernel, &log)
		other, client := wstest.Join(t, addr, "/ws/other"), wstest.Join(t, addr, "/ws/r")
		tried := kernel.Count(call)
		kernel.Fail(call, reactortest.AnyFD, slices.Repeat([]error{syscall.ENOBUFS}, 4)...)
		client.Send(wstest.MaskedText("hello"))
		for i, pause := range retryAfter {
			testenv.Eventually(t, "it was tried", func() bool { return testenv.StatsOf(t, s).PutOff == uint64(i+1) })
			if i == 0 {
				tried = kernel.Count(call)
			}
			if kernel.Pass(pause - time.Millisecond); kernel.Count(call) != tried+i {
				t.Errorf("%v: tried %d times more after %v, want %d", call, kernel.Count(call)-tried, pause, i)
			}
			kernel.Pass(time.Millisecond)
		}
		expectClosed(t, s, ClosedShortage, 1)
		other.Send(wstest.MaskedText("unharmed"))
		other.ExpectFrame(ws.OpText, "unharmed")
		if lines := log.lines("the kernel has no memory"); len(lines) != 1 {
			t.Errorf("%v: logged %q", call, lines)
		}
	}
}

// A cutKernel takes fewer bytes than there is room for, now and then, and nudges nobody: its
// sockets stay writable, and no edge comes.
type cutKernel struct {
	*reactortest.Kernel
	cuts atomic.Int32
}

func (k *cutKernel) Write(fd int, p []byte) (int, error) {
	if len(p) > 1 && k.cuts.Add(-1) >= 0 {
		p = p[:1+len(p)/3]
	}
	return k.Kernel.Write(fd, p)
}

func (k *cutKernel) SendRing(_ *reactor.KernelRing, batch []reactor.Send, done []reactor.Completion) (begun, completed int, err error) {
	return reactortest.SendEach(k.Write, batch, done)
}

// A write that is cut short leaves a socket that takes more. Whoever is armed already has to ask
// anew. Relatives: a room's message to one who is in step or behind, bytes of its own, the last
// ones.
func TestN29_ShortWriteOfSomebodyArmedGoesOn(t *testing.T) {
	kernel := &cutKernel{Kernel: reactortest.New()}
	_, addr := startGatewayOn(t, testConfig(), kernel)
	client := wstest.Join(t, addr, "/ws/r")
	for _, size := range []int{10, 300, 70_000} {
		for cuts := range 6 {
			kernel.cuts.Store(int32(cuts))
			message := strings.Repeat("x", size)
			client.Send(wstest.MaskedText(message))
			client.ExpectFrame(ws.OpText, message)
			kernel.cuts.Store(int32(cuts))
			client.Send(wstest.MaskedPing("ping"))
			client.ExpectFrame(ws.OpPong, "ping")
		}
	}
	kernel.cuts.Store(3)
	client.Send(wstest.MaskedClose(1000, "bye"))
	client.ExpectClose(1000)
	client.ExpectEnd()
}
