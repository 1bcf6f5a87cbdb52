package blackbox

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// activated is a gateway that gets these sockets as systemd passes them (sd_listen_fds(3)).
func activated(t *testing.T, names string, sockets []*os.File, args ...string) *exec.Cmd {
	t.Helper()
	cmd := proctest.LastingCommand(t, 10*testenv.Patience, args...)
	proctest.UnderLimit(t, cmd, fmt.Sprintf("export LISTEN_PID=$$ LISTEN_FDS=%d LISTEN_FDNAMES=%s", len(sockets), names))
	cmd.ExtraFiles = sockets // From descriptor 3 on.
	return cmd
}

// socketOf opens a socket as systemd does: it stays open, whoever serves it.
func socketOf(t *testing.T, network, address string) (socket *os.File, addr string) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	defer l.Close()
	socket, err = l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	return socket, l.Addr().String()
}

func TestSystemdSocketsAreServedByName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	web, webAddr := socketOf(t, "tcp", "127.0.0.1:0")
	local, _ := socketOf(t, "unix", path)
	sockets := []*os.File{web, local}
	health := func(url string, want int) {
		t.Helper()
		if status, _, stderr := proctest.Outcome(t, proctest.Command(t, "health", "--timeout=100ms", url)); status != want {
			t.Errorf("%s: status %d, want %d: %s", url, status, want, stderr)
		}
	}
	all := proctest.Launch(t, activated(t, "web:local", sockets, "--listen=systemd:"))
	health(webAddr, 0)
	health("unix:"+path, 0)
	if strings.Contains(all.Logged(), "nobody listens on") {
		t.Error(all.Logged())
	}
	all.Signal(syscall.SIGTERM)
	all.ExpectExit(0)
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the socket of somebody else was removed: %v", err)
	}

	one := proctest.Launch(t, activated(t, "web:local", sockets, "--listen=systemd:web", "--listen=127.0.0.1:0"))
	health(webAddr, 0)
	one.ExpectLog(`msg="systemd has passed a socket that nobody listens on" name=local hint="--listen systemd:"`)
	one.Signal(syscall.SIGTERM)
	one.ExpectExit(0)

	for _, c := range []struct {
		cmd  *exec.Cmd
		says string
	}{
		{activated(t, "web:local", sockets, "--listen=systemd:wbe"), "nothing has that name, only web, local"},
		{proctest.Command(t, "--listen=systemd:"), "systemd has passed no socket"},
	} {
		if status, _, stderr := proctest.Outcome(t, c.cmd); status != 1 || !strings.Contains(stderr, c.says) {
			t.Errorf("status %d, %s; want %q", status, stderr, c.says)
		}
	}
}

// The real thing, where systemd is installed: it starts the gateway on the first connection.
func TestSystemdSocketActivateStartsTheGateway(t *testing.T) {
	activate, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		testenv.LeaveOut(t, "systemd-socket-activate is not here: %v", err)
	}
	addr := freeAddress(t)
	cmd := proctest.Command(t, "--listen=systemd:web")
	cmd.Args = append([]string{activate, "--listen=" + addr, "--fdname=web", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = activate
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		if t.Failed() {
			t.Log(said.String())
		}
	})
	var first net.Conn
	testenv.Eventually(t, "it listens", func() bool {
		first, err = net.Dial("tcp", addr)
		return err == nil
	})
	first.Close()
	wstest.Join(t, addr, "/ws", wstest.MaskedText("hello")).ExpectFrame(1, "hello")
}

// A notices is what systemd hears of a service (sd_notify(3)).
type notices struct {
	t    *testing.T
	conn *net.UnixConn
	path string
}

func listenForNotices(t *testing.T) *notices {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &notices{t, conn, path}
}

// expect waits for one that begins so.
func (n *notices) expect(want string) {
	n.t.Helper()
	_ = n.conn.SetReadDeadline(time.Now().Add(testenv.Patience))
	p := make([]byte, 1000)
	for {
		size, err := n.conn.Read(p)
		if err != nil {
			n.t.Fatalf("nothing begins with %q: %v", want, err)
		}
		if strings.HasPrefix(string(p[:size]), want) {
			return
		}
	}
}

func TestSystemdIsToldWhatTheGatewayDoes(t *testing.T) {
	hearHangups(t)
	n := listenForNotices(t)
	cmd := proctest.Command(t, "--listen=127.0.0.1:0")
	proctest.UnderLimit(t, cmd, "export WATCHDOG_PID=$$ WATCHDOG_USEC=300000")
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+n.path)
	p := proctest.Launch(t, cmd)
	n.expect("READY=1")
	n.expect("WATCHDOG=1")
	n.expect("WATCHDOG=1")
	p.Signal(syscall.SIGHUP)
	n.expect("RELOADING=1\nMONOTONIC_USEC=")
	n.expect("READY=1")
	p.Signal(syscall.SIGTERM)
	n.expect("STOPPING=1")
	p.ExpectExit(0)
}

// A restart behind a socket that stays open: who comes meanwhile waits, and nobody is turned away.
// Each client joins, hears what it says, or the Close 1001 of the gateway that leaves, and goes.
// (At most as many may wait as net.core.somaxconn says.)
func TestRestartUnderSystemdTurnsNobodyAway(t *testing.T) {
	visits, restarts := int64(600), 3
	if testenv.IsWholeSize(t) {
		visits, restarts = 10_000, 8
	}
	socket, addr := socketOf(t, "tcp", "127.0.0.1:0")
	launch := func() *proctest.Process {
		return proctest.Launch(t, activated(t, "web", []*os.File{socket}, "--listen=systemd:", "--loops=2", "--drain-timeout=2s"))
	}
	p := launch()
	var done, told atomic.Int64
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for done.Add(1) <= visits {
				switch err := visit("ws://" + addr + "/ws"); {
				case err == nil:
				case websocket.CloseStatus(err) == websocket.StatusGoingAway:
					told.Add(1)
				default:
					t.Errorf("a client was turned away: %v", err)
					return
				}
			}
		})
	}
	for i := range restarts {
		testenv.Eventually(t, "more clients have come", func() bool {
			return t.Failed() || done.Load() > visits*int64(i+1)/int64(restarts+1)
		})
		p.Signal(syscall.SIGTERM)
		p.ExpectExit(0)
		p = launch()
	}
	clients.Wait()
	t.Logf("%d visits, %d of them told to reconnect, %d restarts", visits, told.Load(), restarts)
	p.Signal(syscall.SIGTERM)
	p.ExpectExit(0)
}

// visit joins a room, says something and hears it.
func visit(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		return err
	}
	defer c.CloseNow()
	if err := c.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
		_, _, err = c.Read(ctx) // Why it failed.
		return err
	}
	if _, _, err = c.Read(ctx); err != nil {
		return err
	}
	return nil
}
