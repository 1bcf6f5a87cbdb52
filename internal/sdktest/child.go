package sdktest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
)

// childName is what a test's own program is called with to be a client of centrifuge-go. What it is
// to be like stands behind that.
const childName = "centrifuge-go"

// A Child is a client of centrifuge-go in a process of its own, which a test may stop.
type Child struct{ *process }

// OpenChild opens one. The program is the test's own: its TestMain has to call RunChild before all
// else.
func OpenChild(t testing.TB, o Options, isProtobuf bool) Child {
	t.Helper()
	options, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	format := "json"
	if isProtobuf {
		format = "protobuf"
	}
	cmd := exec.Command(os.Args[0], childName, format, string(options))
	// centrifuge-go 0.12.1 sends by c.transport without its lock while it makes the next one. In
	// the test's own process the race detector would fail whatever test is running then.
	cmd.Env = append(os.Environ(), "GORACE=report_bugs=0")
	return Child{start(t, cmd)}
}

// RunChild ends the process if it is a child, when its standard input has ended: until then it
// takes commands and prints events as the program of npm's SDK does.
func RunChild() {
	if len(os.Args) != 4 || os.Args[1] != childName {
		return
	}
	if err := beChild(os.Args[2] == "protobuf", []byte(os.Args[3]), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func beChild(isProtobuf bool, options []byte, in io.Reader, out io.Writer) error {
	var o Options
	if err := json.Unmarshal(options, &o); err != nil {
		return err
	}
	var mu sync.Mutex
	lines := json.NewEncoder(out)
	tell := func(v any) {
		mu.Lock()
		defer mu.Unlock()
		_ = lines.Encode(v) // Nobody may read it any more.
	}
	g := newGo(o, isProtobuf, func(e Event) { tell(e) })
	defer g.client.Close()
	for commands := json.NewDecoder(in); ; {
		var c command
		if err := commands.Decode(&c); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		go func() { // One that waits for an answer keeps no other waiting.
			tell(struct {
				Kind string `json:"kind"`
				To   int    `json:"to"`
				answer
			}{"answer", c.ID, g.obey(&c)})
		}()
	}
}

// obey carries out a command, and returns what came of it.
func (g *golang) obey(c *command) (a answer) {
	var result any
	var err error
	switch c.Do {
	case "connect":
		_ = g.client.Connect() // An error of the first dial is an event as well.
	case "disconnect":
		err = g.client.Disconnect()
	case "subscribe":
		err = g.subscribe(c.Room, c.Tokens)
	case "unsubscribe":
		err = g.unsubscribe(c.Room)
	case "publish":
		err = g.publish(c.Room, c.Data)
	case "history":
		result, err = g.history(c.Room, c.Ask)
	case "presence":
		result, err = g.presence(c.Room)
	case "presenceStats":
		result, err = g.presenceStats(c.Room)
	case "rpc":
		err = g.rpc(c.Room)
	default:
		err = fmt.Errorf("nobody knows how to %q", c.Do)
	}
	if err == nil && result != nil {
		a.Result, err = json.Marshal(result)
	}
	if err != nil {
		a.Error = refusal(err)
	}
	return a
}
