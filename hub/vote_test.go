package hub

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A reader is a client behind two kernels. Its own acknowledges what arrives, which it does in
// steps: the window opens when half of the receive buffer is free. Ours takes bytes while fewer
// than a limit are unsent, and says so only when that has fallen by half.
type reader struct {
	*client
	rate   float64 // bytes a second
	limit  int
	buffer int // of its kernel
	unsent int // in ours, where nothing is under way for long
	unread int
	owed   float64 // bytes that it would have read by now
	total  int64   // read
}

func (r *reader) take(p []byte) int {
	n := min(len(p), max(0, r.limit-r.unsent))
	r.unsent += n
	return n
}

func (r *reader) Queued() (int64, Queued) { r.asked++; return int64(r.unsent), QueuedBytes }

// pass lets time pass in which it reads.
func (r *reader) pass(d time.Duration) {
	r.owed = min(r.owed+r.rate*d.Seconds(), r.rate)
	n := min(int(r.owed), r.unread)
	r.owed -= float64(n)
	r.unread -= n
	r.total += int64(n)
	if free := r.buffer - r.unread; 2*free >= r.buffer {
		n := min(free, r.unsent)
		r.unsent -= n
		r.unread += n
	}
	if r.IsIn() && r.isArmed && 2*r.unsent < r.limit {
		r.Ready()
	}
}

// A hall is a room of readers and of senders that take whatever there is and say as much as they
// may.
type hall struct {
	*fixture
	senders []*client
	readers []*reader
	said    int64         // bytes
	held    time.Duration // for how long in a row nobody could say anything, at most
	since   time.Duration // when somebody last could
}

func newHall(t tb, senders int) *hall {
	h := &hall{fixture: newFixture(t, limits(1<<20, 64<<10))}
	h.now = time.Minute
	for i := range senders {
		h.senders = append(h.senders, h.join(i%2, "r"))
	}
	h.since = h.now
	return h
}

func (h *hall) read(rate float64, limit, buffer int) *reader {
	r := &reader{client: &client{now: &h.now}, rate: rate, limit: limit, buffer: buffer}
	if err := h.fans[len(h.readers)%2].joinEnd("r", Plain, &r.Member, r); err != nil {
		h.Fatal(err)
	}
	h.readers = append(h.readers, r)
	return r
}

// tick is how long a step of a hall lasts. In each a sender says up to 16 KiB: 3 MB/s, which fills
// the backlog in a third of a second.
const tick = 5 * time.Millisecond

func (h *hall) pass(d time.Duration) {
	h.Helper()
	frame := make([]byte, 1<<10)
	for end := h.now + d; h.now < end; h.now += tick {
		for _, s := range h.senders {
			for range 16 / len(h.senders) {
				if s.Room().IsFull() {
					break
				}
				s.say(nil, frame)
				h.said += int64(len(frame))
				h.since = h.now
			}
			s.got = nil
		}
		h.held = max(h.held, h.now-h.since)
		for _, r := range h.readers {
			r.pass(tick)
		}
		h.flush()
	}
}

// expectKept fails if a reader lost anything, or the senders were further ahead than they may.
func (h *hall) expectKept(readers ...*reader) {
	h.Helper()
	for i, r := range readers {
		if r.overruns > 0 {
			h.Fatal(fmt.Sprintf("reader %d of %.0f B/s was overrun at %v, having read %d of %d bytes", i, r.rate, h.now, r.total, h.said))
		}
	}
}

