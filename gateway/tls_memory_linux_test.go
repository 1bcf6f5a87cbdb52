package gateway

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// recordLimit is how long a sealed record may say that it is (RFC 8446 §5.2).
const recordLimit = 16<<10 + 256

// TestTLSHolder holds connections over TLS in a process of its own, each in a room of its own, and
// lets each say and hear a message of 16 KiB, or begins a record of the largest size, when it is
// told to.
func TestTLSHolder(t *testing.T) {
	words := strings.Fields(os.Getenv(holdersEnv))
	if len(words) != 4 || words[0] != "tls" {
		return // Only of use as a child of the test below.
	}
	count, err := strconv.Atoi(words[2])
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(words[3])
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: serverName}
	cfg.RootCAs.AppendCertsFromPEM(text)
	var conns []*tls.Conn
	for i := range count {
		c, err := tls.Dial("tcp", words[1], cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(wstest.UpgradeHead(fmt.Sprintf("/ws/hold.%d", i))); err != nil {
			t.Fatal(err)
		}
		expectSwitching(t, c)
		conns = append(conns, c)
	}
	fmt.Println("holding")
	in := bufio.NewReader(os.Stdin)
	message := strings.Repeat("m", 16<<10)
	for {
		told, err := in.ReadString('\n')
		if err != nil {
			break
		}
		if told == "begin\n" {
			for _, c := range conns { // All but the last byte: it is never opened.
				if _, err := c.NetConn().Write(append([]byte{typeApplication, 3, 3, recordLimit >> 8, recordLimit & 0xff}, make([]byte, recordLimit-1)...)); err != nil {
					t.Fatal(err)
				}
			}
			fmt.Println("begun")
			continue
		}
		for _, c := range conns {
			if _, err := c.Write(wstest.MaskedBinary(message)); err != nil {
				t.Fatal(err)
			}
			if _, p, err := readFrame(c); err != nil || string(p) != message {
				t.Fatalf("%d bytes came back, %v", len(p), err)
			}
		}
		fmt.Println("spoken")
	}
	runtime.KeepAlive(conns)
}

// An idle connection over TLS costs at most 9 KiB of live heap and stacks, 12 KiB after a message
// of 16 KiB each way, 20 KiB more while its client is inside a record, which --assembly-memory does
// not count and SECURITY.md's sum does, and no goroutine. Each has a room of its own here, which
// counts as well.
func TestTLSIdleConnectionsAreSmall(t *testing.T) {
	if testenv.RaceEnabled {
		t.Skip("the race detector's memory would be measured")
	}
	if !proctest.Alone(t) {
		return
	}
	connections := 200
	if testenv.IsWholeSize(t) {
		connections = 2000
	}
	if *idleConnections > 0 {
		connections = *idleConnections
	}
	cfg := testConfig()
	cfg.MaxConnections = connections + 100
	g := startTLS(t, cfg)
	wstest.DialTLS(t, g.trusting, g.addr, "/ws/warm").CloseNow()
	testenv.Eventually(t, "it is at rest", func() bool { return g.Open() == 0 })
	were, goroutines := measureMemory(t), runtime.NumGoroutine()
	holder := proctest.StartChild(t, holdersEnv, fmt.Sprintf("tls %s %d %s", g.addr, connections, g.authority.File), "TestTLSHolder")
	holder.Await("holding")
	expect := func(when string, most float64) {
		t.Helper()
		testenv.ExpectGoroutines(t, goroutines)
		var each float64
		for end := time.Now().Add(testenv.Patience); ; time.Sleep(100 * time.Millisecond) { // Rooms give their memory back when they have been idle for a while.
			each = (measureMemory(t).live - were.live) / float64(connections)
			if each <= most || time.Now().After(end) {
				break
			}
		}
		t.Logf("%s: %.0f bytes of live heap and stacks for each of %d connections", when, each, connections)
		if each > most {
			t.Errorf("%s: %.0f bytes each are more than %.0f", when, each, most)
		}
	}
	expect("idle", 9<<10)
	if _, err := io.WriteString(holder.In, "speak\n"); err != nil {
		t.Fatal(err)
	}
	holder.Await("spoken")
	expect("after a message of 16 KiB each way", 12<<10)
	if _, err := io.WriteString(holder.In, "begin\n"); err != nil {
		t.Fatal(err)
	}
	holder.Await("begun")
	testenv.Eventually(t, "what has come of the records is kept", func() bool {
		return (measureMemory(t).live-were.live)/float64(connections) > recordLimit
	})
	expect("inside a record", (12+20)<<10)
	holder.End()
}
