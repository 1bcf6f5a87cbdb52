package hub

import (
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

// A Message is a message whose frames were made before. Without a Deflated one the plain frame
// stands in.
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

	onSpoiled func()
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
func (c *client) Rejoined(uint64, Position) {}
func (c *client) Reset(Position)            {}
func (c *client) Lagging(isSlow bool)       { c.slow = append(c.slow, isSlow) }

func (c *client) Spoiled(isWhole bool) {
	c.spoiled, c.isWhole = c.spoiled+1, isWhole
	if c.onSpoiled != nil {
		c.onSpoiled()
	}
}

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

// open lets n more bytes through, as a socket that turned writable does; a negative n is any
// number.
func (c *client) open(n int) {
	c.room = n
	if !c.IsIn() {
		c.SendOwn(1 << 30)
		return
	}
	b, p := c.branch, &pace{clock: func() time.Duration { return *c.now }, now: *c.now, deadline: 1 << 62}
	if c.IsBlocked() {
		c.Ready()
		b.serveReady(p, false)
		return
	}
	c.goOn(b.track.end.Load(), b.room.hub.limits.Turn, p.now)
	b.fan.sendAll(p)
}

// isScheduled reports whether somebody has the branch visited.
func (b *branch) isScheduled() bool {
	return b.marks.Load() != 0 || b.due != 0 && (b.isQueued || b.isBusy) || b.round.open > 0
}

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
	// A segment of 64 KiB, the most at this backlog, takes about a thousand such frames and costs
	// three allocations.
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
