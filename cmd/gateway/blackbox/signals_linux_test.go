package blackbox

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// N42: timeout(1) signals the process and its group, a supervisor may send TERM and INT at once:
// everybody still gets 1001, with status 0. One that comes later means what it always did, see
// TestD03_SecondSignalStopsAtOnce.
func TestN42_RepeatedSignalIsTheSameRequest(t *testing.T) {
	t.Parallel()
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

// N83: SIGHUP is no reason to drop anybody, even where there is no file to read.
func TestN83_SIGHUPDropsNobody(t *testing.T) {
	t.Parallel()
	hearHangups(t)
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0"))
	c := wstest.Join(t, p.Addr, "/ws")
	p.Signal(syscall.SIGHUP)
	p.ExpectLog("msg=reloaded changed=nothing")
	c.Send(wstest.MaskedText("still here"))
	c.ExpectFrame(1, "still here")
	p.Signal(syscall.SIGTERM)
	p.ExpectLog("msg=draining signal=terminated")
	p.Signal(syscall.SIGHUP) // Not a second request to stop.
	c.ExpectClose(1001)
	p.ExpectExit(0)
}

// N83: however many wait to be acted on, the one to stop is heard.
func TestN83_ManySIGHUPsHideNoSIGTERM(t *testing.T) {
	hearHangups(t)
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0"))
	for range 20 {
		p.Signal(syscall.SIGHUP)
	}
	p.Signal(syscall.SIGTERM)
	p.ExpectLog("msg=draining signal=terminated")
	p.ExpectExit(0)
}

// N83: nor does one that comes when all is done, and only the last lines of the log wait for who
// reads it, make another status of it.
func TestN83_SIGHUPAtTheEndIsNothing(t *testing.T) {
	t.Parallel()
	hearHangups(t)
	path := filepath.Join(t.TempDir(), "socket")
	cmd := proctest.Command(t, "--listen=unix:"+path)
	_, full := pipe(t)
	size, err := unix.FcntlInt(full.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := full.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = full
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &proctest.Process{T: t, Cmd: cmd, Ended: make(chan struct{})}
	go func() { _ = cmd.Wait(); close(p.Ended) }() // The status is looked at below.
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-p.Ended })
	awaitSocket(t, path)
	p.Signal(syscall.SIGTERM)
	p.InsistOnEnd(syscall.SIGHUP)
	p.ExpectExit(0)
}

// N83: unless its terminal is gone, and with it whoever would stop it.
func TestN83_SIGHUPOfATerminalThatGoesAwayDrains(t *testing.T) {
	t.Parallel()
	hearHangups(t)
	cmd := proctest.Command(t, "--listen=127.0.0.1:0")
	master, slave := openTerminal(t)
	cmd.Stdin = slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	p := proctest.Launch(t, cmd)
	slave.Close()
	c := wstest.Join(t, p.Addr, "/ws")
	p.Signal(syscall.SIGHUP) // The terminal is there.
	p.ExpectLog("msg=reloaded changed=nothing")
	master.Close()
	p.ExpectLog("msg=draining signal=hangup")
	c.ExpectClose(1001)
	p.ExpectExit(0)
}

// openTerminal makes a terminal, of which the master is the side that can hang up (pty(7)).
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		testenv.LeaveOut(t, "no terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// N83: who starts it under nohup(1) wants it to outlive the terminal.
func TestN83_IgnoredSIGHUPStaysIgnored(t *testing.T) {
	t.Parallel()
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
