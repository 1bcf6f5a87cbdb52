package hub

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The encodings of these tests' hubs.
const (
	Plain Encoding = iota
	Deflated
	Placed // its frames carry positions
	Bundled
	numTracks
)

var testEncodings = []EncodingInfo{
	Plain: {Name: "plain"}, Deflated: {Name: "deflated", HasSubstitute: true, Substitute: Plain},
	Placed:  {Name: "placed", PositionWidth: placeWidth, PutPosition: putPlace},
	Bundled: {Name: "bundled", IsBundled: true},
}

// A Message is a message whose frames were made before. Without a Deflated one the plain frame stands in.
type Message struct {
	Plain, Deflated, Placed, Bundled Frame // Without a Bundled one it is the plain one.

	source Source
}

func (m *Message) Encode(e Encoding) Frame {
	switch e {
	case Deflated:
		return m.Deflated
	case Placed:
		return m.Placed
	case Bundled:
		if m.Bundled.len() > 0 {
			return m.Bundled
		}
	}
	return m.Plain
}

func (m *Message) Source() Source { return m.source }

// client is a member with a scripted socket: it takes as many bytes as it has room for.
type client struct {
	Member
	now      *time.Duration
	room     int // bytes its socket takes before it refuses; negative: any number
	got      []byte
	rest     Rest
	overruns int
	aborted  bool
	slow     []bool // what Lagging said
	spoiled  int
	isWhole  bool
	resumed  int
	leavesAt int // leaves when it has so many bytes
	isArmed  bool
	queued   int64 // what its kernel says
	means    Queued
	asked    int    // how often it was
	onTake   func() // once, when it takes something
}

// take takes what its socket has room for.
func (c *client) take(p []byte) (n int) {
	n = len(p)
	if c.room >= 0 {
		n = min(n, c.room)
		c.room -= n
	}
	c.got = append(c.got, p[:n]...)
	if do := c.onTake; do != nil {
		c.onTake = nil
		do()
	}
	if c.leavesAt > 0 && len(c.got) >= c.leavesAt {
		c.Leave()
	}
	return n
}

func (c *client) Queued() (int64, Queued) {
	c.asked++
	return c.queued, c.means
}

func (c *client) Refused()                  { c.isArmed = true }
func (c *client) CaughtUp()                 { c.isArmed = false }
func (c *client) Finished()                 { c.Leave() }
func (c *client) Failed()                   { c.Leave() }
func (c *client) Resume()                   { c.resumed++ }
func (c *client) Spoiled(isWhole bool)      { c.spoiled, c.isWhole = c.spoiled+1, isWhole }
func (c *client) Rejoined(uint64, Position) {}
func (c *client) Reset(Position)            {}
func (c *client) Lagging(isSlow bool)       { c.slow = append(c.slow, isSlow) }

func (c *client) Overrun(rest Rest) {
	c.overruns++
	if len(rest.Bytes()) > 0 {
		c.rest = rest
		c.HoldOwn()
	}
}

func (c *client) SendOwn(limit int) (sent int, isAll bool) {
	rest := c.rest.Bytes()
	rest = rest[:min(len(rest), limit)]
	n := c.take(rest)
	if n > 0 {
		c.TookOwn(n, *c.now)
		c.rest.Sent(n)
	}
	if n < len(rest) {
		c.Block(*c.now)
		c.isArmed = true
	}
	return n, len(c.rest.Bytes()) == 0
}

func (c *client) Abort() {
	c.aborted = true
	c.rest.Release()
	c.Leave()
}

// say publishes one plain frame.
func (c *client) say(head, payload []byte) uint64 {
	return c.Publish(*c.now, &Message{Plain: Frame{Head: head, Payload: payload}})
}

// open lets n more bytes through, as a socket that turned writable does; a negative n is any number.
func (c *client) open(n int) {
	c.room = n
	if !c.IsIn() {
		c.SendOwn(1 << 30)
		return
	}
	b, p := c.branch, &pace{clock: func() time.Duration { return *c.now }, now: *c.now, deadline: 1 << 62}
	if c.IsBlocked() {
		c.Ready()
		b.serveReady(p)
		return
	}
	c.goOn(b.track.end.Load(), b.room.hub.limits.Turn, p.now)
	b.fan.sendAll(p)
}

