package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sluice/hub"
)

// A machine is one node, its broker and its rooms.
type machine struct {
	*Node
	w          *world
	index      int
	isUp       bool
	events     Event
	changed    chan struct{}
	live       chan Live
	wire       []Live        // on their way
	told       []Claim       // likewise
	backAt     time.Duration // when its connection comes, after a store that came back; zero: not so
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

// knows reports whether a node has heard of another.
func (m *machine) knows(other *machine) bool {
	return m == other || m.known[other.boot] != nil && !m.isStranger
}

func (m *machine) raise(e Event) {
	m.events = m.events.Then(e)
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

func (m *machine) connect() {
	m.backAt = 0
	if !m.isUp {
		m.isUp = true
		m.raise(Up)
	}
}

func (m *machine) disconnect() {
	if m.isUp {
		for len(m.attempts) > 0 { // It may be stored.
			m.decide(0, 1+m.w.rand.IntN(2))
		}
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
		case len(m.told) > 0:
			c := m.told[0]
			m.told = m.told[1:]
			m.hear(&c)
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

func (m *machine) Live() <-chan Live { return m.live }

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

func (m *machine) Tell(c Claim) {
	if !m.isUp {
		return
	}
	isLost := m.w.faults.loses && c.Asks == "" && len(c.Answers) == 0 // Others would be said again, and the time for that is short.
	for _, other := range m.w.nodes {
		if other.isUp && !(isLost && m.w.chance(15)) {
			other.told = append(other.told, c)
		}
	}
}

func (m *machine) Told() <-chan Claim { return nil } // They come by pump.

func (m *machine) Forget() {
	for len(m.live) > 0 {
		<-m.live
	}
}

func (m *machine) Changed() <-chan struct{} { return m.changed }

func (m *machine) Events() Event {
	e := m.events
	m.events = 0
	return e
}
