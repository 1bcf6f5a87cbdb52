package hub

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

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

// A round is over when the last of its answers is in, in whatever order, or their members have
// left.
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

// A transport may answer for one batch while it is handed another: here for all of a round while it
// is handed what a blocked member gets, whose turn comes behind the round because the time was up
// before.
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
	d.fans[0].joinEnd("r", Plain, &b.Member, b)
	a.say(nil, []byte("second"))
	d.due = slices.DeleteFunc(d.due, func(h held) bool { return h.client == b })
	d.answer(a, 5, Taken)
	d.step()
	b.got = nil
	for _, o := range []Outcome{Taken, Refused, Deferred, Failed} {
		if o != Taken {
			stale = d.of(b)
			b.Leave()
			d.fans[0].joinEnd("r", Plain, &b.Member, b)
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
		{"deferred behind some", 7, Deferred, writable, false, true},
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

// A socket may take bytes again before the answer is heard that says it refused some. There is no
// other edge for that.
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
