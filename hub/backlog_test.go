package hub

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"sluice/internal/testenv"
)

// An attacker takes some bytes of its room and then nothing, for ever; what it is owed of a dropped
// frame it keeps until it is given up.
type attacker struct {
	quietClient
	room int
	rest Rest
}

func (c *attacker) take(p []byte) int {
	n := min(len(p), c.room)
	c.room -= n
	return n
}
func (c *attacker) Overrun(rest Rest) { c.rest = rest }
func (c *attacker) Abort()            { c.rest.Release(); c.Leave() }

// manyEncodings encode a message in as many ways as there may be, each with bytes of its own.
func manyEncodings() (all []EncodingInfo) {
	for e := range EncodingsMax {
		all = append(all, EncodingInfo{Name: fmt.Sprintf("encoding-%d", e)})
	}
	return all
}

type bulk struct{ bytes []byte }

func (b bulk) Encode(e Encoding) Frame { return Frame{Head: []byte{byte(e)}, Payload: b.bytes} }

// N71: what all rooms take is within the limit, and is what is counted, whatever they hold it in.
// Relatives: newest segments, of rooms with one large message each; segments that lie ready; what a
// segment has left behind a large frame; frames that attackers are in the middle of; what was
// dropped before a sweep; tiny messages, whose ends take more than they do; all encodings at once.
func TestN71_AllRoomsTakeNoMoreThanTheirLimit(t *testing.T) {
	l := Limits{Backlog: 4 << 20, Window: 1 << 20, Turn: 64 << 10}
	const perRoom, perBranch = 1 << 10, 512 // a branch's member included
	rooms := 1000
	if testenv.IsWholeSize(t) {
		rooms = 10_000
	}
	l.Total = int64(rooms) * 3300 // Less than any of them would take.
	l.Pinned = l.Total / 4
	for name, test := range map[string]struct {
		encodings int
		sizes     []int
	}{
		"one large message":           {1, []int{64 << 10}},
		"small behind large":          {1, []int{100, 40 << 10, 100, 40 << 10}},
		"half of a segment":           {1, []int{9000, 9000, 9000}},
		"tiny":                        {1, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
		"all encodings":               {EncodingsMax, []int{3000, 300}},
		"all encodings, one is large": {EncodingsMax, []int{40 << 10}},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fixture{tb: t}
			f.transport = &transport{now: &f.now}
			h, err := New(Options{Limits: l, Encodings: manyEncodings(), PolicyOf: func(string) Policy { return Policy(len(name) % int(numPolicies)) }})
			if err != nil {
				t.Fatal(err)
			}
			f.hub = h
			for i := range f.fans {
				f.fans[i] = h.NewFanout(func() { f.woke[i]++ }, f.transport)
			}
			all := make([]*attacker, 0, rooms*test.encodings)
			before, pinned := liveHeap(), int64(0)
			message := make([]byte, 64<<10)
			overshoot := int64(test.encodings) * footprint(70<<10)
			for i := range rooms {
				for e := range test.encodings {
					c := &attacker{room: 50}
					if err := f.fans[(i+e)%2].joinEnd(fmt.Sprintf("room-%d", i), Encoding(e), &c.Member, c); err != nil {
						t.Fatal(err)
					}
					all = append(all, c)
				}
				r := all[len(all)-1].Room()
				for _, size := range test.sizes {
					if h.IsShort() { // As a publisher on a loop does, one waits for the tick's end.
						f.flush()
					}
					if h.IsShort() {
						t.Fatal("publishers are to wait, and sweeps change nothing")
					}
					r.Publish(f.fans[i%2], f.now, bulk{message[:size]})
					if n := h.Retained(); n > l.Total+overshoot {
						t.Fatalf("all rooms take %d bytes, of %d", n, l.Total)
					}
				}
				pinned = max(pinned, h.Pinned())
			}
			f.flush()
			live := liveHeap() - before
			counted := h.Retained()
			t.Logf("%d MiB are alive, %d counted, %d the limit; at most %d pinned; %d dropped", live>>20, counted>>20, l.Total>>20, pinned>>20, h.Drops())
			if counted > l.Total || pinned > l.Pinned+footprint(70<<10) {
				t.Errorf("all rooms take %d bytes by their count, of %d, and %d are pinned", counted, l.Total, pinned)
			}
			if beside := live - counted; beside > int64(rooms*(perRoom+perBranch*test.encodings)) || beside < -l.Total/8 {
				t.Errorf("%d bytes are alive, and %d are counted", live, counted)
			}
			for _, c := range all {
				c.rest.Release()
				c.Leave()
			}
			if n := h.Retained(); n != 0 || h.backlog.dropped != 0 || h.IsShort() {
				t.Errorf("%d bytes are counted, and nobody is left", n)
			}
			runtime.KeepAlive(all)
		})
	}
}

