//go:build linux

package gateway

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor"
	"sluice/reactor/reactortest"
)

// A slowKernel is one whose calls take as long as they do on a real machine; nothing else takes
// time there.
type slowKernel struct {
	*reactortest.Sim
	isRunning bool
	passed    func()       // some time has
	wrote     func(fd int) // a call has
}

const (
	waitCost = time.Microsecond
	callCost = 4 * time.Microsecond
	sendCost = 3 * time.Microsecond // of one by a ring
	perKB    = 400 * time.Nanosecond
)

func (k *slowKernel) spend(d time.Duration) {
	if k.isRunning {
		k.Advance(d)
		k.passed()
	}
}

func (k *slowKernel) EpollWait(epfd int, events []unix.EpollEvent, msec int) (int, error) {
	n, err := k.Sim.EpollWait(epfd, events, msec)
	k.spend(waitCost)
	return n, err
}

func (k *slowKernel) Read(fd int, p []byte) (int, error) {
	n, err := k.Sim.Read(fd, p)
	k.spend(callCost + time.Duration(n)*perKB/1024)
	return n, err
}

func (k *slowKernel) SendRing(r *reactor.KernelRing, batch []reactor.Send, done []reactor.Completion) (begun, completed int, err error) {
	begun, completed, err = k.Sim.SendRing(r, batch, done)
	for _, is := range done[:completed] {
		k.spend(sendCost + time.Duration(max(0, is.Result))*perKB/1024)
		if k.isRunning {
			k.wrote(batch[is.Index].FD)
		}
	}
	return begun, completed, err
}

func (k *slowKernel) Write(fd int, p []byte) (int, error) {
	n, err := k.Sim.Write(fd, p)
	k.spend(callCost + time.Duration(n)*perKB/1024)
	if k.isRunning {
		k.wrote(fd)
	}
	return n, err
}

// A quietPlan is a flood beside a quiet room of ten, all on one loop.
type quietPlan struct {
	name             string
	rooms            int // that are flooded, by a sender each
	readers, stalled int // of each
	message          int
	socket           int           // what the kernel takes for one client that has read all; zero: 64 KiB
	most             time.Duration // that a message of the quiet room may take
}

// measure sends messages in the quiet room at arbitrary moments, and returns how long each took to
// be written to the last of the ten.
func (p quietPlan) measure(t *testing.T, messages int) (took []time.Duration, longest time.Duration) {
	cfg := testConfig()
	cfg.Loops, cfg.StallTimeout = 1, time.Hour
	var kernel *slowKernel
	st := newStepped(t, cfg, func(s *reactortest.Sim) reactor.Kernel {
		kernel = &slowKernel{Sim: s}
		return kernel
	})
	if p.socket > 0 {
		st.kernel.SetBuffers(reactortest.Buffers{Send: p.socket, PeerReceive: p.socket, PeerSend: 64 << 10, Receive: 64 << 10})
	}
	quiet, flood := map[int]*steppedClient{}, map[int]*steppedClient{}
	var publisher *steppedClient
	for range 10 {
		publisher = st.join(0, "/ws/quiet")
		quiet[int(publisher.c.fd)] = publisher
	}
	var senders []*steppedClient
	for i := range p.rooms {
		for k := range 1 + p.readers + p.stalled {
			c := st.join(0, fmt.Sprintf("/ws/flood-%d", i))
			if k == 0 {
				senders = append(senders, c)
			}
			if k <= p.readers {
				flood[int(c.c.fd)] = c
			}
		}
	}
	frame := wstest.MaskedBinary(string(make([]byte, p.message)))
	batch := slices.Repeat(frame, 1+(64<<10)/len(frame))
	rest := make([][]byte, len(senders))
	random := rand.New(rand.NewPCG(1, 2))
	var sent, next time.Duration
	waits := 0
	kernel.passed = func() {
		if now := kernel.Now(); waits == 0 && now >= next && now > 0 {
			sent, waits = now, len(quiet)
			publisher.send(wstest.MaskedText("tick"))
		}
	}
	kernel.wrote = func(fd int) {
		if c := flood[fd]; c != nil {
			c.take()
		} else if c := quiet[fd]; c != nil && waits > 0 {
			if c.take(); waits == 1 {
				took = append(took, kernel.Now()-sent)
				next = kernel.Now() + time.Duration(random.IntN(int(3*time.Millisecond)))
			}
			waits--
		}
	}
	kernel.isRunning = true
	next = kernel.Now() + 20*time.Millisecond // By then every flood is under way.
	for len(took) < messages {
		for i, c := range senders {
			if len(rest[i]) == 0 {
				rest[i] = batch
			}
			n, _ := c.Write(rest[i])
			rest[i] = rest[i][max(n, 0):]
		}
		began := kernel.Now()
		st.tick(0, 1)
		longest = max(longest, kernel.Now()-began)
	}
	if bytes := st.s.workers[0].fan.Stats().Bytes; bytes < uint64(messages)*100<<10 {
		t.Errorf("there was no flood: %d bytes", bytes)
	}
	return took, longest
}

// A quiet room's message is written to all of its ten clients soon, whatever its neighbours on the
// loop do. What counts is the loop's own time: that of its system calls, here.
//
// Relatives: a crowd of readers, few, some of which have stopped reading; tiny messages and large
// ones; many flooded rooms, whose clients take all, or are refused at every write.
func TestN25_QuietRoomWaitsForNoFlood(t *testing.T) {
	t.Parallel()
	const (
		most      = 500 * time.Microsecond // a sweep's time, a batch that outlasts it, and what the message itself takes
		mostRooms = time.Millisecond       // and the time of the senders that stand in line to be read
	)
	for _, p := range []quietPlan{
		{"200 readers", 1, 200, 0, 1 << 10, 0, most},
		{"5 readers", 1, 5, 0, 1 << 10, 0, most},
		{"most are stalled", 1, 20, 30, 1 << 10, 0, most},
		{"tiny messages", 1, 50, 0, 16, 0, most},
		{"large messages", 1, 50, 0, 100 << 10, 0, most},
		{"the largest messages, each in one write", 1, 10, 0, 1 << 20, 4 << 20, most},
		{"20 rooms", 20, 10, 0, 1 << 10, 0, mostRooms},
		{"60 rooms", 60, 3, 0, 1 << 10, 0, mostRooms},
		{"60 rooms whose clients are refused", 60, 3, 0, 1 << 10, 63 << 10, mostRooms},
	} {
		messages := 20
		if testenv.IsWholeSize(t) {
			messages = 200
		} else if testenv.RaceEnabled {
			messages = 5
		}
		t.Run(p.name, func(t *testing.T) {
			took, longest := p.measure(t, messages)
			t.Logf("p50 %v, p99 %v; longest tick %v", quantile(took, 0.5), quantile(took, 0.99), longest)
			if most := slices.Max(took); most > p.most {
				t.Errorf("a message of the quiet room took %v of the loop's time, want at most %v", most, p.most)
			}
		})
	}
}
