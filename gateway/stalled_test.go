//go:build linux

package gateway

import (
	"bufio"
	"cmp"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"sluice/hub"
	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor/reactortest"
	"sluice/wsproto"
)

var (
	stalledClients  = flag.Int("stalled-clients", 0, "clients of the test of stalled ones; 0: 20, or 300 with SLUICE_CI=1")
	stalledMessages = flag.Int("stalled-messages", 0, "messages of 1 KiB that they are sent; 0: 5,000, or 9,000 with SLUICE_CI=1")
)

const stalledEnv = "SLUICE_TEST_STALLED"

// TestStalledCrowd is of use only as a child: clients of which some never read, and one that sends
// with eight messages in flight.
func TestStalledCrowd(t *testing.T) {
	var addr string
	var readers, stalled, messages int
	spec := strings.ReplaceAll(os.Getenv(stalledEnv), ",", " ")
	if n, _ := fmt.Sscan(spec, &addr, &readers, &stalled, &messages); n != 4 {
		return
	}
	var conns []net.Conn
	for range readers + stalled {
		c, err := wstest.UpgradeRaw(addr, "/ws/stage")
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	fmt.Println("ready", addr)
	in := bufio.NewReader(os.Stdin)
	if _, err := in.ReadByte(); err != nil {
		t.Fatal(err)
	}
	for _, c := range conns[1:readers] {
		go func() { _, _ = io.Copy(io.Discard, c) }()
	}
	frame := wsproto.AppendMaskedFrame(nil, wsproto.OpBinary, true, [4]byte{1, 2, 3, 4}, make([]byte, floodMessage))
	echo := make([]byte, 4+floodMessage)
	for i := range messages {
		if _, err := conns[0].Write(frame); err != nil {
			t.Fatal(err)
		}
		if i >= 8 {
			if _, err := io.ReadFull(conns[0], echo); err != nil {
				t.Fatal(err)
			}
		}
	}
	fmt.Println("done")
	_, _ = in.ReadByte()
	for _, c := range conns {
		c.Close()
	}
}

// A tenth of a room, or all of it but one, never reads while it is sent several backlogs. Under
// every policy the gateway's memory grows by one backlog and next to nothing for each of them;
// under skip and latest they are all still there.
func TestStalledClientsCostOneBacklogTogether(t *testing.T) {
	if testenv.RaceEnabled {
		t.Skip("the race detector's memory would be measured")
	}
	if !proctest.Alone(t) {
		return
	}
	clients, messages := 20, 5000
	isWhole := testenv.IsWholeSize(t)
	if isWhole {
		clients, messages = 300, 9000
	}
	clients, messages = cmp.Or(*stalledClients, clients), cmp.Or(*stalledMessages, messages)
	for _, policy := range []hub.Policy{hub.Disconnect, hub.Skip, hub.Latest} {
		if isWhole || policy == hub.Skip { // With few clients a tenth is two of them.
			t.Run(policy.String()+" a tenth", func(t *testing.T) { stallMany(t, policy, clients, clients/10, messages) })
		}
		t.Run(policy.String()+" all but one", func(t *testing.T) { stallMany(t, policy, clients, clients-1, messages) })
	}
}

func stallMany(t *testing.T, policy hub.Policy, clients, stalled, messages int) {
	cfg := testConfig()
	cfg.RoomBacklog = 2 << 20
	cfg.SlowPolicy = policy
	cfg.StallTimeout, cfg.SkipTimeout, cfg.CloseTimeout = time.Hour, time.Hour, time.Hour // What they cost is to be seen, however slow the machine.
	kernel := reactortest.New()
	s, addr := startGatewayOn(t, cfg, kernel)
	spec := fmt.Sprintf("%s,%d,%d,%d", addr, clients-stalled, stalled, messages)
	c := proctest.StartChild(t, stalledEnv, spec, "TestStalledCrowd")
	c.Await("ready")
	before := measureMemory(t)
	if _, err := io.WriteString(c.In, "."); err != nil { // It goes on.
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { c.Await("done"); close(done) }()
	stop := hasten(kernel) // Senders wait some seconds until it is clear that somebody does not read.
	var peak float64
	for isOver := false; !isOver; {
		select {
		case <-done:
			isOver = true
		case <-time.After(20 * time.Millisecond):
		}
		peak = max(peak, residentBytes(t)-before.resident)
	}
	stop()
	grew := measureMemory(t).live - before.live
	// A backlog, the newest segment and the next one, which may have been made, where their frames
	// end, and something for each of them; and what the runtime and this test's log keep, of which
	// some 75 KiB more than usual were seen.
	bound := float64(cfg.RoomBacklog) + 2*256<<10 + float64(cfg.RoomBacklog)/64 + 4<<10*float64(stalled) + 64<<10
	st := testenv.StatsOf(t, s)
	t.Logf("live heap grew by %.0f KiB (bound %.0f), resident memory by %.0f KiB at most (bound %.0f); %d times overrun, %d messages missed",
		grew/1024, bound/1024, peak/1024, (2.5*bound+8<<20)/1024, st.Hub.Overrun[policy], st.Hub.Skipped)
	if grew > bound {
		t.Errorf("live heap grew by %.0f bytes, more than %.0f", grew, bound)
	}
	if peak > 2.5*bound+8<<20 {
		t.Errorf("resident memory grew by %.0f bytes, more than %.0f", peak, 2.5*bound+8<<20)
	}
	if n := st.Hub.Overrun[policy]; n < uint64(stalled) {
		t.Errorf("%d times overrun, want each of %d at least once", n, stalled)
	}
	if n := s.Open(); policy != hub.Disconnect && n != clients {
		t.Errorf("%d connections are open, want all %d", n, clients)
	}
}