// isScheduled reports whether somebody has the branch visited.
func (b *branch) isScheduled() bool {
	return b.marks.Load() != 0 || b.due != 0 && b.isQueued || b.round.open > 0
}

// A transport answers before it returns, as a kernel does that is asked by a call for each write, or late
// and in any order, as one does that is asked for many writes at once.
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

// answer answers for one of the deliveries that are due. One whose member has left is not made any more.
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
	f.fans[fan].Join(room, t, &c.Member, c)
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

func TestEveryMemberOnEveryLoopGetsTheSameStream(t *testing.T) {
	f := newFixture(t, wide)
	a, b, c := f.join(0, "r"), f.join(1, "r"), f.join(1, "r")
	other := f.join(0, "s")
	a.say([]byte("h"), []byte("one"))
	b.say([]byte("h"), []byte("two"))
	f.flush()
	for i, m := range []*client{a, b, c} {
		if string(m.got) != "honehtwo" {
			t.Errorf("member %d got %q", i, m.got)
		}
	}
	if len(other.got) != 0 {
		t.Errorf("another room got %q", other.got)
	}
	late := f.join(0, "r")
	a.say(nil, []byte("three"))
	f.flush()
	if string(late.got) != "three" {
		t.Errorf("who joined late got %q", late.got)
	}
}

func TestPublishMarksALoopOnceAndWakesItAtTheNextFlush(t *testing.T) {
	f := newFixture(t, wide)
	a := f.join(0, "r")
	f.join(1, "r")
	f.join(1, "r")
	for range 10 {
		a.say(nil, []byte("x"))
	}
	if f.woke != [2]int{} {
		t.Fatalf("loops were woken before the publisher's flush: %v", f.woke)
	}
	f.fans[0].Flush(func() time.Duration { return f.now })
	if f.woke != [2]int{0, 1} {
		t.Errorf("loops were woken %v times, want the other one once", f.woke)
	}
	f.flush()
	a.Room().Publish(nil, f.now, &Message{Plain: Frame{Payload: []byte("from outside")}})
	if f.woke != [2]int{1, 2} {
		t.Errorf("a publisher outside the loops woke them %v times in all, want each at once", f.woke)
	}
}

func TestBlockedMemberKeepsItsCursorAndResumes(t *testing.T) {
	f := newFixture(t, wide)
	a, slow := f.join(0, "r"), f.join(1, "r")
	slow.room = 5
	var want []byte
	for i := range 50 {
		p := fmt.Appendf(nil, "message %d,", i)
		want = append(want, p...)
		a.say(nil, p)
		f.flush()
	}
	if !slow.IsBlocked() || string(slow.got) != "messa" || slow.cursor.restOfFrame() != len("ge 0,") {
		t.Fatalf("blocked %v, got %q, %d bytes left of the frame", slow.IsBlocked(), slow.got, slow.cursor.restOfFrame())
	}
	f.now += time.Second
	if lag := slow.Lag(f.now); lag != (Lag{Messages: 50, Bytes: int64(len(want) - 5), Age: time.Second}) {
		t.Errorf("lag is %+v", lag)
	}
	for n := 1; slow.IsBlocked(); n++ {
		slow.open(n)
	}
	if !bytes.Equal(slow.got, want) || !bytes.Equal(a.got, want) {
		t.Errorf("the slow one got %d bytes, the other %d, of %d", len(slow.got), len(a.got), len(want))
	}
}

func TestOverrunMemberIsOwedTheRestOfItsFrameAndLeaves(t *testing.T) {
	f := newFixture(t, limits(32<<10, 16<<10))
	a, slow, stuck := f.join(0, "r"), f.join(1, "r"), f.join(1, "r")
	between := f.join(1, "r")
	slow.room, stuck.room, between.room = 30, 10, 0
	frame := bytes.Repeat([]byte("0123456789"), 10)
	for range 1000 {
		a.say(nil, frame)
		f.now += 10 * time.Millisecond
		f.flush()
	}
	for _, c := range []struct {
		*client
		sent int
	}{{slow, 30}, {stuck, 10}} {
		if c.overruns != 1 || c.IsIn() || string(c.rest.Bytes()) != string(frame[c.sent:]) {
			t.Errorf("overrun %d times, still in %v, owed %q", c.overruns, c.IsIn(), c.rest.Bytes())
		}
	}
	if slow.rest.pin != stuck.rest.pin || f.hub.Pinned() != int64(len(frame)) {
		t.Error("the frame both are stuck in was copied twice")
	}
	if between.overruns != 1 || between.rest.Bytes() != nil {
		t.Errorf("who stood between frames is owed %q", between.rest.Bytes())
	}
	if len(a.got) != 1000*len(frame) || a.overruns > 0 {
		t.Errorf("the reading member got %d bytes", len(a.got))
	}
	if s := a.Room().Stats(); s.Members != 1 {
		t.Errorf("%d members are left", s.Members)
	}
}

