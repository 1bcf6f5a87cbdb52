package blackbox

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// N22, N24, N88. SIGTERM comes while some readers are megabytes behind and read on, more slowly
// than the drain lasts, with a --close-timeout that is over long before. Gorilla's client sees
// whole frames and Close 1001. The last line says how many ended for what reason, and its account
// of messages balances.
func TestN22_N88_SlowReadersOfAStoppedGatewayAreClosedInOrderAndTheLastLineAddsUp(t *testing.T) {
	t.Parallel()
	const size, published, fast, slow = 4 << 10, 1500, 8, 4
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--close-timeout=200ms", "--drain-timeout=2s", "--log-level=debug"))
	var readers sync.WaitGroup
	var behind []*gorilla.Conn
	for range slow {
		behind = append(behind, dialWithSmallBuffer(t, p.Addr))
	}
	heard := make(chan struct{}, fast)
	var publisher *gorilla.Conn
	for range fast {
		c := dialWithSmallBuffer(t, p.Addr)
		readers.Go(func() {
			readUntil1001(t, c, size, 0, func(seq int) {
				if seq == published-1 {
					heard <- struct{}{}
				}
			})
		})
		publisher = c
	}
	for seq := range published {
		if err := publisher.WriteMessage(gorilla.BinaryMessage, wstest.Message(uint64(seq), size)); err != nil {
			t.Fatal(err)
		}
	}
	for range fast {
		<-heard
	}
	p.Signal(syscall.SIGTERM)
	for _, c := range behind {
		readers.Go(func() { readUntil1001(t, c, size, 300<<10, func(int) {}) })
	}
	readers.Wait()
	p.ExpectExit(0)

	last := p.ExpectLog("msg=stopped.*")
	number := func(name string) (n int) {
		found := regexp.MustCompile(` ` + regexp.QuoteMeta(name) + `=(\d+)`).FindStringSubmatch(last)
		if found == nil {
			t.Fatalf("no %s in %q", name, last)
		}
		n, _ = strconv.Atoi(found[1])
		return n
	}
	if owed := number("owed"); owed != published*(fast+slow) || owed != number("deliveries")+number("skipped")+number("ended_early") {
		t.Errorf("the account does not balance: %s", last)
	}
	if number("closed.drain") != fast+slow || number("accepted") != fast+slow {
		t.Errorf("%d clients were to be closed in order: %s", fast+slow, last)
	}
	if n := len(regexp.MustCompile(`level=DEBUG msg="client left" reason=drain id=\d+\.[0-9a-f]+ from=127\.0\.0\.1 room=stage `).FindAllString(p.Logged(), -1)); n != fast+slow {
		t.Errorf("%d lines say that a client left, and why", n)
	}
}

func dialWithSmallBuffer(t *testing.T, addr string) *gorilla.Conn {
	t.Helper()
	d := gorilla.Dialer{NetDial: func(network, addr string) (net.Conn, error) {
		c, err := net.Dial(network, addr)
		if err != nil {
			return nil, err
		}
		return c, c.(*net.TCPConn).SetReadBuffer(128 << 10)
	}}
	c, _, err := d.Dial(fmt.Sprintf("ws://%s/ws/stage", addr), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// readUntil1001 reads whole messages in order, so many bytes a second if that is not zero, until
// Close 1001.
func readUntil1001(t *testing.T, c *gorilla.Conn, size, rate int, got func(seq int)) {
	began := time.Now()
	for seq := 0; ; seq++ {
		_ = c.SetReadDeadline(time.Now().Add(testenv.Patience))
		_, m, err := c.ReadMessage()
		if closed := new(gorilla.CloseError); errors.As(err, &closed) && closed.Code == 1001 {
			c.Close()
			return
		}
		if err != nil || !wstest.IsMessage(m, uint64(seq), size) {
			t.Errorf("after %d messages comes one of %d bytes, %v", seq, len(m), err)
			return
		}
		got(seq)
		if rate > 0 {
			time.Sleep(time.Until(began.Add(time.Duration(seq+1) * time.Duration(size) * time.Second / time.Duration(rate))))
		}
	}
}
