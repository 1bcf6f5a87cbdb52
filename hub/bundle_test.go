package hub

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"
	"unsafe"
)

// A subscriber is a client with a reader in each of several rooms.
type subscriber struct {
	*client
	bundle   Bundle
	readers  map[string]*Reader
	told     []string // of readers
	finished int
	onTold   func(r *Reader)
}

type subscriberReaders subscriber

func (c *subscriberReaders) KeepRest(rest Rest) { c.rest = rest }

func (c *subscriberReaders) Rejoined(r *Reader, missed uint64, _ Position) {
	c.tell(r, fmt.Sprint(r.Room().Name(), " missed ", missed))
}

func (c *subscriberReaders) Reset(r *Reader, at Position) {
	c.tell(r, fmt.Sprint(r.Room().Name(), " reset ", at))
}

func (c *subscriberReaders) Lagging(r *Reader, isSlow bool) {
	c.tell(r, fmt.Sprint(r.Room().Name(), " slow ", isSlow))
}

func (c *subscriberReaders) Resume(r *Reader) { c.tell(r, r.Room().Name()+" resumed") }

func (c *subscriberReaders) tell(r *Reader, what string) {
	if c.told = append(c.told, what); c.onTold != nil {
		c.onTold(r)
	}
}

func (c *subscriber) Finished() {
	c.finished++
	c.Leave()
}

func (f *fixture) subscribe(fan int, rooms ...string) *subscriber {
	f.Helper()
	c := &subscriber{client: &client{now: &f.now, room: -1}, readers: map[string]*Reader{}}
	f.fans[fan].JoinBundle(&c.bundle, &c.client.Member, Bundled, c, (*subscriberReaders)(c))
	for _, room := range rooms {
		f.subscribeTo(c, room, Start{})
	}
	return c
}

func (f *fixture) subscribeTo(c *subscriber, room string, start Start) *Reader {
	f.Helper()
	r := new(Reader)
	if _, err := c.bundle.JoinAt(f.now, room, start, r); err != nil {
		f.Fatal(err)
	}
	c.readers[room] = r
	return r
}

// say publishes a message of the room's in the name of nobody.
func (f *fixture) say(room string, size int) uint64 {
	r, ok := f.hub.Room(room)
	if !ok {
		f.Fatal("there is no room " + room)
	}
	seq := r.log.next
	return r.Publish(nil, f.now, messageOf(room, seq, size, false))
}

// A piece is a frame that came: the room's first letter, and the message's number.
type piece struct {
	room string
	seq  uint32
}

// pieces are the whole frames that came, and how many bytes of another one.
func (c *client) pieces() (all []piece, rest int) {
	p := c.got
	for len(p) >= frameHead && len(p) >= int(binary.BigEndian.Uint32(p)) {
		all = append(all, piece{string(p[frameHead : frameHead+1]), binary.BigEndian.Uint32(p[4:])})
		p = p[binary.BigEndian.Uint32(p):]
	}
	return all, len(p)
}

func (f *fixture) wantPieces(c *subscriber, want ...piece) {
	f.Helper()
	if got, rest := c.pieces(); !slices.Equal(got, want) || rest != 0 {
		f.Fatal(fmt.Sprintf("there came %v and %d bytes, want %v", got, rest, want))
	}
}

func (f *fixture) writes() (n uint64) {
	for _, fan := range f.fans {
		n += fan.Stats().Writes
	}
	return n
}

func TestWhatATickPublishesInManyRoomsIsOneDelivery(t *testing.T) {
	for _, rooms := range []int{1, 2, 20, 75} {
		l := wide
		l.Turn = 64 << 10
		f := newFixture(t, l)
		c, two := f.subscribe(0), f.subscribe(0)
		var want []piece
		for i := range rooms {
			room := string(rune('0' + i))
			f.subscribeTo(c, room, Start{})
			f.subscribeTo(two, room, Start{})
		}
		for i := range rooms {
			f.say(string(rune('0'+i)), 100)
			want = append(want, piece{string(rune('0' + i)), 1})
		}
		f.flush()
		got, rest := c.pieces()
		slices.SortFunc(got, func(a, b piece) int { return int(a.room[0]) - int(b.room[0]) })
		if !slices.Equal(got, want) || rest != 0 {
			t.Fatalf("%d rooms: there came %v", rooms, got)
		}
		if n := f.writes(); n != 2 {
			t.Errorf("%d rooms: two clients took %d writes", rooms, n)
		}
	}
}

