package clustertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/hub"
	"sluice/hub/cluster"
	"sluice/hub/cluster/natsbroker"
	"sluice/internal/testenv"
)

// A machine is a node with its broker, and rooms that write down what they are told.
type machine struct {
	t      testing.TB
	name   string
	node   *cluster.Node
	broker *natsbroker.Broker
	rooms  *recorder
	cancel context.CancelFunc
	ended  chan struct{}
}

// start runs a node, which need not find a broker.
func start(t testing.TB, name string, o natsbroker.Options, changes ...func(*cluster.Options)) *machine {
	t.Helper()
	log := slog.New(slog.NewTextHandler(logTo(t), nil)).With("node", name)
	o.Name, o.Log = name, log
	m := &machine{t: t, name: name, broker: dialOnly(t, o), rooms: newRecorder(), ended: make(chan struct{})}
	nodeOptions := cluster.Options{Log: log, PacksMax: int(o.Messages), Age: o.Age}
	for _, change := range changes {
		change(&nodeOptions)
	}
	m.node = cluster.New(nodeOptions, m.broker, m.rooms)
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	go func() {
		defer close(m.ended)
		if err := m.node.Run(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}()
	t.Cleanup(m.stop)
	return m
}

// patient has publishers wait for as long as tests do, where none is to be told of an error: on a
// busy machine an answer may take longer than they wait by default.
func patient(o *cluster.Options) { o.PublishTimeout = testenv.Patience }

// logTo is where nodes' lines go: to be seen if the test fails.
func logTo(t testing.TB) *lines {
	l := &lines{}
	t.Cleanup(func() {
		if t.Failed() {
			fmt.Fprint(os.Stderr, l.String())
		}
	})
	return l
}

// stop ends the node.
func (m *machine) stop() {
	m.cancel()
	<-m.ended
	m.broker.Close()
}

func (m *machine) open(rooms ...string) {
	m.t.Helper()
	for _, room := range rooms {
		if err := m.node.Open(soon(m.t), room); err != nil {
			m.t.Fatalf("%s: opening %s: %v", m.name, room, err)
		}
	}
}

func (m *machine) awaitReady() {
	m.t.Helper()
	testenv.Eventually(m.t, m.name+" is ready", func() bool { return m.node.Ready() == nil })
}

// startAll runs nodes that follow these rooms.
func startAll(t testing.TB, n int, o natsbroker.Options, rooms []string, changes ...func(*cluster.Options)) []*machine {
	t.Helper()
	all := make([]*machine, n)
	for i := range all {
		all[i] = start(t, fmt.Sprint("node", i), o, changes...)
		all[i].open(rooms...)
	}
	return all
}

// A recorder is a gateway's rooms: it keeps all that they were told, in order.
type recorder struct {
	mu      sync.Mutex
	rooms   map[string][]entry
	outages int
	isOut   bool
	pause   time.Duration // in each Append

	onlyCounts bool // set before the first message
	counted    atomic.Int64
	appended   chan struct{} // has something behind each message, or is full
}

// An entry is a message, or a reset.
type entry struct {
	hub.Position
	text    string
	isReset bool
}

func newRecorder() *recorder {
	return &recorder{rooms: map[string][]entry{}, appended: make(chan struct{}, 1)}
}

func (r *recorder) add(room string, e entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rooms[room] = append(r.rooms[room], e)
}

// Append implements cluster.Rooms.
func (r *recorder) Append(room, epoch string, all []hub.Source) {
	for i := range all {
		r.append(room, epoch, &all[i])
	}
}

func (r *recorder) append(room, epoch string, s *hub.Source) {
	if r.onlyCounts {
		r.counted.Add(1)
		select {
		case r.appended <- struct{}{}:
		default:
		}
		return
	}
	r.mu.Lock()
	pause := r.pause
	r.mu.Unlock()
	time.Sleep(pause)
	r.add(room, entry{Position: hub.Position{Epoch: epoch, Offset: s.Offset}, text: string(s.Payload)})
}

// Fill implements cluster.Rooms. A room that is filled anew keeps what it has been told before.
func (r *recorder) Fill(room, epoch string, _ uint64, kept []hub.Source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	told := r.rooms[room]
	var last hub.Position
	for _, e := range told {
		if last = e.Position; e.isReset {
			last = hub.Position{}
		}
	}
	for i := range kept {
		if s := &kept[i]; epoch != last.Epoch || s.Offset > last.Offset {
			told = append(told, entry{Position: hub.Position{Epoch: epoch, Offset: s.Offset}, text: string(s.Payload)})
		}
	}
	r.rooms[room] = told
}

// Reset implements cluster.Rooms.
func (r *recorder) Reset(room, epoch string) {
	r.add(room, entry{Position: hub.Position{Epoch: epoch}, isReset: true})
}

// Close implements cluster.Rooms: somebody is in every room, for as long as a test lasts.
func (r *recorder) Close(string) bool { return false }

// Hold implements cluster.Rooms.
func (r *recorder) Hold(string, bool) {}

// Proved implements cluster.Rooms.
func (r *recorder) Proved(string, string, uint64) {}

// Oldest implements cluster.Rooms.
func (r *recorder) Oldest(string) (_ uint64, _ time.Duration, _ bool) { return }

// Outage implements cluster.Rooms.
func (r *recorder) Outage(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isOut = on; on {
		r.outages++
	}
}

func (r *recorder) told(room string) []entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]entry(nil), r.rooms[room]...)
}

