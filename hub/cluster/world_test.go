package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"sluice/hub"
)

// A world is a stream as the documents of JetStream describe it, and nodes that know it by scripted brokers, in one goroutine and
// with one clock. What is stored is in truth for ever, whatever the stream drops.
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
	violations []string
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
		free: 1 << 40, now: time.Hour, duplicates: map[string]Stored{}, names: map[string]int{}, accepted: map[string][]string{}, keys: map[string]bool{},
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

func (w *world) chance(percent int) bool { return w.rand.IntN(100) < percent }

func (w *world) text(kind string) []byte {
	w.texts++
	return fmt.Appendf(nil, "%s-%d", kind, w.texts)
}

// store is what the stream's leader does with a pack.
func (w *world) store(room, id string, pack []byte) Stored {
	if s, ok := w.duplicates[id]; ok && w.at()-s.Time < int64(publishWindow) {
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

// goBack has an older store in the stream's place, or an empty one.
func (w *world) goBack() {
	w.isTainted, w.mayReset = true, true
	w.wentBack++
	old := store{duplicates: map[string]Stored{}}
	if len(w.copies) > 0 && w.chance(70) {
		old = w.copies[w.rand.IntN(len(w.copies))]
	}
	if w.chance(50) && old.revision > 0 { // The epoch was copied back with it.
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
	// A copy of what never was, seen from here, is another store altogether: with all its messages expired, nothing tells.
	w.copies = slices.DeleteFunc(w.copies, func(c store) bool { return c.last > old.last })
	w.lag = 0
	for _, m := range w.nodes {
		m.disconnect()
		m.connect()
	}
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

// A machine is one node, its broker and its rooms.
type machine struct {
	*Node
	w          *world
	index      int
	isUp       bool
	events     Event
	changed    chan struct{}
	live       chan Live
	wire       []Live // on their way
	subscribed map[string]bool
	attempts   []attempt
	tasksLeft  []task
	answered   []func()
	views      map[string]*view
	holds      map[string]bool
	isOut      bool
	open       map[string]bool
	heard      uint64 // the highest sequence that a room was given
	proved     map[string]uint64
}

type attempt struct {
	room, id string
	pack     []byte
	done     func(uint64, error)
	at       time.Duration
}

func newMachine(w *world, index int) *machine {
	m := &machine{
		w: w, index: index, changed: make(chan struct{}, 1), live: make(chan Live, 32),
		subscribed: map[string]bool{}, views: map[string]*view{}, holds: map[string]bool{}, open: map[string]bool{}, proved: map[string]uint64{},
	}
	o := Options{
		PacksMax: w.packsMax, Age: w.age, OpeningsMax: 2, HeldBytesMax: 4 << 10, FetchBytesMax: 1 << 20,
		Elapsed: func() time.Duration { return w.now },
		HistoryOf: func(room string) hub.History {
			if room == "room2" {
				return hub.History{}
			}
			return hub.History{Messages: 12}
		},
	}
	m.Node = New(o, m, m)
	m.Node.start = func(t task) { m.tasksLeft = append(m.tasksLeft, t) }
	m.boot = fmt.Sprint("boot", index)
	m.connect()
	return m
}

func (m *machine) raise(e Event) {
	m.events |= e
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

func (m *machine) connect() {
	if !m.isUp {
		m.isUp = true
		m.raise(Up)
	}
}

func (m *machine) disconnect() {
	if m.isUp {
		m.isUp = false
		m.wire = nil
		m.raise(Down)
	}
}

// pump is what Run does when there is something.
func (m *machine) pump() {
	for {
		switch {
		case len(m.changed) > 0:
			<-m.changed
			m.note(m.Events())
		case len(m.wake) > 0:
			<-m.wake
			m.look()
		case len(m.live) > 0 && m.isTrusted:
			l := <-m.live
			m.takeLive(&l)
		default:
			return
		}
	}
}

// deliver has messages come that are on their way.
func (m *machine) deliver(n int) {
	for ; n > 0 && len(m.wire) > 0; n-- {
		select {
		case m.live <- m.wire[0]:
		default:
			m.raise(Slow)
		}
		m.wire = m.wire[1:]
	}
}

// work carries out one of the tasks, and settle gives one of their answers.
func (m *machine) work() {
	if len(m.tasksLeft) > 0 {
		i := m.w.rand.IntN(len(m.tasksLeft))
		t := m.tasksLeft[i]
		m.tasksLeft = slices.Delete(m.tasksLeft, i, i+1)
		m.answered = append(m.answered, t(&requests{m, context.Background(), m.o}))
	}
}

func (m *machine) settle() {
	if len(m.answered) > 0 {
		i := m.w.rand.IntN(len(m.answered))
		a := m.answered[i]
		m.answered = slices.Delete(m.answered, i, i+1)
		a()
	}
}

// decide is what becomes of an attempt to publish: 0 is acknowledged.
func (m *machine) decide(i, how int) {
	a := m.attempts[i]
	m.attempts = slices.Delete(m.attempts, i, i+1)
	switch {
	case !m.isUp || m.w.now-a.at > 5*time.Second: // No network keeps it longer.
		a.done(0, errLost)
	case how == 0:
		s := m.w.store(a.room, a.id, a.pack)
		a.done(s.Seq, nil)
	case how == 1: // stored, and nobody says so
		m.w.store(a.room, a.id, a.pack)
		a.done(0, errLost)
	case how == 2: // lost, and nobody says so
		a.done(0, errLost)
	default:
		a.done(0, ErrNotStored)
	}
}

// The broker.

func (m *machine) up() error {
	if m.w.stir(); !m.isUp {
		return errLost
	}
	return nil
}

func (m *machine) Prepare(context.Context) error { return m.up() }

func (m *machine) Subscribe(_ context.Context, room string) error {
	if err := m.up(); err != nil {
		return err
	}
	m.subscribed[room] = true
	return nil
}

func (m *machine) Unsubscribe(room string) { delete(m.subscribed, room) }
func (m *machine) Live() <-chan Live       { return m.live }

func (m *machine) Publish(room, id string, pack []byte, done func(uint64, error)) {
	m.attempts = append(m.attempts, attempt{room, id, pack, done, m.w.now})
}

func (m *machine) After(_ context.Context, room string, from uint64, limit, bytes int) (kept []Stored, hasMore bool, err error) {
	if err := m.up(); err != nil {
		return nil, false, err
	}
	defer m.w.stir()
	for _, s := range m.w.replica() {
		if s.Room == room && s.Seq >= from {
			if len(kept) == 4 { // A server may send fewer than it is asked for.
				return kept, true, nil
			}
			kept = append(kept, s)
		}
	}
	return kept, false, nil
}

func (m *machine) Last(_ context.Context, rooms []string, from uint64) (last []Stored, upTo uint64, err error) {
	if err := m.up(); err != nil {
		return nil, 0, err
	}
	defer m.w.stir()
	ends := map[string]Stored{}
	for _, s := range m.w.replica() {
		upTo = s.Seq
		if slices.Contains(rooms, s.Room) {
			ends[s.Room] = s
		}
	}
	for _, s := range ends {
		if s.Seq >= from {
			last = append(last, s)
		}
	}
	return last, upTo, nil
}

func (m *machine) Tail(_ context.Context, room string) (Stored, error) {
	if err := m.up(); err != nil {
		return Stored{}, err
	}
	defer m.w.stir()
	for _, s := range slices.Backward(m.w.kept) {
		if s.Room == room {
			return s, nil
		}
	}
	return Stored{}, ErrNotFound
}

func (m *machine) At(_ context.Context, seq uint64) (Stored, error) {
	if err := m.up(); err != nil {
		return Stored{}, err
	}
	for _, s := range m.w.kept {
		if s.Seq == seq {
			return s, nil
		}
	}
	return Stored{}, ErrNotFound
}

func (m *machine) State(context.Context) (State, error) {
	if err := m.up(); err != nil {
		return State{}, err
	}
	defer m.w.stir()
	return State{First: m.w.first(), Last: m.w.last, IsFull: m.w.isFull, Free: m.w.free}, nil
}

func (m *machine) Epoch(context.Context) (Epoch, uint64, error) {
	return m.w.epoch, m.w.revision, m.up()
}

func (m *machine) SetEpoch(_ context.Context, e Epoch, revision uint64) error {
	if err := m.up(); err != nil {
		return err
	}
	if revision != m.w.revision {
		return ErrConflict
	}
	if m.w.epoch = e; e.Name != "" {
		if _, ok := m.w.names[e.Name]; !ok {
			m.w.names[e.Name] = m.w.life
		}
	}
	m.w.revision++
	return nil
}

func (m *machine) Purge(context.Context, string, uint64) error { return nil }
func (m *machine) Changed() <-chan struct{}                    { return m.changed }

func (m *machine) Events() Event {
	e := m.events
	m.events = 0
	return e
}

// A view is what one room was given by its node, in stretches that are whole by themselves.
type view struct {
	stretches []*stretch
	isVoid    bool // reset, and not filled
}

type stretch struct {
	epoch   string
	before  uint64
	items   []item
	isEnded bool // by a reset
}

type item struct {
	offset uint64
	text   string
}

func (m *machine) view(room string) *view {
	v := m.views[room]
	if v == nil {
		v = &view{isVoid: true}
		m.views[room] = v
	}
	return v
}

func (m *machine) Append(room, epoch string, all []hub.Source) {
	for i := range all {
		m.append(room, epoch, &all[i])
	}
}

func (m *machine) append(room, epoch string, s *hub.Source) {
	v := m.view(room)
	if v.isVoid {
		m.w.fail("node %d: %s: %q comes before the room is filled", m.index, room, s.Payload)
		return
	}
	last := v.stretches[len(v.stretches)-1]
	if last.epoch != epoch {
		m.w.fail("node %d: %s: epoch %s within %s", m.index, room, epoch, last.epoch)
	}
	if !strings.HasPrefix(string(s.Payload), "forged") {
		m.heard = max(m.heard, s.Offset/packMessages)
	}
	last.items = append(last.items, item{s.Offset, string(s.Payload)})
}

func (m *machine) Fill(room, epoch string, before uint64, kept []hub.Source) {
	v := m.view(room)
	if !v.isVoid && v.stretches[len(v.stretches)-1].epoch == epoch {
		return // As the hub does: it has all of that.
	}
	v.isVoid = false
	s := &stretch{epoch: epoch, before: before}
	for i := range kept {
		s.items = append(s.items, item{kept[i].Offset, string(kept[i].Payload)})
	}
	v.stretches = append(v.stretches, s)
}

func (m *machine) Reset(room, epoch string) {
	v := m.view(room)
	v.isVoid = true
	for _, s := range v.stretches {
		s.isEnded = true
	}
	if !m.w.mayReset {
		m.w.fail("node %d: %s was reset, and nothing had happened that could not be repaired", m.index, room)
	}
}

// Proved must be true: nothing was ever stored there.
func (m *machine) Proved(room, epoch string, offset uint64) {
	m.proved[room] = offset
	v := m.view(room)
	if v.isVoid || m.w.isTainted {
		return
	}
	s := v.stretches[len(v.stretches)-1]
	for _, it := range m.w.truthOf(room) {
		if s.epoch == epoch && it.offset > s.end() && it.offset <= offset {
			m.w.fail("node %d: %s is proved to end at %d, up to %d, and there is %v", m.index, room, s.end(), offset, it)
		}
	}
}

// end is the offset of what the room got last.
func (s *stretch) end() uint64 {
	if n := len(s.items); n > 0 {
		return max(s.before, s.items[n-1].offset)
	}
	return s.before
}

func (m *machine) Oldest(room string) (offset uint64, age time.Duration, ok bool) {
	v := m.view(room)
	if v.isVoid || len(v.stretches[len(v.stretches)-1].items) == 0 {
		return 0, 0, false
	}
	items := v.stretches[len(v.stretches)-1].items
	if most := m.o.HistoryOf(room).Messages; most > 0 && len(items) > most {
		items = items[len(items)-most:]
	}
	for _, s := range m.w.truth {
		if s.Seq == items[0].offset/packMessages {
			return items[0].offset, m.w.now - time.Duration(s.Time), true
		}
	}
	return 0, 0, false
}

func (m *machine) Close(room string) bool {
	if m.open[room] {
		return false
	}
	delete(m.views, room)
	return true
}

func (m *machine) Hold(room string, on bool) {
	if m.holds[room] == on {
		m.w.fail("node %d: %s is held twice, or let go twice", m.index, room)
	}
	m.holds[room] = on
}

func (m *machine) Outage(on bool) {
	if m.isOut == on {
		m.w.fail("node %d: an outage began or ended twice", m.index)
	}
	m.isOut = on
}
