package gateway

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"sluice/gateway/centrifuge"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor"
	"sluice/reactor/reactortest"
)

// delayMax is how much of the loop's time any input may cost somebody else's message: 20 ms where
// the work of inflating costs what it does on the machine that ARCHITECTURE.md has figures of, or
// in proportion more on a slower one. With the race detector, which makes inflating forty times
// slower, it only tells a loop that works from one that is stuck.
func delayMax(t *testing.T) time.Duration {
	t.Helper()
	if testenv.RaceEnabled {
		return time.Second
	}
	return time.Duration(20 * slowness(t) * float64(time.Millisecond))
}

// slowness is how many times longer this machine takes at present than 30 µs for each 50 bytes of
// the costliest blocks; at least 1.
func slowness(t *testing.T) float64 {
	t.Helper()
	const size, reference = 4000, 30 * time.Microsecond * 4000 / 50
	costly := costlyBlocks(size)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	clock := loopClock(^int32(unix.Gettid())<<3 | 6)
	var took []time.Duration
	for range 5 {
		begin := clock.now()
		if _, err := io.Copy(io.Discard, flate.NewReader(bytes.NewReader(costly))); !errors.Is(err, io.ErrUnexpectedEOF) { // It has no end.
			t.Fatal(err)
		}
		took = append(took, clock.now()-begin)
	}
	slices.Sort(took)
	return max(1, float64(took[len(took)/2])/float64(reference))
}

// A loopClock is the processor time that a loop has used. Other processes and threads do not move
// it, however busy the machine is.
type loopClock int32

// clockOf ties a loop to its thread for good and returns that thread's clock.
func clockOf(t *testing.T, l *reactor.Loop) loopClock {
	t.Helper()
	tid := make(chan int, 1)
	if err := post(t.Context(), l, func(*reactor.Loop) {
		runtime.LockOSThread()
		tid <- unix.Gettid()
	}); err != nil {
		t.Fatal(err)
	}
	// clock_getcpuclockid(3) makes the same of a process: the low bits say a thread's (4), and as
	// the scheduler counts (2).
	return loopClock(^int32(<-tid)<<3 | 6)
}

func (k loopClock) now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(k), &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano())
}

// A pair are two well-behaved clients of which one talks to the other.
type pair struct {
	speaker, hearer *wstest.Client
	clock           loopClock
	delivered       atomic.Int64 // when, on the loop's clock, the last message was written to the hearer
	tick            atomic.Int64 // the loop's longest tick
}