func TestManyRoomsOnOneConnectionKeepTheirOrders(t *testing.T) {
	const rooms, messages = 1000, 3
	l := wide
	l.Turn = 64 << 10
	f := newFixture(t, l)
	c := f.subscribe(0)
	for i := range rooms {
		f.subscribeTo(c, fmt.Sprint(i), Start{})
	}
	if c.bundle.Len() != rooms {
		t.Fatalf("it has %d readers", c.bundle.Len())
	}
	for seq := range uint64(messages) {
		for i := range rooms {
			r, _ := f.hub.Room(fmt.Sprint(i))
			m := messageOf("r", seq+1, 100, false)
			binary.BigEndian.PutUint32(m.Bundled.Payload[1:], uint32(i))
			r.Publish(nil, f.now, m)
		}
		f.flush()
	}
	next := make([]uint32, rooms)
	for p := c.got; len(p) > 0; p = p[binary.BigEndian.Uint32(p):] {
		i, seq := binary.BigEndian.Uint32(p[frameHead+1:]), binary.BigEndian.Uint32(p[4:])
		if next[i]++; seq != next[i] {
			t.Fatalf("message %d of room %d came in place of %d", seq, i, next[i])
		}
	}
	for i, n := range next {
		if n != messages {
			t.Fatalf("%d messages of room %d came", n, i)
		}
	}
	// What all rooms publish in a tick is 109 KB: two turns.
	if n := f.writes(); n > 2*messages {
		t.Errorf("%d writes", n)
	}
	c.Leave()
	if f.hub.Rooms() != 0 || c.bundle.Len() != 0 {
		t.Errorf("%d rooms are left, and %d readers", f.hub.Rooms(), c.bundle.Len())
	}
}

// What has much waiting does not keep another room's message back for more than a turn, whether the
// connection is blocked or not.
func TestRoomsShareATurn(t *testing.T) {
	for _, isBlocked := range []bool{false, true} {
		l := wide
		l.Turn = 16 << 10
		f := newFixture(t, l)
		c := f.subscribe(0, "a", "b")
		if isBlocked {
			c.room = 0
		}
		for range 200 {
			f.say("a", 500)
		}
		if isBlocked {
			f.fans[0].Flush(func() time.Duration { return f.now })
		}
		f.say("b", 10)
		if isBlocked {
			f.fans[0].Flush(func() time.Duration { return f.now })
			c.open(-1)
		}
		f.flush()
		got, _ := c.pieces()
		if len(got) != 201 {
			t.Fatalf("blocked %v: %d messages came", isBlocked, len(got))
		}
		if at := slices.Index(got, piece{"b", 1}); at*500 > l.Turn {
			t.Errorf("blocked %v: %d messages came before the other room's", isBlocked, at)
		}
	}
}

// Several rooms with much to send have equal parts of the connection, however large their frames are.
func TestSharesAreOfBytes(t *testing.T) {
	l := wide
	l.Turn = 16 << 10
	f := newFixture(t, l)
	c := f.subscribe(0, "a", "b", "c")
	c.room = 0
	for range 10 {
		f.say("a", 40_000)
	}
	for range 400 {
		f.say("b", 1000)
	}
	for range 4000 {
		f.say("c", 100)
	}
	f.flush()
	for range 60 {
		c.open(5000)
	}
	bytes := map[string]int{}
	for p := c.got; len(p) >= frameHead && len(p) >= int(binary.BigEndian.Uint32(p)); p = p[binary.BigEndian.Uint32(p):] {
		bytes[string(p[frameHead:frameHead+1])] += int(binary.BigEndian.Uint32(p))
	}
	for room, n := range bytes {
		if n < 60*5000/3-50_000 || n > 60*5000/3+50_000 {
			t.Errorf("room %s has had %d bytes: %v", room, n, bytes)
		}
	}
	c.open(-1)
	f.flush()
	if got, rest := c.pieces(); len(got) != 4410 || rest != 0 {
		t.Errorf("%d messages came", len(got))
	}
}

