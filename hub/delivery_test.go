package hub

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"
)

// A desk is a hub with two loops whose transport lays every delivery aside until the test says what becomes
// of it.
type desk struct {
	*fixture
	due    []held
	onSend func(k *Batch) // sees each batch first
}

type held struct {
	batch  *Batch
	i      int
	client *client
	bytes  []byte
}

func newDesk(t *testing.T, l Limits) *desk {
	t.Helper()
	d := &desk{fixture: newFixture(t, l)}
	for i := range d.fans {
		d.fans[i] = d.hub.NewFanout(func() { d.woke[i]++ }, d)
	}
	return d
}

func (d *desk) Send(k *Batch) {
	if d.onSend != nil {
		d.onSend(k)
	}
	for i := range k.Deliveries {
		var c *client
		switch one := k.Deliveries[i].Client.(type) {
		case *client:
			c = one
		case *subscriber:
			c = one.client
		}
		d.due = append(d.due, held{k, i, c, k.Deliveries[i].Bytes})
	}
}

// of returns what is due for c, which must be one delivery.
func (d *desk) of(c *client) held {
	d.Helper()
	var found []held
	for _, h := range d.due {
		if h.client == c {
			found = append(found, h)
		}
	}
	if len(found) != 1 {
		d.Fatal(fmt.Sprintf("%d deliveries of the client are with the transport, want 1", len(found)))
	}
	return found[0]
}

func (d *desk) isHanded(c *client) bool {
	return slices.ContainsFunc(d.due, func(h held) bool { return h.client == c })
}

// answer has the kernel take n bytes of what is due for c.
func (d *desk) answer(c *client, n int, o Outcome) {
	d.Helper()
	d.conclude(d.of(c), n, o)
}

func (d *desk) conclude(h held, n int, o Outcome) {
	d.due = slices.DeleteFunc(d.due, func(o held) bool { return o.batch == h.batch && o.i == h.i })
	h.client.got = append(h.client.got, h.bytes[:n]...)
	h.batch.Answer(h.i, n, o, d.now)
}

// takeAll has the kernel take whatever is due until nothing is.
func (d *desk) takeAll() {
	d.Helper()
	for range 10_000 {
		for len(d.due) > 0 {
			d.conclude(d.due[0], len(d.due[0].bytes), Taken)
		}
		if d.step(); len(d.due) == 0 {
			return
		}
	}
	d.Fatal("it never ends")
}

// step lets both loops flush until they have nothing to do before the transport answers.
func (d *desk) step() {
	d.Helper()
	for range 1000 {
		isIdle, woke := true, d.woke
		for _, f := range d.fans {
			if f.Flush(func() time.Duration { return d.now }) == 0 {
				isIdle = false
			}
		}
		if isIdle && woke == d.woke {
			return
		}
	}
	d.Fatal("the loops spin while the transport has not answered")
}

func TestBatchesAreBoundedAndTheClockIsReadBetweenThem(t *testing.T) {
	const members = 100
	for _, size := range []int{1, 100, 4095, 4096, 4097, 5000, 20_000, 64 << 10, 64<<10 + 1, 100_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			l := wide
			l.Turn = 128 << 10
			d := newDesk(t, l)
			var all []*client
			for range members {
				all = append(all, d.join(0, "r"))
			}
			looks, looksBefore, batches, alone := 0, 0, 0, 0
			d.onSend = func(k *Batch) {
				sum, seen := 0, map[Client]bool{}
				for i := range k.Deliveries {
					sum += len(k.Deliveries[i].Bytes)
					seen[k.Deliveries[i].Client] = true
				}
				if len(k.Deliveries) == 0 || len(k.Deliveries) > batchMembers || sum > batchBytes && len(k.Deliveries) > 1 || len(seen) != len(k.Deliveries) {
					t.Fatalf("a batch of %d members, %d of them apart, and %d bytes", len(k.Deliveries), len(seen), sum)
				}
				if batches++; batches > 1 && looks == looksBefore {
					t.Fatal("nobody looked at the clock since the batch before")
				}
				looksBefore = looks
				if len(k.Deliveries) == 1 {
					alone++
				}
			}
			all[0].say(nil, make([]byte, size))
			for range 100 { // Their sweep takes several slices of a frozen clock's time at most.
				d.fans[0].Flush(func() time.Duration { looks++; return d.now })
				for len(d.due) > 0 {
					d.conclude(d.due[0], len(d.due[0].bytes), Taken)
				}
			}
			each := min(batchMembers, max(1, batchBytes/size))
			if want := (members + each - 1) / each; batches != want {
				t.Errorf("%d batches, want %d of %d members", batches, want, each)
			}
			for _, c := range all {
				if len(c.got) != size {
					t.Fatalf("a member got %d of %d bytes", len(c.got), size)
				}
			}
			if n := len(d.fans[0].spareBatches); n != batches {
				t.Errorf("%d batches wait to be used again, of %d", n, batches)
			}
			for _, k := range d.fans[0].spareBatches {
				all := k.Deliveries[:cap(k.Deliveries)]
				for i := range all {
					if one := &all[i]; one.member != nil || one.Client != nil || one.Bytes != nil {
						t.Fatal("a batch that was answered for keeps what it delivered alive")
					}
				}
			}
		})
	}
}