// Relatives of N70: another limit in the kernel, so that the socket says late or soon that it takes
// bytes; receive buffers that open in large and small steps; a reader that was refused before and
// has caught up since; a client that takes the rest of a dropped frame
// (TestMajorityThatTakesTheRest…).
func TestN70_SteadyReadersAreWaitedFor(t *testing.T) {
	for _, rate := range []float64{5e3, 30e3, 100e3, 500e3} {
		for _, limit := range []int{4 << 10, 64 << 10, 512 << 10} {
			for _, readers := range []int{5, 50} {
				h := newHall(t, 1)
				for range readers {
					h.read(rate, limit, max(8<<10, min(int(rate), 64<<10)))
				}
				h.pass(20 * time.Second)
				h.expectKept(h.readers...)
				r := h.readers[0]
				if ahead := h.said - r.total; ahead > int64(limit+r.buffer+128<<10) {
					t.Errorf("%.0f B/s, %d unsent: the sender is %d bytes ahead", rate, limit, ahead)
				}
				if r.total < int64(0.9*20*rate) && r.total < h.said-int64(r.buffer) {
					t.Errorf("%.0f B/s, %d unsent: it has read %d bytes in 20 s", rate, limit, r.total)
				}
			}
		}
	}
}

// Eleven clients that take a byte a second are more than ten that read, and must not keep those
// from getting anything.
func TestN70_ReadersBelowTheRateHoldNobody(t *testing.T) {
	for _, buffer := range []int{2, 8 << 10} { // Each byte shows, or hardly any does.
		h := newHall(t, 1)
		for range 10 {
			h.read(1e6, 64<<10, 64<<10)
		}
		for range 11 {
			h.read(1, 64<<10, buffer)
		}
		h.pass(30 * time.Second)
		h.expectKept(h.readers[:10]...)
		bound := firstVote + 2*askEvery
		t.Logf("nobody could say anything for %v at most", h.held)
		if h.held > bound {
			t.Errorf("nobody could say anything for %v, the bound is %v", h.held, bound)
		}
		if n := h.readers[0].total; n < 20e6 {
			t.Errorf("a reader of 1 MB/s got %d bytes in 30 s", n)
		}
	}
}

func TestN70_TheKernelIsAskedSeldomAndOnlyAboutTheBlocked(t *testing.T) {
	h := newHall(t, 1)
	fast, slow := h.read(10e6, 1<<20, 1<<20), h.read(20e3, 64<<10, 8<<10)
	h.read(20e3, 64<<10, 8<<10) // Most are slow.
	h.pass(10 * time.Second)
	if fast.asked != 0 {
		t.Errorf("the kernel was asked %d times about a client that takes everything", fast.asked)
	}
	if most := int(10*time.Second/askEvery) + 1; slow.asked < 5 || slow.asked > most {
		t.Errorf("the kernel was asked %d times in 10 s, want 5 to %d", slow.asked, most)
	}
}

// What a kernel says is a rate on TCP, only a sign of life on a unix socket, and nothing elsewhere.
func TestN70_VotesOnKernelsThatSayLess(t *testing.T) {
	for _, test := range []struct {
		means         Queued
		falls         int64
		lasts, atMost time.Duration
	}{
		{QueuedBytes, 0, firstVote, firstVote + 2*askEvery},
		{QueuedBytes, 1, firstVote, firstVote + 2*askEvery},
		{QueuedBytes, 16 << 10, 8 * time.Second, 8*time.Second + 2*askEvery},
		{QueuedMemory, 0, firstVote, firstVote + 2*askEvery},
		{QueuedMemory, 1, voteMax, voteMax + time.Second},
		{QueuedUntold, 1, untoldVote, untoldVote + 2*askEvery},
	} {
		f := newFixture(t, limits(1<<20, 1000))
		f.now = time.Minute
		a, c := f.join(0, "r"), f.join(0, "r")
		c.room, c.queued, c.means = 0, 100_000, test.means
		for !a.Room().IsFull() {
			a.say(nil, numbered(0))
			f.flush()
		}
		began := f.now
		for a.Room().IsFull() && f.now < began+time.Minute {
			f.now += watchEvery
			if f.now > began+500*time.Millisecond {
				c.queued = 100_000 - test.falls
			}
			f.flush()
		}
		if took := f.now - began; took < test.lasts || took > test.atMost {
			t.Errorf("%+v: it held its room for %v", test, took)
		}
	}
}