// A debt is forgiven when nobody else has anything to send.
func TestReaderAloneIsNeverPassedOver(t *testing.T) {
	l := wide
	l.Turn = 4 << 10
	f := newFixture(t, l)
	c := f.subscribe(0, "a", "b")
	for range 3 {
		f.say("a", 100_000)
		f.say("b", 10)
		f.flush()
	}
	if got, rest := c.pieces(); len(got) != 6 || rest != 0 {
		t.Fatalf("there came %v", got)
	}
}

func TestReaderThatLeavesInsideAFrameLeavesItsRest(t *testing.T) {
	for _, size := range []int{100, 100_000} { // A large one has a segment of its own.
		f := newFixture(t, wide)
		c := f.subscribe(0, "a", "b")
		c.room = 20
		f.say("a", size)
		f.flush()
		f.say("b", 10)
		f.flush()
		if !c.IsBlocked() || c.CanSendOwn() {
			t.Fatalf("blocked %v, may send its own %v", c.IsBlocked(), c.CanSendOwn())
		}
		c.readers["a"].Leave()
		if f.hub.Pinned() == 0 || !c.CanSendOwn() || len(c.rest.Bytes()) == 0 {
			t.Fatalf("%d bytes are pinned, %d of the rest", f.hub.Pinned(), len(c.rest.Bytes()))
		}
		f.say("b", 10)
		f.flush()
		c.open(5)
		f.flush()
		c.open(-1)
		f.flush()
		f.wantPieces(c, piece{"a", 1}, piece{"b", 1}, piece{"b", 2})
		if f.hub.Pinned() != 0 || c.IsBlocked() {
			t.Errorf("%d bytes are pinned, it is blocked: %v", f.hub.Pinned(), c.IsBlocked())
		}
	}
}

// What the transport has of a reader that leaves is followed to its end.
func TestReaderLeavesWhileTheTransportHasItsBytes(t *testing.T) {
	const head = frameHead + 1
	for _, taken := range []int{0, 5, head + 100, head + 105, 2*head + 110, 2*head + 115} {
		for _, leaves := range []string{"a", "b", "ab"} {
			d := newDesk(t, wide)
			c := d.subscribe(0, "a", "b")
			d.say("b", 10) // The branch that was marked last is swept first.
			d.say("a", 100)
			d.fans[0].Flush(func() time.Duration { return d.now })
			h := d.ofSubscriber(c)
			for _, room := range leaves {
				c.readers[string(room)].Leave()
			}
			stays := d.join(1, "a")
			isNew := stays.Room().log.next == 1 // The room has ended with its reader.
			if leaves != "b" {
				d.subscribeTo(c, "a", Start{})
			}
			d.say("a", 20)
			h.batch.Answer(h.i, min(taken, len(h.bytes)), Taken, d.now)
			c.got = append(c.got, h.bytes[:min(taken, len(h.bytes))]...)
			d.due = nil
			d.fans[0].transport = d.transport
			d.flush()
			if c.IsBlocked() {
				c.open(-1)
			}
			d.flush()
			got, rest := c.pieces()
			hasA := leaves == "b" || taken > 0
			hasB := leaves == "a" || taken > head+100
			stays.Leave()
			want := []piece{{"a", 2}}
			if isNew {
				want[0].seq = 1
			}
			if hasB {
				want = append(want, piece{"b", 1})
			}
			if hasA {
				want = append(want, piece{"a", 1})
			}
			byRoom := func(a, b piece) int { return int(a.room[0])*10 + int(a.seq) - int(b.room[0])*10 - int(b.seq) }
			slices.SortFunc(got, byRoom)
			slices.SortFunc(want, byRoom)
			if !slices.Equal(got, want) || rest != 0 {
				t.Errorf("%d bytes taken, %s left: %v and %d bytes came, want %v", taken, leaves, got, rest, want)
			}
			if d.hub.Pinned() != 0 {
				t.Errorf("%d bytes are pinned", d.hub.Pinned())
			}
		}
	}
}

