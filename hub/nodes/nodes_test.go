package nodes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/hub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A wire is a Bus in memory. What is sent lies with each node until it is delivered.
type wire struct {
	mu      sync.Mutex
	to      map[string][]chan<- []byte // by subject
	largest int
	isDown  bool
	lose    func(subject string, note []byte) bool // nil: nothing is lost
}

func newWire() *wire { return &wire{to: map[string][]chan<- []byte{}, largest: 1 << 20} }

var errWire = errors.New("not sent")

func (w *wire) Send(subject string, p []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isDown || len(p) > w.largest {
		return errWire
	}
	if w.lose != nil && w.lose(subject, p) {
		return nil
	}
	for _, to := range w.to[subject] {
		select {
		case to <- p:
		default:
		}
	}
	return nil
}

func (w *wire) Listen(to chan<- []byte, subjects ...string) (func(), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range subjects {
		w.to[s] = append(w.to[s], to)
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for s, all := range w.to {
			w.to[s] = slices.DeleteFunc(all, func(one chan<- []byte) bool { return one == to })
		}
	}, nil
}

// A gateway is a Local with rooms that a test sets.
type gateway struct {
	rooms  map[string]hub.Tally
	answer func(question []byte) []byte
	mu     sync.Mutex
	told   []string
}

func (g *gateway) Report(yield func(string, hub.Tally) bool) (info hub.NodeInfo) {
	for room, t := range g.rooms {
		info.Members += t.Members
		yield(room, t)
	}
	info.Rooms, info.Address = len(g.rooms), "[::]:8080"
	return info
}

func (g *gateway) Answer(_ context.Context, question []byte) []byte {
	if g.answer == nil {
		return nil
	}
	return g.answer(question)
}

func (g *gateway) Told(what []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.told = append(g.told, string(what))
}

// A cluster is some nodes on one wire, with a clock that a test moves. Nobody's goroutine runs: notes are
// taken when the test says so.
type cluster struct {
	t     *testing.T
	wire  *wire
	now   time.Duration
	log   bytes.Buffer
	nodes []*Nodes
	at    []*gateway
	notes []chan []byte
	stop  []func()
}

func newCluster(t *testing.T, names ...string) *cluster {
	c := &cluster{t: t, wire: newWire()}
	for _, name := range names {
		c.add(name)
	}
	return c
}

func (c *cluster) add(name string) int {
	n := New(Options{Name: name, Version: "v1", Elapsed: func() time.Duration { return c.now }, Log: slog.New(slog.NewTextHandler(&c.log, nil))}, c.wire)
	g := &gateway{rooms: map[string]hub.Tally{}}
	notes := make(chan []byte, notesMax)
	stop, err := c.wire.Listen(notes, everyone, toOne+n.id)
	if err != nil {
		c.t.Fatal(err)
	}
	n.begin(g)
	c.nodes, c.at, c.notes, c.stop = append(c.nodes, n), append(c.at, g), append(c.notes, notes), append(c.stop, stop)
	return len(c.nodes) - 1
}

// kill has a node be silent from now on.
func (c *cluster) kill(i int) {
	c.stop[i]()
	c.nodes[i] = nil
}

// pass moves the clock on by as many beats as fit into a time.
func (c *cluster) pass(d time.Duration) {
	for until := c.now + d; c.now < until; {
		c.now += beatEvery
		for i, n := range c.nodes {
			if n != nil {
				n.hear(c.t.Context(), c.notes[i])
				n.beat()
			}
		}
	}
	for i, n := range c.nodes {
		if n != nil {
			n.hear(c.t.Context(), c.notes[i])
		}
	}
}

// expect holds what a node says of a room on all others against this.
func (c *cluster) expect(node int, room string, members int) {
	c.t.Helper()
	if got := c.nodes[node].Tally(room); got.Members != members {
		c.t.Errorf("node %d counts %d in %s elsewhere, want %d", node, got.Members, room, members)
	}
}

func members(n int) hub.Tally { return hub.Tally{Members: n} }

// soon is within what counts have to be right, late within what they have to be after a node's death.
const (
	soon = 2 * time.Second
	late = 10 * time.Second
)

func TestCountsAreRightWithinTwoSeconds(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	c.at[0].rooms["r"], c.at[1].rooms["r"] = members(3), members(4)
	c.pass(soon)
	for i, want := range []int{4, 3, 7} {
		c.expect(i, "r", want)
	}
	c.at[0].rooms["r"] = members(5)
	delete(c.at[1].rooms, "r")
	c.at[2].rooms["other"] = members(1)
	c.pass(soon)
	c.expect(1, "r", 5)
	c.expect(2, "r", 5)
	c.expect(0, "r", 0)
	c.expect(0, "other", 1)
	if all := c.nodes[0].Tallies(); len(all) != 1 || all["other"].Members != 1 {
		t.Errorf("rooms elsewhere: %v", all)
	}
}

