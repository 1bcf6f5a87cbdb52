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
	if _, err := c.bundle.Join(f.now, room, start, r); err != nil {
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
