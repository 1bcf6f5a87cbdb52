package cluster

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/hub"
	"sluice/internal/testenv"
)

var (
	modelSeeds = flag.Int("cluster.seeds", 100, "how many seeds TestNodesFromSeeds goes through")
	modelFrom  = flag.Uint64("cluster.from", 1, "the first of them")
)

// Whatever a broker does, all nodes have one order of a room, every acknowledged message once, and
// nobody misses anything without being told. The stream's own record of everything that it ever
// stored is the judge.
func TestNodesAgainstAScriptedBroker(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := faults{
			loses: rapid.Bool().Draw(t, "loses"), lags: rapid.Bool().Draw(t, "lags"), expires: rapid.Bool().Draw(t, "expires"),
		}
		switch rapid.IntRange(0, 5).Draw(t, "worse") {
		case 0:
			f.goesBack = true
		case 1:
			f.forges = true
		case 2:
			f.versions = true
		}
		w := newWorld(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 3).Draw(t, "nodes"), f)
		steps := rapid.SliceOfN(rapid.IntRange(0, len(actions)-1), 10, 300).Draw(t, "steps")
		if w.run(steps); len(w.violations) > 0 {
			t.Fatalf("%d violations, the first: %s", len(w.violations), w.violations[0])
		}
	})
}

// The same from seeds, which go further and shrink nothing. It is what mutants are put to.
func TestNodesFromSeeds(t *testing.T) {
	n := *modelSeeds
	if testenv.IsWholeSize(t) {
		n *= 50
	}
	for i := range uint64(n) {
		seed := *modelFrom + i
		r := rand.New(rand.NewPCG(seed, 2))
		f := faults{loses: r.IntN(2) == 0, lags: r.IntN(2) == 0, expires: r.IntN(2) == 0}
		switch r.IntN(6) {
		case 0:
			f.goesBack = true
		case 1:
			f.forges = true
		case 2:
			f.versions = true
		}
		w := newWorld(seed, 1+r.IntN(3), f)
		steps := make([]int, 300)
		for i := range steps {
			steps[i] = r.IntN(len(actions))
		}
		if w.run(steps); len(w.violations) > 0 {
			t.Fatalf("seed %d (go test ./hub/cluster -run TestNodesFromSeeds -cluster.from %d -cluster.seeds 1): %s", seed, seed, w.violations[0])
		}
	}
}

// run has things happen, ends all faults, and judges what has become of it.
func (w *world) run(steps []int) {
	for _, s := range steps {
		if w.step(s); len(w.violations) > 0 {
			return
		}
	}
	w.heal()
	w.judge()
}

// actions are what happens in a world, one at a time, to some machine.
var actions = []func(w *world, m *machine){
	func(w *world, m *machine) { w.publish(m, 1+w.rand.IntN(3)) },
	func(w *world, m *machine) { w.publish(m, 1) },
	func(w *world, m *machine) { w.publishTwice(m) },
	func(w *world, m *machine) { w.foreign(w.room()) },
	func(w *world, m *machine) { m.deliver(1 + w.rand.IntN(4)) },
	func(w *world, m *machine) { m.deliver(100) },
	func(w *world, m *machine) { m.work() },
	func(w *world, m *machine) { m.work(); m.settle() },
	func(w *world, m *machine) { m.settle() },
	func(w *world, m *machine) { w.decide(m, 0) },
	func(w *world, m *machine) { w.decide(m, 0) },
	func(w *world, m *machine) { w.decide(m, w.rand.IntN(4)) },
	func(w *world, m *machine) { w.join(m) },
	func(w *world, m *machine) { w.leave(m) },
	func(w *world, m *machine) { w.pass(100 * time.Millisecond) },
	func(w *world, m *machine) {
		if !w.isComingBack() {
			w.pass(time.Second)
		}
	},
	func(w *world, m *machine) { w.goOn(1 + w.rand.IntN(20)) },
	func(w *world, m *machine) {
		if w.chance(20) {
			w.goOn(400)
		}
	},
	func(w *world, m *machine) { w.disturb(m) },
	func(w *world, m *machine) { w.disturb(m) },
}

func (w *world) step(action int) {
	m := w.nodes[w.rand.IntN(len(w.nodes))]
	actions[action](w, m)
	for _, m := range w.nodes {
		m.pump()
		w.bounds(m)
	}
}

func (w *world) publish(m *machine, n int) {
	room := w.room()
	for range n {
		text := string(w.text(fmt.Sprint("n", m.index)))
		s := hub.Source{Payload: []byte(text), Time: w.at()}
		calls := 0
		err := m.Node.Publish(room, s, "", func(p hub.Position, err error) {
			if calls++; calls > 1 {
				w.fail("%s was answered %d times", text, calls)
			}
			w.acknowledged(room, text, p, err)
		})
		switch {
		case err == nil:
			of := fmt.Sprint(m.index, room)
			w.accepted[of] = append(w.accepted[of], text)
		case !errors.Is(err, ErrFull):
			w.fail("publishing: %v", err)
		}
	}
}

// publishTwice has two nodes publish the same under one key.
func (w *world) publishTwice(m *machine) {
	room, key := w.room(), string(w.text("key"))
	w.keys[key] = true
	for _, m := range []*machine{m, w.nodes[0]} {
		_ = m.Node.Publish(room, hub.Source{Payload: []byte(key)}, key, func(p hub.Position, err error) { w.acknowledged(room, key, p, err) })
	}
}