func TestANodeThatComesLateKnowsAllWithinTwoSeconds(t *testing.T) {
	c := newCluster(t, "a", "b")
	for i := range 10_000 {
		c.at[0].rooms[fmt.Sprintf("room-%d", i)] = members(1 + i%7)
	}
	c.pass(3 * time.Second)
	i := c.add("c")
	c.at[i].rooms["room-5"] = members(2)
	c.pass(soon)
	for _, room := range []int{0, 1, 4999, 9999} {
		c.expect(i, fmt.Sprintf("room-%d", room), 1+room%7)
	}
	c.expect(1, "room-5", 1+5+2)
	if got := len(c.nodes[i].Tallies()); got != 10_000 {
		t.Errorf("it knows %d rooms of 10,000", got)
	}
}

func TestDeadNodesCountNoLongerAfterTenSeconds(t *testing.T) {
	c := newCluster(t, "a", "b")
	c.at[1].rooms["r"] = members(4)
	c.pass(soon)
	c.kill(1)
	c.pass(silenceMax - 2*beatEvery)
	c.expect(0, "r", 4) // It may be a pause.
	c.pass(late - silenceMax)
	c.expect(0, "r", 0)
	if s := c.nodes[0].Stats(); s.Nodes != 1 || s.Came != 1 || s.Gone != 1 {
		t.Errorf("%+v", s)
	}
	if !strings.Contains(c.log.String(), `msg="a node is there" node=b`) || !strings.Contains(c.log.String(), `msg="a node is gone" node=b`) {
		t.Errorf("the log has:\n%s", &c.log)
	}
}

func TestANodeThatLeavesCountsNoLongerAtOnce(t *testing.T) {
	c := newCluster(t, "a", "b")
	c.at[1].rooms["r"] = members(4)
	c.pass(soon)
	c.nodes[1].leave()
	c.kill(1)
	c.nodes[0].hear(t.Context(), c.notes[0])
	c.expect(0, "r", 0)
}

// A node that was not scheduled for long hears first what has come meanwhile.
func TestAPauseOfOursIsNobodysEnd(t *testing.T) {
	c := newCluster(t, "a", "b")
	c.at[1].rooms["r"] = members(4)
	c.pass(soon)
	c.now += time.Minute
	c.nodes[1].beat()
	c.nodes[0].hear(t.Context(), c.notes[0])
	c.nodes[0].beat()
	c.expect(0, "r", 4)
	if s := c.nodes[0].Stats(); s.Gone != 0 {
		t.Errorf("%d nodes are gone", s.Gone)
	}
}

func TestLostReportsAreAskedFor(t *testing.T) {
	c := newCluster(t, "a", "b")
	c.pass(soon)
	c.wire.lose = func(subject string, note []byte) bool { return bytes.Contains(note, []byte(`"lost"`)) }
	c.at[0].rooms["lost"] = members(1)
	c.pass(beatEvery)
	c.wire.lose = nil
	c.expect(1, "lost", 0)
	c.pass(soon)
	c.expect(1, "lost", 1)
	if s := c.nodes[1].Stats(); s.Lost != 1 {
		t.Errorf("%d times something was lost, want once", s.Lost)
	}
	c.wire.lose = func(string, []byte) bool { return true }
	delete(c.at[0].rooms, "lost") // And what says that a room has gone.
	c.pass(beatEvery)
	c.wire.lose = nil
	c.pass(soon)
	c.expect(1, "lost", 0)
}

func TestWhatCannotBeSentIsSaidLater(t *testing.T) {
	c := newCluster(t, "a", "b")
	c.pass(soon)
	c.wire.isDown = true
	c.at[0].rooms["r"] = members(2)
	c.pass(soon)
	c.wire.isDown = false
	c.pass(soon)
	c.expect(1, "r", 2)
	if s := c.nodes[0].Stats(); s.Unsent == 0 {
		t.Error("nothing was counted")
	}
}

