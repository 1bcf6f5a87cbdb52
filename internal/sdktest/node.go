package sdktest

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"

	"sluice/internal/realclients"
)

// A process is an SDK in a process of its own, which takes commands as JSON lines and prints what
// happens.
type process struct {
	*remote
	cmd   *exec.Cmd
	input io.WriteCloser
	ended sync.WaitGroup
	once  sync.Once
}

func openNode(t testing.TB, o Options) SDK {
	t.Helper()
	options, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return start(t, realclients.Centrifuge(t).Command(string(options)))
}

// start starts a program of an SDK.
func start(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	n := &process{remote: newRemote(t), cmd: cmd}
	cmd.Stderr = os.Stderr
	output, err := cmd.StdoutPipe()
	if err == nil {
		n.input, err = cmd.StdinPipe()
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	input := json.NewEncoder(n.input)
	n.send = func(c command) error {
		mu.Lock()
		defer mu.Unlock()
		return input.Encode(c)
	}
	n.ended.Go(func() {
		lines := bufio.NewReader(output)
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return
			}
			if err := n.heard(line); err != nil {
				t.Error(err)
			}
		}
	})
	t.Cleanup(n.Close)
	return n
}

// Close ends the process, whose standard input ends.
func (n *process) Close() {
	n.once.Do(func() {
		n.input.Close()
		n.ended.Wait()
		if err := n.cmd.Wait(); err != nil {
			n.t.Errorf("the SDK's program: %v", err)
		}
	})
}
