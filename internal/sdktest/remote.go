package sdktest

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"sluice/internal/testenv"
)

// A command is what an SDK's program is told to do, and what it answers to that.
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

// A remote is an SDK that is not in the test's own process, wherever it runs.
type remote struct {
	t      testing.TB
	record *Record
	send   func(command) error // to where it runs; its answer comes to answered

	mu      sync.Mutex
	asked   int
	waiting map[int]chan answer
}

func newRemote(t testing.TB) *remote {
	return &remote{t: t, record: newRecord(), waiting: map[int]chan answer{}}
}

// heard takes a line that the program has printed: an event, or an answer.
func (r *remote) heard(line []byte) error {
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
		r.record.add(e)
		return err
	}
	var a answer
	err := json.Unmarshal(line, &a)
	r.answered(kind.To, a)
	return err
}

func (r *remote) answered(to int, a answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting[to] <- a
	delete(r.waiting, to)
}

// do has the program do something, and returns what came of it.
func (r *remote) do(c command, result any) error {
	answered := make(chan answer, 1)
	r.mu.Lock()
	r.asked++
	c.ID = r.asked
	r.waiting[c.ID] = answered
	r.mu.Unlock()
	if err := r.send(c); err != nil {
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
		return fmt.Errorf("the SDK does not answer to %+v within %v; its last events: %v", c, testenv.Patience, r.record.last())
	}
}

// must has it do something that it can always do.
func (r *remote) must(c command) {
	if err := r.do(c, nil); err != nil {
		r.t.Errorf("%+v: %v", c, err)
	}
}

func (r *remote) Connect()                { r.must(command{Do: "connect"}) }
func (r *remote) Disconnect()             { r.must(command{Do: "disconnect"}) }
func (r *remote) Unsubscribe(room string) { r.must(command{Do: "unsubscribe", Room: room}) }
func (r *remote) RPC(method string) error { return r.do(command{Do: "rpc", Room: method}, nil) }
func (r *remote) Events() *Record         { return r.record }

func (r *remote) Subscribe(room string, tokens ...string) {
	r.must(command{Do: "subscribe", Room: room, Tokens: tokens})
}

func (r *remote) Publish(room string, data json.RawMessage) error {
	return r.do(command{Do: "publish", Room: room, Data: data}, nil)
}

func (r *remote) History(room string, ask Ask) (h History, err error) {
	err = r.do(command{Do: "history", Room: room, Ask: ask}, &h)
	return h, err
}

func (r *remote) Presence(room string) (all []Info, err error) {
	err = r.do(command{Do: "presence", Room: room}, &all)
	return all, err
}

func (r *remote) PresenceStats(room string) (s Stats, err error) {
	err = r.do(command{Do: "presenceStats", Room: room}, &s)
	return s, err
}