func TestReportsAreSmallAndFew(t *testing.T) {
	c := newCluster(t, "a", "b")
	largest, n := 0, 0
	c.wire.lose = func(_ string, p []byte) bool {
		largest, n = max(largest, len(p)), n+1
		return false
	}
	keys := make([]uint64, hub.TallyKeysMax)
	for i := range keys {
		keys[i] = 1<<63 + uint64(i)
	}
	for i := range 2_000 {
		c.at[0].rooms[fmt.Sprintf("a-room-with-a-long-name-%d", i)] = hub.Tally{Members: 100, Users: 100, Keys: keys[:1+i%hub.TallyKeysMax]}
	}
	c.pass(soon)
	if largest > 2*partBytes {
		t.Errorf("a note has %d bytes", largest)
	}
	n = 0
	c.pass(late) // Nothing changes: one says every second that it is there, and everything once.
	if whole := len(parts(c.at[0].rooms)); n > whole+1+2*int(late/sayEvery) {
		t.Errorf("%d notes in %v, of which everything is %d", n, late, whole)
	}
}

func TestMoreRoomsThanAreToldOf(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "a", "b")
	for i := range reportedMax + 10 {
		c.at[0].rooms[fmt.Sprint(i)] = members(1)
	}
	c.pass(soon)
	if got := len(c.nodes[1].Tallies()); got != reportedMax {
		t.Errorf("%d rooms are known, want %d", got, reportedMax)
	}
	if s := c.nodes[0].Stats(); s.Beyond == 0 {
		t.Error("nothing was counted")
	}
}

func TestNoMoreNodesThanAreHeard(t *testing.T) {
	c := newCluster(t, "a")
	for i := range nodesMax + 5 {
		one := note{From: fmt.Sprint("stranger", i), Report: &report{Number: 1, About: &about{Name: "x"}}}
		c.nodes[0].take(t.Context(), one.pack())
	}
	if s := c.nodes[0].Stats(); s.Nodes != nodesMax+1 || s.Refused != 5 {
		t.Errorf("%d nodes and %d refused", s.Nodes, s.Refused)
	}
}

func TestStrangeNotesAreCountedAndChangeNothing(t *testing.T) {
	c := newCluster(t, "a", "b")
	c.at[1].rooms["r"] = members(4)
	c.pass(soon)
	id := c.nodes[1].id
	strange := []string{
		"", "null", "[]", "{", `{"v":2,"from":"x","leaves":true}`, `{"v":1,"leaves":true}`, `{"v":1,"from":"` + strings.Repeat("x", 65) + `"}`,
		`{"v":1,"from":"` + id + `","report":{"n":99,"rooms":{"r":{"m":-1}}}}`,
		`{"v":1,"from":"` + id + `","report":{"n":99,"rooms":{"":{"m":1}}}}`,
		`{"v":1,"from":"` + id + `","report":{"n":99,"rooms":{"r":{"m":1,"u":1,"k":[1,2]}}}}`,
		`{"v":1,"from":"` + id + `","report":{"n":99,"about":{"name":"` + strings.Repeat("x", 256) + `"}}}`,
		`{"v":1,"from":"nobody","report":{"n":99}}`,
	}
	for _, p := range strange {
		c.nodes[0].take(t.Context(), []byte(p))
	}
	c.expect(0, "r", 4)
	if s := c.nodes[0].Stats(); s.Refused != uint64(len(strange)) || s.Nodes != 2 {
		t.Errorf("%d refused of %d, %d nodes", s.Refused, len(strange), s.Nodes)
	}
	if n := strings.Count(c.log.String(), "is not understood"); n != 1 {
		t.Errorf("the log has %d lines of it, want one", n)
	}
}

func TestTwoNodesOfOneName(t *testing.T) {
	c := newCluster(t, "a", "a")
	c.pass(soon)
	if !strings.Contains(c.log.String(), "two nodes have the same name") {
		t.Errorf("the log has:\n%s", &c.log)
	}
	if all := c.nodes[0].List(); len(all) != 2 || all[0].ID != c.nodes[0].id || all[1].ID != c.nodes[1].id {
		t.Errorf("%+v", all)
	}
}

func TestListTellsOfEachNode(t *testing.T) {
	c := newCluster(t, "b", "c", "a")
	c.at[2].rooms["r"] = members(7)
	c.pass(soon)
	c.now += time.Second
	all := c.nodes[0].List()
	names := []string{}
	for _, one := range all {
		names = append(names, one.Name)
	}
	if !slices.Equal(names, []string{"b", "a", "c"}) || all[0].ID != c.nodes[0].id || all[0].Silent != 0 || all[0].Uptime != c.now {
		t.Fatalf("%+v", all)
	}
	if a := all[1]; a.Members != 7 || a.Rooms != 1 || a.Version != "v1" || a.Address != "[::]:8080" || a.Silent < time.Second || a.Silent > 3*time.Second {
		t.Errorf("%+v", a)
	}
}

