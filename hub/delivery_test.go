package hub

import (
	"bytes"
	"fmt"
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