// ofSubscriber is the one delivery that the transport has.
func (d *desk) ofSubscriber(c *subscriber) held {
	d.Helper()
	if len(d.due) != 1 || d.due[0].batch.Deliveries[d.due[0].i].Client != Client(c) {
		d.Fatal(fmt.Sprintf("the transport has %d deliveries", len(d.due)))
	}
	return d.due[0]
}

func TestReadersAreOverrunByTheirRoomsPolicies(t *testing.T) {
	t.Run("skip", func(t *testing.T) {
		f := newFixture(t, limits(4<<10, 1<<10))
		f.policy = Skip
		c := f.subscribe(0, "a", "b")
		c.room = 20
		f.say("a", 100)
		f.flush()
		f.say("b", 10)
		f.flush()
		for range 100 {
			f.say("a", 100)
			f.flush()
		}
		c.open(-1)
		f.flush()
		got, rest := c.pieces()
		if len(c.told) != 1 || c.overruns != 0 || rest != 0 {
			t.Fatalf("it was told %v, overrun %d times", c.told, c.overruns)
		}
		if got[0] != (piece{"a", 1}) || !slices.Contains(got, piece{"b", 1}) || got[len(got)-1] != (piece{"a", 101}) || len(got) > 60 {
			t.Errorf("there came %v", got)
		}
	})
	t.Run("disconnect", func(t *testing.T) {
		f := newFixture(t, limits(4<<10, 1<<10))
		c := f.subscribe(0, "b", "a")
		f.join(1, "a") // It keeps the room.
		c.room = 12
		f.say("b", 10) // In the middle of this one it is when the other room goes on without it.
		f.flush()
		f.say("a", 100)
		f.flush()
		for range 100 {
			f.say("a", 100)
			f.flush()
		}
		if c.overruns != 1 || c.IsIn() || c.bundle.Len() != 0 {
			t.Fatalf("overrun %d times, in a room %v, %d readers", c.overruns, c.IsIn(), c.bundle.Len())
		}
		c.open(-1)
		f.wantPieces(c, piece{"b", 1})
	})
}

// A connection of which the transport has bytes ends when it is known what is left of a frame. Until
// then each of its readers is in a room, the one too that was overrun; and what is kept of the frame
// counts like every other.
func TestReaderIsOverrunWhileTheTransportHasAnothersBytes(t *testing.T) {
	for _, pinned := range []int64{1 << 20, 50} {
		l := limits(4<<10, 1<<10)
		l.Pinned = pinned
		d := newDesk(t, l)
		c := d.subscribe(0, "a", "b")
		other := d.join(1, "a") // It keeps the room.
		d.say("b", 100)
		d.step()
		d.answer(c.client, 5, Taken)
		c.Ready()
		d.step()
		for range 100 {
			d.say("a", 100)
			for d.step(); d.isHanded(other); d.step() {
				d.answer(other, len(d.of(other).bytes), Taken)
			}
		}
		if a := c.readers["a"]; d.fans[0].Stats().Overrun[Disconnect] != 1 || !a.IsIn() || a.Room().Name() != "a" || c.overruns != 0 {
			t.Fatalf("of a reader that was overrun it is known that it is in a room: %v", a.IsIn())
		}
		d.answer(c.client, 5, Taken)
		if c.overruns != 1 || c.IsIn() || c.bundle.Len() != 0 {
			t.Fatalf("overrun %d times, in a room %v, %d readers", c.overruns, c.IsIn(), c.bundle.Len())
		}
		if isTooMuch := pinned < 100; c.aborted != isTooMuch || d.hub.Pinned() > pinned {
			t.Fatalf("%d bytes are pinned, of at most %d; given up: %v", d.hub.Pinned(), pinned, c.aborted)
		}
		if c.open(-1); pinned > 100 {
			d.wantPieces(c, piece{"b", 1})
		}
		d.takeAll()
	}
}

