package blackbox

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
)

// answersOn asks a gateway on a unix socket whether it lives.
func answersOn(path string) error {
	c, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte("GET /livez HTTP/1.0\r\n\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && !strings.Contains(line, " 200 ") {
		err = errors.New(line)
	}
	return err
}

// N40: what kill -9 leaves is a socket that nobody answers on. It is bound anew; one that answers
// stays, and so does whatever is no socket of a gateway's. At its end a gateway removes its own
// file and no other's.
func TestN40_SocketThatNobodyAnswersOnIsTakenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	start := func() *proctest.Process { return proctest.Launch(t, proctest.Command(t, "--listen=unix:"+path)) }
	killed := start()
	killed.Signal(syscall.SIGKILL)
	<-killed.Ended
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("nothing is left behind: %v", err)
	}
	second := start()
	if err := answersOn(path); err != nil {
		t.Fatal(err)
	}

	refused := func(why string) {
		t.Helper()
		status, _, stderr := proctest.Outcome(t, proctest.Command(t, "--listen=unix:"+path))
		if status != 1 || strings.Count(stderr, "\n") != 2 || !strings.Contains(stderr, why) || !strings.Contains(stderr, path) {
			t.Errorf("status %d, %q; want 1 and %q", status, stderr, why)
		}
	}
	refused("another process answers")
	second.Signal(syscall.SIGSTOP) // It does not answer, but it may.
	refused("another process answers")
	second.Signal(syscall.SIGCONT)
	if err := answersOn(path); err != nil {
		t.Errorf("the one that listened is gone: %v", err)
	}

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	third := start()
	second.Signal(syscall.SIGTERM)
	second.ExpectExit(0)
	if err := answersOn(path); err != nil {
		t.Errorf("who ended has removed another's socket: %v", err)
	}
	third.Signal(syscall.SIGTERM)
	third.ExpectExit(0)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket file is left behind: %v", err)
	}

	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("no socket")
	if text, err := os.ReadFile(path); string(text) != "precious" {
		t.Errorf("a file became %q, %v", text, err)
	}
	os.Remove(path)
	if err := os.Symlink("/nonexistent", path); err != nil {
		t.Fatal(err)
	}
	refused("no socket")
	os.Remove(path)
	datagrams, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	refused("cannot be told")
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("somebody's socket is gone: %v", err)
	}
}

// N40: a name in the kernel alone has no file to remove, and ends with its process.
func TestN40_AbstractSocketNeedsNoFile(t *testing.T) {
	name := fmt.Sprintf("@sluice-test-%d", os.Getpid())
	p := proctest.Launch(t, proctest.Command(t, "--listen=unix:"+name))
	if err := answersOn(name); err != nil {
		t.Error(err)
	}
	if status, _, stderr := proctest.Outcome(t, proctest.Command(t, "--listen=unix:"+name)); status != 1 || !strings.Contains(stderr, "in use") {
		t.Errorf("status %d, %q; want 1: it is in use", status, stderr)
	}
	p.Signal(syscall.SIGTERM)
	p.ExpectExit(0)
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file by that name: %v", err)
	}
}

// N41: who may connect is what the flags say, whatever the umask, and from the first moment: both
// are set before listen(2).
func TestN41_ModeAndGroupOfTheSocket(t *testing.T) {
	group := os.Getgid()
	if others, err := os.Getgroups(); err == nil && len(others) > 0 {
		group = others[len(others)-1]
	}
	for _, tc := range []struct {
		umask string
		flags []string
		mode  fs.FileMode
		group int
	}{
		{"0022", nil, 0o660, os.Getgid()},
		{"0777", nil, 0o660, os.Getgid()},
		{"0000", []string{"--socket-mode=600"}, 0o600, os.Getgid()},
		{"0077", []string{"--socket-mode=0777", fmt.Sprintf("--socket-group=%d", group)}, 0o777, group},
	} {
		path := filepath.Join(t.TempDir(), "socket")
		cmd := proctest.Command(t, append(tc.flags, "--listen=unix:"+path)...)
		proctest.UnderLimit(t, cmd, "umask "+tc.umask)
		proctest.Launch(t, cmd)
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := int(info.Sys().(*syscall.Stat_t).Gid); info.Mode().Perm() != tc.mode || got != tc.group {
			t.Errorf("umask %s, %v: mode %o, group %d; want %o, %d", tc.umask, tc.flags, info.Mode().Perm(), got, tc.mode, tc.group)
		}
	}
	if status, _, stderr := proctest.Outcome(t, proctest.Command(t, "--socket-group=nosuchgroup")); status != 2 || !strings.Contains(stderr, "--socket-group") {
		t.Errorf("an unknown group: status %d, %q", status, stderr)
	}
}

