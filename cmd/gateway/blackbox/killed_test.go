//go:build unix

package blackbox

import (
	"errors"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
)

// The kernel's killer of processes that take too much memory sends SIGKILL, and so does this test:
// no code of the gateway's runs then, and nothing of it may be left but what others had. All its
// clients come back at once to the one that is started in its place, and get in at its rate. At
// full size they are 1,000; here 150, a burst and two seconds' worth, who wait a tenth of what they
// are told. They come from elsewhere, as a proxy says, because those of this machine are let in at
// any rate.
func TestD06_D10_ClientsOfAKilledGatewayComeBack(t *testing.T) {
	t.Parallel()
	const clients, rate = 150, 50
	place := t.TempDir()
	launch := func(addr string) *proctest.Process {
		cmd := proctest.Command(t, "--listen="+addr, "--trusted-proxy=127.0.0.0/8", "--connect-rate="+strconv.Itoa(rate), "--history=*=messages:10")
		cmd.Dir, cmd.Env = place, append(cmd.Env, "HOME="+place, "TMPDIR="+place)
		return proctest.Launch(t, cmd)
	}
	first := launch("127.0.0.1:0")
	in := comeAll(t, first.Addr, clients)
	if err := in[0].WriteMessage(gorilla.TextMessage, []byte("kept in memory alone")); err != nil {
		t.Fatal(err)
	}
	for _, c := range in {
		expectMessage(t, c, "kept in memory alone")
	}
	first.Signal(syscall.SIGKILL)
	<-first.Ended
	for _, c := range in {
		if _, _, err := c.ReadMessage(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("a client of a killed gateway: %v", err)
		}
	}
	if left, err := os.ReadDir(place); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
	second := launch(first.Addr)
	start := time.Now()
	in = comeAll(t, second.Addr, clients)
	if took := time.Since(start); took < (clients-2*rate)*time.Second/rate {
		t.Errorf("all were in after %v: that is more than the rate and a burst", took)
	}
	if err := in[clients-1].WriteMessage(gorilla.TextMessage, []byte("and on")); err != nil {
		t.Fatal(err)
	}
	for _, c := range in {
		expectMessage(t, c, "and on")
	}
	second.Signal(syscall.SIGTERM)
	second.ExpectExit(0)
}

// comeAll has clients come at once, and again when they are told to.
func comeAll(t *testing.T, addr string, clients int) []*gorilla.Conn {
	t.Helper()
	in := make([]*gorilla.Conn, clients)
	var refused atomic.Int64
	var wg sync.WaitGroup
	for i := range in {
		wg.Go(func() {
			dialer := gorilla.Dialer{HandshakeTimeout: testenv.Patience}
			head := http.Header{"X-Forwarded-For": {"203.0.113." + strconv.Itoa(i)}}
			for end := time.Now().Add(testenv.Patience); time.Now().Before(end); {
				c, r, err := dialer.Dial("ws://"+addr+"/ws", head)
				if err == nil {
					in[i] = c
					return
				}
				if r == nil || r.StatusCode != http.StatusServiceUnavailable {
					t.Errorf("client %d: %v, %v", i, r, err)
					return
				}
				refused.Add(1)
				seconds, err := strconv.Atoi(r.Header.Get("Retry-After"))
				if err != nil || seconds < 1 {
					t.Errorf("client %d: Retry-After %q", i, r.Header.Get("Retry-After"))
					return
				}
				time.Sleep(time.Duration(seconds) * 100 * time.Millisecond)
			}
			t.Errorf("client %d never got in", i)
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	t.Logf("%d are in, %d were told to come again", clients, refused.Load())
	for _, c := range in {
		t.Cleanup(func() { c.Close() })
	}
	return in
}

func expectMessage(t *testing.T, c *gorilla.Conn, want string) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(testenv.Patience)); err != nil {
		t.Fatal(err)
	}
	if _, p, err := c.ReadMessage(); err != nil || string(p) != want {
		t.Fatalf("read %q, %v; want %q", p, err, want)
	}
}