func TestN70_StallMeansNothingTaken(t *testing.T) {
	const stall = 20 * time.Second
	f := newFixture(t, wide)
	f.now = time.Minute
	a, c := f.join(0, "r"), f.join(0, "r")
	c.room, c.queued = 0, 1000
	a.say(nil, numbered(0))
	f.flush()
	f.now += askEvery
	c.Ask(f.now)
	for range 5 {
		f.now += stall
		c.queued-- // Taken at some time or other since.
		if c.HasStopped(f.now, stall) {
			t.Fatal("it has taken a byte")
		}
	}
	if f.now += stall - 1; c.HasStopped(f.now, stall) {
		t.Error("stopped a moment early")
	}
	if f.now++; !c.HasStopped(f.now, stall) {
		t.Error("it has taken nothing for the whole time")
	}
	if c.HasStopped(f.now, 2*stall) || a.HasStopped(f.now, 0) {
		t.Error("stopped for longer than it has, or without being blocked")
	}
}

// Relatives of N20: a sender's echo in another encoding than its readers'; two senders; a sender
// that says much among many that say nothing.
func TestN20_SendersOwnEchoIsNoReasonToGoOn(t *testing.T) {
	for _, senders := range []int{1, 2} {
		for _, readers := range []int{1, 2, 4} {
			h := newHall(t, senders)
			for range readers {
				h.read(300e3, 64<<10, 32<<10)
			}
			h.pass(20 * time.Second)
			h.expectKept(h.readers...)
			if ahead := h.said - h.readers[0].total; ahead > 256<<10 {
				t.Errorf("%d senders, %d readers: %d bytes ahead", senders, readers, ahead)
			}
		}
	}
}

// In a room where all say about equally much all vote: three of twenty that are late hold nobody,
// and four of five that are hold everybody.
func TestN20_WhereAllPublishAllVote(t *testing.T) {
	for _, test := range []struct {
		all, late int
		isFull    bool
	}{{20, 3, false}, {20, 9, false}, {20, 12, true}, {5, 2, false}, {5, 3, true}, {4, 1, false}} {
		f := newFixture(t, limits(1<<20, 20_000))
		f.now = time.Minute
		var all []*client
		for i := range test.all {
			all = append(all, f.join(i%2, "r"))
		}
		for _, c := range all[test.all-test.late:] {
			c.room = 0
		}
		isFull := false
		for i := range 800 {
			if c := all[i%test.all]; !isFull {
				c.say(nil, numbered(i))
			}
			f.flush()
			isFull = isFull || all[0].Room().IsFull()
		}
		if isFull != test.isFull {
			t.Errorf("%d of %d late: full %v", test.late, test.all, isFull)
		}
	}
}

// Rooms of one or two senders and a few readers that are about as fast as each other, whatever
// their kernels hold and in whatever steps they take it, beside some that take next to nothing:
// whoever reads loses nothing, and is not held by those that do not.
func TestBrakeWaitsForReadersWithRates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHall(t, rapid.IntRange(1, 2).Draw(t, "senders"))
		rate := rapid.SampledFrom([]float64{5e3, 12e3, 30e3, 100e3, 500e3}).Draw(t, "rate")
		n := rapid.IntRange(1, 6).Draw(t, "readers")
		least := max(1<<10, int(rate/10)) // Smaller ones are empty before the next step of this clock.
		for range n {
			h.read(rate, rapid.IntRange(least, 256<<10).Draw(t, "unsent"), rapid.IntRange(least, max(least, min(64<<10, int(1.5*rate)))).Draw(t, "buffer"))
		}
		for range rapid.IntRange(0, 4).Draw(t, "dead") {
			h.read(rapid.SampledFrom([]float64{0, 1}).Draw(t, "hardly"), 64<<10, rapid.IntRange(2, 64<<10).Draw(t, "buffer of one"))
		}
		h.pass(time.Duration(rapid.IntRange(2, 12).Draw(t, "seconds")) * time.Second)
		h.expectKept(h.readers[:n]...)
		for _, r := range h.readers[:n] {
			if r.unread == 0 && r.unsent == 0 && h.said > r.total && r.owed > r.rate/2 {
				t.Fatalf("a reader of %.0f B/s waits with %d of %d bytes", r.rate, r.total, h.said)
			}
		}
	})
}