func TestN41_ModeAndGroupAreSetBeforeAnybodyCanConnect(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		testenv.LeaveOut(t, "there is no strace")
	}
	dir := t.TempDir()
	log, path := filepath.Join(dir, "strace"), filepath.Join(dir, "socket")
	cmd := proctest.Command(t, "--listen=unix:"+path, fmt.Sprintf("--socket-group=%d", os.Getgid()), "--flush=plain") // A ring's trial listens, too.
	cmd.Args = append([]string{"strace", "-f", "-qq", "-o", log, "-e", "trace=bind,listen,/f?chmod.*,/.*chown.*", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = strace
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { // Killed itself, strace would leave the gateway behind.
		calls, _ := os.ReadFile(log)
		var pid int
		if _, err := fmt.Sscan(string(calls), &pid); err != nil || syscall.Kill(pid, syscall.SIGKILL) != nil {
			t.Errorf("the gateway cannot be ended: %v in %q", err, calls)
			_ = cmd.Process.Kill()
		}
		_ = cmd.Wait()
	}()
	testenv.Eventually(t, "it listens", func() bool {
		calls, _ := os.ReadFile(log)
		return strings.Contains(string(calls), "listen(")
	})
	calls, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	at := -1
	for _, call := range []string{"bind(", "chown", "chmod", "listen("} {
		next := strings.Index(string(calls), call)
		if next <= at {
			t.Fatalf("%s) comes at %d, after %d: %s", call, next, at, calls)
		}
		at = next
	}
}

// N41: what the mode means to another user: with the group it connects, without it does not. A
// thread of this process becomes that user, and ends.
func TestN41_OnlyTheGroupConnects(t *testing.T) {
	if os.Getuid() != 0 {
		testenv.LeaveOut(t, "only root can become another user")
	}
	const group, nobody = 12_345, 65_534
	dir, err := os.MkdirTemp("", "sluice-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "socket")
	proctest.Launch(t, proctest.Command(t, "--listen=unix:"+path, fmt.Sprintf("--socket-group=%d", group)))
	for gid, want := range map[int]error{group: nil, nobody: syscall.EACCES} {
		if err := connectAs(nobody, gid, path); !errors.Is(err, want) {
			t.Errorf("group %d: %v, want %v", gid, err, want)
		}
	}
}

// N41: nginx as Debian runs it, its workers as www-data, in front of a socket with the flags of
// docs/internet.md: a page is let in, under the public name and without --allow-host. Without the
// group it is 502.
func TestN41_NginxReachesTheSocketByItsGroup(t *testing.T) {
	if os.Getuid() != 0 {
		testenv.LeaveOut(t, "only root runs nginx as another user")
	}
	dir, err := os.MkdirTemp("", "sluice-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	nginx := proxies[0]
	nginx.around = strings.Replace(nginx.around, "daemon off; master_process off;", "daemon off; user www-data;", 1)
	for name, flags := range map[string][]string{"theirs": {"--socket-group=www-data"}, "ours": nil} {
		path := filepath.Join(dir, name)
		proctest.Launch(t, proctest.Command(t, append(flags, "--listen=unix:"+path)...))
		addr := nginx.runProxy(t, strings.ReplaceAll(blockOf(t, nginx.language, 0), "127.0.0.1:8080", "unix:"+path))
		c, r, err := dialAs(t, addr, "/ws/behind", "https://"+publicName, nil)
		switch {
		case flags == nil && (r == nil || r.StatusCode != http.StatusBadGateway):
			t.Errorf("without the group: %v, %v; want 502", r, err)
		case flags != nil && err != nil:
			t.Errorf("with the group: %v", err)
		case flags != nil:
			expectEcho(t, c, "through the socket")
		}
	}
}

func connectAs(uid, gid int, path string) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // The thread ends with the goroutine: nobody gets it with this user.
		for _, call := range [][4]uintptr{
			{unix.SYS_SETGROUPS, 0, 0, 0},
			{unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)},
			{unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)},
		} {
			if _, _, errno := syscall.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
				result <- errno
				return
			}
		}
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
			unix.Close(fd)
		}
		result <- err
	}()
	return <-result
}