// Where a reader that is overrun leaves as it hears of that, the others go on.
func TestReaderLeavesWhenItRejoins(t *testing.T) {
	f := newFixture(t, limits(4<<10, 1<<10))
	f.policy = Latest
	c := f.subscribe(0, "a", "b")
	c.onTold = func(r *Reader) { r.Leave() }
	c.room = 0
	for range 100 {
		f.say("a", 100)
		f.flush()
	}
	f.say("b", 10)
	f.flush()
	c.open(-1)
	f.flush()
	f.wantPieces(c, piece{"b", 1})
	if len(c.told) != 1 || c.readers["a"].IsIn() || c.IsBlocked() {
		t.Errorf("told %v, blocked %v", c.told, c.IsBlocked())
	}
}

// A room does not wait for those whose connection was busy with another's frame.
func TestReaderWithoutItsShareHasNoVote(t *testing.T) {
	f := newFixture(t, limits(1<<20, 10_000))
	c := f.subscribe(0, "a", "b")
	c.room = 100
	f.say("a", 400_000)
	f.flush()
	for i := range 30 {
		f.say("b", 1000)
		f.now += watchEvery
		f.flush()
		if c.readers["b"].Room().IsFull() {
			t.Fatalf("publishers wait behind message %d for a client that is busy with another room", i)
		}
	}
	c.open(400_000 + 100) // Now it is offered the other room's.
	f.flush()
	f.say("b", 1000)
	f.now += watchEvery
	f.flush()
	f.say("b", 1000)
	if !c.readers["b"].Room().IsFull() {
		t.Error("publishers do not wait for a client that has had its share, and is beyond the window")
	}
	c.open(-1)
	f.flush()
	if c.readers["b"].Room().IsFull() || c.IsBlocked() {
		t.Error("all has come, and publishers wait")
	}
}

func TestBundleFinishes(t *testing.T) {
	for _, upTo := range []int64{math.MinInt64, 0, math.MaxInt64} {
		f := newFixture(t, wide)
		other := f.join(0, "a")
		c := f.subscribe(0, "a", "b", "c")
		held := f.subscribeTo(c, "d", Start{IsHeld: true})
		c.room = 20
		f.say("a", 100)
		f.flush()
		f.say("b", 10)
		f.say("d", 10)
		f.flush()
		c.Finish(upTo)
		f.say("a", 100)
		f.flush()
		if c.finished != 0 || held.IsIn() != (upTo != math.MinInt64) {
			t.Fatalf("finished %d times with bytes to send, the held one is in %v", c.finished, held.IsIn())
		}
		c.open(-1)
		f.flush()
		if c.finished != 1 || c.IsIn() {
			t.Fatalf("up to %d: finished %d times", upTo, c.finished)
		}
		if got, rest := c.pieces(); rest != 0 || got[0] != (piece{"a", 1}) || len(got) != map[bool]int{true: 1, false: 3}[upTo == math.MinInt64] {
			t.Errorf("up to %d there came %v and %d bytes", upTo, got, rest)
		}
		if got, _ := other.pieces(); len(got) != 2 {
			t.Errorf("another member got %v", got)
		}
	}
	f := newFixture(t, wide)
	c := f.subscribe(0, "a")
	if c.Finish(math.MaxInt64); c.finished != 1 || c.IsIn() || f.hub.Rooms() != 0 {
		t.Errorf("finished %d times with nothing to send", c.finished)
	}
}

