package blackbox

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// An injector is a strace(1) that has system calls of a running gateway fail. The calls that fail
// are not made, so what is injected is what the kernel may do: errors, but no short writes, which
// would claim that bytes were sent.
type injector struct {
	p     *proctest.Process
	cmd   *exec.Cmd
	log   string
	said  bytes.Buffer
	ended chan struct{}
}

// inject attaches to the gateway and has calls fail with an error, of each thread this one and then
// every nth, until the test ends. The test fails if no call did.
//
// The gateway stands still meanwhile: strace lists its threads and then attaches to one after
// another. One that starts between the two, by one that is not attached to yet, would never be
// traced.
func inject(p *proctest.Process, calls, errno string, first, nth int) {
	p.T.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		testenv.LeaveOut(p.T, "there is no strace")
	}
	in := &injector{p: p, log: filepath.Join(p.T.TempDir(), "strace"), ended: make(chan struct{})}
	in.cmd = exec.Command(strace, "-f", "-qq", "-o", in.log, "-e", "trace="+calls,
		"-e", fmt.Sprintf("inject=%s:error=%s:when=%d+%d", calls, errno, first, nth), "-p", fmt.Sprint(p.PID()))
	in.cmd.Stderr = &in.said
	proctest.StopProcess(p.T, p.PID())
	if err := in.cmd.Start(); err != nil {
		p.T.Fatal(err)
	}
	go func() { _ = in.cmd.Wait(); close(in.ended) }() // It ends with the gateway; how does not matter.
	p.T.Cleanup(in.end)
	testenv.Eventually(p.T, "strace has all threads", func() bool {
		select {
		case <-in.ended:
			testenv.LeaveOut(p.T, "strace may not trace here: %s", in.said.String())
		default:
		}
		return in.isAttached()
	})
	proctest.ContinueProcess(p.T, p.PID())
}

// end ends the gateway, and strace with it. To let go of a gateway that lives on would leave the
// call that is just being made without an answer of either kind: ENOSYS.
func (in *injector) end() {
	_ = in.p.Cmd.Process.Kill()
	select {
	case <-in.ended:
	case <-time.After(testenv.Patience):
		_ = in.cmd.Process.Kill()
		<-in.ended
	}
	if in.p.T.Skipped() || in.p.T.Failed() {
		return
	}
	log, err := os.ReadFile(in.log)
	if err != nil {
		in.p.T.Error(err)
	}
	struck := bytes.Count(log, []byte("(INJECTED)"))
	if struck == 0 {
		in.p.T.Errorf("no call failed: the test tested nothing: %s", in.said.String())
	}
	in.p.T.Logf("%d calls failed", struck)
}

// isAttached reports whether every thread of the gateway is traced.
func (in *injector) isAttached() bool {
	statuses, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", in.p.PID()))
	for _, path := range statuses {
		status, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(status), "\nTracerPid:\t0\n") {
			return false
		}
	}
	return len(statuses) > 0
}

// K13: errors of single connections that are gone before they are taken, accept(2) "Error
// handling". The gateway goes on to the next.
func TestK13_InjectedErrorsOfAccept(t *testing.T) {
	t.Parallel()
	for _, errno := range []string{"ECONNABORTED", "EPROTO", "EPERM", "ENETDOWN"} {
		t.Run(errno, func(t *testing.T) { losesNothing(t, "accept4", errno, 1, 2) })
	}
}

// K14: accepting rests for a while, and goes on by itself.
func TestK14_InjectedShortages(t *testing.T) {
	t.Parallel()
	for _, errno := range []string{"EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"} {
		t.Run(errno, func(t *testing.T) {
			t.Parallel()
			losesNothing(t, "accept4", errno, 1, 4)
		})
	}
}

// N23: the kernel has no memory for every fortieth call. What it was to do is done a little later.
// A connection for which it has none four times in a row ends. So no thread begins with a failure:
// those that are new would fail one after the other for whoever is tried again by each.
func TestN23_InjectedShortagesOfMemory(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"sendto", "recvfrom"} {
		for _, errno := range []string{"ENOBUFS", "ENOMEM"} {
			t.Run(call+"/"+errno, func(t *testing.T) {
				t.Parallel()
				losesNothing(t, call, errno, 7, 40)
			})
		}
	}
}

func TestInjectedInterruptions(t *testing.T) {
	t.Parallel()
	for _, calls := range []string{"?epoll_wait,epoll_pwait", "sendto", "recvfrom", "accept4"} {
		t.Run(calls, func(t *testing.T) { losesNothing(t, calls, "EINTR", 1, 2) })
	}
}

// losesNothing has calls fail while connections are made and messages said, all of which come about
// and arrive all the same.
func losesNothing(t *testing.T, calls, errno string, first, nth int) {
	t.Helper()
	const size, clients, messages = 300, 6, 60
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--loops=2", "--flush=plain")) // Or few messages would go by sendto.
	before := len(p.Descriptors())
	inject(p, calls, errno, first, nth)
	crowd := wstest.Gather(t, p.Addr, "/ws/stage", clients, size)
	for range messages { // One at a time, or few calls would do.
		crowd.Publish(1)
		crowd.HearAll()
	}
	p.ExpectDescriptors(before + clients)
}