// A member that is never refused but gets only a budget per turn is our own debt: the publisher waits for it.
func TestWaitingMemberIsNeverOverrun(t *testing.T) {
	l := limits(32<<10, 8<<10)
	l.Turn = 100
	f := newFixture(t, l)
	a, patient := f.join(0, "r"), f.join(1, "r")
	frame := make([]byte, 1000)
	published, waits := 0, 0
	for range 20_000 {
		if a.Room().IsFull() {
			waits++
		} else {
			a.say(nil, frame)
			published += len(frame)
		}
		for _, fan := range f.fans {
			fan.Flush(func() time.Duration { f.now += time.Millisecond; return f.now })
		}
		if held := a.Room().Stats().Held; held > 48<<10 {
			t.Fatalf("the log holds %d bytes", held)
		}
	}
	f.flush()
	if patient.overruns > 0 || len(patient.got) != published {
		t.Errorf("overrun %d times; got %d of %d bytes", patient.overruns, len(patient.got), published)
	}
	if waits == 0 || published == 0 {
		t.Errorf("%d waits, %d bytes published: want both", waits, published)
	}
}

func TestRoomWaitsForTheManyNotForTheFew(t *testing.T) {
	const window = 10_000
	setup := func(t *testing.T, slow int) (*fixture, *client, []*client) {
		f := newFixture(t, limits(1<<20, window))
		var all []*client
		for i := range 9 {
			all = append(all, f.join(i%2, "r"))
		}
		for _, c := range all[9-slow:] {
			c.room = 0
		}
		for range 30 {
			all[0].say(nil, make([]byte, 1000))
			f.flush()
		}
		return f, all[0], all[9-slow:]
	}
	t.Run("a minority holds nobody", func(t *testing.T) {
		_, a, _ := setup(t, 4)
		if a.Room().IsFull() {
			t.Error("the room waits for four of nine")
		}
	})
	t.Run("a majority that moves holds the publisher until it has caught up", func(t *testing.T) {
		f, a, slow := setup(t, 5)
		if !a.Room().IsFull() {
			t.Fatal("the room does not wait for five of nine")
		}
		if !a.AwaitRoom() {
			t.Fatal("a full room lets its publisher go on")
		}
		slow[0].open(-1)
		f.flush()
		if a.Room().IsFull() || a.resumed != 1 {
			t.Errorf("full %v, publisher resumed %d times after one of the five caught up", a.Room().IsFull(), a.resumed)
		}
	})
	t.Run("a majority that stands still is given up", func(t *testing.T) {
		f, a, _ := setup(t, 8)
		if !a.Room().IsFull() || !a.AwaitRoom() {
			t.Fatal("the room does not wait for eight of nine that moved a moment ago")
		}
		f.outvote()
		if a.Room().IsFull() || a.resumed != 1 {
			t.Errorf("full %v, publisher resumed %d times, although nobody it waits for moves", a.Room().IsFull(), a.resumed)
		}
	})
}

func TestEveryWaitingPublisherIsResumedWhicheverLoopItIsOn(t *testing.T) {
	f := newFixture(t, limits(1<<20, 1000))
	a, b := f.join(0, "r"), f.join(1, "r")
	gone := f.join(1, "r")
	a.say(nil, make([]byte, 5000))
	for _, c := range []*client{a, b, gone} {
		if first, again := c.AwaitRoom(), c.AwaitRoom(); !first || !again {
			t.Fatal("a room with 5,000 bytes unswept is not full at a window of 1,000")
		}
	}
	gone.Leave()
	f.flush()
	if a.resumed != 1 || b.resumed != 1 || gone.resumed != 0 {
		t.Errorf("resumed %d, %d and %d times; want 1, 1 and, having left, 0", a.resumed, b.resumed, gone.resumed)
	}
	if a.AwaitRoom() {
		t.Error("a room that is not full makes its publisher wait")
	}
}

