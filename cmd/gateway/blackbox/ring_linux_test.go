package blackbox

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

const (
	byRing     = "messages go to the kernel many at a time"
	byNoRing   = "messages go to the kernel one at a time"
	ringFailed = "one at a time from here on: io_uring has failed"
)

// launchWithRing starts a gateway that is to use io_uring, which this machine may not have.
func launchWithRing(t *testing.T, args ...string) *proctest.Process {
	t.Helper()
	p := proctest.Launch(t, proctest.Command(t, append(args, "--listen=127.0.0.1:0", "--loops=2")...))
	if reason := p.ExpectLog("messages go to the kernel (.*)"); !strings.HasPrefix(reason, "many") {
		testenv.LeaveOut(t, "there is no io_uring here: %s", reason)
	}
	return p
}

// io_uring_enter fails in the middle of a run, as when a filter of system calls is loaded, or for
// the moment: every message comes all the same, once and in order, and if it is for good it is
// said.
func TestK30_RingRefusedInTheMidst(t *testing.T) {
	t.Parallel()
	for _, errno := range []string{"ENOSYS", "EPERM", "EAGAIN", "EINTR"} {
		t.Run(errno, func(t *testing.T) {
			const clients, messages = 20, 40
			p := launchWithRing(t)
			crowd := wstest.Gather(t, p.Addr, "/ws/stage", clients, 300)
			publish := func() {
				for range messages { // One in flight, or there would be nothing for rings to do.
					crowd.Publish(1)
					crowd.HearAll()
				}
			}
			publish()
			inject(p, "io_uring_enter", errno, 1, 2)
			publish()
			isLasting := errno == "ENOSYS" || errno == "EPERM"
			if isLasting {
				p.ExpectLog(ringFailed)
			} else if strings.Contains(p.Logged(), ringFailed) {
				t.Errorf("what passes is taken for the end:\n%s", p.Logged())
			}
		})
	}
}

// There is no io_uring at the start, or none that does what it has to: the gateway serves without,
// and says so once, with the reason; or it does not start, if it has to have one.
func TestK30_RingForbiddenAtTheStart(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ call, errno, says string }{
		{"io_uring_setup", "ENOSYS", "function not implemented"},
		{"io_uring_setup", "EPERM", "operation not permitted"},
		{"io_uring_setup", "ENOMEM", "cannot allocate memory"},
		{"io_uring_enter", "EPERM", "operation not permitted"},
	} {
		t.Run(tc.call+"_"+tc.errno, func(t *testing.T) {
			cmd := proctest.Command(t, "--listen=127.0.0.1:0", "--loops=2", "--max-connections=100")
			kill := underStrace(t, cmd, tc.call, tc.errno)
			p := proctest.Launch(t, cmd)
			t.Cleanup(kill)
			if said := p.ExpectLog("messages go to the kernel .*"); !strings.Contains(said, tc.says) || strings.Count(p.Logged(), byNoRing) != 1 || strings.Contains(p.Logged(), byRing) {
				t.Errorf("logged:\n%s", p.Logged())
			}
			crowd := wstest.Gather(t, p.Addr, "/ws/stage", 6, 300)
			crowd.Publish(20)
			crowd.HearAll()

			cmd = proctest.Command(t, "--listen=127.0.0.1:0", "--loops=2", "--max-connections=100", "--flush=ring")
			underStrace(t, cmd, tc.call, tc.errno)
			status, stdout, stderr := proctest.Outcome(t, cmd)
			if status != 1 || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, tc.says) {
				t.Errorf("with --flush=ring: status %d, stdout %q, stderr %q; want 1, nothing, and one line with %q", status, stdout, stderr, tc.says)
			}
		})
	}
}

// underStrace has a command's program run under strace(1), which fails its calls of a name. kill
// ends both: strace killed alone would leave the program behind, and with it the pipes that are
// read to their ends.
func underStrace(t *testing.T, cmd *exec.Cmd, call, errno string) (kill func()) {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		testenv.LeaveOut(t, "there is no strace")
	}
	log := filepath.Join(t.TempDir(), "strace")
	cmd.Args = append([]string{
		"strace", "-f", "-qq", "-o", log, "-e", "trace=" + call, "-e", fmt.Sprintf("inject=%s:error=%s", call, errno), cmd.Path,
	}, cmd.Args[1:]...)
	cmd.Path = strace
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	t.Cleanup(func() {
		if struck, _ := os.ReadFile(log); !bytes.Contains(struck, []byte("(INJECTED)")) && !t.Skipped() {
			t.Error("no call failed: the test tested nothing")
		}
	})
	return func() { _ = cmd.Cancel() }
}

// --flush=plain makes no such call, and says so.
func TestFlushPlainAsksForNoRing(t *testing.T) {
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--flush=plain"))
	p.ExpectLog(byNoRing)
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.PID()))
	if err != nil || len(links) == 0 {
		t.Fatal(links, err)
	}
	for _, link := range links {
		if to, _ := os.Readlink(link); strings.Contains(to, "io_uring") {
			t.Errorf("%s is %s", link, to)
		}
	}
}

// A crowd is served by rings, and the kernel makes no thread for it, idle or busy, whoever does not
// read.
func TestRingHasNoThreadOfTheKernel(t *testing.T) {
	p := launchWithRing(t)
	crowd := wstest.Gather(t, p.Addr, "/ws/stage", 50, 300)
	for range 6 { // They never read.
		wstest.Join(t, p.Addr, "/ws/stage")
	}
	for range 100 {
		crowd.Publish(1)
		crowd.HearAll()
		names, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/comm", p.PID()))
		if err != nil || len(names) == 0 {
			t.Fatal(names, err)
		}
		for _, file := range names {
			if name, _ := os.ReadFile(file); bytes.HasPrefix(name, []byte("iou-")) {
				t.Fatalf("the kernel has made a thread: %s", name)
			}
		}
	}
}
