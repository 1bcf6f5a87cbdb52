package gateway

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
)

func (p *process) pid() int { return p.cmd.Process.Pid }

// descriptors are the numbers of those that the gateway has open, in order.
func (p *process) descriptors() []int {
	p.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid()))
	if err != nil {
		p.t.Fatalf("%v:\n%s", err, p.logged())
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

// expectDescriptors waits until the gateway has n of them.
func (p *process) expectDescriptors(n int) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%d descriptors", n), func() bool { return len(p.descriptors()) == n })
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

// processorTicks is how long a process has run, in ticks of a hundredth of a second.
func processorTicks(t *testing.T, pid int) int {
	t.Helper()
	fields := stat(t, pid)
	user, err := strconv.Atoi(fields[14-3])
	system, err2 := strconv.Atoi(fields[15-3])
	if err != nil || err2 != nil {
		t.Fatalf("stat of %d: %q", pid, fields)
	}
	return user + system
}

// stopProcess stops a process with SIGSTOP and waits until it stands still; continueProcess lets it go on.
func stopProcess(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process stands still", func() bool { return stat(t, pid)[0] == "T" })
}

func continueProcess(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// underLimit has a shell run cmd after it has set a limit.
func underLimit(t *testing.T, cmd *exec.Cmd, limit string) {
	t.Helper()
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Args = append([]string{"sh", "-c", limit + ` && exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = shell
}
