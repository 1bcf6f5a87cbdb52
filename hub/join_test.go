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
				f.joinEnd("r", Plain, &c.Member, c)
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

// Many loops make and leave rooms at once. There are never more than the limit, and never fewer
// than could be.
func TestRoomLimitIsExactWhileManyLoopsJoin(t *testing.T) {
	const most, loops, each = 5, 4, 200
	l := wide
	l.Rooms = most
	h, err := New(Options{Limits: l, Encodings: testEncodings})
	if err != nil {
		t.Fatal(err)
	}
	// Some rooms stay, so that those which a loop wants at once are too many even if the loops
	// happen to run one after the other.
	stay, now := h.NewFanout(func() {}, &transport{now: new(time.Duration)}), time.Duration(0)
	var staying []*client
	for i := range most - 2 {
		c := &client{now: &now, room: -1}
		if err := stay.joinEnd(fmt.Sprint("stays ", i), Plain, &c.Member, c); err != nil {
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
					if f.joinEnd(fmt.Sprintf("%d.%d.%d", loop, i, k), Plain, &c.Member, c) != nil {
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
		if err := f.joinEnd(fmt.Sprint(i), Plain, &c.Member, c); err != want {
			t.Errorf("room %d: %v, want %v", i, err, want)
		}
	}
	if c := (&client{now: &now, room: -1}); f.joinEnd("0", Plain, &c.Member, c) != nil {
		t.Error("a room that exists cannot be joined at the limit")
	}
}
