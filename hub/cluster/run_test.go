package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"sluice/hub"
	"sluice/internal/testenv"
)

// A memory is a stream without faults, for nodes that really run.
type memory struct {
	mu       sync.Mutex
	kept     []Stored
	taps     []*tap
	epoch    Epoch
	revision uint64
}

// A tap is one node's broker, and its rooms.
type tap struct {
	*memory
	live       chan Live
	told       chan Claim
	changed    chan struct{}
	subscribed map[string]bool
	events     Event

	got   map[string][]uint64
	holds int
}

func (s *memory) tap() *tap {
	t := &tap{memory: s, live: make(chan Live, 10_000), told: make(chan Claim, 1000), changed: make(chan struct{}, 1), subscribed: map[string]bool{}, got: map[string][]uint64{}, events: Up}
	t.changed <- struct{}{}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taps = append(s.taps, t)
	return t
}

func (t *tap) Prepare(context.Context) error               { return nil }
func (t *tap) Live() <-chan Live                           { return t.live }
func (t *tap) Told() <-chan Claim                          { return t.told }
func (t *tap) Forget()                                     {}
func (t *tap) Changed() <-chan struct{}                    { return t.changed }
func (t *tap) Purge(context.Context, string, uint64) error { return nil }
func (t *tap) At(context.Context, uint64) (Stored, error)  { return Stored{}, ErrNotFound }
func (t *tap) Unsubscribe(room string)                     { t.with(func() { delete(t.subscribed, room) }) }

func (t *tap) Subscribe(_ context.Context, r string) error {
	t.with(func() { t.subscribed[r] = true })
	return nil
}

func (t *tap) Tell(c Claim) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, other := range t.taps {
		select {
		case other.told <- c:
		default: // It is said again.
		}
	}
}

func (t *tap) State(context.Context) (s State, err error) {
	t.with(func() { s = State{First: 1, Last: uint64(len(t.kept)), Free: 1 << 40} })
	return
}

func (t *tap) Events() (e Event) { t.with(func() { e, t.events = t.events, 0 }); return }

func (t *tap) Epoch(context.Context) (Epoch, uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.epoch, t.revision, nil
}

func (t *tap) with(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
}

func (t *tap) SetEpoch(_ context.Context, e Epoch, revision uint64) (err error) {
	t.with(func() {
		if err = ErrConflict; revision == t.revision {
			t.epoch, t.revision, err = e, t.revision+1, nil
		}
	})
	return err
}

func (t *tap) Publish(room, id string, pack []byte, done func(uint64, error)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := Live{Stored: Stored{Room: room, Seq: uint64(len(t.kept)) + 1, ID: id, Pack: slices.Clone(pack)}}
	for i := len(t.kept) - 1; i >= 0 && l.Prev == 0; i-- {
		if t.kept[i].Room == room {
			l.Prev = t.kept[i].Seq
		}
	}
	t.kept = append(t.kept, l.Stored)
	for _, other := range t.taps {
		if other.subscribed[room] {
			other.live <- l
		}
	}
	done(l.Seq, nil)
}

func (t *tap) After(_ context.Context, room string, from uint64, limit, bytes int) (kept []Stored, hasMore bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.kept {
		if s.Room == room && s.Seq >= from {
			if len(kept) == limit {
				return kept, true, nil
			}
			kept = append(kept, s)
		}
	}
	return kept, false, nil
}

func (t *tap) Last(ctx context.Context, rooms []string, from uint64) (last []Stored, upTo uint64, err error) {
	for _, room := range rooms {
		if s, err := t.Tail(ctx, room); err == nil && s.Seq >= from {
			last = append(last, s)
		}
	}
	return last, 0, nil
}

func (t *tap) Tail(_ context.Context, room string) (Stored, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range slices.Backward(t.kept) {
		if s.Room == room {
			return s, nil
		}
	}
	return Stored{}, ErrNotFound
}

// canPublish reports whether Publish would take a message for the room now.
func (n *Node) canPublish(room string) bool {
	p := &n.publisher
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.isClosed && !p.isShort && !p.isFull(p.lines[room])
}

func (t *tap) Append(room, _ string, all []hub.Source) {
	t.with(func() {
		for i := range all {
			t.got[room] = append(t.got[room], all[i].Offset)
		}
	})
}
func (t *tap) Reset(string, string) {}
func (t *tap) Close(string) bool    { return true }
func (t *tap) Hold(string, bool)    { t.with(func() { t.holds++ }) }
func (t *tap) Outage(bool)          {}

