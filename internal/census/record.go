package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/census/trace"
	"sluice/wsproto"
)

const (
	// calm is how long the gateway is given to come to rest.
	calm = 100 * time.Millisecond
	// messages is how many are recorded, each by itself: a timer may strike in the middle of one.
	messages = 9
)

// A record is what the gateway ran through around each of some messages, from rest to rest.
type record struct {
	*options
	m         *module
	functions []function
	messages  [][]trace.Event
}

// record runs an instrumented gateway and has messages go through it.
func (m *module) record(o *options) (*record, error) {
	dir, err := os.MkdirTemp("", "census")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	binary, control := filepath.Join(dir, "gateway"), filepath.Join(dir, "control")
	functions, err := m.build(dir, binary)
	if err != nil {
		return nil, err
	}
	gateway := exec.Command(binary, "--listen", "127.0.0.1:0", "--loops", strconv.Itoa(o.loops), "--flush=plain") // By which each client has a write of its own.
	gateway.Env = append(os.Environ(), trace.Control+"="+control)
	log, err := gateway.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := gateway.Start(); err != nil {
		return nil, err
	}
	defer gateway.Wait()
	defer gateway.Process.Kill()
	address, err := announced(log)
	if err != nil {
		return nil, err
	}
	recorded, err := converse(address, control, o.clients)
	r := &record{options: o, m: m, functions: functions, messages: recorded}
	for i, events := range recorded {
		recorded[i] = r.ofWriters(events)
	}
	return r, err
}

var announcement = regexp.MustCompile(`msg=listening address=(\S+)`)

// announced reads the gateway's log for where it listens.
func announced(log io.Reader) (string, error) {
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		if found := announcement.FindStringSubmatch(lines.Text()); found != nil {
			go io.Copy(io.Discard, log)
			return found[1], nil
		}
	}
	return "", errors.New("the gateway did not say where it listens")
}

// converse opens clients and returns what was recorded of each message. The first is not recorded:
// it finds a log without memory.
func converse(address, control string, clients int) (recorded [][]trace.Event, err error) {
	var conns []net.Conn
	for range clients {
		c, err := dial(address)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		conns = append(conns, c)
	}
	if err := deliver(conns); err != nil {
		return nil, err
	}
	for range messages {
		events, err := recordOne(control, conns)
		if err != nil {
			return nil, err
		}
		recorded = append(recorded, events)
	}
	return recorded, nil
}

func recordOne(control string, conns []net.Conn) (events []trace.Event, err error) {
	recorder, err := net.Dial("unix", control)
	if err != nil {
		return nil, err
	}
	defer recorder.Close()
	if err := toggle(recorder); err != nil {
		return nil, err
	}
	if err := deliver(conns); err != nil {
		return nil, err
	}
	if err := toggle(recorder); err != nil {
		return nil, err
	}
	err = json.NewDecoder(recorder).Decode(&events)
	return events, err
}

// toggle starts or ends the record when the gateway has come to rest.
func toggle(recorder net.Conn) error {
	time.Sleep(calm)
	var order [1]byte
	if _, err := recorder.Write(order[:]); err != nil {
		return err
	}
	_, err := io.ReadFull(recorder, order[:])
	return err
}

// deliver makes the first client send a message and waits until all have it.
func deliver(conns []net.Conn) error {
	payload := []byte("a message of 64 bytes, which is not worth deflating: 0123456789ab")
	message := wsproto.AppendMaskedFrame(nil, wsproto.OpText, true, [4]byte{1, 2, 3, 4}, payload)
	if _, err := conns[0].Write(message); err != nil {
		return err
	}
	frame := make([]byte, len(wsproto.AppendFrame(nil, wsproto.OpText, payload)))
	for _, c := range conns {
		if _, err := io.ReadFull(c, frame); err != nil {
			return err
		}
	}
	return nil
}

