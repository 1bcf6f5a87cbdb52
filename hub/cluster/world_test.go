package cluster

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"sluice/hub"
)

// A world is a stream as the documents of JetStream describe it, and nodes that know it by scripted
// brokers, in one goroutine and with one clock. What is stored is in truth for ever, whatever the
// stream drops.
type world struct {
	rand     *rand.Rand
	now      time.Duration
	nodes    []*machine
	faults   faults
	packsMax int
	age      time.Duration

	kept       []Stored // the stream
	last       uint64
	duplicates map[string]Stored
	truth      []Stored // all that was ever stored in this life of the stream
	copies     []store  // of an earlier time
	epoch      Epoch
	revision   uint64
	life       int            // how often the stream went back behind something that a node had seen
	names      map[string]int // of epochs: in which life
	lag        int            // of replicas, in messages
	lagSince   time.Duration
	free       uint64 // State.Free …
	isFull     bool   // … and IsFull

	texts      int
	atRequest  func()
	isQuiet    bool // nothing happens by itself any more
	wentBack   int
	isTainted  bool // there was something that nobody can tell apart from the truth at once
	mayReset   bool // there was something that a room may be reset for
	accepted   map[string][]string
	keys       map[string]bool
	places     map[place]string // what a node or a publisher was told to be there
	isForged   bool             // somebody spoke in the stream's place: then the same place may have had two
	violations []string
}

// A place is a message's for ever.
type place struct {
	epoch  string
	offset uint64
}

// faults are what may happen in a world.
type faults struct{ loses, lags, expires, goesBack, forges, versions bool }

type store struct {
	kept, truth []Stored
	last        uint64
	duplicates  map[string]Stored
	epoch       Epoch
	revision    uint64
}

const (
	worldAge   = 2 * time.Minute
	worldRooms = 3
)

var errLost = errors.New("no answer")

func newWorld(seed uint64, nodes int, f faults) *world {
	w := &world{
		rand: rand.New(rand.NewPCG(seed, 1)), faults: f, packsMax: 1000, age: time.Hour,
		free: 1 << 40, now: time.Hour, duplicates: map[string]Stored{}, names: map[string]int{}, accepted: map[string][]string{}, keys: map[string]bool{}, places: map[place]string{},
	}
	if f.expires {
		w.packsMax, w.age, w.mayReset = 8, worldAge, true
	}
	for i := range nodes {
		w.nodes = append(w.nodes, newMachine(w, i))
	}
	return w
}

func (w *world) fail(format string, args ...any) {
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
}

// place notes what somebody was told to be at a place, where nobody may have been told of another
// thing.
func (w *world) place(epoch string, offset uint64, room, text string) {
	p, what := place{epoch, offset}, room+" "+text
	switch is, ok := w.places[p]; {
	case !ok:
		w.places[p] = what
	case is != what && !w.isForged:
		w.fail("at %d in the epoch %s is %q, and was %q", offset, epoch, what, is)
	}
}

func (w *world) chance(percent int) bool { return w.rand.IntN(100) < percent }

func (w *world) text(kind string) []byte {
	w.texts++
	return fmt.Appendf(nil, "%s-%d", kind, w.texts)
}

// store is what the stream's leader does with a pack.
func (w *world) store(room, id string, pack []byte) Stored {
	if s, ok := w.duplicates[id]; ok && w.at()-s.Time < int64(PublishWindow) {
		return s
	}
	w.last++
	s := Stored{Room: room, Seq: w.last, ID: id, Time: w.at(), Pack: slices.Clone(pack)}
	prev := uint64(0)
	count := 0
	for _, k := range w.kept {
		if k.Room == room {
			prev = k.Seq
			count++
		}
	}
	w.kept = append(w.kept, s)
	w.truth = append(w.truth, s)
	w.duplicates[id] = s
	if count >= w.packsMax {
		i := slices.IndexFunc(w.kept, func(k Stored) bool { return k.Room == room })
		w.kept = slices.Delete(slices.Clone(w.kept), i, i+1)
	}
	for _, m := range w.nodes {
		if m.isUp && m.subscribed[room] && !(w.faults.loses && w.chance(15)) {
			m.wire = append(m.wire, Live{s, prev})
		}
	}
	return s
}

