package hub

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The encodings of these tests' hubs: one of lines that carry their position, one of bytes as they
// are.
var keptEncodings = []EncodingInfo{
	{Name: "lines", PositionWidth: positionWidth, PutPosition: putPosition},
	{Name: "bytes"},
}

const (
	lines Encoding = iota
	asIs

	positionWidth = 8 + 1 + 6
)

func putPosition(place []byte, p Position) {
	if p.Epoch == "" {
		copy(place, strings.Repeat("-", positionWidth))
		return
	}
	copy(place, fmt.Sprintf("%s:%06d", p.Epoch, p.Offset))
}

// A note is a message of these tests.
type note struct{ source Source }

func say(text string) *note { return &note{Source{Payload: []byte(text)}} }

func (n *note) Source() Source { return n.source }

func (n *note) Encode(e Encoding) Frame {
	if e == lines {
		return Frame{Head: []byte("[" + strings.Repeat("?", positionWidth) + " "), Payload: append(bytes.Clone(n.source.Payload), "]\n"...), PositionAt: 1}
	}
	return Frame{Payload: n.source.Payload}
}

// A keeper is a hub whose rooms keep messages, but for those that are called "no".
type keeper struct {
	*fixture
	limits map[string]History
	epochs int
}

func newKeeper(t tb, l Limits, keeps History) *keeper {
	k := &keeper{limits: map[string]History{"no": {}}}
	k.fixture = newFixtureOf(t, Options{
		Limits: l, Encodings: keptEncodings,
		HistoryOf: func(room string) History {
			if kept, ok := k.limits[room]; ok {
				return kept
			}
			return keeps
		},
		Restore:  func(_ string, r *Record) Encoder { return &note{r.Source} },
		NewEpoch: func() string { k.epochs++; return fmt.Sprintf("epoch%03d", k.epochs) },
	})
	k.now = time.Minute
	return k
}

// begin joins, and has built what it takes.
func (k *keeper) begin(fan int, room string, e Encoding, s Start) (*client, Joined) {
	k.Helper()
	c := &client{now: &k.now, room: -1}
	for range 2 {
		j, err := k.fans[fan].Join(k.now, room, e, s, &c.Member, c)
		switch err {
		case nil:
			return c, j
		case ErrNotBuilt:
			k.hub.Build(context.Background(), room, e)
		default:
			k.Fatal(err)
		}
	}
	k.Fatal("it was built and is not there")
	return nil, Joined{}
}

func (k *keeper) offer(room string, n *note) Published {
	k.Helper()
	p, err := Offer(k.hub, room, k.now, n)
	if err != nil {
		k.Fatal(err)
	}
	return p
}

// text is what lines of messages look like that say "<offset>" in an epoch.
func text(epoch string, from, to int) (s string) {
	for i := from; i <= to; i++ {
		s += fmt.Sprintf("[%s:%06d %d]\n", epoch, i, i)
	}
	return s
}

func keeping() Limits {
	l := wide
	l.History = 1 << 30
	return l
}

