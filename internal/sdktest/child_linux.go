package sdktest

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Stop stops the process with SIGSTOP and waits until it stands still. It goes on with the test's
// end, or Continue.
func (c Child) Stop() {
	c.t.Helper()
	c.t.Cleanup(c.Continue)
	pid := c.cmd.Process.Pid
	err := c.cmd.Process.Signal(syscall.SIGSTOP)
	if err == nil {
		err = unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED, nil)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// Continue lets the process go on.
func (c Child) Continue() {
	if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		c.t.Error(err)
	}
}