func TestRoomEndsWithItsLastMemberAndBeginsAnew(t *testing.T) {
	f := newFixture(t, wide)
	a := f.join(0, "r")
	a.say(nil, []byte("x"))
	first := a.Room()
	a.Leave()
	a.Leave() // harmless
	f.flush()
	if n := f.hub.Rooms(); n != 0 {
		t.Fatalf("%d rooms are left", n)
	}
	b := f.join(1, "r")
	if b.Room() == first {
		t.Error("the closed room lives again")
	}
	if seq := b.say(nil, []byte("y")); seq != 1 {
		t.Errorf("the new room's first message has number %d", seq)
	}
	f.flush()
	if string(b.got) != "y" {
		t.Errorf("got %q", b.got)
	}
}

func TestE13_NobodyIsSkippedOrServedTwiceWhileMembersLeaveInASweep(t *testing.T) {
	f := newFixture(t, wide)
	a := f.join(1, "r")
	var all []*client
	for i := range 500 {
		c := f.join(0, "r")
		if i%3 == 0 {
			c.leavesAt = 1
		}
		all = append(all, c)
	}
	a.say(nil, []byte("hello"))
	f.flush()
	joined := f.join(0, "r")
	a.say(nil, []byte(" again"))
	f.flush()
	for i, c := range all {
		want := "hello again"
		if i%3 == 0 {
			want = "hello"
		}
		if string(c.got) != want {
			t.Fatalf("member %d got %q", i, c.got)
		}
	}
	if string(joined.got) != " again" {
		t.Errorf("who took a hole's place got %q", joined.got)
	}
}

func TestE12_JoinsAndLeavesDuringFanOutLoseNothingAndLeaveNothing(t *testing.T) {
	f := newFixture(t, wide)
	a := f.join(0, "r")
	rng := rand.New(rand.NewPCG(1, 2))
	type stay struct {
		*client
		from int // bytes published before it came
	}
	var all []stay
	var stream []byte
	check := func(s stay) {
		if !bytes.HasPrefix(stream[s.from:], s.got) {
			t.Fatalf("a member that came at %d got something else than the stream from there", s.from)
		}
	}
	for i := range 100_000 {
		switch {
		case rng.IntN(2) == 0 || len(all) == 0:
			all = append(all, stay{f.join(rng.IntN(2), "r"), len(stream)})
		default:
			k := rng.IntN(len(all))
			check(all[k])
			all[k].Leave()
			all[k] = all[len(all)-1]
			all = all[:len(all)-1]
		}
		if i%50 == 0 {
			p := fmt.Appendf(nil, "%d.", i)
			stream = append(stream, p...)
			a.say(nil, p)
			f.fans[rng.IntN(2)].Flush(func() time.Duration { f.now += 100 * time.Microsecond; return f.now })
		}
	}
	f.flush()
	for _, s := range all {
		if check(s); len(s.got) != len(stream)-s.from {
			t.Fatalf("a member that came at %d got %d of %d bytes", s.from, len(s.got), len(stream)-s.from)
		}
		s.Leave()
	}
	a.say(nil, []byte("."))
	f.flush()
	for _, b := range a.Room().branches {
		if b.len() != 1 || len(b.members) > 2*64 {
			t.Errorf("a branch of %d members keeps %d places", b.len(), len(b.members))
		}
	}
}

func TestQuietRoomGivesItsMemoryBack(t *testing.T) {
	f := newFixture(t, wide)
	a, slow := f.join(0, "r"), f.join(1, "r")
	slow.room = 0
	for range 100 {
		a.say(nil, make([]byte, 1000))
	}
	f.flush()
	if held := f.quiet(a.Room()); held < 100_000 {
		t.Fatalf("the room keeps %d bytes although a member still needs 100,000", held)
	}
	slow.open(-1)
	if len(slow.got) != 100_000 {
		t.Fatalf("the slow member got %d bytes", len(slow.got))
	}
	if held := f.quiet(a.Room()); held != 0 {
		t.Errorf("the quiet room keeps %d bytes", held)
	}
	for _, c := range []*client{a, slow} {
		if c.cursor.seg.data != nil {
			t.Error("a cursor still holds a segment's memory")
		}
	}
	for _, fan := range f.fans {
		if d := fan.Flush(func() time.Duration { return f.now }); d != -1 {
			t.Errorf("a loop with nothing but a quiet room wants to be woken in %v", d)
		}
	}
}

