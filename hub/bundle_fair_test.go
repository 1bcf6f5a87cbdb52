package hub

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"
)

// A priced transport takes everything, and lets the clock go on by what a kernel would take for it.
type priced struct {
	now       *time.Duration
	writes    int
	onDeliver func(c Client, bytes []byte)
}

func (p *priced) Send(k *Batch) {
	for i := range k.Deliveries {
		d := &k.Deliveries[i]
		*p.now += 2*time.Microsecond + time.Duration(len(d.Bytes)/4)*time.Nanosecond
		p.writes++
		p.onDeliver(d.Client, d.Bytes)
		k.Answer(i, len(d.Bytes), Taken, *p.now)
	}
}

// How long a quiet room's messages take to the last of its members is nearly the same whether those
// are also in a room that is flooded or other clients are, and in either case they go before the
// flood.
func TestFloodInOneRoomDoesNotHoldUpAnotherOfTheSameClients(t *testing.T) {
	const members = 200
	const alone = members * 2 * time.Microsecond
	apart, together := floodBeside(t, members, false), floodBeside(t, members, true)
	t.Logf("the slowest tenth took %v beside a flood, and %v where its members are the same", apart, together)
	if together > 2*apart || together > 5*alone {
		t.Errorf("with the same members it takes %v, with others %v; without a flood it would be %v", together, apart, alone)
	}
}

// floodBeside returns how long the slowest tenth of a quiet room's messages took at least.
func floodBeside(t *testing.T, members int, sameMembers bool) time.Duration {
	l := limits(8<<20, 256<<10)
	l.Turn = 64 << 10
	f := newFixture(t, l)
	waits := 0
	p := &priced{now: &f.now}
	p.onDeliver = func(_ Client, handed []byte) {
		if bytes.IndexByte(handed, 'q') >= 0 { // Fast under the race detector, too.
			waits--
		}
	}
	f.fans[0] = f.hub.NewFanout(func() {}, p)
	for range members {
		f.subscribe(0, "flood")
		if sameMembers {
			continue
		}
		f.subscribe(0, "quiet")
	}
	if sameMembers {
		for _, b := range f.hub.rooms["flood"].branches {
			for _, m := range b.members {
				r := new(Reader)
				if _, err := readerOf(m).bundle.Join(f.now, "quiet", Start{}, r); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	flood, quiet := f.hub.rooms["flood"], f.hub.rooms["quiet"]
	loud := &Message{Plain: Frame{Head: []byte{0x82, 0}, Payload: make([]byte, 500)}}
	soft := &Message{Plain: Frame{Head: []byte{0x82, 0}, Payload: []byte("q")}}
	var took []time.Duration
	for tick, since := 0, time.Duration(0); len(took) < 50; tick++ {
		if tick > 200_000 {
			t.Fatal("messages do not come")
		}
		for n := 0; n < 64 && !flood.IsFull(); n++ {
			flood.Publish(f.fans[0], f.now, loud)
		}
		if waits == 0 && tick%50 == 0 {
			if quiet.IsFull() {
				t.Fatal("publishers of the quiet room wait")
			}
			waits, since = members, f.now
			quiet.Publish(f.fans[0], f.now, soft)
		}
		wasWaiting := waits > 0
		f.fans[0].Flush(func() time.Duration { return f.now })
		f.now += 10 * time.Microsecond
		if wasWaiting && waits == 0 {
			took = append(took, f.now-since)
		}
	}
	slices.Sort(took)
	return took[len(took)*9/10]
}

// A large room of which no other branch waits keeps no bundle waiting beyond a tick, and goes on
// itself.
func TestRoomThatSweepsAloneLeavesBundlesTheirTime(t *testing.T) {
	f := newFixture(t, wide)
	var gotLarge, gotSmall int
	p := &priced{now: &f.now, onDeliver: func(_ Client, handed []byte) {
		if handed[0] == 'l' {
			gotLarge++
		} else {
			gotSmall++
		}
	}}
	f.fans[0] = f.hub.NewFanout(func() {}, p)
	const members, bundles = 2000, 20
	for range members {
		f.join(0, "large")
	}
	for range bundles {
		f.subscribe(0, "small", "another")
	}
	large, small := f.hub.rooms["large"], f.hub.rooms["small"]
	large.Publish(f.fans[0], f.now, &Message{Plain: Frame{Payload: []byte("l")}})
	small.Publish(f.fans[0], f.now, &Message{Plain: Frame{Payload: []byte("s")}})
	f.fans[0].Flush(func() time.Duration { return f.now })
	if gotSmall != bundles || gotLarge == 0 || gotLarge == members {
		t.Errorf("in a tick %d of %d bundles got theirs, and %d of %d members", gotSmall, bundles, gotLarge, members)
	}
	f.flush()
	if gotLarge != members {
		t.Errorf("%d of %d members got it", gotLarge, members)
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

// Several rooms with much to send have equal parts of the connection, however large their frames
// are.
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