// Reads find nothing and writes are refused for no reason, which the kernel does not do: no edge
// need follow, for there was none to wait for. Whatever is stuck for that moves on with the next
// word of its client, whole and in order.
func TestK11_ReasonlessRefusalsLoseNothing(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"recvfrom", "sendto"} {
		t.Run(call, func(t *testing.T) {
			p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--loops=2", "--flush=plain"))
			var clients []*wstest.Client
			for range 6 {
				clients = append(clients, wstest.Join(t, p.Addr, "/ws"))
			}
			inject(p, call, "EAGAIN", 1, 3)
			for i := range 30 {
				message := fmt.Sprintf("message %d", i)
				clients[0].Send(wstest.MaskedText(message))
				for _, c := range clients {
					pokeUntilAnswered(c, clients[0])
					c.ExpectFrame(ws.OpText, message)
				}
			}
		})
	}
}

// pokeUntilAnswered has this client and the one that spoke send pongs, which are answered by
// nothing, until there is something to read.
func pokeUntilAnswered(c *wstest.Client, speaker *wstest.Client) {
	c.T.Helper()
	for end := time.Now().Add(testenv.Patience); time.Now().Before(end); {
		_, err := c.Peek(20 * time.Millisecond)
		if err == nil {
			return
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			c.T.Fatal(err)
		}
		speaker.Send(wstest.MaskedPong("poke"))
		c.Send(wstest.MaskedPong("poke"))
	}
}

// The kernel will not watch a connection (K16: ENOSPC, when max_user_watches is reached, or
// ENOMEM). It is closed, alone; those that are watched are served, and so is who comes later.
func TestK16_InjectedErrorsOfWatching(t *testing.T) {
	t.Parallel()
	for _, errno := range []string{"ENOSPC", "ENOMEM"} {
		t.Run(errno, func(t *testing.T) {
			p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--loops=2"))
			before := len(p.Descriptors())
			inject(p, "epoll_ctl", errno, 1, 3)
			var taken []*wstest.Client
			const clients = 12
			for range clients {
				c := wstest.Connect(t, p.Addr)
				c.TrySend(wstest.UpgradeHead("/ws"))
				if r, err := http.ReadResponse(c.In, nil); err == nil && r.StatusCode == http.StatusSwitchingProtocols {
					taken = append(taken, c)
				}
			}
			t.Logf("%d of %d were taken", len(taken), clients)
			if len(taken) == 0 || len(taken) == clients {
				t.Fatal("want some to be taken and some not")
			}
			p.ExpectDescriptors(before + len(taken))
			taken[0].Send(wstest.MaskedText("still served"))
			for _, c := range taken {
				c.ExpectFrame(ws.OpText, "still served")
			}
		})
	}
}

// K22 and its like: what a start needs is refused. The gateway says which, in one line, and ends
// with status 1. strace counts the calls of each thread for itself, and the gateway's goroutine may
// change threads: so all calls fail from some number on, and there are loops enough for more
// pollers than threads.
func TestK22_InjectedErrorsAtTheStart(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		testenv.LeaveOut(t, "there is no strace")
	}
	for _, tc := range []struct {
		call, errno string
		from        int // The runtime makes some for itself, before main: a package opens a file.
		says        string
	}{
		{"bind", "EACCES", 1, "permission denied"},
		{"bind", "EADDRNOTAVAIL", 1, "cannot assign requested address"},
		{"socket", "EMFILE", 1, "too many open files"},
		{"epoll_create1", "ENOMEM", 2, "cannot allocate memory"},
		{"eventfd2", "ENFILE", 2, "too many open files in system"},
	} {
		t.Run(tc.call+"_"+tc.errno, func(t *testing.T) {
			cmd := proctest.Command(t, "--listen=127.0.0.1:0", "--max-connections=10", "--loops=64")
			log := filepath.Join(t.TempDir(), "strace")
			cmd.Args = append([]string{
				"strace", "-f", "-qq", "-o", log, "-e", "trace=" + tc.call,
				"-e", fmt.Sprintf("inject=%s:error=%s:when=%d+", tc.call, tc.errno, tc.from), cmd.Path,
			}, cmd.Args[1:]...)
			cmd.Path = strace
			// Killed alone, strace would leave the gateway behind, and with it the pipes that are
			// read to their ends.
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
			status, stdout, stderr := proctest.Outcome(t, cmd)
			if struck, _ := os.ReadFile(log); !bytes.Contains(struck, []byte("(INJECTED)")) {
				testenv.LeaveOut(t, "strace may not trace here: %s", stderr)
			}
			if status != 1 || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, tc.says) {
				t.Errorf("status %d, stdout %q, stderr %q; want 1, nothing, and one line with %q", status, stdout, stderr, tc.says)
			}
		})
	}
}
