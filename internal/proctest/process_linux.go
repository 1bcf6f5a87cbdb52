package proctest

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sluice/internal/testenv"
)

// PID is its number.
func (p *Process) PID() int { return p.Cmd.Process.Pid }

// Descriptors are the numbers of those that the gateway has open, in order.
func (p *Process) Descriptors() []int {
	p.T.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID()))
	if err != nil {
		p.T.Fatalf("%v:\n%s", err, p.Logged())
	}
	var fds []int
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil {
			fds = append(fds, fd)
		}
	}
	slices.Sort(fds)
	return fds
}

// ExpectDescriptors waits until the gateway has n of them.
func (p *Process) ExpectDescriptors(n int) {
	p.T.Helper()
	testenv.Eventually(p.T, fmt.Sprintf("%d descriptors", n), func() bool { return len(p.Descriptors()) == n })
}

// stat returns what /proc/PID/stat tells, from field 3 (the state) on: proc_pid_stat(5).
func stat(t *testing.T, pid int) []string {
	t.Helper()
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(line[strings.LastIndexByte(string(line), ')')+1:]))
}

// ProcessorTicks is how long a process has run, in ticks of a hundredth of a second.
func ProcessorTicks(t *testing.T, pid int) int {
	t.Helper()
	fields := stat(t, pid)
	user, err := strconv.Atoi(fields[14-3])
	system, err2 := strconv.Atoi(fields[15-3])
	if err != nil || err2 != nil {
		t.Fatalf("stat of %d: %q", pid, fields)
	}
	return user + system
}

// StopProcess stops a process with SIGSTOP and waits until it stands still; ContinueProcess lets it
// go on.
func StopProcess(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the process stands still", func() bool { return stat(t, pid)[0] == "T" })
}

// ContinueProcess lets a stopped process go on.
func ContinueProcess(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// UnderLimit makes a shell run cmd after it has set a limit.
func UnderLimit(t *testing.T, cmd *exec.Cmd, limit string) {
	t.Helper()
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Args = append([]string{"sh", "-c", limit + ` && exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = shell
}