// Turns that go on meet those that begin in one batch, which is no larger for that.
func TestBatchesAreBoundedWhereTurnsGoOn(t *testing.T) {
	for _, size := range []int{1, 100, 10_000} {
		d := newDesk(t, wide)
		var all []*client
		for range 100 {
			all = append(all, d.join(0, "r"))
		}
		for range 3 { // Stretches of 1, 2 and 4 KiB, and then one of the size.
			all[0].say(nil, make([]byte, 1000))
			all[0].say(nil, make([]byte, 1000))
		}
		all[0].say(nil, make([]byte, size))
		d.fans[0].transport = answeringAtOnce{d, 0}
		most := 0
		d.onSend = func(k *Batch) {
			sum := 0
			for i := range k.Deliveries {
				sum += len(k.Deliveries[i].Bytes)
			}
			if len(k.Deliveries) > batchMembers || sum > batchBytes && len(k.Deliveries) > 1 {
				t.Fatalf("a batch of %d members and %d bytes", len(k.Deliveries), sum)
			}
			most = max(most, len(k.Deliveries))
		}
		d.step()
		for _, c := range all {
			if len(c.got) != 6000+size {
				t.Fatalf("a member has %d bytes", len(c.got))
			}
		}
		if most != batchMembers {
			t.Errorf("the largest batch was of %d", most)
		}
	}
}

// Turns that go on, because a stretch of the log ended in their middle, do not outlast the slice: between
// any two batches the time may be up. What was handed by then is sent first by the next Flush.
func TestSliceEndsInTheMiddleOfTurns(t *testing.T) {
	const size, each = 60_000, 300 * time.Microsecond // what a batch takes
	l := wide
	l.Turn = 64 << 10
	for name, areReady := range map[string]bool{"a round's": false, "ready members'": true} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, l)
			a := d.join(1, "r")
			var all []*client
			for range batchMembers {
				all = append(all, d.join(0, "r"))
			}
			a.say(nil, make([]byte, 100)) // a stretch of its own
			if areReady {
				d.step()
				for _, c := range all {
					d.answer(c, 1, Taken)
				}
			}
			a.say(nil, make([]byte, size))
			if areReady {
				d.step()
				for _, c := range all {
					c.Ready()
				}
			}
			d.fans[0].transport = answeringAtOnce{d, each}
			for n := 0; ; n++ {
				start := d.now
				again := d.fans[0].Flush(func() time.Duration { return d.now })
				if took := d.now - start; took > slice+each {
					t.Fatalf("a slice lasted %v", took)
				}
				if again != 0 {
					if n < 4 {
						t.Errorf("it took %d slices to send 17 batches of %v", n+1, each)
					}
					break
				}
			}
			for _, c := range all {
				if len(c.got) != 100+size || c.IsBlocked() {
					t.Errorf("a member has %d bytes and is %v", len(c.got), c.state)
				}
			}
		})
	}
}

// answeringAtOnce takes everything, in its time.
type answeringAtOnce struct {
	*desk
	each time.Duration
}

