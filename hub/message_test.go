package hub

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// thirdEncodings are those of a hub with an encoding that has a substitute and one that has none.
// The substitute stands last: nothing may hang on the order of the list.
var thirdEncodings = []EncodingInfo{
	{Name: "short", HasSubstitute: true, Substitute: third},
	{Name: "own"},
	{Name: "plain"},
}

const (
	short Encoding = iota
	own
	third
)

// A bench is a hub with three encodings.
type bench struct {
	*fixture
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{&fixture{tb: t}}
	b.transport = &transport{now: &b.now}
	h, err := New(Options{Limits: wide, Encodings: thirdEncodings})
	if err != nil {
		t.Fatal(err)
	}
	b.hub = h
	for i := range b.fans {
		b.fans[i] = h.NewFanout(func() { b.woke[i]++ }, b.transport)
	}
	return b
}

// A script is an Encoder that counts its calls and does something in the middle of one.
type script struct {
	t      *testing.T
	number int
	size   int        // of a frame's payload
	lacks  bool       // it makes no short frame
	calls  []Encoding // in their order
	during func(e Encoding)
	room   *Room // not locked while a frame is made
}

// text is what frames of message n look like in an encoding.
func (s *script) text(e Encoding) []byte {
	return fmt.Appendf(nil, "<%d %d %s>", e, s.number, strings.Repeat("x", s.size))
}

func (s *script) Encode(e Encoding) Frame {
	s.calls = append(s.calls, e)
	for _, before := range s.calls[:len(s.calls)-1] {
		if before == e {
			s.t.Errorf("message %d: encoding %d was asked for twice: %v", s.number, e, s.calls)
		}
	}
	if s.room != nil {
		if !s.room.mu.TryLock() {
			s.t.Errorf("message %d: the room is locked while a frame is made", s.number)
		} else {
			s.room.mu.Unlock()
		}
	}
	if s.during != nil {
		s.during(e)
	}
	if e == short && s.lacks {
		return Frame{}
	}
	text := s.text(e)
	return Frame{Head: text[:1], Payload: text[1:]}
}