func TestHeldReaderGetsNothingBeforeItsReply(t *testing.T) {
	f := newFixture(t, wide)
	c := f.subscribe(0, "b")
	r := f.subscribeTo(c, "a", Start{IsHeld: true})
	f.say("a", 10)
	f.say("b", 10)
	f.flush()
	f.wantPieces(c, piece{"b", 1})
	if !r.IsCatchingUp() || c.IsBlocked() {
		t.Errorf("catching up %v, its connection blocked %v", r.IsCatchingUp(), c.IsBlocked())
	}
	r.Ready()
	f.flush()
	f.wantPieces(c, piece{"b", 1}, piece{"a", 1})
	if r.IsCatchingUp() || r.IsBlocked() {
		t.Errorf("catching up %v, blocked %v", r.IsCatchingUp(), r.IsBlocked())
	}
}

// N27: a spoiled room is told to the connection, which can go on to its end if it is at a frame boundary.
func TestN27_SpoiledRoomIsToldToTheBundlesClient(t *testing.T) {
	for _, isInside := range []bool{false, true} {
		f := newFixture(t, wide)
		c := f.subscribe(0, "a", "b")
		if isInside {
			c.room = 20
		}
		f.say("a", 100)
		f.flush()
		r, _ := f.hub.Room("a")
		r.Spoil()
		f.flush()
		if c.spoiled != 1 || c.isWhole == isInside || c.IsIn() == isInside || c.readers["a"].IsIn() {
			t.Fatalf("inside %v: told %d times, at a boundary %v, in %v", isInside, c.spoiled, c.isWhole, c.IsIn())
		}
		if isInside {
			continue
		}
		f.say("b", 10)
		f.flush()
		f.wantPieces(c, piece{"a", 1}, piece{"b", 1})
	}
}

// N27: what is in doubt behind a panic is the room of the reader that was dealt with.
func TestN27_RoomInDoubtIsThatOfTheReader(t *testing.T) {
	f := newFixture(t, wide)
	c := f.subscribe(0, "a", "b")
	func() {
		defer func() { _ = recover() }()
		c.readers["b"].Publish(f.now, panics{})
	}()
	if rooms := c.InDoubt(); len(rooms) != 1 || rooms[0].Name() != "b" {
		t.Errorf("%d rooms are in doubt", len(rooms))
	}
	c.onTold = func(*Reader) { panic("planted") }
	f.policy = Skip
	d := f.subscribe(0, "c", "d")
	d.onTold = c.onTold
	d.room = 0
	for range 4000 {
		f.say("c", 500)
	}
	f.flush()
	d.room = -1
	d.Ready()
	func() {
		defer func() { _ = recover() }()
		f.flush()
	}()
	if rooms := f.fans[0].InDoubt(); len(rooms) != 1 || rooms[0].Name() != "c" {
		t.Fatalf("%d rooms are in doubt", len(rooms))
	}
	r, _ := f.hub.Room("c")
	r.Spoil()
	f.flush()
	if d.spoiled != 1 || d.isWhole || d.IsIn() {
		t.Errorf("told %d times, to go on %v", d.spoiled, d.isWhole)
	}
}

type panics struct{}

func (panics) Encode(Encoding) Frame { panic("planted") }

func TestDeliveriesOfBundlesAllocateNothing(t *testing.T) {
	f := newFixture(t, wide)
	var rooms []*Room
	for range 50 {
		c := f.subscribe(0)
		c.got = make([]byte, 0, 16<<20)
		for i := range 20 {
			rooms = append(rooms[:min(i, len(rooms))], f.subscribeTo(c, fmt.Sprint(i), Start{}).Room())
		}
	}
	msg := &Message{Plain: Frame{Head: []byte{0x82, 64}, Payload: make([]byte, 64)}}
	clock := func() time.Duration { return f.now }
	allocs := testing.AllocsPerRun(1000, func() {
		for _, r := range rooms {
			r.Publish(f.fans[0], f.now, msg)
		}
		f.fans[0].Flush(clock)
	})
	// Each room's segments of 64 KiB take a thousand frames.
	if allocs > 0.05*20 {
		t.Errorf("%v allocations for a message in each of %d rooms", allocs, len(rooms))
	}
	if n := f.writes(); n > 50*1100 {
		t.Errorf("%d writes", n)
	}
}