func (a answeringAtOnce) Send(k *Batch) {
	if a.now += a.each; a.onSend != nil {
		a.onSend(k)
	}
	for i := range k.Deliveries {
		c := k.Deliveries[i].Client.(*client)
		c.got = append(c.got, k.Deliveries[i].Bytes...)
		k.Answer(i, len(k.Deliveries[i].Bytes), Taken, a.now)
	}
}

// A turn has a budget, in however many stretches of the log it is spent, whether a round gives it or the
// member is blocked and ready.
func TestTurnEndsWhenItsBudgetIsSpent(t *testing.T) {
	const budget = 3000
	l := wide
	l.Turn = budget
	f := newFixture(t, l)
	a, b := f.join(0, "r"), f.join(0, "r")
	publish := func() {
		for range 30 { // The first segments are of 1, 2 and 4 KiB.
			a.say(nil, make([]byte, 700))
		}
	}
	publish()
	p := &pace{clock: func() time.Duration { return f.now }, now: f.now, deadline: 1 << 62}
	for n := 1; n <= 7; n++ {
		a.branch.due |= 1 << becausePublished
		a.branch.sweep(p)
		if len(a.got) != n*budget || len(b.got) != n*budget {
			t.Fatalf("after %d rounds they have %d and %d bytes, want %d each", n, len(a.got), len(b.got), n*budget)
		}
	}
	f.flush()
	b.room = 10
	publish()
	if f.flush(); !b.IsBlocked() {
		t.Fatal("it is not blocked")
	}
	b.room = -1
	b.Ready()
	for n := range 6 {
		had := len(b.got)
		if b.branch.serveReady(p); len(b.got)-had != budget || b.state != ready {
			t.Fatalf("turn %d of a blocked member took %d bytes, and it is %v", n, len(b.got)-had, b.state)
		}
	}
	if f.flush(); b.IsBlocked() || len(b.got) != 60*700 {
		t.Errorf("in the end it is %v and has %d bytes", b.state, len(b.got))
	}
}

func TestHandedMemberIsNotHandedAgain(t *testing.T) {
	d := newDesk(t, wide)
	a, b := d.join(0, "r"), d.join(0, "r")
	var want []byte
	say := func(text string) {
		want = append(want, text...)
		a.say(nil, []byte(text))
		d.step()
	}
	say("one,")
	for i := range 20 {
		say(fmt.Sprint(i, ","))
		d.now += watchEvery
	}
	if len(d.due) != 2 || string(d.of(a).bytes) != "one," || string(d.of(b).bytes) != "one," {
		t.Fatalf("%d deliveries are with the transport, want one for each member", len(d.due))
	}
	d.answer(b, 4, Taken)
	d.step()
	if !d.isHanded(a) || !bytes.Equal(a.got, nil) {
		t.Error("an answer for one member moved the other")
	}
	d.takeAll()
	for _, c := range []*client{a, b} {
		if !bytes.Equal(c.got, want) {
			t.Errorf("got %q, want %q", c.got, want)
		}
	}
}

// What the transport has of a member is not overrun by what is published meanwhile: only its answer tells
// whether the client needs it.
func TestHandedMemberIsNotOverrun(t *testing.T) {
	for _, policy := range []Policy{Disconnect, Skip, Latest} {
		for name, isTaken := range map[string]bool{"taken": true, "refused": false} {
			t.Run(policy.String()+", "+name, func(t *testing.T) {
				d := newDesk(t, limits(32<<10, 1<<20))
				d.policy = policy
				a, slow := d.join(0, "r"), d.join(1, "r")
				frame := make([]byte, 1000)
				a.say(nil, frame)
				d.step()
				d.answer(a, 1000, Taken)
				d.answer(slow, 10, Taken)
				slow.Ready()
				d.step()
				if !slow.IsBlocked() || !d.isHanded(slow) {
					t.Fatal("it is not both blocked and handed")
				}
				for range 100 {
					a.say(nil, frame)
					for d.step(); d.isHanded(a); d.step() {
						d.answer(a, len(d.of(a).bytes), Taken)
					}
					d.now += watchEvery
				}
				if slow.cursor.seg.base >= a.branch.track.oldest.Load().base {
					t.Fatal("the log has not dropped what it stands in")
				}
				if slow.overruns > 0 || !slow.IsIn() {
					t.Fatal("it was overrun while the transport had bytes of it")
				}
				if isTaken {
					d.answer(slow, len(d.of(slow).bytes), Taken)
				} else {
					d.answer(slow, 0, Refused)
				}
				d.step()
				if !isTaken && slow.overruns != 1 {
					t.Errorf("refused, it was overrun %d times, want once", slow.overruns)
				}
				if isTaken && (slow.overruns != 0 || !d.isHanded(slow)) {
					t.Errorf("it takes bytes, and was overrun %d times, handed more: %v", slow.overruns, d.isHanded(slow))
				}
				d.takeAll()
			})
		}
	}
}

