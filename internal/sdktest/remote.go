package sdktest

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"sluice/internal/testenv"
)

// A command is what the program of npm's SDK is told to do, and what it answers to that.
type command struct {
	ID     int             `json:"id"`
	Do     string          `json:"do"`
	Room   string          `json:"room,omitempty"`
	Data   json.RawMessage `json:"data,omitempty"`
	Tokens []string        `json:"tokens,omitempty"`
	Ask
}

type answer struct {
	Result json.RawMessage `json:"result"`
	Error  *Refusal        `json:"error"`
}

// An npm is a client of npm's SDK, wherever that runs.
type npm struct {
	t      testing.TB
	record *Record
	send   func(command) error // to where it runs; its answer comes to answered

	mu      sync.Mutex
	asked   int
	waiting map[int]chan answer
}

func newNPM(t testing.TB) *npm {
	return &npm{t: t, record: newRecord(), waiting: map[int]chan answer{}}
}

// heard takes a line that the program has printed: an event, or an answer.
func (n *npm) heard(line []byte) error {
	var kind struct {
		Kind string `json:"kind"`
		To   int    `json:"to"`
	}
	if err := json.Unmarshal(line, &kind); err != nil {
		return fmt.Errorf("the SDK's program printed %.200q: %w", line, err)
	}
	if kind.Kind != "answer" {
		var e Event
		err := json.Unmarshal(line, &e)
		n.record.add(e)
		return err
	}
	var a answer
	err := json.Unmarshal(line, &a)
	n.answered(kind.To, a)
	return err
}

func (n *npm) answered(to int, a answer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiting[to] <- a
	delete(n.waiting, to)
}

// do has the program do something, and returns what came of it.
func (n *npm) do(c command, result any) error {
	answered := make(chan answer, 1)
	n.mu.Lock()
	n.asked++
	c.ID = n.asked
	n.waiting[c.ID] = answered
	n.mu.Unlock()
	if err := n.send(c); err != nil {
		return err
	}
	select {
	case a := <-answered:
		if a.Error != nil {
			return a.Error
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(a.Result, result)
	case <-time.After(testenv.Patience):
		return fmt.Errorf("the SDK does not answer to %+v", c)
	}
}

// must has it do something that it can always do.
func (n *npm) must(c command) {
	if err := n.do(c, nil); err != nil {
		n.t.Errorf("%+v: %v", c, err)
	}
}

func (n *npm) Connect()                { n.must(command{Do: "connect"}) }
func (n *npm) Disconnect()             { n.must(command{Do: "disconnect"}) }
func (n *npm) Unsubscribe(room string) { n.must(command{Do: "unsubscribe", Room: room}) }
func (n *npm) RPC(method string) error { return n.do(command{Do: "rpc", Room: method}, nil) }
func (n *npm) Events() *Record         { return n.record }

func (n *npm) Subscribe(room string, tokens ...string) {
	n.must(command{Do: "subscribe", Room: room, Tokens: tokens})
}

func (n *npm) Publish(room string, data json.RawMessage) error {
	return n.do(command{Do: "publish", Room: room, Data: data}, nil)
}

func (n *npm) History(room string, ask Ask) (h History, err error) {
	err = n.do(command{Do: "history", Room: room, Ask: ask}, &h)
	return h, err
}

func (n *npm) Presence(room string) (all []Info, err error) {
	err = n.do(command{Do: "presence", Room: room}, &all)
	return all, err
}

func (n *npm) PresenceStats(room string) (s Stats, err error) {
	err = n.do(command{Do: "presenceStats", Room: room}, &s)
	return s, err
}
