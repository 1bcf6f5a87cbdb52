// Package realclients has other people's WebSocket clients visit a gateway, as their users'
// programs do: what they make of a close code, of an answer, of a reset is theirs to say.
//
// Each is a small program in testdata: those of npm beside the lock file of what they need, which
// install.sh installs; those of Python and Java for Debian's packages. All take the same command
// line and print the same lines; Visitors do no more than visit:
//
//	PROGRAM URL visit [PROTOCOL]   opens, has "", a few, 300 and 70,000 bytes echoed, closes: 1000
//	PROGRAM URL echo SIZE          opens, has SIZE random bytes echoed, closes: 1000
//	PROGRAM URL send SIZE COUNT    opens, sends COUNT plain messages of SIZE random bytes, waits
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
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/internal/testenv"
)

// A Client is one of the programs.
type Client struct {
	name    string
	command []string
	env     []string
}

// WS is the package ws of npm, on node.
func WS(t testing.TB) Client { return npm(t, "ws") }

// Websockets is Python's package websockets, of Debian's python3-websockets. SERVER_MAX_WINDOW_BITS
// in its environment has it ask for that.
func Websockets(t testing.TB) Client { return python(t, "websockets") }

// A Named client is found when a test wants it, which leaves that test out if it is not installed.
type Named struct {
	Name string
	Find func(testing.TB) Client
}

// All are those that do everything.
var All = []Named{{"ws", WS}, {"websockets", Websockets}}

// Visitors are all of them.
var Visitors = append(slices.Clip(All),
	Named{"undici", func(t testing.TB) Client { return npm(t, "undici") }},
	Named{"java.net.http", java},
	Named{"websocket-client", func(t testing.TB) Client { return python(t, "websocket") }},
	Named{"aiohttp", func(t testing.TB) Client { return python(t, "aiohttp") }},
)

// java is the JDK's own client, java.net.http, which compiles its program each time.
func java(t testing.TB) Client {
	t.Helper()
	path, err := exec.LookPath("java")
	if err == nil {
		_, err = exec.LookPath("javac")
	}
	if err != nil {
		testenv.LeaveOut(t, "no JDK is in PATH: %v", err)
	}
	// It ends before a second compiler has made up for its own time.
	return Client{name: "java.net.http", command: []string{path, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", filepath.Join(testdata("java"), "Visit.java")}}
}

// python is the client for a module, in whose interpreter it is: the system's, if there are more.
func python(t testing.TB, module string) Client {
	t.Helper()
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(name, "-c", "import "+module).Run() == nil {
			return Client{name: module, command: []string{name, filepath.Join(testdata("python"), module+"_client.py")}}
		}
	}
	testenv.LeaveOut(t, "Python's %s is not installed: apt-get install python3-%s", module, module)
	panic("unreachable")
}

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
	return Client{name: name, command: []string{node, filepath.Join(dir, name+".js")}}
}

// testdata is a directory beside this file: tests run in those of their own packages.
func testdata(name string) string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "testdata", name)
}

// Cent is Centrifugo's server library for JavaScript, cent.js of npm.
func Cent(t testing.TB) Client { return npm(t, "cent.js") }

// Centrifuge is Centrifugo's SDK for JavaScript, centrifuge of npm, on node; internal/sdktest
// drives it.
func Centrifuge(t testing.TB) Client { return npm(t, "centrifuge") }

// CentrifugeForPages are the files of the same for a page: the SDK's, and what drives it.
func CentrifugeForPages(t testing.TB) (sdk, drive string) {
	t.Helper()
	npm(t, "centrifuge")
	return filepath.Join(testdata("npm"), "node_modules/centrifuge/dist/centrifuge.js"), filepath.Join(testdata("npm"), "centrifuge.drive.js")
}

// Command is the client's program with arguments, for those who talk with it while it runs.
func (c Client) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(c.command[0], append(c.command[1:len(c.command):len(c.command)], args...)...)
	cmd.Env = append(os.Environ(), c.env...)
	return cmd
}

// Publish makes a server library publish at a URL, and ask for what there is, and returns what it
// printed.
func (c Client) Publish(t testing.TB, url, key string) []string {
	t.Helper()
	return strings.Split(c.output(t, url, key), "\n")
}

// Visit makes the client visit the URL, offering a subprotocol if there is one that it insists on,
// and returns the last line that it printed.
func (c Client) Visit(t testing.TB, url string, subprotocol ...string) string {
	t.Helper()
	return c.run(t, append([]string{url, "visit"}, subprotocol...)...)
}

// Send makes the client send count messages of size random bytes, plain, and returns the last line
// that it printed.
func (c Client) Send(t testing.TB, url string, size, count int) string {
	t.Helper()
	return c.run(t, url, "send", strconv.Itoa(size), strconv.Itoa(count))
}

// Echo makes the client send size random bytes, compressed if that was agreed on, and hear them. It
// returns the last line that it printed.
func (c Client) Echo(t testing.TB, url string, size int) string {
	t.Helper()
	return c.run(t, url, "echo", strconv.Itoa(size))
}

// With is the client with more in its environment, as NAME=value.
func (c Client) With(env ...string) Client {
	c.env = append(slices.Clip(c.env), env...)
	return c
}

// runFor bounds one run of a client.
const runFor = time.Minute

func (c Client) run(t testing.TB, args ...string) string {
	t.Helper()
	out := c.output(t, args...)
	lines := strings.Split(out, "\n")
	if len(lines) > 1 {
		t.Logf("%s %v:\n%s", c.name, args, out)
	}
	return strings.TrimSpace(lines[len(lines)-1])
}

// output is what it prints.
func (c Client) output(t testing.TB, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), runFor)
	defer cancel()
	argv := append(c.command[1:len(c.command):len(c.command)], args...)
	cmd := exec.CommandContext(ctx, c.command[0], argv...)
	cmd.Env = append(os.Environ(), c.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s %v: %v\n%s", c.name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}