// A room that is to give up its newest segment overruns those who are blocked in it, and nobody
// else: who has all, who is still to be served, and who is blocked behind its end for another
// reason stay.
func TestN71_NewestSegmentIsGivenUp(t *testing.T) {
	for _, policy := range []Policy{Disconnect, Skip, Latest} {
		f := newFixture(t, limits(1<<20, 1<<20))
		f.policy = policy
		a, reader, stuck, atEnd, late := f.join(0, "r"), f.join(1, "r"), f.join(1, "r"), f.join(1, "r"), f.join(0, "r")
		stuck.room = 10
		first := make([]byte, 100_000)
		a.say(nil, first)
		f.flush()
		atEnd.Block(f.now) // A pong was refused.
		small := []byte("small")
		stuck2 := f.join(0, "r")
		stuck2.room = 2
		a.say(nil, small)
		f.fans[1].Flush(func() time.Duration { return f.now }) // The other loop has yet to serve its own.
		f.hub.Tighten(0)
		if n := a.Room().Stats().Held; n != 0 {
			t.Fatalf("%v: %d bytes are held of none", policy, n)
		}
		if f.hub.Retained() < 100_000 || !f.hub.IsShort() {
			t.Errorf("%v: what cursors keep does not count: %d bytes", policy, f.hub.Retained())
		}
		f.flush()
		if f.hub.IsShort() || f.hub.Retained() != f.hub.Pinned() {
			t.Errorf("%v: %d bytes are taken, %d of them pinned, and publishers wait: %v", policy, f.hub.Retained(), f.hub.Pinned(), f.hub.IsShort())
		}
		want := len(first) + len(small)
		if len(a.got) != want || len(reader.got) != want || len(late.got) != want {
			t.Errorf("%v: those who read have %d, %d and %d bytes of %d", policy, len(a.got), len(reader.got), len(late.got), want)
		}
		if stuck.overruns != 1 || a.overruns+reader.overruns+late.overruns != 0 {
			t.Errorf("%v: overrun %d times, those who read %d times", policy, stuck.overruns, a.overruns+reader.overruns+late.overruns)
		}
		if len(stuck.rest.Bytes()) != len(first)-10 {
			t.Errorf("%v: %d bytes are left of its frame, want %d", policy, len(stuck.rest.Bytes()), len(first)-10)
		}
		f.hub.Tighten(1 << 40)
		for _, c := range []*client{stuck, atEnd} {
			c.open(-1)
		}
		if len(stuck.got) != len(first) && len(stuck.got) != want {
			t.Errorf("%v: it got %d bytes, want its frame of %d", policy, len(stuck.got), len(first))
		}
		a.say(nil, []byte("on"))
		if f.flush(); string(reader.got[want:]) != "on" {
			t.Errorf("%v: the room does not go on", policy)
		}
		if stuck.IsIn() != (policy != Disconnect) || stuck.IsIn() && string(stuck.got[len(first):]) != "on" && string(stuck.got[len(first):]) != "smallon" {
			t.Errorf("%v: is in %v, and got %q behind its frame", policy, stuck.IsIn(), stuck.got[len(first):])
		}
	}
}

// A member that took all of a segment, and was refused with its last byte, needs nothing of it when
// it is dropped.
func TestN71_WhoIsBlockedAtTheEndIsNotOverrun(t *testing.T) {
	f := newFixture(t, limits(1<<20, 1<<20))
	a, c := f.join(0, "r"), f.join(0, "r")
	a.say(nil, []byte("all of it"))
	f.flush()
	c.Block(f.now) // A frame of its own was refused.
	f.hub.Tighten(0)
	f.flush()
	f.hub.Tighten(1 << 40)
	c.open(-1)
	a.say(nil, []byte(", and more"))
	if f.flush(); c.overruns != 0 || string(c.got) != "all of it, and more" {
		t.Errorf("overrun %d times, got %q", c.overruns, c.got)
	}
}

// Publishing, sweeping and dropping allocate nothing but segments.
func TestN71_CountingAllocatesNothing(t *testing.T) {
	f := newFixture(t, limits(64<<10, 64<<10))
	a := new(quietClient)
	f.fans[0].joinEnd("r", Plain, &a.Member, a)
	r := a.Room()
	r.log.largest = segmentMin
	msg := &Message{Plain: Frame{Payload: make([]byte, 100)}}
	publish := func() {
		for range 10 { // A segment and a bit.
			a.Publish(f.now, msg)
		}
		f.fans[0].Flush(func() time.Duration { return f.now })
	}
	for range 200 {
		publish()
	}
	if n := testing.AllocsPerRun(200, publish); n > 6 { // A segment is four: itself, its bytes, its ends, its stamps.
		t.Errorf("%v allocations for a segment", n)
	}
}
