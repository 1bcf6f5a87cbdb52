// Package proctest runs the built gateway as a process, and the test binary itself as one beside
// it, and sees of them what an operator sees: the log, the exit status and /proc.
package proctest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/testenv"
)

// program builds the gateway once and returns the path of its binary.
var program = sync.OnceValues(func() (string, error) { return Build("gateway") })

// builtDir holds the package's binaries, once a test has asked for one.
var builtDir = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "sluice-test-") })

// Build builds the gateway with further arguments for go run, for all tests of the package, and
// returns the path of the binary, which has this name. go build would link it for each package and
// each time: what go run would start stands in the go command's cache, and is copied.
func Build(name string, args ...string) (path string, err error) {
	dir, err := builtDir()
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, name)
	args = append(append([]string{"run", "-exec", "cp"}, args...), "sluice/cmd/gateway", path)
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go run -exec cp: %w: %s", err, out)
	}
	return path, nil
}

// RemoveBuilt removes the package's binaries.
func RemoveBuilt() {
	if dir, err := builtDir(); err == nil {
		os.RemoveAll(dir)
	}
}

// Command is the gateway with these flags, in surroundings that do not configure it. It ends with
// the test.
func Command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return LastingCommand(t, 2*testenv.Patience, args...)
}

// LastingCommand is Command for a test that takes longer than others. The gateway is killed when
// time is up.
func LastingCommand(t *testing.T, time time.Duration, args ...string) *exec.Cmd {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, path, args...)
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "SLUICE_") {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	return cmd
}

// Outcome runs a command that ends by itself.
func Outcome(t *testing.T, cmd *exec.Cmd) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// A Process is a gateway that runs on its own.
type Process struct {
	T    *testing.T
	Cmd  *exec.Cmd
	Addr string // the first it listens on

	mu    sync.Mutex
	log   []string
	Ended chan struct{}
}

// Launch starts a gateway and waits until it listens.
func Launch(t *testing.T, cmd *exec.Cmd) *Process {
	t.Helper()
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &Process{T: t, Cmd: cmd, Ended: make(chan struct{})}
	go p.collect(pipe)
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-p.Ended })
	p.Addr = p.ExpectLog(`listening"?.*"?address"?[=:]"?([^" ]+)`)
	return p
}

// collect reads the log to its end, and then the exit status.
func (p *Process) collect(r io.Reader) {
	defer close(p.Ended)
	for lines := bufio.NewScanner(r); lines.Scan(); {
		p.mu.Lock()
		p.log = append(p.log, lines.Text())
		p.mu.Unlock()
	}
	_ = p.Cmd.Wait() // The status is asked for where it is wanted.
}

// Logged is the log so far.
func (p *Process) Logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.log, "\n")
}

// ExpectLog waits for a line and returns the expression's first group.
func (p *Process) ExpectLog(expression string) string {
	p.T.Helper()
	re := regexp.MustCompile(expression)
	for end := time.Now().Add(testenv.Patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if m := re.FindStringSubmatch(p.Logged()); m != nil {
			return m[len(m)-1]
		}
	}
	p.T.Fatalf("nothing logged like %s:\n%s", expression, p.Logged())
	return ""
}

// Signal sends it a signal.
func (p *Process) Signal(s os.Signal) {
	p.T.Helper()
	if err := p.Cmd.Process.Signal(s); err != nil {
		p.T.Fatal(err)
	}
}

// InsistOnEnd sends it a signal again and again, until it has ended.
func (p *Process) InsistOnEnd(s os.Signal) {
	p.T.Helper()
	for end := time.Now().Add(testenv.Patience); time.Now().Before(end); {
		_ = p.Cmd.Process.Signal(s) // It may have ended.
		select {
		case <-p.Ended:
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// ExpectExit waits until it has ended, with this status.
func (p *Process) ExpectExit(status int) {
	p.T.Helper()
	select {
	case <-p.Ended:
	case <-time.After(testenv.Patience):
		p.T.Fatalf("still running after %v:\n%s", testenv.Patience, p.Logged())
	}
	if got := p.Cmd.ProcessState.ExitCode(); got != status {
		p.T.Errorf("exit status %d, want %d:\n%s", got, status, p.Logged())
	}
}
