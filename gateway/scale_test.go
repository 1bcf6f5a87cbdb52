//go:build unix

package gateway

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor"
)

// A bareClient is a descriptor and no more: thousands of them must not bring goroutines or buffers
// of their own, or the test would count itself.
type bareClient int

// openBare connects and upgrades, and blocks meanwhile.
func openBare(port int, path string) (bareClient, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return -1, err
	}
	unix.CloseOnExec(fd)
	c := bareClient(fd)
	if err := c.upgrade(port, path); err != nil {
		c.close()
		return -1, err
	}
	return c, nil
}

func (c bareClient) upgrade(port int, path string) error {
	wait := unix.NsecToTimeval(testenv.Patience.Nanoseconds())
	if err := unix.SetsockoptTimeval(int(c), unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return err
	}
	if err := unix.Connect(int(c), &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	if _, err := unix.Write(int(c), wstest.UpgradeHead(path)); err != nil {
		return err
	}
	var head []byte
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		one, err := c.read(1) // by single bytes, so that frames behind the head stay in the kernel
		if err != nil {
			return err
		}
		head = append(head, one...)
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) {
		return fmt.Errorf("answered %q", head)
	}
	return nil
}

// read reads n bytes, blocking for at most Patience.
func (c bareClient) read(n int) ([]byte, error) {
	p := make([]byte, n)
	for have := 0; have < n; {
		more, err := unix.Read(int(c), p[have:])
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, err
		case more == 0:
			return nil, errors.New("end of stream")
		default:
			have += more
		}
	}
	return p, nil
}

func (c bareClient) close() { unix.Close(int(c)) }

func TestGoroutinesDoNotGrowWithConnections(t *testing.T) {
	clients := 1000
	if testenv.IsWholeSize(t) {
		clients = 5000
	}
	limit, err := reactor.DescriptorLimit()
	if err != nil {
		t.Fatal(err)
	}
	if most := int(min(limit, 1<<20))/2 - 200; most < clients { // Both ends are in this process.
		if os.Getenv("SLUICE_CI") != "" {
			t.Fatalf("%d descriptors are too few for %d connections", limit, clients)
		}
		t.Logf("%d descriptors are too few for %d connections: opening %d", limit, clients, most)
		clients = most
	}
	s, addr := startGateway(t, testConfig())
	serveOnePageAndOneUpgrade(t, addr)
	testenv.Eventually(t, "the gateway is at rest", func() bool { return s.Open() == 0 })
	were := runtime.NumGoroutine()
	expect := func(when string) {
		t.Helper()
		for end := time.Now().Add(testenv.Patience); runtime.NumGoroutine() > were+2; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: %d goroutines, were %d", when, runtime.NumGoroutine(), were)
			}
		}
	}

	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]bareClient, 0, clients)
	defer func() {
		for _, c := range all {
			c.close()
		}
	}()
	start := time.Now()
	for i := range clients {
		c, err := openBare(tcp.Port, "/ws/crowd")
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		all = append(all, c)
	}
	if s.Open() != clients {
		t.Errorf("%d connections are open, want %d", s.Open(), clients)
	}
	expect("idle")
	t.Logf("%d connections after %v", clients, time.Since(start))

	const messages = 8
	for seq := range messages {
		if _, err := unix.Write(int(all[seq*clients/messages]), wstest.Masked(ws.OpBinary, true, string(numbered(seq)))); err != nil {
			t.Fatal(err)
		}
		for i, c := range all {
			if i == clients/2 {
				expect("busy")
			}
			want := append([]byte{0x82, 64}, numbered(seq)...)
			if got, err := c.read(len(want)); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("client %d, message %d: got %q, %v", i, seq, got, err)
			}
		}
	}
	expect("idle again")
	if st := testenv.StatsOf(t, s); st.Deliveries != uint64(messages*clients) {
		t.Errorf("%d deliveries, want %d", st.Deliveries, messages*clients)
	}
	t.Logf("%d messages to each after %v", messages, time.Since(start))
}

func numbered(seq int) []byte {
	p := make([]byte, 64)
	binary.BigEndian.PutUint64(p, uint64(seq))
	return p
}

// serveOnePageAndOneUpgrade starts what the process starts once and keeps.
func serveOnePageAndOneUpgrade(t *testing.T, addr string) {
	t.Helper()
	page := wstest.Connect(t, addr)
	page.Send(wstest.PlainGet("/"))
	page.Response()
	page.Close()
	wstest.Join(t, addr, "/ws").Close()
}
