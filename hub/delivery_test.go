package hub

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"
)

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

// A turn has a budget, in however many stretches of the log it is spent, whether a round gives it
// or the member is blocked and ready.
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
		a.branch.sweep(p, false)
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
		if b.branch.serveReady(p, false); len(b.got)-had != budget || b.state != ready {
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

// What the transport has of a member is not overrun by what is published meanwhile: only its answer
// tells whether the client needs it.
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

// A client's own bytes wait while the transport has bytes of the room's, and until the frame that
// those leave unfinished has been sent; then they go out before anything else of the room's.
func TestClientsOwnBytesWaitForTheAnswer(t *testing.T) {
	for _, taken := range []int{0, 3, 5, 8, 10} { // Of two frames of five bytes: at both edges and in the middle of both.
		d := newDesk(t, wide)
		c := &ownClient{client: client{now: &d.now}}
		d.fans[0].joinEnd("r", Plain, &c.Member, c)
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

// Where nobody waits a turn goes on to the end of the frame that it is in, in the same write, as
// far as there is time for that.
func TestLongTurnsAreWhereNobodyWaits(t *testing.T) {
	const turn, long = 64 << 10, 1 << 20
	for _, tc := range []struct {
		name       string
		size, many int
		waits      bool          // another room
		passed     time.Duration // of the slice, when the second member's turn has come
		want       []int         // what the members are handed first, in turn; zero: in the next slice
	}{
		{"no longer than a turn", turn, 1, false, 0, []int{turn, turn}},
		{"one that fits", 500_000, 1, false, 0, []int{500_000, 500_000}},
		{"one that does not", long + 5000, 1, false, 0, []int{long, long, 5000, 5000}},
		{"many that are small", 50_000, 3, false, 0, []int{50_000, 50_000, 50_000, 50_000, 50_000, 50_000}},
		{"another room waits", 2*turn + 1000, 1, true, 0, []int{turn, turn}},
		{"another fits in half of the time", 500_000, 1, false, slice / 2, []int{500_000, 500_000}},
		{"another does not", 600_000, 1, false, slice / 2, []int{600_000, 0, 600_000}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := limits(8<<20, 8<<20)
			l.Turn, l.LongTurn = turn, long
			d := newDesk(t, l)
			members, other := []*client{d.join(0, "r"), d.join(0, "r")}, d.join(0, "other")
			d.fans[0].transport = answeringAtOnce{d, 0}
			var got []int
			d.onSend = func(k *Batch) {
				for i := range k.Deliveries {
					if k.Deliveries[i].Client != Client(other) {
						got = append(got, len(k.Deliveries[i].Bytes))
					}
				}
				if len(got) == 1 { // The first of the two has had its turn.
					d.now += tc.passed
				}
			}
			for range tc.many {
				members[0].say(nil, make([]byte, tc.size))
			}
			if tc.waits {
				other.say(nil, make([]byte, 2*littleBytes))
			}
			for range 20 {
				d.fans[0].Flush(func() time.Duration { return d.now })
				d.now += time.Millisecond
				got = append(got, 0)
			}
			if len(got) < len(tc.want) || !slices.Equal(got[:len(tc.want)], tc.want) {
				t.Errorf("they are handed %v, want %v first", got, tc.want)
			}
			for _, c := range members {
				if len(c.got) != tc.size*tc.many {
					t.Errorf("a member has %d of %d bytes", len(c.got), tc.size*tc.many)
				}
			}
		})
	}
}

// A member that is ready again and again has no long turns while a round is due, which it would
// keep from going on.
func TestLongTurnsOfReadyMembersDoNotHoldUpARound(t *testing.T) {
	l := limits(64<<20, 64<<20)
	l.Turn, l.LongTurn = 64<<10, 1<<20
	for name, refuses := range map[string]bool{"takes all": false, "is refused again": true} {
		d := newDesk(t, l)
		a, slow := d.join(0, "r"), d.join(0, "r")
		a.say(nil, make([]byte, 8<<20))
		d.step()
		d.answer(slow, 0, Refused)
		d.takeAll()
		d.fans[0].transport = answeringSlow{d, slow, refuses}
		had := len(a.got)
		a.say(nil, make([]byte, 2*littleBytes))
		for n := 0; len(a.got) == had; n++ {
			if n == 3 {
				t.Errorf("%s: a message waits for a member that is ready", name)
				break
			}
			slow.Ready()
			d.fans[0].Flush(func() time.Duration { return d.now })
		}
	}
}

// answeringSlow takes as long for a byte as a kernel, and refuses what is for one client, or does
// not.
type answeringSlow struct {
	*desk
	slow    *client
	refuses bool
}

func (a answeringSlow) Send(k *Batch) {
	for i := range k.Deliveries {
		c, n := k.Deliveries[i].Client.(*client), len(k.Deliveries[i].Bytes)
		a.now += time.Duration(n) * 300 * time.Microsecond >> 20
		if c == a.slow && a.refuses {
			n = 0
		}
		c.got = append(c.got, k.Deliveries[i].Bytes[:n]...)
		k.Answer(i, n, Taken, a.now)
	}
}