// running has all nodes run, until the test ends, and know each other.
func running(t *testing.T, w *wire, at map[string]*gateway) map[string]*Nodes {
	t.Helper()
	all := map[string]*Nodes{}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	for name, g := range at {
		n := New(Options{Name: name}, w)
		all[name] = n
		done.Go(func() {
			if err := n.Run(ctx, g); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() { cancel(); done.Wait() })
	for _, n := range all {
		until(t, func() bool { return len(n.List()) == len(at) })
	}
	return all
}

func until(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to be")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestQuestionsReachAllOthers(t *testing.T) {
	at := map[string]*gateway{}
	for _, name := range []string{"a", "b", "c"} {
		at[name] = &gateway{answer: func(q []byte) []byte { return fmt.Appendf(nil, `{"%s":%s}`, name, q) }}
	}
	all := running(t, newWire(), at)
	got, err := all["a"].Ask(t.Context(), []byte(`"who?"`))
	if err != nil || got.Asked != 2 {
		t.Fatal(got, err)
	}
	said := map[string]string{}
	for _, one := range got.From {
		said[one.Node] = string(one.Data)
	}
	want := map[string]string{all["b"].id: `{"b":"who?"}`, all["c"].id: `{"c":"who?"}`}
	if !maps.Equal(said, want) {
		t.Errorf("answers: %v, want %v", said, want)
	}
	all["b"].Tell([]byte(`{"news":1}`))
	until(t, func() bool {
		at["a"].mu.Lock()
		defer at["a"].mu.Unlock()
		return slices.Equal(at["a"].told, []string{`{"news":1}`})
	})
}

func TestWhoDoesNotAnswerIsCounted(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	w := newWire()
	w.largest = 64 << 10
	large := []byte(`"` + strings.Repeat("x", w.largest) + `"`)
	at := map[string]*gateway{
		"a":       {},
		"cannot":  {},
		"large":   {answer: func([]byte) []byte { return large }},
		"answers": {answer: func([]byte) []byte { return []byte(`1`) }},
	}
	all := running(t, w, at)
	got, err := all["a"].Ask(t.Context(), []byte(`1`))
	if err != nil || got.Asked != 3 || len(got.From) != 1 || got.From[0].Node != all["answers"].id {
		t.Errorf("%+v, %v", got, err)
	}
	if s := all["a"].Stats(); s.Unanswered != 2 || s.Asked != 1 {
		t.Errorf("%+v", s)
	}
	at["answers"].answer = func([]byte) []byte { <-release; return []byte(`1`) }
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := all["a"].Ask(ctx, []byte(`1`)); err != nil || got.Asked != 3 || len(got.From) != 0 {
		t.Errorf("without time: %+v, %v", got, err)
	}
	close(release)
}

func TestQuestionsToANodeThatDiesAreNotWaitedFor(t *testing.T) {
	c := newCluster(t, "a", "b")
	c.pass(soon)
	c.kill(1)
	done := make(chan hub.NodeAnswers)
	go func() {
		got, _ := c.nodes[0].Ask(context.Background(), []byte(`1`))
		done <- got
	}()
	until(t, func() bool {
		c.nodes[0].askMu.Lock()
		defer c.nodes[0].askMu.Unlock()
		return len(c.nodes[0].waiting) == 1
	})
	began := time.Now()
	c.nodes[0].forget(c.nodes[0].List()[1].ID, "the test says so")
	if got := <-done; got.Asked != 1 || len(got.From) != 0 || time.Since(began) > askTime/2 {
		t.Errorf("%+v after %v", got, time.Since(began))
	}
}

func TestTooManyQuestionsAndTellings(t *testing.T) {
	c := newCluster(t, "a", "b")
	c.pass(soon)
	for range asksMax {
		if _, err := c.nodes[0].beginAsking(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.nodes[0].Ask(t.Context(), []byte(`1`)); !errors.Is(err, ErrAsks) {
		t.Errorf("got %v", err)
	}
	// More than are answered at a time are answered at once: that they cannot be.
	for range tellsMax + 2 { // What is told waits for nobody.
		c.nodes[0].Tell([]byte(`1`))
	}
	if s := c.nodes[0].Stats(); s.Unsent != 2 {
		t.Errorf("%d were not sent, want 2", s.Unsent)
	}
	release := make(chan struct{})
	c.at[1].answer = func([]byte) []byte { <-release; return []byte(`1`) }
	for i := range answersMax + 3 {
		c.nodes[1].answerTo(t.Context(), c.nodes[0].id, &question{ID: uint64(i), What: json.RawMessage(`1`)})
	}
	if got := len(c.notes[0]); got != 3 {
		t.Errorf("%d are answered already, want 3", got)
	}
	close(release)
	c.nodes[1].answering.Wait()
}