// An ownClient has bytes of its own to send now and then.
type ownClient struct {
	client
	own []byte
}

func (c *ownClient) SendOwn(int) (int, bool) {
	n := len(c.own)
	c.got = append(c.got, c.own...)
	c.own = nil
	return n, true
}

// A client's own bytes wait while the transport has bytes of the room's, and until the frame that those
// leave unfinished has been sent; then they go out before anything else of the room's.
func TestClientsOwnBytesWaitForTheAnswer(t *testing.T) {
	for _, taken := range []int{0, 3, 5, 8, 10} { // Of two frames of five bytes: at both edges and in the middle of both.
		d := newDesk(t, wide)
		c := &ownClient{client: client{now: &d.now}}
		d.fans[0].Join("r", Plain, &c.Member, c)
		var bytesOf held
		d.onSend = nil
		c.Publish(d.now, &Message{Plain: Frame{Payload: []byte("aaaaA")}})
		c.Publish(d.now, &Message{Plain: Frame{Payload: []byte("bbbbB")}})
		sink := &sinkOf{d, &bytesOf}
		c.branch.fan.transport = sink
		d.step()
		if c.CanSendOwn() {
			t.Fatal("it may send its own bytes while the transport has some of the room's")
		}
		c.own = []byte("(own)")
		c.HoldOwn()
		d.step()
		if len(c.got) > 0 {
			t.Fatalf("it was sent %q before the transport had answered", c.got)
		}
		outcome, rest := Taken, taken
		for bytesOf.batch != nil {
			h := bytesOf
			bytesOf = held{}
			n := min(rest, len(h.bytes))
			if outcome = Taken; n < len(h.bytes) {
				outcome = Refused
			}
			rest = 1 << 20
			c.got = append(c.got, h.bytes[:n]...)
			h.batch.Answer(h.i, n, outcome, d.now)
			if outcome == Refused {
				c.Ready()
			}
			d.step()
		}
		want := "aaaaA(own)bbbbB"
		if taken == 0 {
			want = "(own)aaaaAbbbbB"
		} else if taken > 5 {
			want = "aaaaAbbbbB(own)"
		}
		if string(c.got) != want || c.IsBlocked() {
			t.Errorf("%d bytes were taken first: it got %q, want %q; blocked %v", taken, c.got, want, c.IsBlocked())
		}
	}
}

// A sinkOf lays one delivery of any client aside.
type sinkOf struct {
	*desk
	last *held
}

func (s *sinkOf) Send(k *Batch) {
	if len(k.Deliveries) != 1 || s.last.batch != nil {
		s.Fatal("not one delivery")
	}
	*s.last = held{batch: k, i: 0, bytes: k.Deliveries[0].Bytes}
}