func TestWhoComesLateGetsWhatWasKept(t *testing.T) {
	for _, e := range []Encoding{lines, asIs} {
		k := newKeeper(t, keeping(), History{Messages: 100})
		for i := 1; i <= 30; i++ {
			p := k.offer("r", say(fmt.Sprint(i)))
			if p != (Published{0, Position{"epoch001", uint64(i)}}) {
				t.Fatal(p)
			}
		}
		want := func(from int) string {
			if e == lines {
				return text("epoch001", from, 30)
			}
			s := ""
			for i := from; i <= 30; i++ {
				s += fmt.Sprint(i)
			}
			return s
		}
		for _, test := range []struct {
			start Start
			from  int
			a     Answer
		}{
			{Start{}, 31, Live},
			{Start{Earliest: true}, 1, Recovered},
			{Start{Last: 7}, 24, Recovered},
			{Start{Last: 700}, 1, Recovered},
			{Start{Since: Position{"epoch001", 0}}, 1, Recovered},
			{Start{Since: Position{"epoch001", 12}}, 13, Recovered},
			{Start{Since: Position{"epoch001", 30}}, 31, Recovered},
			{Start{Since: Position{"epoch001", 31}}, 31, BeyondEnd},
			{Start{Since: Position{"epoch000", 12}}, 31, WrongEpoch},
		} {
			c, j := k.begin(0, "r", e, test.start)
			if j != (Joined{Position{"epoch001", uint64(test.from - 1)}, test.a, uint64(31 - test.from)}) {
				t.Errorf("%+v: %+v", test.start, j)
			}
			if k.flush(); string(c.got) != want(test.from) {
				t.Errorf("%+v: it got %q", test.start, c.got)
			}
			if c.IsBlocked() || c.IsCatchingUp() {
				t.Errorf("%+v: it has not caught up", test.start)
			}
			if c.vote != nil {
				t.Errorf("%+v: caught up it costs more than who was never behind", test.start)
			}
			c.Leave()
		}
		if s := k.hub.Histories(); s.Built != 1 || s.BuiltFrames != 30 || s.Messages != 30 || s.CatchingUp != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// One resumer is 3 MiB behind and takes little, one cursor is held for a reply, in a room of a
// hundred that is published into as fast as it goes: the room is full for neither, the loops sleep
// when nothing is to be done, and both get everything, or are told that they were overrun.
func TestWhoCatchesUpHoldsNobody(t *testing.T) {
	for _, test := range []struct {
		name    string
		keeps   History
		overrun bool
	}{
		{"all is kept", History{Bytes: 64 << 20}, false},
		{"the log drops it", History{Bytes: 4 << 20}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := keeping()
			l.Window, l.Turn = 64<<10, 64<<10
			k := newKeeper(t, l, test.keeps)
			payload := strings.Repeat("x", 1000)
			published := 0
			publish := func(n int) {
				for range n {
					k.offer("r", say(payload))
					published++
					if published%20 == 0 {
						k.flush()
					}
				}
				k.flush()
			}
			publish(3600)
			var all []*client
			got := map[*client]int{}
			for i := range 100 {
				c, _ := k.begin(i%2, "r", lines, Start{})
				all = append(all, c)
			}
			r := all[0].Room()
			resumer, j := k.begin(0, "r", lines, Start{Since: Position{"epoch001", 500}})
			if j.Messages != 3100 || resumer.Behind() < 3<<20 {
				t.Fatalf("%+v, %d bytes behind", j, resumer.Behind())
			}
			resumer.room = 10 << 10
			held, _ := k.begin(1, "r", lines, Start{IsHeld: true})
			lone, _ := k.begin(1, "r", asIs, Start{Last: 1, IsHeld: true})
			for range 100 {
				publish(50)
				if r.IsFull() {
					t.Fatal("the room is full for them")
				}
				for i, fan := range k.fans {
					if d := fan.Flush(func() time.Duration { return k.now }); d >= 0 {
						t.Fatalf("loop %d wants to look again in %v", i, d)
					}
				}
				if resumer.IsIn() && resumer.isArmed {
					resumer.open(10 << 10)
				}
				for _, c := range all {
					got[c] += len(c.got)
					c.got = c.got[:0]
				}
			}
			if s := r.Stats(); s.CatchingUp != 3-resumer.overruns-held.overruns-lone.overruns || len(held.got) > 0 || len(lone.got) > 0 {
				t.Errorf("%d are catching up; those held got %d and %d bytes", s.CatchingUp, len(held.got), len(lone.got))
			}
			for _, c := range []*client{resumer, held, lone} {
				c.open(-1) // One that was overrun gets the rest of its frame.
			}
			k.flush()
			for _, c := range []*client{resumer, held, lone} {
				switch {
				case (c.overruns > 0) != test.overrun:
					t.Errorf("it was overrun %d times", c.overruns)
				case !test.overrun && (c.IsBlocked() || c.IsCatchingUp() || c.cursor.seq() != uint64(published)+1):
					t.Errorf("it stands before message %d of %d", c.cursor.seq(), published)
				}
			}
			if n := k.hub.Histories().CatchingUp; n != 0 {
				t.Errorf("%d are catching up", n)
			}
			if a := r.Account(); a.Due() != 0 {
				t.Errorf("%d messages are due: %+v", a.Due(), a)
			}
			want := len(text("epoch001", 1, 1)) - 1 + len(payload)
			for _, c := range all {
				if got[c] != want*(published-3600) {
					t.Fatalf("a member of the room got %d bytes of %d", got[c], want*(published-3600))
				}
			}
		})
	}
}

// An encoding is built while others publish as fast as they can, members join at any position and
// leave, and old messages are dropped: each gets every message from its place on once, in order.
func TestLateEncodingIsBuiltWhileOthersPublish(t *testing.T) {
	for _, keeps := range []History{{Messages: 1 << 20}, {Messages: 500}} {
		l := keeping()
		l.Backlog, l.Turn = 64<<10, 64<<10
		k := newKeeper(t, l, keeps)
		var fans [2]*Fanout
		for i := range fans {
			fans[i] = k.hub.NewFanout(func() {}, k.transport)
		}
		k.offer("r", say("1"))
		const publishers, each = 2, 3000
		var offsets atomic.Uint64
		var publishing sync.WaitGroup
		for range publishers {
			publishing.Go(func() {
				for n := 0; n < each; {
					_, err := Offer(k.hub, "r", time.Minute, say("message"))
					switch err {
					case nil:
						n++
						offsets.Add(1)
					case ErrFull, ErrShort:
						runtime.Gosched()
					default:
						t.Error(err)
						return
					}
				}
			})
		}
		done := make(chan struct{})
		go func() { publishing.Wait(); close(done) }()
		asked, built := make(chan struct{}, 1), make(chan struct{}, 1)
		var building sync.WaitGroup
		building.Go(func() {
			for range asked {
				k.hub.Build(context.Background(), "r", lines)
				k.hub.Expire(time.Minute)
				built <- struct{}{}
			}
		})
		type reader struct {
			*client
			from uint64
		}
		var readers []reader
		check := func(r reader, to uint64) {
			s := string(r.got)
			for i := r.from; i <= to; i++ {
				line, rest, ok := strings.Cut(s, "]\n")
				want := fmt.Sprintf("[epoch001:%06d ", i)
				if !ok || !strings.HasPrefix(line, want) {
					t.Fatalf("who began behind %d got %q, want %q", r.from-1, line, want)
				}
				s = rest
			}
			if s != "" {
				t.Fatalf("who was to get %d to %d got more: %q", r.from, to, s)
			}
		}
		isBuilding, random := false, rand.New(rand.NewPCG(1, 2))
		for offsets.Load() == 0 { // Of nothing nothing would be built.
			runtime.Gosched()
		}
		for n := 0; ; n++ {
			if len(readers) < 20 {
				c := &client{now: &k.now, room: -1}
				start := Start{Since: Position{"epoch001", uint64(random.Int64N(int64(offsets.Load() + 1)))}}
				switch j, err := fans[n%2].Join(k.now, "r", lines, start, &c.Member, c); {
				case err == ErrNotBuilt && !isBuilding:
					isBuilding = true
					asked <- struct{}{}
				case err == ErrNotBuilt:
				case err != nil:
					t.Fatal(err)
				case j.Answer == Recovered && j.Offset != start.Since.Offset, j.Answer != Recovered && j.Answer != TooOld:
					t.Fatalf("%+v to %+v", j, start)
				default:
					readers = append(readers, reader{c, j.Offset + 1})
				}
			}
			select {
			case <-built:
				isBuilding = false
			default:
			}
			for _, fan := range fans {
				fan.Flush(func() time.Duration { return k.now })
			}
			if len(readers) == 20 && random.IntN(50) == 0 { // All leave, and after the time of grace the next one is the first.
				for _, r := range readers {
					at := r.cursor.seq()
					if r.cursor.restOfFrame() > 0 || r.overruns > 0 {
						continue
					}
					check(r, at-1)
					r.Leave()
				}
				readers = readers[:0]
				k.hub.Expire(time.Minute)
				k.hub.Expire(time.Minute + graceTime)
			}
			isOver := false
			select {
			case <-done:
				isOver = !isBuilding
			default:
			}
			if isOver {
				break
			}
		}
		close(asked)
		building.Wait()
		for range 1000 {
			for _, fan := range fans {
				fan.Flush(func() time.Duration { return k.now })
			}
		}
		for _, r := range readers {
			if r.overruns == 0 {
				check(r, publishers*each+1)
			}
		}
		if s := k.hub.Histories(); s.Built == 0 || s.BuiltFrames == 0 {
			t.Errorf("%+v", s)
		}
	}
}
