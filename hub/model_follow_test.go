package hub

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The model of a room whose order comes from elsewhere: what every client is to get is written down
// when it is said, by who says it. A client is as slow as the story wants, and gets all of it in
// the end.

type followStory struct {
	*follower
	t       *rapid.T
	epoch   int
	last    uint64
	kept    []uint64 // offsets, since the room was filled
	before  uint64   // everything behind it is kept
	isWhole bool
	all     []*followReader
}

// A followReader is a client, and what it is to have got.
type followReader struct {
	told
	want []string // in its order; a reset may come before anything that is older than it
}

func (s *followStory) name() string { return fmt.Sprintf("epoch%03d", s.epoch) }

func (s *followStory) append() {
	s.last += uint64(rapid.IntRange(1, 3000).Draw(s.t, "jump"))
	s.follower.append("r", s.last)
	if !s.isWhole {
		return // It comes with what fills the room.
	}
	s.kept = append(s.kept, s.last)
	for _, r := range s.all {
		if r.IsIn() {
			r.want = append(r.want, lineOf(s.name(), int(s.last)))
		}
	}
}

func (s *followStory) reset() {
	if rapid.Bool().Draw(s.t, "another epoch") {
		s.epoch++
		s.last = 0
	}
	s.hub.Reset("r", s.name())
	s.isWhole = false
}

func (s *followStory) fill() {
	if s.isWhole {
		s.follower.fill("r", s.name(), s.before, s.kept...) // It changes nothing.
		return
	}
	s.kept, s.before = nil, s.last
	for range rapid.IntRange(0, 3).Draw(s.t, "kept") {
		s.last += uint64(rapid.IntRange(1, 3000).Draw(s.t, "jump"))
		s.kept = append(s.kept, s.last)
	}
	s.follower.fill("r", s.name(), s.before, s.kept...)
	s.isWhole = true
	hasMembers := false
	for _, r := range s.all {
		if r.IsIn() {
			hasMembers = true
			r.want = append(r.want, fmt.Sprintf("<reset %s:%d>\n", s.name(), s.last))
		}
	}
	if hasMembers {
		s.kept, s.before = nil, s.last
	}
}

func (s *followStory) join() {
	at := s.before
	if n := len(s.kept); n > 0 && rapid.Bool().Draw(s.t, "behind a message") {
		at = s.kept[rapid.IntRange(0, n-1).Draw(s.t, "which")]
	}
	if at > 0 && rapid.IntRange(0, 5).Draw(s.t, "too old") == 0 {
		at = s.before - min(s.before, 1)
	}
	r := &followReader{told: told{client: client{now: &s.now, room: -1}, onReset: func() { s.now += turn / 2 }}}
	fan := rapid.IntRange(0, 1).Draw(s.t, "loop")
	start := Start{Since: Position{s.name(), at}, IsUnfilled: rapid.Bool().Draw(s.t, "unfilled")}
	j, err := s.fans[fan].Join(s.now, "r", lines, start, &r.Member, r)
	if err == ErrNotBuilt {
		s.hub.Build(context.Background(), "r", lines)
		j, err = s.fans[fan].Join(s.now, "r", lines, start, &r.Member, r)
	}
	want := Recovered
	switch {
	case !s.isWhole && !start.IsUnfilled:
		if err != ErrNotFilled {
			s.t.Fatalf("a room that is not filled is joined: %+v, %v", j, err)
		}
		return
	case !s.isWhole:
		want = WrongEpoch
	case at < s.before:
		want = TooOld
	default:
		for _, o := range s.kept {
			if o > at {
				r.want = append(r.want, lineOf(s.name(), int(o)))
			}
		}
	}
	if err != nil || j.Answer != want || (j.Epoch != "") != s.isWhole {
		s.t.Fatalf("behind %d it is %+v, %v; want %v", at, j, err, want)
	}
	s.all = append(s.all, r)
}

func (s *followStory) pick() *followReader {
	in := slices.DeleteFunc(slices.Clone(s.all), func(r *followReader) bool { return !r.IsIn() })
	if len(in) == 0 {
		return nil
	}
	return rapid.SampledFrom(in).Draw(s.t, "client")
}

// check holds what clients got to what they were to get: the messages in their order, and before
// each a reset, if there is one before it: that or a later one.
func (s *followStory) check(isAll bool) {
	isReset := func(line string) bool { return line[0] == '<' }
	for i, r := range s.all {
		got := strings.SplitAfter(string(r.got), "\n")
		if last := got[len(got)-1]; last != "" && isAll && r.IsIn() {
			s.t.Fatalf("client %d ends with %q", i, last)
		}
		got = got[:len(got)-1]
		n, reset := 0, -1
		isTold := func(got []string) bool {
			return reset < 0 || slices.ContainsFunc(r.want[reset:], func(line string) bool { return isReset(line) && slices.Contains(got, line) })
		}
		for at, line := range got {
			if isReset(line) {
				if !slices.Contains(r.want, line) {
					s.t.Fatalf("client %d is told %q, want %q", i, line, r.want)
				}
				continue
			}
			for n < len(r.want) && isReset(r.want[n]) {
				reset = n
				n++
			}
			if n == len(r.want) || r.want[n] != line || !isTold(got[:at]) {
				s.t.Fatalf("client %d got %q, want %q", i, got, r.want)
			}
			n++
		}
		for ; isAll && r.IsIn() && n < len(r.want); n++ {
			if !isReset(r.want[n]) {
				s.t.Fatalf("client %d got %q, want %q", i, got, r.want)
			}
			reset = n
		}
		if isAll && r.IsIn() && !isTold(got) {
			s.t.Fatalf("client %d is not told: %q, want %q", i, got, r.want)
		}
	}
}

func TestFollowedRoomAgainstANaiveModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := &followStory{follower: newFollower(t, History{Messages: 1 << 20}), t: rt}
		if err := s.hub.Make("r"); err != nil {
			rt.Fatal(err)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(*rapid.T) { s.append() },
			"again":  func(*rapid.T) { s.append() },
			"reset":  func(*rapid.T) { s.reset() },
			"fill":   func(*rapid.T) { s.fill() },
			"refill": func(*rapid.T) { s.fill() },
			"join":   func(*rapid.T) { s.join() },
			"flush":  func(*rapid.T) { s.flush() },
			"tick": func(*rapid.T) { // In which not everybody is told.
				s.fans[rapid.IntRange(0, 1).Draw(rt, "loop")].Flush(func() time.Duration { return s.now })
			},
			"stall": func(*rapid.T) {
				if r := s.pick(); r != nil {
					r.room = rapid.IntRange(0, 40).Draw(rt, "room")
				}
			},
			"read on": func(*rapid.T) {
				if r := s.pick(); r != nil {
					r.room = -1
					r.Ready()
				}
			},
			"leave": func(*rapid.T) {
				if r := s.pick(); r != nil {
					r.Leave()
				}
			},
			"": func(*rapid.T) { s.check(false) },
		})
		for _, r := range s.all {
			if r.room = -1; r.IsIn() {
				r.Ready()
			}
		}
		s.flush()
		s.flush()
		s.check(true)
	})
}
