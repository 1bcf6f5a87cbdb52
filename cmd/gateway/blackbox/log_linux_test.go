package blackbox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// D09: whatever becomes of the log, the gateway serves, logs on, and ends in order.
func TestD09_GatewayServesWithoutALog(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		lose func(t *testing.T, cmd *exec.Cmd)
	}{
		{"disk_full", func(t *testing.T, cmd *exec.Cmd) {
			full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { full.Close() })
			cmd.Stdout, cmd.Stderr = full, full
		}},
		{"output_closed", func(t *testing.T, cmd *exec.Cmd) { proctest.UnderLimit(t, cmd, "exec >&- 2>&-") }},
		{"input_closed_too", func(t *testing.T, cmd *exec.Cmd) { proctest.UnderLimit(t, cmd, "exec <&- >&- 2>&-") }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "socket") // of which a name has 107 octets, unix(7): subtests have short ones
			cmd := proctest.Command(t, "--listen=unix:"+path, "--log-level=debug", "--loops=2")
			tc.lose(t, cmd)
			servesAndEnds(t, cmd, path)
		})
	}
}

// servesAndEnds starts a gateway whose log cannot be read, has it log, and expects it to serve as
// though it could be.
func servesAndEnds(t *testing.T, cmd *exec.Cmd, path string) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }() // The status is looked at below.
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	awaitSocket(t, path)
	talker := dialUnix(t, path)
	for range 60 {
		violate(t, path) // which is worth a line at this level
		if err := talker.Write(t.Context(), websocket.MessageText, []byte("still served")); err != nil {
			t.Fatal(err)
		}
		wstest.ExpectText(t, talker, "still served")
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, _, err := talker.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("read ended with %v, want close 1001", err)
	}
	select {
	case <-ended:
	case <-time.After(testenv.Patience):
		t.Fatal("it does not end")
	}
	if status := cmd.ProcessState.ExitCode(); status != 0 {
		t.Errorf("exit status %d, %v; want 0", status, cmd.ProcessState)
	}
}

// awaitSocket waits until somebody listens on a unix socket.
func awaitSocket(t *testing.T, path string) {
	t.Helper()
	testenv.Eventually(t, "it listens", func() bool {
		c, err := net.Dial("unix", path)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func dialUnix(t *testing.T, path string) *websocket.Conn {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	c, _, err := websocket.Dial(t.Context(), "ws://sluice.test/ws", &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	return c
}

// violate breaks a rule and expects to be told so.
func violate(t *testing.T, path string) {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(testenv.Patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(append(wstest.UpgradeHead("/ws/other"), 0xff)); err != nil {
		t.Fatal(err)
	}
	p, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) || !bytes.Contains(p, ws.NewCloseFrameBody(1002, "")) {
		t.Fatalf("got %q, %v; want Close 1002", p, err)
	}
}
