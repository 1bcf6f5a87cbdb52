package hub

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// The encodings of these tests' hubs: one of lines that carry their position, one of bytes as they are.
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
		Restore:  func(r *Record) Encoder { return &note{r.Source} },
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
		j, err := k.fans[fan].JoinAt(k.now, room, e, s, &c.Member, c)
		switch err {
		case nil:
			return c, j
		case ErrNotBuilt:
			k.hub.Build(room, e)
		default:
			k.Fatal(err)
		}
	}
	k.Fatal("it was built and is not there")
	return nil, Joined{}
}

func (k *keeper) offer(room string, n *note) Published {
	k.Helper()
	p, err := k.hub.Offer(room, k.now, n)
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
			c.Leave()
		}
		if s := k.hub.Histories(); s.Built != 1 || s.BuiltFrames != 30 || s.Messages != 30 || s.CatchingUp != 0 {
			t.Errorf("%+v", s)
		}
	}
}
