package blackbox

import (
	"os"
	"syscall"
	"testing"

	"sluice/internal/proctest"
	"sluice/internal/wstest"
)

// N42: timeout(1) signals the process and its group, a supervisor may send TERM and INT at once: everybody still gets 1001, with
// status 0. One that comes later means what it always did, see TestD03_SecondSignalStopsAtOnce.
func TestN42_RepeatedSignalIsTheSameRequest(t *testing.T) {
	for _, repeats := range [][]os.Signal{
		{syscall.SIGTERM},
		{syscall.SIGINT, syscall.SIGHUP, syscall.SIGTERM},
	} {
		p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--loops=2", "--log-level=debug", "--drain-timeout=1m"))
		var clients []*wstest.Client
		for range 500 { // They are closed over half a second.
			clients = append(clients, wstest.Join(t, p.Addr, "/ws"))
		}
		p.Signal(syscall.SIGTERM)
		p.ExpectLog("msg=draining")
		for _, s := range repeats {
			p.Signal(s)
		}
		p.ExpectLog("the same request to stop")
		for _, c := range clients {
			c.ExpectClose(1001)
		}
		p.ExpectExit(0)
	}
}

// N83: there is nothing to read anew yet, so SIGHUP, as of a terminal that goes away, is a drain.
func TestN83_SIGHUPDrains(t *testing.T) {
	hearHangups(t)
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0"))
	c := wstest.Join(t, p.Addr, "/ws")
	p.Signal(syscall.SIGHUP)
	p.ExpectLog("msg=draining signal=hangup")
	c.ExpectClose(1001)
	p.ExpectExit(0)
}

// N83: who starts it under nohup(1) wants it to outlive the terminal.
func TestN83_IgnoredSIGHUPStaysIgnored(t *testing.T) {
	cmd := proctest.Command(t, "--listen=127.0.0.1:0")
	proctest.UnderLimit(t, cmd, "trap '' HUP")
	p := proctest.Launch(t, cmd)
	p.Signal(syscall.SIGHUP)
	c := wstest.Join(t, p.Addr, "/ws", wstest.MaskedText("still here"))
	c.ExpectFrame(1, "still here")
	p.Signal(syscall.SIGTERM)
	p.ExpectLog("msg=draining signal=terminated")
	c.ExpectClose(1001)
	p.ExpectExit(0)
}