// A round is over when the last of its answers is in, in whatever order, or their members have left.
func TestRoundEndsWithItsLastAnswer(t *testing.T) {
	orders := [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}}
	for _, order := range orders {
		for _, leaves := range []int{-1, 0, 1, 2} { // Which of the three leaves instead of being answered for.
			t.Run(fmt.Sprint(order, leaves), func(t *testing.T) {
				d := newDesk(t, limits(1<<20, 1000))
				var three []*client
				for range 3 {
					three = append(three, d.join(0, "r"))
				}
				other := d.join(1, "r")
				other.say(nil, make([]byte, 5000))
				if !other.AwaitRoom() {
					t.Fatal("the room is not full")
				}
				d.step()
				d.answer(other, 5000, Taken)
				room := other.Room()
				for i, k := range order {
					if d.step(); !room.IsFull() || other.resumed > 0 {
						t.Fatalf("after %d of 3 answers the room is full: %v", i, room.IsFull())
					}
					h := d.of(three[k])
					if k == leaves {
						three[k].Leave()
					}
					d.conclude(h, len(h.bytes), Taken)
				}
				d.step()
				if room.IsFull() || other.resumed != 1 {
					t.Errorf("after all answers the room is full: %v; its publisher was resumed %d times", room.IsFull(), other.resumed)
				}
				d.takeAll()
			})
		}
	}
}

// A transport may answer for one batch while it is handed another: here for all of a round while it is
// handed what a blocked member gets, whose turn comes behind the round because the time was up before.
func TestRoundEndsByAnAnswerInTheMiddleOfAnotherBatch(t *testing.T) {
	d := newDesk(t, limits(1<<20, 500))
	a := d.join(0, "r")
	var slow []*client
	for range batchMembers + 1 {
		slow = append(slow, d.join(0, "r"))
	}
	a.say(nil, make([]byte, 10))
	d.step()
	d.answer(a, 10, Taken)
	for _, c := range slow {
		d.answer(c, 3, Taken)
	}
	d.step()
	a.say(nil, make([]byte, 900))
	last := slow[batchMembers]
	for _, c := range slow {
		c.Ready()
	}
	sends := 0
	d.onSend = func(k *Batch) {
		if sends++; k.Deliveries[0].Client == Client(last) {
			for len(d.due) > 0 {
				if c := d.due[0].client; c == a {
					d.answer(a, 900, Taken)
				} else {
					d.answer(c, 0, Refused)
				}
			}
		}
	}
	d.fans[0].Flush(func() time.Duration {
		if sends > 0 {
			return d.now + slice*3/4
		}
		return d.now
	})
	if d.onSend = nil; sends != 3 || len(d.due) != 1 || !d.isHanded(last) {
		t.Fatalf("%d batches, %d without an answer: it did not go as planned", sends, len(d.due))
	}
	d.step()
	if b := a.branch; b.round.places > 0 || b.sweptTo != b.track.end.Load() {
		t.Errorf("the round has not ended; it vouches for %d of %d bytes", b.sweptTo, b.track.end.Load())
	}
}

// An answer for a member that has left moves nobody, be the same member in the same room again.
func TestAnswerForWhoLeftIsDropped(t *testing.T) {
	d := newDesk(t, wide)
	a, b := d.join(0, "r"), d.join(0, "r")
	a.say(nil, []byte("first"))
	d.step()
	stale := d.of(b)
	b.Leave()
	d.fans[0].Join("r", Plain, &b.Member, b)
	a.say(nil, []byte("second"))
	d.due = slices.DeleteFunc(d.due, func(h held) bool { return h.client == b })
	d.answer(a, 5, Taken)
	d.step()
	b.got = nil
	for _, o := range []Outcome{Taken, Refused, Deferred, Failed} {
		if o != Taken {
			stale = d.of(b)
			b.Leave()
			d.fans[0].Join("r", Plain, &b.Member, b)
			a.say(nil, []byte("second"))
			d.due = slices.DeleteFunc(d.due, func(h held) bool { return h.client == b })
			d.answer(a, 6, Taken)
			d.step()
		}
		before, cursor, deliveries := b.handed, b.cursor, d.fans[0].stats.Delivered
		stale.batch.Answer(stale.i, len(stale.bytes), o, d.now)
		if b.handed != before || b.cursor != cursor || b.IsBlocked() || !b.IsIn() || d.fans[0].stats.Delivered != deliveries {
			t.Fatalf("outcome %d: an answer for who had left was heard", o)
		}
	}
	d.takeAll()
	if string(b.got) != "second" {
		t.Errorf("it got %q", b.got)
	}
}