func TestSizesOfBundleAndReader(t *testing.T) {
	if n := unsafe.Sizeof(Reader{}); n > 112 {
		t.Errorf("a reader takes %d bytes", n)
	}
	if n := unsafe.Sizeof(Bundle{}); n > 128 {
		t.Errorf("a bundle takes %d bytes", n)
	}
}

// Bundles on two loops join, leave and hear rooms into which others publish meanwhile.
func TestBundlesOnSeveralLoopsGetEachRoomsStream(t *testing.T) {
	const rooms, messages = 4, 300
	h, err := New(Options{Limits: wide, Encodings: testEncodings})
	if err != nil {
		t.Fatal(err)
	}
	var published [rooms]sync.WaitGroup
	var keepers sync.WaitGroup
	stop := make(chan struct{})
	for loop := range 2 {
		now := time.Duration(0)
		f := &fixture{tb: t, hub: h, now: now}
		f.transport = &transport{now: &f.now, isLate: loop == 1}
		f.fans[0] = h.NewFanout(func() {}, f.transport)
		stays := f.subscribe(0, "0", "1", "2", "3")
		keepers.Go(func() {
			for n, isOver := 0, false; !isOver; n++ {
				select {
				case <-stop:
					isOver = true
				default:
				}
				guest := f.subscribe(0, fmt.Sprint(n%rooms), fmt.Sprint((n+1)%rooms))
				f.fans[0].Flush(func() time.Duration { return f.now })
				guest.readers[fmt.Sprint(n%rooms)].Leave()
				f.transport.answerAll()
				f.fans[0].Flush(func() time.Duration { return f.now })
				guest.Leave()
			}
			for f.fans[0].Flush(func() time.Duration { return f.now }) == 0 || len(f.transport.due) > 0 {
				f.transport.answerAll()
			}
			var next [rooms]uint32
			got, rest := stays.pieces()
			for _, p := range got {
				if i := p.room[0] - '0'; p.seq != next[i]+1 {
					t.Errorf("message %d of room %s came behind %d", p.seq, p.room, next[i])
					return
				}
				next[p.room[0]-'0']++
			}
			if next != [rooms]uint32{messages, messages, messages, messages} || rest != 0 {
				t.Errorf("there came %v messages, and %d bytes of another", next, rest)
			}
		})
	}
	for i := range rooms {
		published[i].Go(func() {
			name := fmt.Sprint(i)
			r, _ := h.Room(name)
			for seq := range uint64(messages) {
				r.Publish(nil, 0, messageOf(name, seq+1, 50, false))
			}
		})
	}
	for i := range rooms {
		published[i].Wait()
	}
	close(stop)
	keepers.Wait()
}

type panicking struct{}

func (panicking) Send(*Batch) { panic("planted") }

// N27: where bytes go to the kernel, in doubt are the rooms that they are of.
func TestN27_RoomsInDoubtAreThoseOfTheBatch(t *testing.T) {
	f := newFixture(t, wide)
	c := f.subscribe(0, "a", "b", "c")
	f.fans[0].transport = panicking{}
	f.say("a", 10)
	f.say("c", 10)
	func() {
		defer func() { _ = recover() }()
		f.flush()
	}()
	var names []string
	for _, r := range f.fans[0].InDoubt() {
		names = append(names, r.Name())
		r.Spoil()
	}
	if slices.Sort(names); !slices.Equal(names, []string{"a", "c"}) {
		t.Fatalf("in doubt are %v", names)
	}
	f.fans[0].transport = f.transport
	f.flush()
	if c.isWhole || c.IsIn() {
		t.Error("a connection goes on of which nobody knows what was sent")
	}
}