func TestHubRefusesListsOfEncodingsThatItCannotServe(t *testing.T) {
	many := func(n int) (list []EncodingInfo) {
		for i := range n {
			list = append(list, EncodingInfo{Name: fmt.Sprint(i)})
		}
		return list
	}
	for name, test := range map[string]struct {
		list []EncodingInfo
		ok   bool
	}{
		"none":                           {nil, false},
		"one":                            {many(1), true},
		"as many as there may be":        {many(EncodingsMax), true},
		"one more":                       {many(EncodingsMax + 1), false},
		"the next one stands in":         {[]EncodingInfo{{Name: "a", HasSubstitute: true, Substitute: 1}, {Name: "b"}}, true},
		"it stands in for itself":        {[]EncodingInfo{{Name: "a", HasSubstitute: true}}, false},
		"one that is not there":          {[]EncodingInfo{{Name: "a", HasSubstitute: true, Substitute: 1}}, false},
		"one that has a substitute, too": {[]EncodingInfo{{Name: "a", HasSubstitute: true, Substitute: 1}, {Name: "b", HasSubstitute: true, Substitute: 2}, {Name: "c"}}, false},
		"a number without the word":      {[]EncodingInfo{{Name: "a", Substitute: 7}}, true},
	} {
		if h, err := New(Options{Limits: wide, Encodings: test.list}); (err == nil) != test.ok || (h == nil) == test.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A message is made once in each encoding that is read, and in no other: not in one that has had
// its last reader, nor in one that only stands in, unless it does.
func TestMessageIsMadeOnceForEachEncodingThatIsRead(t *testing.T) {
	for _, size := range []int{1, 100, 70_000} { // Inline, and in a segment of its own.
		b := newBench(t)
		a, other := b.joinTrack(0, "r", short), b.joinTrack(1, "r", own)
		say := func(s *script, want ...Encoding) {
			t.Helper()
			s.t, s.size, s.room = t, size, a.Room()
			a.got, other.got = nil, nil
			a.Publish(b.now, s)
			b.flush()
			if len(s.calls) != len(want) {
				t.Errorf("%d bytes: asked for %v, want %v", size, s.calls, want)
			}
			for i := range min(len(want), len(s.calls)) {
				if s.calls[i] != want[i] {
					t.Errorf("%d bytes: asked for %v, want %v", size, s.calls, want)
				}
			}
		}
		first := &script{number: 1}
		say(first, short, own)
		if !bytes.Equal(a.got, first.text(short)) || !bytes.Equal(other.got, first.text(own)) {
			t.Errorf("%d bytes: got %.20q and %.20q", size, a.got, other.got)
		}
		lacking := &script{number: 2, lacks: true}
		say(lacking, short, third, own) // It takes its substitute's, which nobody reads.
		if !bytes.Equal(a.got, lacking.text(third)) {
			t.Errorf("%d bytes: without a frame of its own it got %.20q", size, a.got)
		}
		reader := b.joinTrack(0, "r", third)
		say(&script{number: 3, lacks: true}, short, third, own) // Asked for once, though it is read and stands in.
		other.Leave()
		say(&script{number: 4}, short, third)
		reader.Leave()
		say(&script{number: 5}, short)
	}
}

// An encoding gets its first reader while a message is being made: it takes its substitute's frame
// if that is there, and is asked for otherwise. Nothing is lost, nothing comes twice, and no number
// is left out.
func TestEncodingThatOpensWhileAMessageIsMadeIsServed(t *testing.T) {
	for name, test := range map[string]struct {
		readers  []Encoding // that are there
		opens    []Encoding // in the middle of each call, one after the other
		want     []Encoding // what is asked for
		stood    Encoding   // frame that a short reader gets
		elseFrom bool       // the new reader joins on another goroutine
	}{
		"a substitute is there":               {[]Encoding{third}, []Encoding{short}, []Encoding{third}, third, false},
		"its substitute is not":               {[]Encoding{own}, []Encoding{short}, []Encoding{own, short}, short, false},
		"it has none":                         {[]Encoding{third}, []Encoding{own}, []Encoding{third, own}, 0, false},
		"both, one after the other":           {[]Encoding{own}, []Encoding{third, short}, []Encoding{own, third}, third, false},
		"both, but the substitute comes late": {[]Encoding{own}, []Encoding{short, third}, []Encoding{own, short, third}, short, false},
		"one has none, on another goroutine":  {[]Encoding{third}, []Encoding{own}, []Encoding{third, own}, 0, true},
		"one has one, on another goroutine":   {[]Encoding{third}, []Encoding{short}, []Encoding{third}, third, true},
	} {
		for _, size := range []int{1, 70_000} {
			t.Run(fmt.Sprintf("%s, %d bytes", name, size), func(t *testing.T) {
				b := newBench(t)
				var all []*client
				for _, e := range test.readers {
					all = append(all, b.joinTrack(0, "r", e))
				}
				first := all[0].Room().Stats().Next
				opens := test.opens
				s := &script{t: t, number: 1, size: size, room: all[0].Room()}
				s.during = func(Encoding) {
					if len(opens) == 0 {
						return
					}
					e := opens[0]
					opens = opens[1:]
					if !test.elseFrom {
						all = append(all, b.joinTrack(1, "r", e))
						return
					}
					joined := make(chan *client)
					go func() { joined <- b.joinTrack(1, "r", e) }()
					all = append(all, <-joined)
				}
				if seq := all[0].Publish(b.now, s); seq != first {
					t.Errorf("it has number %d, want %d", seq, first)
				}
				if fmt.Sprint(s.calls) != fmt.Sprint(test.want) {
					t.Errorf("asked for %v, want %v", s.calls, test.want)
				}
				after := &script{t: t, number: 2, size: size, room: s.room}
				if seq := all[0].Publish(b.now, after); seq != first+1 {
					t.Errorf("the next one has number %d, want %d", seq, first+1)
				}
				b.flush()
				for _, c := range all {
					e := c.Encoding()
					one, two := s.text(e), after.text(e)
					if e == short {
						one = s.text(test.stood)
					}
					if !bytes.Equal(c.got, append(one, two...)) {
						t.Errorf("a reader of %d got %d bytes, %.12q…", e, len(c.got), c.got)
					}
				}
			})
		}
	}
}

// Readers of three encodings come and go on loops of their own while others publish, from outside
// too: whoever is there gets each message once, in order, in its encoding or its substitute's.
func TestEncodingsOpenAndCloseWhileManyPublish(t *testing.T) {
	const loops, rounds = 3, 400
	h, err := New(Options{Limits: wide, Encodings: thirdEncodings})
	if err != nil {
		t.Fatal(err)
	}
	stay, stays := h.NewFanout(func() {}, &transport{now: new(time.Duration)}), &client{now: new(time.Duration), room: -1}
	if err := stay.joinEnd("r", third, &stays.Member, stays); err != nil {
		t.Fatal(err)
	}
	room := stays.Room()
	done := make(chan struct{}, loops+1)
	go func() {
		for range loops * rounds {
			room.Publish(nil, 0, numberedBy{})
		}
		done <- struct{}{}
	}()
	for loop := range loops {
		now := new(time.Duration)
		f := h.NewFanout(func() {}, &transport{now: now})
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range rounds {
				c := &client{now: now, room: -1}
				from := room.Stats().Next
				if err := f.joinEnd("r", Encoding((i+loop)%len(thirdEncodings)), &c.Member, c); err != nil {
					t.Error(err)
					return
				}
				seq := c.Publish(*now, numberedBy{})
				f.Flush(func() time.Duration { return *now })
				c.Leave()
				if n := uint64(len(c.got)); n == 0 || n > room.Stats().Next-from || seq < from {
					t.Errorf("a member that came at %d at the earliest and published %d got %d messages", from, seq, n)
				}
			}
		}()
	}
	for range loops + 1 {
		<-done
	}
	stay.Flush(func() time.Duration { return 0 })
	const all = uint64(2 * loops * rounds)
	if next := room.Stats().Next; next != all+1 || uint64(len(stays.got)) != all {
		t.Errorf("who stayed got %d messages, the next has number %d, want %d and %d", len(stays.got), next, all, all+1)
	}
}

// numberedBy makes frames of one byte, which tells the encoding.
type numberedBy struct{}

func (numberedBy) Encode(e Encoding) Frame { return Frame{Payload: []byte{'0' + byte(e)}} }

// A publisher that is on no loop needs nothing of the kind, and wakes the loops at once.
func TestPublishingFromOutsideNeedsNoLoop(t *testing.T) {
	b := newBench(t)
	readers := []*client{b.joinTrack(0, "r", third), b.joinTrack(1, "r", own)}
	for n := 1; n <= 3; n++ {
		b.woke = [2]int{}
		s := &script{t: t, number: n, size: 10}
		if seq := readers[0].Room().Publish(nil, b.now, s); seq != uint64(n) {
			t.Errorf("message %d has number %d", n, seq)
		}
		if b.woke != [2]int{1, 1} {
			t.Errorf("message %d woke the loops %v times, want each once", n, b.woke)
		}
		for i, fan := range b.fans {
			fan.Flush(func() time.Duration { return b.now })
			if want := s.text(readers[i].Encoding()); !bytes.HasSuffix(readers[i].got, want) {
				t.Errorf("message %d: reader %d got %q", n, i, readers[i].got)
			}
		}
	}
}

func TestEncodingWithoutAFrameAndWithoutASubstituteIsAFault(t *testing.T) {
	b := newBench(t)
	a := b.joinTrack(0, "r", own)
	defer func() {
		if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), `"own"`) {
			t.Errorf("panic: %v", p)
		}
		b.now++
		a.Publish(b.now, &script{t: t, number: 1}) // The room is not left locked.
		if b.flush(); len(a.got) == 0 {
			t.Error("the next message does not come")
		}
	}()
	a.Publish(b.now, empty{})
}

type empty struct{}

func (empty) Encode(Encoding) Frame { return Frame{} }
