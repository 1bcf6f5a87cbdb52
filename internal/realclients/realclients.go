// Package realclients has other people's WebSocket clients visit a gateway, as their users' programs
// do: what they make of a close code, of an answer, of a reset is theirs to say.
//
// Each is a small program in testdata beside the lock file of what it needs, which install.sh
// installs. All take the same command line and print the same lines:
//
//	PROGRAM URL visit              opens, has "", a few bytes, 300 and 70,000 echoed, and closes with 1000
//	PROGRAM URL send SIZE COUNT    opens, sends COUNT messages of SIZE random bytes, and waits for the end
//	PROGRAM URL deflate SIZE COUNT the same, compressed
//
//	closed CODE REASON             the last line: what the client's own event said
//	error TEXT                     before it, as the client reports errors
//
// A client that is not installed leaves the calling test out, with the reason; with SLUICE_CI=1 in
// the environment that is a failure.
package realclients

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/internal/testenv"
)

// A Client is one of the programs.
type Client struct {
	Name    string
	command []string
}

// WS is the package ws of npm, on node.
func WS(t testing.TB) Client { return npm(t, "ws") }

// All are those that are installed.
func All(t testing.TB) []Client { return []Client{WS(t)} }

// npm is the client for a package of npm.
func npm(t testing.TB, name string) Client {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		testenv.LeaveOut(t, "node is not in PATH")
	}
	dir := testdata("npm")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", name)); err != nil {
		testenv.LeaveOut(t, "npm's %s is not installed: run internal/realclients/install.sh", name)
	}
	return Client{Name: name, command: []string{node, filepath.Join(dir, name+".js")}}
}

// testdata is a directory beside this file: tests run in those of their own packages.
func testdata(name string) string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "testdata", name)
}

// Visit has the client visit the URL, and returns the last line that it printed.
func (c Client) Visit(t testing.TB, url string) string {
	t.Helper()
	return c.run(t, url, "visit")
}

// Send has the client send count messages of size random bytes, plain, and returns the last line
// that it printed.
func (c Client) Send(t testing.TB, url string, size, count int) string {
	t.Helper()
	return c.run(t, url, "send", strconv.Itoa(size), strconv.Itoa(count))
}

// SendDeflated is Send, compressed.
func (c Client) SendDeflated(t testing.TB, url string, size, count int) string {
	t.Helper()
	return c.run(t, url, "deflate", strconv.Itoa(size), strconv.Itoa(count))
}

// runFor bounds one run of a client.
const runFor = time.Minute

func (c Client) run(t testing.TB, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), runFor)
	defer cancel()
	argv := append(c.command[1:len(c.command):len(c.command)], args...)
	out, err := exec.CommandContext(ctx, c.command[0], argv...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %v: %v\n%s", c.Name, args, err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) > 1 {
		t.Logf("%s %v:\n%s", c.Name, args, out)
	}
	return strings.TrimSpace(lines[len(lines)-1])
}
