//go:build unix

package gateway

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
)

// program builds the gateway once and returns the path of its binary.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sluice-test-")
	if err != nil {
		return "", err
	}
	builtDir = dir
	path := filepath.Join(dir, "gateway")
	if out, err := exec.Command("go", "build", "-o", path, "../cmd/gateway").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return path, nil
})

// builtDir holds the gateway's own binary, once a test has asked for it.
var builtDir string

// removeBuilt removes the binary.
func removeBuilt() {
	if builtDir != "" {
		os.RemoveAll(builtDir)
	}
}

// command is the gateway with these flags, in surroundings that do not configure it. It ends with the test.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, path, args...)
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "SLUICE_") {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	return cmd
}

// outcome runs a command that ends by itself.
func outcome(t *testing.T, cmd *exec.Cmd) (status int, stdout, stderr string) {
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

// A process is a gateway that runs on its own.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	addr string // the first it listens on

	mu    sync.Mutex
	log   []string
	ended chan struct{}
}

// launch starts a gateway and waits until it listens.
func launch(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: cmd, ended: make(chan struct{})}
	go p.collect(pipe)
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-p.ended })
	p.addr = p.expectLog(`listening"?.*"?address"?[=:]"?([^" ]+)`)
	return p
}

// collect reads the log to its end, and then the exit status.
func (p *process) collect(r io.Reader) {
	defer close(p.ended)
	for lines := bufio.NewScanner(r); lines.Scan(); {
		p.mu.Lock()
		p.log = append(p.log, lines.Text())
		p.mu.Unlock()
	}
	_ = p.cmd.Wait() // The status is asked for where it is wanted.
}

func (p *process) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.log, "\n")
}

// expectLog waits for a line and returns the expression's first group.
func (p *process) expectLog(expression string) string {
	p.t.Helper()
	re := regexp.MustCompile(expression)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if m := re.FindStringSubmatch(p.logged()); m != nil {
			return m[len(m)-1]
		}
	}
	p.t.Fatalf("nothing logged like %s:\n%s", expression, p.logged())
	return ""
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) expectExit(status int) {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("still running after %v:\n%s", patience, p.logged())
	}
	if got := p.cmd.ProcessState.ExitCode(); got != status {
		p.t.Errorf("exit status %d, want %d:\n%s", got, status, p.logged())
	}
}
