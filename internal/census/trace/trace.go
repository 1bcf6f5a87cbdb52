// Package trace records what an instrumented gateway runs through. Nothing of the product imports
// it: the census puts calls of it into copies of the product's files, before every statement.
package trace

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

// Control is the environment variable that names the unix socket to be steered by. A byte starts
// the record, the next one ends it, and then what was recorded is written as JSON.
const Control = "SLUICE_TEST_TRACE"

// An Event is a statement that is about to run, or a function that was entered.
type Event struct {
	Func      int      // the number that the census gave the function
	Goroutine string   // as the runtime numbers them
	Stack     []string // of an entry: the function and all its callers, as the runtime names them
}

var (
	isOn   atomic.Bool
	mu     sync.Mutex
	events []Event
)

// At notes a statement.
func At(fn int) {
	if isOn.Load() {
		note(Event{Func: fn})
	}
}

// Enter notes that a function was entered.
func Enter(fn int) {
	if !isOn.Load() {
		return
	}
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	e := Event{Func: fn}
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		e.Stack = append(e.Stack, f.Function)
	}
	note(e)
}

func note(e Event) {
	var head [64]byte
	stack := head[:runtime.Stack(head[:], false)] // "goroutine 7 [running]: …"
	e.Goroutine = string(bytes.Fields(stack)[1])
	mu.Lock()
	defer mu.Unlock()
	events = append(events, e)
}

func init() {
	path := os.Getenv(Control)
	if path == "" {
		return
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		panic(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				panic(err)
			}
			serve(c)
		}
	}()
}

func serve(c net.Conn) {
	defer c.Close()
	var order [1]byte
	for _, on := range []bool{true, false} {
		if _, err := io.ReadFull(c, order[:]); err != nil {
			return
		}
		isOn.Store(on)
		if _, err := c.Write(order[:]); err != nil {
			return
		}
	}
	mu.Lock()
	defer mu.Unlock()
	_ = json.NewEncoder(c).Encode(events) // Whoever asked is gone; it will have said why.
	events = nil
}