func (w *world) at() int64 { return int64(w.now) }

func (w *world) first() uint64 {
	if len(w.kept) == 0 {
		return w.last + 1
	}
	return w.kept[0].Seq
}

// expire drops what is too old.
func (w *world) expire() {
	i := 0
	for i < len(w.kept) && w.at()-w.kept[i].Time >= int64(w.age) {
		i++
	}
	w.kept = w.kept[i:]
}

// replica is what a server has that may lag behind.
func (w *world) replica() []Stored {
	lag := w.rand.IntN(w.lag + 1)
	return w.kept[:max(len(w.kept)-lag, 0)]
}

func (w *world) copyStore() {
	w.copies = append(w.copies, store{slices.Clone(w.kept), slices.Clone(w.truth), w.last, maps.Clone(w.duplicates), w.epoch, w.revision})
}

const backTime = 2 * time.Second // within which all nodes are back

// goBack has an older store in the stream's place, or an empty one.
func (w *world) goBack() {
	old := store{duplicates: map[string]Stored{}}
	if len(w.copies) > 0 && w.chance(70) {
		old = w.copies[w.rand.IntN(len(w.copies))]
	}
	w.restore(old, w.chance(50))
}

// replace ends a node's process while a store comes back, and starts another one, unless what it
// knew nobody else knows. Those who do come while the new one waits for anybody.
func (w *world) replace(i int) {
	old := w.nodes[i]
	if !slices.ContainsFunc(w.nodes, func(m *machine) bool {
		return m != old && m.epoch == old.epoch && m.seen >= old.seen && m.reached >= old.reached && m.revision >= old.revision
	}) {
		return
	}
	old.Node.end()
	m := newMachine(w, i)
	m.boot = fmt.Sprint(old.boot, "'")
	m.disconnect()
	w.nodes[i], m.backAt = m, old.backAt
	for _, m := range w.nodes {
		m.backAt = w.now + (m.backAt-w.now)/3
	}
}

// restore has a store in the stream's place, and the epoch that was copied with it or the one that
// is. No server is there meanwhile, and nodes come back one by one.
func (w *world) restore(old store, withEpoch bool) {
	w.isTainted, w.mayReset = true, true
	for _, m := range w.nodes {
		m.disconnect()
		m.backAt = w.now + time.Duration(w.rand.Int64N(int64(backTime)))
	}
	w.wentBack++
	if withEpoch && old.revision > 0 {
		w.epoch, w.revision = old.epoch, old.revision
	}
	isNews := false
	for _, m := range w.nodes {
		isNews = isNews || m.heard > old.last
		m.heard = min(m.heard, old.last)
	}
	if isNews {
		w.life++
	}
	w.kept, w.truth, w.last, w.duplicates = slices.Clone(old.kept), slices.Clone(old.truth), old.last, maps.Clone(old.duplicates)
	// A copy of what never was, seen from here, is another store altogether: with all its messages
	// expired, nothing tells.
	w.copies = slices.DeleteFunc(w.copies, func(c store) bool { return c.last > old.last })
	w.lag = 0
}

// mayGoBack: what nodes have seen that nobody else has heard of, or who is away for long, nobody
// can know.
func (w *world) mayGoBack() bool {
	for _, m := range w.nodes {
		for _, other := range w.nodes {
			if !m.knows(other) {
				return false
			}
		}
	}
	return w.wentBack < 3
}

// isComingBack reports whether nodes come back still from when the store came.
func (w *world) isComingBack() bool {
	return slices.ContainsFunc(w.nodes, func(m *machine) bool { return m.backAt > 0 })
}

// foreign stores what another publisher has, which no node of this world is.
func (w *world) foreign(room string) {
	s := hub.Source{Payload: w.text("f"), Time: w.at()}
	w.store(room, fmt.Sprint("foreign.", w.texts), appendMessage(nil, &s))
}

// stir is something that happens during a request.
func (w *world) stir() {
	if w.atRequest != nil {
		w.atRequest()
	}
	if !w.isQuiet && w.chance(20) {
		w.foreign(w.room())
	}
}

func (w *world) room() string { return fmt.Sprint("room", w.rand.IntN(worldRooms)) }
