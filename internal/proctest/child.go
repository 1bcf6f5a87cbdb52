package proctest

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// A Child is this test binary in another process, doing one thing that must not be counted as the
// gateway's: being its clients, or another gateway. What it is to do is in an environment variable;
// the test it runs does nothing without.
type Child struct {
	t     *testing.T
	test  string
	cmd   *exec.Cmd
	In    io.WriteCloser
	out   io.Reader
	lines *bufio.Scanner
	once  sync.Once
}

// StartChild starts one; it ends with the test, if not before.
func StartChild(t *testing.T, variable, value, test string) *Child {
	t.Helper()
	c := &Child{t: t, test: test, cmd: exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.v")}
	c.cmd.Env = append(os.Environ(), variable+"="+value)
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.In, c.out, c.lines = in, out, bufio.NewScanner(out)
	t.Cleanup(c.End)
	return c
}

// Await reads the child's output up to a line that begins with this word, and returns the rest of
// it. Without one the test has failed.
func (c *Child) Await(word string) (rest string) {
	for c.lines.Scan() {
		if rest, ok := strings.CutPrefix(c.lines.Text(), word); ok {
			return strings.TrimSpace(rest)
		}
	}
	c.t.Errorf("%s did not say %q", c.test, word)
	return ""
}

// End tells the child to end, by the end of its input, and waits for it.
func (c *Child) End() {
	c.once.Do(func() {
		c.In.Close()
		_, _ = io.Copy(io.Discard, c.out)
		if err := c.cmd.Wait(); err != nil {
			c.t.Errorf("%s: %v", c.test, err)
		}
	})
}