func TestLargeRoomIsSweptInSlices(t *testing.T) {
	f := newFixture(t, wide)
	for range 1000 {
		f.join(0, "big")
	}
	a, small := f.join(1, "big"), f.join(0, "small")
	a.say(nil, []byte("x"))
	small.say(nil, []byte("y"))
	// A clock that moves 100 µs at each look: a slice ends long before 1,000 members are served.
	step := func() time.Duration { f.now += 100 * time.Microsecond; return f.now }
	start := f.now
	if next := f.fans[0].Flush(step); next != 0 {
		t.Fatalf("the sweep ended, or is forgotten: next in %v", next)
	}
	if took := f.now - start; took > slice+time.Millisecond {
		t.Errorf("one slice took %v", took)
	}
	if string(small.got) != "y" {
		t.Error("the small room did not get its turn in the first slice")
	}
	f.flush()
	b := a.Room().branches[0]
	for _, m := range b.members {
		if string(m.client.(*client).got) != "x" {
			t.Fatalf("a member got %q", m.client.(*client).got)
		}
	}
}

func TestMessagePublishedInTheMiddleOfASweepReachesThoseSweptBefore(t *testing.T) {
	f := newFixture(t, wide)
	var all []*client
	for range 1000 {
		all = append(all, f.join(0, "r"))
	}
	a := f.join(1, "r")
	step := func() time.Duration { f.now += 100 * time.Microsecond; return f.now }
	a.say(nil, []byte("first "))
	f.fans[0].Flush(step)
	served := 0
	for _, c := range all {
		if len(c.got) > 0 {
			served++
		}
	}
	if served == 0 || served == len(all) {
		t.Fatalf("%d of %d are served: not the middle of a sweep", served, len(all))
	}
	a.say(nil, []byte("second"))
	f.flush()
	for i, c := range all {
		if string(c.got) != "first second" {
			t.Fatalf("member %d got %q", i, c.got)
		}
	}
}

func TestRoundVisitsEveryPlaceAlthoughMembersJoinInItsMiddle(t *testing.T) {
	f := newFixture(t, wide)
	var all []*client
	for range 40 {
		all = append(all, f.join(0, "r"))
	}
	all[0].say(nil, []byte("a"))
	f.flush()
	for range 40 {
		all = append(all, f.join(0, "r"))
	}
	all[0].say(nil, []byte("b"))
	looks := 0
	f.fans[0].Flush(func() time.Duration { // Time is up after the first few.
		if looks++; looks >= 3 {
			return f.now + slice
		}
		return f.now
	})
	if len(all[79].got) > 0 {
		t.Fatal("the sweep ended: not its middle")
	}
	for range 5 {
		f.join(0, "r")
	}
	f.flush()
	for i, c := range all {
		if got := string(c.got); got != "ab" && (i < 40 || got != "b") {
			t.Errorf("member %d got %q", i, got)
		}
	}
}

// Its cursor still stands in the segment that the quiet room let go of, but it misses nothing.
func TestEvenMemberOfARestingRoomIsNotOverrun(t *testing.T) {
	f := newFixture(t, wide)
	a := f.join(0, "r")
	a.say(nil, []byte("a"))
	f.flush()
	for range 5 {
		if f.now += reclaimEvery; !a.branch.isScheduled() {
			f.fans[0].Flush(func() time.Duration { return f.now })
		}
	}
	if !a.branch.isScheduled() || a.cursor.seg.data == nil {
		t.Fatal("the room does not rest, or the cursor has moved already")
	}
	a.Block(f.now) // a frame of its own, as a pong is
	f.flush()
	if a.overruns > 0 {
		t.Error("it was overrun")
	}
}

func TestJoinsRacingWithPublishesMissNothing(t *testing.T) {
	h, err := New(Options{Limits: wide, Encodings: testEncodings})
	if err != nil {
		t.Fatal(err)
	}
	const each = 300
	var loops sync.WaitGroup
	for range 3 {
		var now time.Duration
		f := h.NewFanout(func() {}, &transport{now: &now})
		loops.Go(func() {
			for i := range each {
				c := &client{now: &now, room: -1}
				f.Join("r", Plain, &c.Member, c)
				if c.say(nil, []byte{byte(i)}); c.Position() == c.branch.track.end.Load() {
					t.Error("a member missed its own message")
				}
				f.Flush(func() time.Duration { now += time.Microsecond; return now })
				c.Leave()
				if len(c.got) == 0 {
					t.Error("a member got nothing")
				}
			}
		})
	}
	loops.Wait()
	if n := h.Rooms(); n != 0 {
		t.Errorf("%d rooms are left", n)
	}
}

