package gateway

import (
	"bufio"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// A connection that is open and idle holds one of these, its slot and timer in the loop, and a
// place in its branch.
func TestConnSize(t *testing.T) {
	if size := unsafe.Sizeof(conn{}); size > 160 {
		t.Errorf("a conn has %d bytes; what it rarely needs belongs behind a pointer", size)
	}
}

// holdersEnv makes the test binary a process that opens connections and holds them: what they cost
// there must not count here.
const holdersEnv = "SLUICE_TEST_HOLD"

func TestMemoryHolder(t *testing.T) {
	spec := os.Getenv(holdersEnv)
	if spec == "" {
		return // Only of use as a child of the test below.
	}
	addr, count, _ := strings.Cut(spec, ",")
	n, err := strconv.Atoi(count)
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	for range n {
		c, err := wstest.UpgradeRaw(addr, "/ws/idle")
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	fmt.Println("holding")
	_, _ = bufio.NewReader(os.Stdin).ReadByte() // until the parent goes on
	runtime.KeepAlive(conns)
}

// hold opens n idle connections from another process; stop ends them.
func hold(t *testing.T, addr string, n int) (stop func()) {
	t.Helper()
	c := proctest.StartChild(t, holdersEnv, fmt.Sprintf("%s,%d", addr, n), "TestMemoryHolder")
	c.Await("holding")
	return c.End
}

type memory struct{ live, resident float64 }

func measureMemory(t *testing.T) memory {
	t.Helper()
	runtime.GC()
	runtime.GC() // pools are emptied by the second
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return memory{live: float64(m.HeapAlloc + m.StackInuse), resident: residentBytes(t)}
}

// residentBytes is the process's resident memory but for the pages of its program: those are read
// from the file when they are first run, and say nothing of connections. The kernel counts anew for
// this file, where statm and status may be wrong by 64 pages for each processor.
func residentBytes(t *testing.T) float64 {
	t.Helper()
	rollup, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		return 0 // Not on this system; the live heap is judged all the same.
	}
	_, after, _ := strings.Cut(string(rollup), "Anonymous:")
	kib, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	return float64(kib << 10)
}

var (
	idleConnections = flag.Int("idle-connections", 0, "how many idle connections to measure, beside 1,000 of them; 0: 4,000, or 10,000 with SLUICE_CI=1")
	idleSeconds     = flag.Int("idle-seconds", 0, "how long they are left alone before they are measured")
)

// Idle connections cost at most 260 bytes of live heap and stacks each, and 300 of resident memory:
// the difference between 10,000 and 1,000 of them, after a collection. Resident memory comes in
// pages and spans of them: of a few thousand it says little. That the gateway gives back by itself
// what a collection frees, TestN84_ACrowdKeepsLittle of package blackbox sees.
func TestIdleConnectionsAreSmall(t *testing.T) {
	if testenv.RaceEnabled {
		t.Skip("the race detector's memory would be measured")
	}
	if !proctest.Alone(t) {
		return
	}
	cfg := testConfig()
	most, isWhole := *idleConnections, testenv.IsWholeSize(t) || *idleConnections > 0
	if most == 0 {
		most = 4000
		if isWhole {
			most = 10_000
		}
	}
	cfg.MaxConnections = 2 * most
	s, addr := startGateway(t, cfg)
	at := func(n int) memory {
		for deadline := time.Now().Add(testenv.Patience); s.Open() < n; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d connections of %d", s.Open(), n)
			}
		}
		time.Sleep(time.Duration(*idleSeconds) * time.Second)
		return measureMemory(t)
	}
	defer hold(t, addr, 1000)()
	few := at(1000)
	more := most - 1000
	defer hold(t, addr, more)()
	var live, resident float64
	for tries, many := 1, at(most); ; tries, many = tries+1, measureMemory(t) {
		live, resident = (many.live-few.live)/float64(more), (many.resident-few.resident)/float64(more)
		if live <= 260 && (!isWhole || resident <= 300) || tries == 20 {
			break
		}
		time.Sleep(100 * time.Millisecond) // What a collection has worked with becomes free a little later.
	}
	t.Logf("an idle connection costs %.0f bytes of live heap and stacks, %.0f of resident memory", live, resident)
	if live > 260 {
		t.Errorf("%.0f bytes of live heap and stacks are more than 260", live)
	}
	if isWhole && resident > 300 {
		t.Errorf("%.0f bytes of resident memory are more than 300", resident)
	}
}
