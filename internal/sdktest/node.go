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

// A node is npm's SDK in a process of its own.
type node struct {
	*npm
	process *exec.Cmd
	input   io.WriteCloser
	ended   sync.WaitGroup
	once    sync.Once
}

func openNode(t testing.TB, o Options) SDK {
	t.Helper()
	program := realclients.Centrifuge(t)
	options, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{npm: newNPM(t), process: program.Command(string(options))}
	n.process.Stderr = os.Stderr
	output, err := n.process.StdoutPipe()
	if err == nil {
		n.input, err = n.process.StdinPipe()
	}
	if err == nil {
		err = n.process.Start()
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
func (n *node) Close() {
	n.once.Do(func() {
		n.input.Close()
		n.ended.Wait()
		if err := n.process.Wait(); err != nil {
			n.t.Errorf("the SDK's program: %v", err)
		}
	})
}