func (r *recorder) resets() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, all := range r.rooms {
		for _, e := range all {
			if e.isReset {
				n++
			}
		}
	}
	return n
}

func (r *recorder) count() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, all := range r.rooms {
		n += len(all)
	}
	return n
}

func (r *recorder) setPause(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pause = d
}

// A load is publishers on nodes, each of which numbers what it says in a room, and what has become
// of it.
type load struct {
	tag    string // of its publishers' names, which no other load has
	mu     sync.Mutex
	sent   map[string]bool         // texts
	acked  map[string]hub.Position // by text
	failed map[string]error
	wait   sync.WaitGroup
	quit   chan struct{}
}

var loads atomic.Int64

// window is how many messages of a publisher wait for an answer.
const window = 64

// publishOn starts a publisher for each room on each node; each says a message every pause.
func publishOn(all []*machine, rooms []string, pause time.Duration) *load {
	l := &load{tag: fmt.Sprint("-", loads.Add(1)), sent: map[string]bool{}, acked: map[string]hub.Position{}, failed: map[string]error{}, quit: make(chan struct{})}
	for _, m := range all {
		for _, room := range rooms {
			l.wait.Go(func() { l.publish(m, room, pause) })
		}
	}
	return l
}

func (l *load) publish(m *machine, room string, pause time.Duration) {
	free := make(chan struct{}, window)
	for i := 0; ; i++ {
		select {
		case <-l.quit:
			for range window { // Until all are answered.
				free <- struct{}{}
			}
			return
		case free <- struct{}{}:
		}
		text := fmt.Sprintf("%s %s %d", room, m.name+l.tag, i)
		l.mu.Lock()
		l.sent[text] = true
		l.mu.Unlock()
		for !l.offer(m, room, text, free) {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(pause)
	}
}

// offer reports whether the message need not be offered again.
func (l *load) offer(m *machine, room, text string, free chan struct{}) bool {
	err := m.node.Publish(room, hub.Source{Payload: []byte(text)}, "", func(p hub.Position, err error) {
		l.mu.Lock()
		if err == nil {
			l.acked[text] = p
		} else {
			l.failed[text] = err
		}
		l.mu.Unlock()
		<-free
	})
	if errors.Is(err, hub.ErrFull) {
		return false
	}
	if err != nil {
		l.mu.Lock()
		l.failed[text] = err
		l.mu.Unlock()
		<-free
	}
	return true
}

// stop ends the publishers and waits for the answers.
func (l *load) stop() {
	close(l.quit)
	l.wait.Wait()
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// run lets the load run until so many more messages are acknowledged.
func (l *load) run(t testing.TB, more int) {
	t.Helper()
	want := l.count() + more
	testenv.Eventually(t, fmt.Sprint(more, " more messages are acknowledged"), func() bool { return l.count() >= want })
}