// Many loops make and leave rooms at once. There are never more than the limit, and never fewer than could be.
func TestRoomLimitIsExactWhileManyLoopsJoin(t *testing.T) {
	const most, loops, each = 5, 4, 200
	l := wide
	l.Rooms = most
	h, err := New(Options{Limits: l, Encodings: testEncodings})
	if err != nil {
		t.Fatal(err)
	}
	// Some rooms stay, so that those which a loop wants at once are too many even if the loops happen to run one after the other.
	stay, now := h.NewFanout(func() {}, &transport{now: new(time.Duration)}), time.Duration(0)
	var staying []*client
	for i := range most - 2 {
		c := &client{now: &now, room: -1}
		if err := stay.Join(fmt.Sprint("stays ", i), Plain, &c.Member, c); err != nil {
			t.Fatal(err)
		}
		staying = append(staying, c)
	}
	var refused atomic.Int64
	var wg sync.WaitGroup
	for loop := range loops {
		f := h.NewFanout(func() {}, &transport{now: new(time.Duration)})
		wg.Go(func() {
			var now time.Duration
			for i := range each {
				var in []*client
				for k := range 3 {
					c := &client{now: &now, room: -1}
					if f.Join(fmt.Sprintf("%d.%d.%d", loop, i, k), Plain, &c.Member, c) != nil {
						refused.Add(1)
						if c.IsIn() {
							t.Error("refused, and in a room")
						}
						continue
					}
					in = append(in, c)
				}
				if n := h.Rooms(); n > most {
					t.Errorf("%d rooms, more than %d", n, most)
				}
				for _, c := range in {
					c.Leave()
				}
			}
		})
	}
	wg.Wait()
	if n := refused.Load(); n < loops*each {
		t.Errorf("%d joins were refused, want at least %d", n, loops*each)
	}
	for _, c := range staying {
		c.Leave()
	}
	if n := h.Rooms(); n != 0 {
		t.Errorf("%d rooms are left", n)
	}
	f := h.NewFanout(func() {}, &transport{now: new(time.Duration)})
	for i := range most + 2 {
		c := &client{now: &now, room: -1}
		var want error
		if i >= most {
			want = ErrTooManyRooms
		}
		if err := f.Join(fmt.Sprint(i), Plain, &c.Member, c); err != want {
			t.Errorf("room %d: %v, want %v", i, err, want)
		}
	}
	if c := (&client{now: &now, room: -1}); f.Join("0", Plain, &c.Member, c) != nil {
		t.Error("a room that exists cannot be joined at the limit")
	}
}

func TestPublishAndSweepAllocateNothingPerMessage(t *testing.T) {
	f := newFixture(t, wide)
	a := f.join(0, "r")
	for i := range 100 {
		c := f.join(i%2, "r")
		c.got = make([]byte, 0, 1<<20)
	}
	a.got = make([]byte, 0, 1<<20)
	msg := &Message{Plain: Frame{Head: []byte{0x82, 64}, Payload: make([]byte, 64)}}
	clock := func() time.Duration { return f.now }
	allocs := testing.AllocsPerRun(2000, func() {
		a.Publish(f.now, msg)
		f.fans[0].Flush(clock)
		f.fans[1].Flush(clock)
	})
	// A segment of 64 KiB, the most at this backlog, takes about a thousand such frames and costs three allocations.
	if allocs > 0.05 {
		t.Errorf("%v allocations per message", allocs)
	}
}

func TestNobodyIsBehindInANewRoom(t *testing.T) {
	f := newFixture(t, wide)
	a := f.join(0, "r")
	if lag := a.Lag(f.now); lag != (Lag{}) {
		t.Errorf("before the first message: lag is %+v", lag)
	}
	a.say(nil, []byte("x"))
	f.flush()
	if lag := a.Lag(f.now); lag != (Lag{}) {
		t.Errorf("behind the first message: lag is %+v", lag)
	}
}
