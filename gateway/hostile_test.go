package gateway

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor"
	"sluice/reactor/reactortest"
)

// A countingKernel tells how many bytes were read from its sockets.
type countingKernel struct {
	*reactortest.Kernel
	read atomic.Int64
}

func (k *countingKernel) Read(fd int, p []byte) (int, error) {
	n, err := k.Kernel.Read(fd, p)
	k.read.Add(int64(n))
	return n, err
}

func cutOff(p []byte) []byte { return p[:len(p)-1] }

// A hostileInput is something a client may send without being closed at once, or what ends it.
type hostileInput struct {
	name     string
	upgrade  bool // it is sent behind the upgrade
	deflates bool // … that agreed on compression
	sent     []byte
}

// hostileInputs are made for a gateway whose largest message is most.
func hostileInputs(most int) []hostileInput {
	whole := strings.Repeat("m", most)
	noise := make([]byte, most)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	bomb := wstest.Deflated(string(make([]byte, 64*most)))
	packed := wstest.Deflated(string(noise))
	return []hostileInput{
		{"nothing", false, false, nil},
		{"head_without_end", false, false, []byte("GET /ws HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("h", 8000))},
		{"head_too_long", false, false, []byte("GET /ws HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("h", 64<<10))},
		{"head_of_line_ends", false, false, bytes.Repeat([]byte("\r\n"), 30_000)},
		{"target_without_end", false, false, []byte("GET /" + strings.Repeat("%41", 2600))},
		{"commas_and_spaces", false, false, wstest.UpgradeHead("/ws", "Sec-WebSocket-Protocol: "+strings.Repeat(" ,", 3500))},
		{"idle", true, false, nil},
		{"first_byte_of_a_header", true, false, []byte{0x81}},
		{"header_but_a_byte", true, false, wstest.FrameBytes(0x82, 0x80|127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 1, 2, 3)},
		{"large_announcement", true, false, wstest.FrameBytes(0x82, 0x80|127, 0, 0, 0, 0, 0, 1, 0, 0, wstest.ZeroMask, "ab")},
		{"huge_announcement", true, false, wstest.FrameBytes(0x82, 0x80|127, 0x3f, 0, 0, 0, 0, 0, 0, 0, wstest.ZeroMask, "ab")},
		{"message_but_a_byte", true, false, cutOff(wstest.Masked(ws.OpBinary, true, whole))},
		{"largest_unfinished", true, false, wstest.Masked(ws.OpBinary, false, whole)},
		{"largest_in_bytes", true, false, wstest.FrameBytes(wstest.Masked(ws.OpBinary, false, ""), bytes.Repeat(wstest.Masked(ws.OpContinuation, false, "b"), most))},
		{"empty_fragments", true, false, wstest.FrameBytes(wstest.Masked(ws.OpText, false, ""), bytes.Repeat(wstest.Masked(ws.OpContinuation, false, ""), 100_000))},
		{"half_a_power_of_two", true, false, wstest.Masked(ws.OpBinary, false, whole[:most/2+1])},
		{"too_large", true, false, wstest.Masked(ws.OpBinary, true, whole+"x")},
		{"pings", true, false, bytes.Repeat(wstest.Masked(ws.OpPing, true, strings.Repeat("p", 125)), 5000)},
		{"pings_in_a_message", true, false, wstest.FrameBytes(wstest.Masked(ws.OpBinary, false, whole), bytes.Repeat(wstest.Masked(ws.OpPing, true, strings.Repeat("p", 125)), 5000))},
		{"pongs", true, false, bytes.Repeat(wstest.Masked(ws.OpPong, true, strings.Repeat("p", 125)), 5000)},
		{"half_a_ping", true, false, wstest.Masked(ws.OpPing, true, strings.Repeat("p", 125))[:70]},
		{"close_and_more", true, false, wstest.FrameBytes(wstest.MaskedClose(1000, "bye"), strings.Repeat("x", 256<<10))},
		{"violation_and_more", true, false, wstest.FrameBytes(0x83, 0x80, wstest.ZeroMask, strings.Repeat("x", 256<<10))},
		{"bomb", true, true, wstest.MaskedDeflated(ws.OpBinary, bomb)},
		{"bomb_but_its_end", true, true, cutOff(wstest.MaskedDeflated(ws.OpBinary, bomb))},
		{"incompressible_but_its_end", true, true, cutOff(wstest.DeflatedParts(packed[:most], 1000))},
		{"bombs_of_the_largest_size_but_not_text", true, true, wstest.MaskedDeflated(ws.OpText, wstest.Deflated("\xff"+whole))},
	}
}

// Whatever a client sends, a connection holds at most twice the largest message and 16 KiB for it.
// Nothing is published, so that all that is held is the connections'. Live heap over 20
// connections, or 200 with SLUICE_CI=1.
func TestNoInputGrowsAConnectionBeyondItsBound(t *testing.T) {
	if testenv.RaceEnabled {
		t.Skip("the race detector's memory would be measured")
	}
	if !proctest.Alone(t) {
		return
	}
	const most = 64 << 10
	clients := 20
	if testenv.IsWholeSize(t) {
		clients = 200
	}
	for _, tc := range hostileInputs(most) {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig()
			cfg.MaxMessage = most
			kernel := &countingKernel{Kernel: reactortest.New()}
			s, addr := startGatewayOn(t, cfg, kernel)
			all := make([]*wstest.Client, clients)
			for i := range all {
				switch all[i] = wstest.Connect(t, addr); {
				case tc.deflates:
					all[i].Close()
					all[i] = wstest.JoinDeflated(t, addr, fmt.Sprint("/ws/", i))
				case tc.upgrade:
					all[i].Send(wstest.UpgradeHead(fmt.Sprint("/ws/", i)))
					all[i].ExpectUpgrade()
				}
			}
			testenv.Eventually(t, "all are there", func() bool { return s.Open() == clients })
			before, read := testenv.LiveHeap(), kernel.read.Load()
			var senders sync.WaitGroup
			for _, c := range all { // One that does not read what it is answered must not be waited for.
				senders.Go(func() { c.TrySend(tc.sent) })
			}
			settle(t, s, kernel, read, int64(clients*len(tc.sent)))
			each := (testenv.LiveHeap() - before) / int64(clients)
			t.Logf("%d bytes each; %d are still open, %d of %d bytes were read", each, s.Open(), kernel.read.Load()-read, clients*len(tc.sent))
			if bound := int64(2*most + 16<<10); each > bound {
				t.Errorf("a connection has grown by %d bytes, more than %d", each, bound)
			}
			if st := testenv.StatsOf(t, s); st.Messages != 0 {
				t.Errorf("%d messages were published: their rooms' memory was measured", st.Messages)
			}
			for _, c := range all { // Not before: what they hold was measured as well.
				c.Close()
			}
			senders.Wait()
		})
	}
}

// settle waits until the gateway has read so many bytes more than before, or has begun to and reads
// no more.
func settle(t *testing.T, s *Server, kernel *countingKernel, before, all int64) {
	t.Helper()
	last, quiet := before, 0
	testenv.Eventually(t, "the input is read, or no more of it", func() bool {
		n := kernel.read.Load()
		if quiet++; n != last || n == before {
			last, quiet = n, 0
		}
		return n-before >= all || quiet == 20 // looks, of 5 ms each
	})
	for _, w := range s.workers { // What was read last is dealt with when the loop has come round.
		done := make(chan struct{})
		if err := post(t.Context(), w.loop, func(*reactor.Loop) { close(done) }); err != nil {
			t.Fatal(err)
		}
		<-done
	}
}
