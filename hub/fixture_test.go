package hub

import "time"

// A transport answers before it returns, as a kernel does that is asked by a call for each write,
// or late and in any order, as one does that is asked for many writes at once.
type transport struct {
	now    *time.Duration
	isLate bool
	due    []answerDue
}

type answerDue struct {
	batch *Batch
	i     int
}

func (t *transport) Send(k *Batch) {
	for i := range k.Deliveries {
		t.due = append(t.due, answerDue{k, i})
	}
	if !t.isLate {
		t.answerAll()
	}
}

// answer answers for one of the deliveries that are due. One whose member has left is not made any
// more.
func (t *transport) answer(n int) {
	d := t.due[n]
	t.due = append(t.due[:n], t.due[n+1:]...)
	taker, taken := d.batch.Deliveries[d.i].Client.(interface {
		take(p []byte) int
		IsIn() bool
	}), 0
	if taker.IsIn() {
		taken = taker.take(d.batch.Deliveries[d.i].Bytes)
	}
	d.batch.Answer(d.i, taken, Taken, *t.now)
}

func (t *transport) answerAll() {
	for len(t.due) > 0 {
		t.answer(0)
	}
}

// tb is what a fixture needs of a test, of whichever kind.
type tb interface {
	Helper()
	Fatal(args ...any)
}

// Publish is for tests in which nobody who is in the room says the message. by is nil outside of
// all loops.
func (r *Room) Publish(by *Fanout, now time.Duration, m Encoder) (seq uint64) {
	return r.publish(by, now, m, 0).seq
}

// joinEnd is Join for tests in which members begin at the end.
func (f *Fanout) joinEnd(name string, e Encoding, m *Member, client Client) error {
	_, err := f.Join(0, name, e, Start{}, m, client)
	return err
}

// fixture is a hub with two loops that are stepped by hand.
type fixture struct {
	tb
	hub    *Hub
	policy Policy // of rooms to be made
	now    time.Duration
	fans   [2]*Fanout
	woke   [2]int

	transport *transport
}

func newFixture(t tb, l Limits) *fixture {
	return newFixtureOf(t, Options{Limits: l, Encodings: testEncodings})
}

func newFixtureOf(t tb, o Options) *fixture {
	f := &fixture{tb: t}
	f.transport = &transport{now: &f.now}
	o.PolicyOf = func(string) Policy { return f.policy }
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	f.hub = h
	for i := range f.fans {
		f.fans[i] = h.NewFanout(func() { f.woke[i]++ }, f.transport)
	}
	return f
}

func (f *fixture) join(fan int, room string) *client {
	return f.joinTrack(fan, room, Plain)
}

func (f *fixture) joinTrack(fan int, room string, t Encoding) *client {
	c := &client{now: &f.now, room: -1}
	f.fans[fan].joinEnd(room, t, &c.Member, c)
	return c
}

// flush lets every loop flush until none has work left.
func (f *fixture) flush() {
	f.Helper()
	for range 100_000 {
		idle, woke := true, f.woke
		for _, fan := range f.fans {
			if fan.Flush(func() time.Duration { return f.now }) == 0 {
				idle = false
			}
		}
		if len(f.transport.due) > 0 {
			f.transport.answer(len(f.transport.due) / 2)
			idle = false
		}
		if idle && woke == f.woke {
			return
		}
	}
	f.Fatal("the loops never come to rest")
}

// outvote lets the votes of those end who take nothing.
func (f *fixture) outvote() {
	f.Helper()
	for range 2 { // The kernel's first answer has nothing to compare with.
		f.now += firstVote
		for _, r := range f.hub.rooms {
			for _, b := range r.branches {
				b.schedule(b.fan, becauseRecount)
			}
		}
		f.flush()
	}
}

// quiet lets some time pass in which nothing is published, and returns what the room still holds.
func (f *fixture) quiet(r *Room) int64 {
	f.Helper()
	for range 3 {
		f.now += reclaimEvery
		f.flush()
	}
	return r.Stats().Held
}

// limits are those of a hub whose rooms share nothing that matters.
func limits(backlog, window int64) Limits {
	return Limits{Backlog: backlog, Window: window, Total: 1 << 40, Pinned: 1 << 40, Turn: 1 << 30}
}

var wide = limits(1<<20, 1<<20)