func TestOutcomesOfADelivery(t *testing.T) {
	const size = 100
	for _, test := range []struct {
		name    string
		n       int
		outcome Outcome

		state   memberState
		isArmed bool // its client was told to wait for its socket
		again   bool // it is handed the rest without anybody's doing
	}{
		{"all of it", size, Taken, writable, false, false},
		{"some of it", size - 1, Taken, blocked, true, false},
		{"nothing", 0, Taken, blocked, true, false},
		{"refused", 0, Refused, blocked, true, false},
		{"refused behind some", 7, Refused, blocked, true, false},
		{"deferred", 0, Deferred, writable, false, true},
		{"failed", 0, Failed, outside, false, false},
	} {
		for _, wasBlocked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, blocked before: %v", test.name, wasBlocked), func(t *testing.T) {
				d := newDesk(t, wide)
				a, b := d.join(0, "r"), d.join(1, "r")
				offset := 0
				if wasBlocked {
					a.say(nil, []byte("X"))
					d.step()
					d.answer(a, 1, Taken)
					d.answer(b, 0, Refused)
					b.isArmed = false
					b.Ready()
					d.step()
					d.answer(b, 1, Taken)
					if b.IsBlocked() {
						t.Fatal("it has caught up and is blocked")
					}
					b.Block(d.now)
					offset = 1
				}
				a.say(nil, make([]byte, size))
				if wasBlocked {
					b.Ready()
				}
				d.step()
				d.answer(a, size, Taken)
				before, stats := b.cursor, d.fans[1].stats
				d.now += time.Second
				d.answer(b, test.n, test.outcome)
				state, isBlocked := test.state, wasBlocked
				if wasBlocked && test.outcome == Deferred {
					state = ready
				}
				if b.state != state || b.isArmed != test.isArmed {
					t.Errorf("it is %v, and waits for its socket: %v", b.state, b.isArmed)
				}
				if b.IsIn() && b.cursor.position() != before.position()+int64(test.n) {
					t.Errorf("the cursor moved %d bytes, want %d", b.cursor.position()-before.position(), test.n)
				}
				if test.n > 0 && b.took != d.now || test.n == 0 && test.outcome == Deferred && b.took == d.now {
					t.Errorf("it last took bytes at %v", b.took)
				}
				wholes := uint64(test.n / size)
				if got := d.fans[1].stats; got.Writes != stats.Writes+1 || got.Bytes != stats.Bytes+uint64(test.n) || got.Delivered != stats.Delivered+wholes {
					t.Errorf("counted %+v, before %+v", got, stats)
				} else if isRefusal := test.isArmed; (got.Refused > stats.Refused) != isRefusal || (got.Blocked > stats.Blocked) != (isRefusal && !isBlocked) {
					t.Errorf("counted %+v, before %+v", got, stats)
				}
				d.step()
				if d.isHanded(b) != test.again {
					t.Errorf("handed again: %v", d.isHanded(b))
				}
				if b.isArmed {
					b.Ready()
					d.step()
				}
				d.takeAll()
				if b.IsIn() && (len(b.got) != size+offset || b.IsBlocked()) {
					t.Errorf("in the end it has %d bytes and is %v", len(b.got), b.state)
				}
			})
		}
	}
}

// A socket may take bytes again before the answer is heard that says it refused some. There is no other
// edge for that.
func TestReadyIsNotForgottenWhileTheAnswerIsOnItsWay(t *testing.T) {
	d := newDesk(t, wide)
	a, b := d.join(0, "r"), d.join(0, "r")
	a.say(nil, []byte("hello"))
	d.step()
	d.answer(a, 5, Taken)
	d.answer(b, 2, Taken)
	b.Ready()
	d.step()
	h := d.of(b) // The kernel refuses this …
	b.Ready()    // … then there is room …
	d.conclude(h, 0, Refused)
	if d.step(); !d.isHanded(b) {
		t.Fatal("nobody goes on with it")
	}
	h = d.of(b)
	d.conclude(h, 0, Refused) // Here nobody has called since.
	if d.step(); d.isHanded(b) || b.state != blocked {
		t.Fatalf("it is handed bytes without being called, and is %v", b.state)
	}
	b.Ready()
	d.takeAll()
	if string(b.got) != "hello" {
		t.Errorf("got %q", b.got)
	}
}
