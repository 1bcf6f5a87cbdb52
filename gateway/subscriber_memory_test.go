package gateway

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// TestSubscriberHolder is a process that holds subscribers which are idle, each in so many rooms,
// for the test below.
func TestSubscriberHolder(t *testing.T) {
	var addr string
	var n, rooms int
	if _, err := fmt.Sscanf(os.Getenv(holdersEnv), "subscribers %s %d %d", &addr, &n, &rooms); err != nil {
		return // Only of use as a child.
	}
	frame := `{"id":1,"connect":{}}`
	for i := range rooms {
		frame += fmt.Sprintf("\n"+`{"id":%d,"subscribe":{"channel":"idle%d"}}`, i+2, i)
	}
	var conns []net.Conn
	for range n {
		c, err := wstest.UpgradeRaw(addr, "/connection/websocket")
		if err == nil {
			_, err = c.Write(wstest.MaskedText(frame))
		}
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	fmt.Println("holding")
	_, _ = bufio.NewReader(os.Stdin).ReadByte() // until the parent goes on
	runtime.KeepAlive(conns)
}

// An idle subscriber costs at most 600 bytes of live heap and stacks, and 150 more for each room
// that it is in.
func TestIdleSubscribersAreSmall(t *testing.T) {
	if testenv.RaceEnabled {
		t.Skip("the race detector's memory would be measured")
	}
	if !proctest.Alone(t) {
		return
	}
	n, rooms := 1200, 8
	if testenv.IsWholeSize(t) {
		n, rooms = 5000, 20
	}
	cfg := testConfig()
	cfg.MaxConnections = 4 * n
	s, addr := startGateway(t, cfg)
	held, subscribed := 0, uint64(0)
	after := func(more, rooms int) float64 {
		t.Helper()
		c := proctest.StartChild(t, holdersEnv, fmt.Sprintf("subscribers %s %d %d", addr, more, rooms), "TestSubscriberHolder")
		t.Cleanup(c.End)
		c.Await("holding")
		held, subscribed = held+more, subscribed+uint64(more*rooms)
		testenv.Eventually(t, "all are in their rooms", func() bool {
			return s.Open() == held && testenv.StatsOf(t, s).Subscribed == subscribed
		})
		live := measureMemory(t).live
		for range 4 { // What the last replies took goes with their turns, and the runtime has memory of its own.
			time.Sleep(20 * time.Millisecond)
			live = min(live, measureMemory(t).live)
		}
		return live
	}
	few := after(n/4, rooms)
	one := after(n, 1)
	many := after(n, rooms)
	first, further := (one-few)/float64(n), (many-one)/float64(n)
	further = (further - first) / float64(rooms-1)
	alone := first - further
	t.Logf("an idle subscriber costs %.0f bytes, and %.0f for each room", alone, further)
	const ofRuntime = 128 << 10 // what its stacks and tables may differ by between two looks
	if alone > 600+ofRuntime/float64(n) || further > 150+ofRuntime/float64(n*(rooms-1)) {
		t.Errorf("%.0f bytes, and %.0f for each room, are more than 600 and 150", alone, further)
	}
}