func newPair(t *testing.T, s *Server, addr string) *pair {
	w := s.workers[0]
	p := &pair{speaker: wstest.Join(t, addr, "/ws/pair"), hearer: wstest.Join(t, addr, "/ws/pair"), clock: clockOf(t, w.loop)}
	done := make(chan struct{})
	port := p.hearer.LocalAddr().String()
	if err := post(t.Context(), w.loop, func(l *reactor.Loop) {
		defer close(done)
		ended := p.clock.now()
		l.BeforeSleep(func() time.Duration {
			now := p.clock.now()
			p.tick.Store(max(p.tick.Load(), int64(now-ended)))
			ended = now
			return -1
		})
		for _, source := range l.Sources {
			if c, ok := source.(*conn); ok && c.life == open && peerOf(c) == port {
				var watched transport = &stopwatch{c.transport(), func(time.Time) {}, func(time.Time) { p.delivered.Store(int64(p.clock.now())) }}
				c.other = &watched
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	<-done
	return p
}

// peerOf is the address at the other end of a connection over IPv4.
func peerOf(c *conn) string {
	peer, err := unix.Getpeername(int(c.fd))
	if err != nil {
		return ""
	}
	four, ok := peer.(*unix.SockaddrInet4)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d.%d:%d", four.Addr[0], four.Addr[1], four.Addr[2], four.Addr[3], four.Port)
}

// say sends one message and returns how much the loop worked from then until it was delivered.
func (p *pair) say() time.Duration {
	p.delivered.Store(0)
	begin := p.clock.now()
	p.speaker.Send(wstest.MaskedText("tick"))
	for _, c := range []*wstest.Client{p.speaker, p.hearer} {
		c.SetDeadline(time.Now().Add(testenv.Patience))
		c.ExpectFrame(ws.OpText, "tick")
	}
	for p.delivered.Load() == 0 { // It was heard before the loop could note it.
		runtime.Gosched()
	}
	return time.Duration(p.delivered.Load()) - begin
}

// A play is something that hostile clients do at once, a few of them if it is not about a crowd.
// make prepares it and returns what each of them does.
type play struct {
	name string
	make func(t *testing.T, addr string, few int) (acts []func())
	tune func(t *testing.T, cfg *config) // nil: as it is
}

// playOf has so few clients send the input, each in a room of its own. Of what is inflated in one
// tick there is a bound for each of them, and none for all together.
func playOf(in hostileInput) play {
	return play{name: in.name, make: func(t *testing.T, addr string, few int) (acts []func()) {
		for i := range few {
			room := fmt.Sprint("/ws/", i)
			c := wstest.Connect(t, addr)
			switch {
			case in.deflates:
				c.Close()
				c = wstest.JoinDeflated(t, addr, room)
			case in.upgrade:
				c.Send(wstest.UpgradeHead(room))
				c.ExpectUpgrade()
			}
			acts = append(acts, func() {
				c.SetWriteDeadline(time.Now().Add(playTime)) // Its own failure would show in Write's.
				c.TrySend(in.sent)
			})
		}
		return acts
	}}
}

// playTime is how long a hostile client may go on if the gateway does not read on.
const playTime = 3 * time.Second

// crowdOf has so many members of one room do something.
func crowdOf(name string, size int, act func(*wstest.Client)) play {
	return play{name: name, make: func(t *testing.T, addr string, _ int) (acts []func()) {
		for range size {
			c := wstest.Join(t, addr, "/ws/crowd")
			acts = append(acts, func() { act(c) })
		}
		return acts
	}}
}

// costlyInputs take more work than most of those in hostileInputs: nothing in them is wrong.
func costlyInputs(most int) []hostileInput {
	zeros := wstest.MaskedDeflated(ws.OpBinary, wstest.Deflated(string(make([]byte, most))))
	text := strings.Repeat("κόσμε ", most/11)
	var json strings.Builder
	for i := 0; json.Len() < compressMax-100; i++ {
		fmt.Fprintf(&json, `{"id":%d,"user":"user-%d","text":"message number %d"},`, i, i*7919%1000, i*i)
	}
	fragments := wstest.FrameBytes(wstest.Masked(ws.OpText, false, "f"), bytes.Repeat(wstest.Masked(ws.OpContinuation, false, "f"), 52), wstest.Masked(ws.OpContinuation, true, "f"))
	return []hostileInput{
		{"messages_of_54_fragments", true, false, bytes.Repeat(fragments, 2000)},
		{"messages_of_a_byte", true, false, bytes.Repeat(wstest.MaskedText("x"), 100_000)},
		{"empty_pings", true, false, bytes.Repeat(wstest.Masked(ws.OpPing, true, ""), 100_000)},
		{"largest_texts", true, false, bytes.Repeat(wstest.MaskedText(text), 10)},
		{"largest_messages_of_zeros", true, true, bytes.Repeat(zeros, 30)},
		{"messages_to_inflate_and_deflate", true, true, bytes.Repeat(wstest.MaskedDeflated(ws.OpText, wstest.Deflated(json.String())), 30)},
		{"blocks_of_nothing_stored", true, true, wstest.MaskedDeflated(ws.OpBinary, append(bytes.Repeat([]byte{0, 0, 0, 0xff, 0xff}, most/5-1), 0))},
		{"blocks_of_nothing_with_codes", true, true, wstest.MaskedDeflated(ws.OpBinary, emptyBlocks(most))},
		{"final_blocks_of_nothing", true, true, wstest.MaskedDeflated(ws.OpBinary, append(bytes.Repeat([]byte{3, 0}, most/2-1), 0))},
		{"blocks_with_the_costliest_codes", true, true, wstest.MaskedDeflated(ws.OpBinary, costlyBlocks(most))},
		{"messages_with_the_costliest_codes", true, true, bytes.Repeat(wstest.MaskedDeflated(ws.OpBinary, costlyBlocks(120)), most/480)},
		{"more_behind_an_error", true, false, wstest.FrameBytes(announced(1<<30), make([]byte, 24<<20))},
		{"largest_head", false, false, wstest.UpgradeHead("/ws/head", "X: "+strings.Repeat("h", 7900))},
		{"most_headers", false, false, wstest.UpgradeHead("/ws/headers", strings.Split(strings.Repeat("A: b\r\n", 50)+"A: b", "\r\n")...)},
	}
}

// costlyPlays are those of costlyInputs, and crowds that do the same at once.
func costlyPlays(most, many int) (all []play) {
	for _, in := range costlyInputs(most) {
		all = append(all, playOf(in))
	}
	return append(all,
		crowdOf("leaving_at_once", many, func(c *wstest.Client) { c.TrySend(wstest.MaskedClose(1000, "bye")) }),
		crowdOf("reset_at_once", many, func(c *wstest.Client) {
			_ = c.SetLinger(0) // Where it fails they end by FIN.
			c.Close()
		}),
		crowdOf("talking_at_once", many, func(c *wstest.Client) { c.TrySend(wstest.MaskedText("x")) }),
		play{name: "joining_at_once", make: func(t *testing.T, addr string, _ int) (acts []func()) {
			for range many {
				c := wstest.Connect(t, addr)
				acts = append(acts, func() { c.TrySend(wstest.UpgradeHead("/ws/crowd")) })
			}
			return acts
		}},
		play{name: "reading_history_at_once", make: func(t *testing.T, addr string, _ int) (acts []func()) {
			const said = "one of many messages"
			speaker := wstest.Join(t, addr, "/ws/kept")
			speaker.SetDeadline(time.Now().Add(testenv.Patience))
			for range historyMax {
				speaker.Send(wstest.MaskedText(said))
			}
			for range historyMax {
				speaker.ExpectFrame(ws.OpText, said)
			}
			for range many {
				c := joinSubscriber(t, addr)
				acts = append(acts, func() {
					for range 3 {
						c.TrySend(wstest.MaskedText(`{"id":2,"history":{"channel":"kept","limit":-1}}`))
						if f := c.Frame(); len(f.Payload) < historyMax*len(said) {
							t.Errorf("history is answered with %d bytes", len(f.Payload))
						}
					}
				})
			}
			return acts
		}},
		play{name: "commands_that_are_long", make: func(t *testing.T, addr string, few int) (acts []func()) {
			frame := strings.Repeat(longCommand(2)+"\n", max(1, most/centrifuge.CommandMax))
			for range few {
				c := joinSubscriber(t, addr)
				acts = append(acts, func() {
					c.SetWriteDeadline(time.Now().Add(playTime))
					for range 10 {
						c.TrySend(wstest.MaskedText(frame))
					}
				})
			}
			return acts
		}},
		play{name: "coming_and_going", make: func(_ *testing.T, addr string, _ int) (acts []func()) {
			for range many {
				acts = append(acts, func() {
					if c, err := net.Dial("tcp", addr); err == nil {
						_, _ = c.Write(wstest.UpgradeHead("/ws/crowd"))
						c.Close()
					}
				})
			}
			return acts
		}},
	)
}

// While hostile clients send whatever they like, all at once, to the only loop, a message between
// two others is not delayed by more than 20 ms of the loop's time: of the work that it does from
// the moment when the message is sent to that in which it is delivered. No tick is longer than that
// either, which is what a message would wait for that came at its beginning.
func TestNoInputDelaysAnothersMessage(t *testing.T) {
	var plays []play
	most, few, many, rooms := int(testConfig().MaxMessage), 4, 300, 1000
	if !testenv.IsWholeSize(t) {
		most, few, many, rooms = most/8, 1, 50, 200
	}
	for _, in := range hostileInputs(most) {
		plays = append(plays, playOf(in))
	}
	for _, p := range slices.Concat(plays, costlyPlays(most, many), freshPlays(most, many, rooms)) {
		t.Run(p.name, func(t *testing.T) {
			for tries := 1; ; tries++ { // An interrupt may fall into the time of one that is close to it: not of each.
				bound := delayMax(t)
				delay, tick, said := p.perform(t, most, few)
				t.Logf("%d messages, longest delay %v of loop time, longest tick %v, of at most %v", said, delay, tick, bound)
				if max(delay, tick) <= bound {
					return
				}
				if tries == 3 {
					t.Fatalf("more than %v, three times", bound)
				}
			}
		})
	}
}

// A loop that is held for longer is seen, in a delay as well as in a tick.
func TestHeldLoopIsADelay(t *testing.T) {
	cfg := testConfig()
	cfg.Loops = 1
	s, addr := startGateway(t, cfg)
	two := newPair(t, s, addr)
	const held = 400 * time.Millisecond // of the loop's thread: as long on every machine, and far from a read's patience
	isHeld := make(chan struct{})
	if err := post(t.Context(), s.workers[0].loop, func(*reactor.Loop) {
		close(isHeld)
		for end := two.clock.now() + held; two.clock.now() < end; {
		}
	}); err != nil {
		t.Fatal(err)
	}
	<-isHeld
	delay := two.say() // It may begin late, but hardly behind the first half of it.
	tick := time.Duration(two.tick.Load())
	t.Logf("held for %v: delay %v, longest tick %v", held, delay, tick)
	if delay < held/8 || tick < held {
		t.Error("that was not seen")
	}
}

// perform plays p once while a pair of clients talks, one message after the other. It returns the
// longest delay of a message, and the longest tick: a message that had come at its beginning would
// have waited for so long.
func (p *play) perform(t *testing.T, most, few int) (delay, tick time.Duration, said int) {
	cfg := testConfig()
	cfg.Loops, cfg.MaxMessage = 1, int64(most)
	cfg.History = []HistoryRule{{Pattern: "kept", Messages: historyMax}}
	if p.tune != nil {
		p.tune(t, cfg)
	}
	kernel := &countingKernel{Kernel: reactortest.New()}
	s, addr := startGatewayOn(t, cfg, kernel)
	acts := p.make(t, addr, few)
	two := newPair(t, s, addr)
	var playing sync.WaitGroup
	defer playing.Wait()
	var left atomic.Int64
	const before, behind = 10, 20
	for read, quiet := int64(0), 0; said < before || left.Load() > 0 || quiet < behind; said++ {
		if said == before {
			left.Store(int64(len(acts)))
			for _, act := range acts {
				playing.Go(func() { defer left.Add(-1); act() })
			}
		}
		delay = max(delay, two.say())
		n := kernel.read.Load()
		if quiet++; n-read > 100 { // more than the two say
			quiet = 0
		}
		read = n
	}
	return delay, time.Duration(two.tick.Load()), said
}