// dial opens a client in the room that this is about.
func dial(address string) (net.Conn, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(time.Minute)) // Fails on no connection that is open.
	_, err = c.Write(wsproto.AppendClientHandshake(nil, address, "/ws/census", "AAAAAAAAAAAAAAAAAAAAAA=="))
	var head []byte
	for b := make([]byte, 1); err == nil && !bytes.HasSuffix(head, []byte("\r\n\r\n")); head = append(head, b...) {
		_, err = io.ReadFull(c, b)
	}
	if err == nil && !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) {
		err = fmt.Errorf("the gateway answered %q", head)
	}
	if err != nil {
		c.Close()
	}
	return c, err
}

// usual returns those functions that more than half of the messages ran through: between rest and
// rest, or between their read and their last write.
func (r *record) usual(isWhole bool) (all []function, err error) {
	counts := map[int]int{}
	for _, events := range r.messages {
		from := slices.IndexFunc(events, func(e trace.Event) bool { return r.is(e, r.read) })
		to := len(events) - 1
		for to >= 0 && !r.is(events[to], r.write) {
			to--
		}
		if from < 0 || to < from {
			return nil, fmt.Errorf("no %s with a %s behind it was recorded", r.read, r.write)
		}
		if isWhole {
			from, to = 0, len(events)-1
		}
		once := map[int]bool{}
		for _, e := range events[from : to+1] {
			once[e.Func] = true
		}
		for fn := range once {
			counts[fn]++
		}
	}
	for _, fn := range slices.Sorted(maps.Keys(counts)) {
		if counts[fn] > messages/2 {
			all = append(all, r.functions[fn])
		}
	}
	return all, nil
}

// ofWriters are the events of the goroutines that have written. What others run through, which look
// after memory and time, is not the message's.
func (r *record) ofWriters(events []trace.Event) []trace.Event {
	writers := map[string]bool{}
	for _, e := range events {
		if r.is(e, r.write) {
			writers[e.Goroutine] = true
		}
	}
	return slices.DeleteFunc(events, func(e trace.Event) bool { return !writers[e.Goroutine] })
}

// is reports whether an event is in a function whose name is so, or ends so behind a dot.
func (r *record) is(e trace.Event, name string) bool {
	fn := r.functions[e.Func].name
	return fn == name || strings.HasSuffix(fn, "."+name)
}

// A call is one into the hub from outside it.
type call struct{ from, to string }

// callsBack returns, for each message, the calls between the return of its publication and the next
// rest. Those under which something is written are left out: there it is the hub that drives.
func (r *record) callsBack(hub *pkg) (all [][]call, err error) {
	for _, events := range r.messages {
		isHub := func(e trace.Event) bool { return r.functions[e.Func].pkg == hub.ImportPath }
		from := slices.IndexFunc(events, func(e trace.Event) bool { return isHub(e) && r.is(e, r.publish) })
		if from < 0 {
			return nil, fmt.Errorf("no %s of %s was recorded", r.publish, hub.ImportPath)
		}
		for isHub(events[from]) {
			from++
		}
		drives := map[call]bool{}
		for _, e := range events {
			for i := 1; i < len(e.Stack) && r.is(e, r.write); i++ {
				drives[call{from: e.Stack[i], to: e.Stack[i-1]}] = true
			}
		}
		var calls []call
		for _, e := range events[from:] {
			if len(e.Stack) < 2 || !isHub(e) {
				continue
			}
			c := call{from: e.Stack[1], to: e.Stack[0]}
			if by := r.m.packageOf(c.from); by != nil && by != hub && !drives[c] {
				calls = append(calls, c)
			}
		}
		all = append(all, calls)
	}
	slices.SortFunc(all, func(a, b []call) int { return len(a) - len(b) })
	return all, nil
}

// packageOf finds the package of a function as the runtime names it, nil if it is none of ours.
func (m *module) packageOf(name string) *pkg {
	dir, base := path.Split(name)
	of, _, _ := strings.Cut(base, ".")
	if dir == "" && of == "main" {
		return m.packages[m.program]
	}
	return m.packages[dir+of]
}