func (t *tap) Proved(string, string, uint64)                     {}
func (t *tap) Oldest(string) (_ uint64, _ time.Duration, _ bool) { return }

func (t *tap) Fill(room, _ string, _ uint64, kept []hub.Source) {
	t.with(func() {
		t.got[room] = nil
		for i := range kept {
			t.got[room] = append(t.got[room], kept[i].Offset)
		}
	})
}

// Two nodes that run, eight publishers that give all they can and wait only when they are held:
// each message once, in one order, and everybody is answered.
func TestNodesRun(t *testing.T) {
	const publishers, each = 8, 2000
	s := new(memory)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var nodes []*Node
	var taps []*tap
	for range 2 {
		tap := s.tap()
		n := New(Options{HistoryOf: func(string) hub.History { return hub.History{Age: time.Hour} }}, tap, tap)
		running.Go(func() {
			if err := n.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		nodes, taps = append(nodes, n), append(taps, tap)
	}
	if err := nodes[0].Open(ctx, "room"); err != nil || !nodes[0].IsOpen("room") || nodes[1].IsOpen("room") {
		t.Fatal("the room is not open", err)
	}
	var publishing sync.WaitGroup
	var mu sync.Mutex
	offsets := map[uint64]int{}
	for p := range publishers {
		publishing.Go(func() {
			last := uint64(0)
			n := nodes[p%2]
			for i := 0; i < each; {
				err := n.Publish("room", hub.Source{Payload: fmt.Append(nil, p, i)}, "", func(at hub.Position, err error) {
					if err != nil || at.Offset <= last || len(at.Epoch) != 8 {
						t.Error(at, err)
					}
					last = at.Offset
					mu.Lock()
					offsets[at.Offset]++
					mu.Unlock()
				})
				if errors.Is(err, ErrFull) {
					testenv.Eventually(t, "the room takes more", func() bool { return n.canPublish("room") })
				} else if i++; err != nil {
					t.Error(err)
				}
			}
		})
	}
	if err := nodes[1].Open(ctx, "room"); err != nil { // in the midst of it
		t.Error(err)
	}
	publishing.Wait()
	for i, n := range nodes {
		testenv.Eventually(t, "all is there", func() bool {
			taps[i].mu.Lock()
			defer taps[i].mu.Unlock()
			return len(taps[i].got["room"]) == publishers*each
		})
		if err := n.Drain(ctx); err != nil {
			t.Error(err)
		}
		if err := n.Publish("room", hub.Source{}, "", nil); err != ErrClosed {
			t.Error("published behind Drain:", err)
		}
	}
	if !slices.Equal(taps[0].got["room"], taps[1].got["room"]) || !slices.IsSorted(taps[0].got["room"]) || len(offsets) != publishers*each {
		t.Errorf("the orders differ, or of %d acknowledgements %d are different", publishers*each, len(offsets))
	}
	if a := nodes[0].Stats(); a.Packs == 0 || a.PackMessages != publishers*each/2 || a.Packs > a.PackMessages || a.Resets > 0 {
		t.Errorf("%+v", a)
	}
	cancel()
	running.Wait()
	if err := nodes[0].Open(t.Context(), "other"); err != ErrClosed {
		t.Error("opened behind the end:", err)
	}
}

// A publisher that waits when a node ends is told so.
func TestEndTellsWhoWaits(t *testing.T) {
	s := new(memory)
	tap := s.tap()
	tap.events = 0 // It never comes up.
	n := New(Options{}, tap, tap)
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan error, 1)
	if err := n.Publish("room", hub.Source{}, "", func(_ hub.Position, err error) { told <- err }); err != nil {
		t.Fatal(err)
	}
	if err := n.Ready(); err == nil {
		t.Error("it is ready without a stream")
	}
	short, end := context.WithTimeout(ctx, time.Millisecond)
	defer end()
	if err := n.Open(short, "room"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	cancel()
	if err := n.Run(ctx); err != nil {
		t.Error(err)
	}
	if err := <-told; err != ErrClosed {
		t.Error(err)
	}
}

// What was sent may be in the stream when the node ends, and what waits behind it is not.
func TestEndTellsWhatWasSentApart(t *testing.T) {
	w := newWorld(1, 1, faults{})
	m := w.nodes[0]
	w.isQuiet = true
	w.goOn(5)
	var told []error
	publish := func() {
		if err := m.Node.Publish("room", hub.Source{}, "", func(_ hub.Position, err error) { told = append(told, err) }); err != nil {
			t.Fatal(err)
		}
		m.pump()
	}
	publish()
	publish()
	if len(m.attempts) != 1 {
		t.Fatalf("%d attempts", len(m.attempts))
	}
	if m.Node.end(); !slices.Equal(told, []error{ErrClosed, ErrUnknown}) {
		t.Error(told)
	}
}

func TestTooLargeAndTooManyAreRefused(t *testing.T) {
	s := new(memory)
	tap := s.tap()
	n := New(Options{MessageBytesMax: 10, RoomsMax: 2}, tap, tap)
	if err := n.Publish("room", hub.Source{Payload: make([]byte, 11)}, "", nil); err != hub.ErrTooLarge {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, room := range []string{"a", "b"} {
		if err := n.Open(ended, room); err != context.Canceled {
			t.Error(err)
		}
	}
	if err := n.Open(ended, "c"); err != ErrTooManyRooms {
		t.Error(err)
	}
	for range packMessages {
		if err := n.Publish("room", hub.Source{}, "", nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Publish("room", hub.Source{}, "", nil); err != hub.ErrFull || n.canPublish("room") || !n.canPublish("other") {
		t.Error("a full room takes more, or another one none:", err)
	}
}

// A broker may take less than a pack would be: the messages go in more of them.
func TestPacksAreNoLargerThanTheBrokerTakes(t *testing.T) {
	w := newWorld(1, 1, faults{})
	w.isQuiet = true
	m := w.nodes[0]
	limit := 0
	m.o.Limit = func() int { return limit }
	publish := func(n, size int) {
		for range n {
			if err := m.Node.Publish("room", hub.Source{Payload: make([]byte, size)}, "", nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish(40, 1000) // Before the limit is known.
	for _, p := range m.publisher.lines["room"].waiting {
		if len(p.body) > LimitMin {
			t.Errorf("a pack of %d bytes, and a broker may take no more than %d", len(p.body), LimitMin)
		}
	}
	limit = 10_000
	w.goOn(50)
	publish(1, limit)
	publish(40, 1000)
	if err := m.Node.Publish("room", hub.Source{Payload: make([]byte, limit+1)}, "", nil); err != hub.ErrTooLarge {
		t.Error(err)
	}
	w.goOn(50)
	count := 0
	for _, s := range w.truth {
		list, err := decode(nil, s.Seq, s.Pack)
		if count += len(list); err != nil || len(list) > 1 && len(s.Pack) > limit {
			t.Errorf("%d messages in %d bytes: %v", len(list), len(s.Pack), err)
		}
	}
	if count != 81 {
		t.Errorf("%d messages", count)
	}
}

// A pack that surely was not stored for a long time has its full time from the first attempt on
// that may have been.
func TestTimeCountsFromTheFirstAttemptInDoubt(t *testing.T) {
	w := newWorld(1, 1, faults{})
	w.isQuiet = true
	m := w.nodes[0]
	w.goOn(5)
	if err := m.Node.Publish("room", hub.Source{Payload: []byte("late")}, "", nil); err != nil {
		t.Fatal(err)
	}
	answer := func(how int) {
		for range 100 {
			if m.pump(); len(m.attempts) > 0 {
				m.decide(0, how)
				m.pump()
				return
			}
			w.pass(tickTime)
		}
		t.Fatal("nothing is sent")
	}
	for from := w.now; w.now-from < giveUpTime+time.Second; {
		answer(3)
		w.pass(tickTime)
	}
	answer(2)
	w.goOn(100)
	if s := m.Stats(); s.GivenUp > 0 || len(w.truth) != 1 {
		t.Errorf("%d given up, %d stored", s.GivenUp, len(w.truth))
	}
}

// What a raw message costs on its way into a pack.
func TestPublishAllocatesNothing(t *testing.T) {
	if testenv.RaceEnabled {
		t.Skip("the race detector allocates")
	}
	s := new(memory)
	tap := s.tap()
	n := New(Options{}, tap, tap)
	payload := make([]byte, 50)
	if err := n.Publish("room", hub.Source{Payload: make([]byte, packBytes/2)}, "", nil); err != nil { // The pack is as large as it gets in the test.
		t.Fatal(err)
	}
	if allocated := testing.AllocsPerRun(300, func() { _ = n.Publish("room", hub.Source{Payload: payload}, "", nil) }); allocated > 0.1 {
		t.Errorf("%v allocations a message", allocated)
	}
}