func (w *world) acknowledged(room, text string, p hub.Position, err error) {
	if err != nil {
		if errors.Is(err, ErrRefused) {
			w.fail("%s was refused", text)
		}
		return
	}
	w.place(p.Epoch, p.Offset, room, text)
	list := w.truthOf(room)
	for _, i := range list {
		if i.offset == p.Offset {
			if i.text != text {
				w.fail("%s was acknowledged with the offset %d, which %s has", text, p.Offset, i.text)
			}
			return
		}
	}
	if !w.isTainted {
		w.fail("%s was acknowledged with the offset %d, which nothing has", text, p.Offset)
	}
}

// truthOf is the truth about a room.
func (w *world) truthOf(room string) (list []item) {
	for _, s := range w.truth {
		if s.Room == room {
			messages, _ := decode(nil, s.Seq, s.Pack)
			for _, m := range messages {
				list = append(list, item{m.Offset, string(m.Payload)})
			}
		}
	}
	return list
}

func (w *world) decide(m *machine, how int) {
	if len(m.attempts) > 0 {
		m.decide(w.rand.IntN(len(m.attempts)), how)
	}
}

func (w *world) join(m *machine) {
	room := w.room()
	if w.chance(10) {
		delete(m.views, room) // The room has ended, and was made anew.
	}
	if !m.IsOpen(room) || m.views[room] == nil || w.chance(10) {
		_, _ = m.doors.ask(room, 10)
		m.wakeUp()
	}
	m.open[room] = true
}

func (w *world) leave(m *machine) {
	room := w.room()
	m.open[room] = false
	m.Release(room)
}

func (w *world) pass(d time.Duration) {
	w.now += d
	if w.expire(); w.now-w.lagSince > 5*time.Second {
		w.lag = 0
	}
	for _, m := range w.nodes {
		if m.backAt > 0 && w.now >= m.backAt {
			m.connect()
		}
		m.tick()
		m.pump()
	}
}

// goOn is a time in which nothing bad happens but what goes on already.
func (w *world) goOn(ticks int) {
	for range ticks {
		w.pass(100 * time.Millisecond)
		for _, m := range w.nodes {
			for i := 0; i < 8 && m.isBusy(); i++ {
				m.work()
				m.settle()
				m.deliver(100)
				w.decide(m, 0)
				m.pump()
			}
		}
	}
}

func (m *machine) isBusy() bool {
	return len(m.tasksLeft)+len(m.answered)+len(m.wire)+len(m.attempts) > 0
}

// disturb is a fault, of those that this world has.
func (w *world) disturb(m *machine) {
	switch kind := w.rand.IntN(10); {
	case w.isComingBack():
	case kind == 0:
		m.disconnect()
	case kind == 1:
		for _, m := range w.nodes {
			m.connect()
		}
	case kind == 2:
		for _, m := range w.nodes {
			m.raise(Leader)
		}
	case kind == 3:
		if len(m.wire) > 0 { // One comes again.
			m.wire = append(m.wire, m.wire[w.rand.IntN(len(m.wire))])
		}
	case kind == 4:
		if w.faults.loses { // A slow consumer.
			m.wire = nil
			if w.chance(50) {
				m.raise(Slow)
			}
		}
	case kind == 5:
		if w.faults.lags && w.lag == 0 {
			w.lag, w.lagSince = 1+w.rand.IntN(4), w.now
		}
	case kind == 6:
		if w.faults.expires {
			w.mayReset = true
			w.now += worldAge / 2 * time.Duration(w.rand.IntN(3)) // The nodes' processes were stopped.
		}
	case kind == 7:
		if w.faults.goesBack {
			if w.chance(60) || len(w.copies) == 0 {
				w.copyStore()
			} else if w.mayGoBack() {
				if w.goBack(); w.chance(50) {
					w.replace(w.rand.IntN(len(w.nodes)))
				}
			}
		}
	case kind == 8:
		if w.faults.forges {
			w.forge(m)
		}
	case kind == 9:
		if w.faults.versions {
			w.mayReset = true
			pack := []byte{packVersion + 1, 1, 2, 3}
			if w.chance(50) {
				pack = []byte("garbage")
			}
			w.store(w.room(), string(w.text("id")), pack)
		}
	}
}

// forge makes a message come that the stream does not have.
func (w *world) forge(m *machine) {
	w.isTainted, w.mayReset, w.isForged = true, true, true
	s := hub.Source{Payload: w.text("forged")}
	f := Live{Stored{Room: w.room(), Seq: 1 + w.rand.Uint64N(w.last+5), ID: "forged", Pack: appendMessage(nil, &s)}, w.rand.Uint64N(w.last + 5)}
	if r := m.byName[f.Room]; r != nil && w.chance(70) {
		f.Prev = r.last
		f.Seq = r.last + 1 + w.rand.Uint64N(1000)
	}
	m.wire = append(m.wire, f)
}

// heal ends all faults, and lets time pass until nothing moves.
func (w *world) heal() {
	w.faults, w.isQuiet = faults{}, true
	w.lag = 0
	for _, m := range w.nodes {
		m.connect()
	}
	w.goOn(700)
	for _, m := range w.nodes {
		if n := len(m.attempts) + len(m.publisher.lines) + len(m.troubled); n > 0 {
			w.fail("node %d: something is still to be published", m.index)
		}
		for room, on := range m.holds {
			if on {
				w.fail("node %d: %s is held for ever", m.index, room)
			}
		}
		if err := m.Ready(); err != nil || m.isOut {
			w.fail("node %d is not ready: %v", m.index, err)
		}
	}
}
