package hub

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// A follower is a hub whose rooms' order comes from a test.
type follower struct {
	*keeper
	heard []string // of OnRoom
}

func newFollower(t tb, keeps History) *follower {
	f := &follower{}
	f.keeper = &keeper{limits: map[string]History{"no": {}}}
	f.fixture = newFixtureOf(t, Options{
		Limits: keeping(), Encodings: slices.Concat(keptEncodings, []EncodingInfo{{Name: "bundled", IsBundled: true}, {Name: "bundled too", IsBundled: true}}),
		HistoryOf: func(room string) History {
			if kept, ok := f.limits[room]; ok {
				return kept
			}
			return keeps
		},
		Restore:  func(_ string, r *Record) Encoder { return &note{r.Source} },
		NewEpoch: func() string { f.epochs++; return fmt.Sprintf("fresh%03d", f.epochs) },
		Follows:  true,
		OnRoom:   func(room string, isThere bool) { f.heard = append(f.heard, fmt.Sprint(room, " ", isThere)) },
	})
	f.now = time.Minute
	return f
}

func at(offset uint64, text string) *note {
	return &note{Source{Payload: []byte(text), Offset: offset}}
}

// fill fills a room with messages that say what their offsets are.
func (f *follower) fill(room, epoch string, before uint64, offsets ...uint64) {
	end := before
	if len(offsets) > 0 {
		end = offsets[len(offsets)-1]
	}
	f.hub.Fill(room, Fill{Epoch: epoch, Before: before, End: end, Kept: func(yield func(time.Duration, Encoder) bool) {
		for _, o := range offsets {
			if !yield(f.now, at(o, fmt.Sprint(o))) {
				return
			}
		}
	}})
}

func (f *follower) append(room string, offset uint64) {
	f.Helper()
	if err := f.appendAll(room, at(offset, fmt.Sprint(offset))); err != nil {
		f.Fatal(err)
	}
}

func (f *follower) appendAll(room string, all ...*note) error {
	return Append(f.hub, room, f.now, func(yield func(Encoder) bool) {
		for _, m := range all {
			if !yield(m) {
				return
			}
		}
	})
}

func (f *follower) room(name string) *Room {
	f.Helper()
	r, ok := f.hub.Room(name)
	if !ok {
		f.Fatal("there is no room " + name)
	}
	return r
}

// A told client writes down what it is told, between the messages that it gets.
type told struct {
	client
	note    string
	leaves  bool
	onReset func()
}

func (c *told) Reset(at Position) {
	c.note += fmt.Sprintf("<reset %v>\n", at)
	if c.CanSendOwn() {
		_, _ = c.SendOwn(math.MaxInt)
	} else {
		c.HoldOwn()
	}
	if c.onReset != nil {
		c.onReset()
	}
	if c.leaves {
		c.Leave()
	}
}

// SendOwn takes no room of its socket's for that.
func (c *told) SendOwn(limit int) (sent int, isAll bool) {
	if sent, isAll = c.client.SendOwn(limit); isAll {
		c.got = append(c.got, c.note...)
		c.note = ""
	}
	return sent, isAll
}

func (f *follower) tell(fan int, room string, e Encoding, s Start) (*told, Joined, error) {
	c := &told{client: client{now: &f.now, room: -1}}
	j, err := f.fans[fan].Join(f.now, room, e, s, &c.Member, c)
	return c, j, err
}

func (f *follower) mustTell(fan int, room string, e Encoding, s Start) *told {
	f.Helper()
	c, _, err := f.tell(fan, room, e, s)
	if err == ErrNotBuilt {
		f.hub.Build(context.Background(), room, e)
		c, _, err = f.tell(fan, room, e, s)
	}
	if err != nil {
		f.Fatal(err)
	}
	return c
}

func lineOf(epoch string, offset int) string {
	return fmt.Sprintf("[%s:%06d %d]\n", epoch, offset, offset)
}

// Whoever is at the end gets what was appended together in one write, because loops hear of it
// behind all.
func TestLoopIsWokenBehindAllThatIsAppended(t *testing.T) {
	f := newFollower(t, History{})
	f.join(0, "r")
	f.flush()
	woke, writes := f.woke[0], f.writes()
	err := Append(f.hub, "r", f.now, func(yield func(Encoder) bool) {
		for offset := range uint64(3) {
			if f.woke[0] != woke || !yield(at(1024+offset, "together")) {
				t.Error("the loop was woken, or nothing more was asked for, before message", offset)
			}
		}
	})
	if f.flush(); err != nil || f.woke[0] != woke+1 || f.writes() != writes+1 {
		t.Errorf("%v; woken %d times, %d writes", err, f.woke[0]-woke, f.writes()-writes)
	}
}

func TestFollowedRoomIsJoinedWhenItIsFilled(t *testing.T) {
	f := newFollower(t, History{Messages: 100})
	if _, _, err := f.tell(0, "r", lines, Start{}); err != ErrNotFilled {
		t.Fatal(err)
	}
	f.append("r", 1000) // What comes before the room is filled is in what fills it.
	f.fill("r", "epoch777", 2048, 3072, 3073, 5120)
	f.append("r", 6144)
	f.fill("r", "epoch777", 2048, 3072, 3073, 5120) // It has all of it.
	if err := f.appendAll("r", at(6144, "again")); err != ErrOffset {
		t.Error("a message at the offset of the last one:", err)
	}
	for _, test := range []struct {
		start Start
		want  Joined
		gets  []int
	}{
		{Start{}, Joined{Position{"epoch777", 6144}, Live, 0}, nil},
		{Start{Since: Position{"epoch777", 2048}}, Joined{Position{"epoch777", 2048}, Recovered, 4}, []int{3072, 3073, 5120, 6144}},
		{Start{Since: Position{"epoch777", 2500}}, Joined{Position{"epoch777", 2048}, Recovered, 4}, []int{3072, 3073, 5120, 6144}},
		{Start{Since: Position{"epoch777", 3073}}, Joined{Position{"epoch777", 3073}, Recovered, 2}, []int{5120, 6144}},
		{Start{Since: Position{"epoch777", 2047}}, Joined{Position{"epoch777", 6144}, TooOld, 0}, nil},
		{Start{Since: Position{"epoch777", 6145}, IsUnfilled: true}, Joined{Position{"epoch777", 6144}, BeyondEnd, 0}, nil},
		{Start{Since: Position{"fresh001", 3073}}, Joined{Position{"epoch777", 6144}, WrongEpoch, 0}, nil},
	} {
		c, j := f.begin(0, "r", lines, test.start)
		if j != test.want {
			t.Errorf("%+v: %+v, want %+v", test.start, j, test.want)
		}
		f.flush()
		want := ""
		for _, o := range test.gets {
			want += lineOf("epoch777", o)
		}
		if string(c.got) != want {
			t.Errorf("%+v: it got %q", test.start, c.got)
		}
		c.Leave()
	}
	ahead := Position{"epoch777", 7168}
	if _, _, err := f.tell(0, "r", lines, Start{Since: ahead}); err != ErrAhead || !f.room("r").IsAhead(ahead) {
		t.Error("a position of which nothing has come here yet:", err)
	}
	f.append("r", 7168)
	if _, j, err := f.tell(0, "r", lines, Start{Since: ahead}); err != nil || j != (Joined{ahead, Recovered, 0}) || f.room("r").IsAhead(ahead) {
		t.Error("when it has come:", j, err)
	}
	if p := f.room("r").Read(Start{}, 10, 1000); len(p.Records) != 5 || p.End != ahead {
		t.Errorf("%+v", p)
	}
}

// Where nobody can fill a room it is joined all the same, without a position, and told of one
// later.
func TestFollowedRoomIsJoinedUnfilled(t *testing.T) {
	f := newFollower(t, History{Messages: 100})
	c, j, err := f.tell(0, "r", lines, Start{IsUnfilled: true, Since: Position{"epoch777", 2048}})
	if err != nil || j != (Joined{Answer: WrongEpoch}) {
		t.Fatal(j, err)
	}
	f.fill("r", "epoch777", 2048, 3072)
	f.append("r", 4096)
	if f.flush(); string(c.got) != "<reset epoch777:3072>\n"+lineOf("epoch777", 4096) {
		t.Errorf("it got %q", c.got)
	}
	if p := f.room("r").Read(Start{Since: Position{"epoch777", 2048}}, 10, 1000); p.Answer != TooOld {
		t.Errorf("what its member may have had before is kept: %+v", p)
	}
}

func TestResetTellsMembersBeforeWhatFollows(t *testing.T) {
	f := newFollower(t, History{Messages: 100})
	if err := f.hub.Make("r"); err != nil {
		t.Fatal(err)
	}
	f.fill("r", "epoch001", 0, 1, 2)
	all := []*told{f.mustTell(0, "r", lines, Start{}), f.mustTell(1, "r", lines, Start{}), f.mustTell(1, "r", asIs, Start{})}
	leaver := f.mustTell(1, "r", lines, Start{})
	leaver.leaves = true
	slow := f.mustTell(0, "r", lines, Start{})
	slow.room = 0
	f.append("r", 3)
	f.flush()
	f.hub.Reset("r", "epoch002")
	f.append("r", 1) // The room is void.
	if _, _, err := f.tell(0, "r", lines, Start{}); err != ErrNotFilled {
		t.Fatal("the room is joined although it is void:", err)
	}
	f.fill("r", "epoch002", 10, 20, 30)
	late := f.mustTell(1, "r", lines, Start{Since: Position{"epoch002", 30}})
	f.append("r", 40)
	f.flush()
	slow.room = -1
	slow.Ready()
	f.flush()
	old := lineOf("epoch001", 3)
	after := "<reset epoch002:30>\n" + lineOf("epoch002", 40)
	for i, want := range []string{old + after, old + after, "3<reset epoch002:30>\n40"} {
		if string(all[i].got) != want {
			t.Errorf("client %d got %q", i, all[i].got)
		}
	}
	if want := old + "<reset epoch002:30>\n"; string(leaver.got) != want || leaver.IsIn() {
		t.Errorf("who leaves got %q", leaver.got)
	}
	if want := "<reset epoch002:30>\n" + old + lineOf("epoch002", 40); string(slow.got) != want {
		t.Errorf("who is behind got %q", slow.got)
	}
	if string(late.got) != lineOf("epoch002", 40) {
		t.Errorf("who came behind the reset got %q", late.got)
	}
	if n := f.fans[0].Stats().Reset + f.fans[1].Stats().Reset; n != 5 {
		t.Errorf("%d were told", n)
	}
}

// A sweep is at the room's members when it begins anew, and what follows is there before its end.
func TestResetInTheMiddleOfASweep(t *testing.T) {
	f := newFollower(t, History{Messages: 100})
	if err := f.hub.Make("r"); err != nil {
		t.Fatal(err)
	}
	f.fill("r", "epoch001", 0)
	var all []*told
	for range 3 * batchMembers {
		all = append(all, f.mustTell(0, "r", lines, Start{}))
	}
	all[0].onTake = func() {
		f.hub.Reset("r", "epoch002")
		f.fill("r", "epoch002", 0)
		f.append("r", 1)
	}
	f.append("r", 1)
	f.flush()
	want := lineOf("epoch001", 1) + "<reset epoch002:0>\n" + lineOf("epoch002", 1)
	for i, c := range all {
		// Those that the sweep had yet to come to are told before both.
		if other := "<reset epoch002:0>\n" + lineOf("epoch001", 1) + lineOf("epoch002", 1); string(c.got) != want && string(c.got) != other {
			t.Fatalf("client %d got %q", i, c.got)
		}
	}
}

func TestResetOfABundlesReader(t *testing.T) {
	f := newFollower(t, History{Messages: 100})
	for _, room := range []string{"a", "b"} {
		if err := f.hub.Make(room); err != nil {
			t.Fatal(err)
		}
		f.fill(room, "epoch001", 0)
	}
	c := &subscriber{client: &client{now: &f.now, room: -1}, readers: map[string]*Reader{}}
	f.fans[0].JoinBundle(&c.bundle, &c.client.Member, 2, c, (*subscriberReaders)(c))
	f.subscribeTo(c, "a", Start{})
	f.subscribeTo(c, "b", Start{})
	c.onTold = func(r *Reader) { r.Leave() } // As one does that counts by offsets.
	f.append("a", 1)
	f.append("b", 2)
	f.hub.Reset("a", "epoch002")
	f.fill("a", "epoch002", 0)
	f.append("a", 7)
	f.flush()
	if want := []string{"a reset epoch002:0"}; !slices.Equal(c.told, want) || string(c.got) != "2" {
		t.Errorf("it was told %q and got %q", c.told, c.got)
	}
	if !c.readers["b"].IsIn() || c.readers["a"].IsIn() {
		t.Error("another room's reader left")
	}
}

func TestResetOfARoomThatKeepsNothingIsCounted(t *testing.T) {
	f := newFollower(t, History{Messages: 100})
	c := f.mustTell(0, "no", lines, Start{})
	f.mustTell(1, "no", asIs, Start{})
	f.hub.Reset("no", "epoch002")
	f.fill("no", "epoch002", 7)
	f.append("no", 8)
	if f.flush(); string(c.got) != "["+strings.Repeat("-", positionWidth)+" 8]\n" {
		t.Errorf("it got %q", c.got)
	}
	if n := f.hub.Untold(); n != 2 {
		t.Errorf("%d clients were counted", n)
	}
}

// While a track is being built the room begins anew: nobody gets what was kept before, be it that
// something was published since the track was opened or not.
func TestResetDuringABuild(t *testing.T) {
	for published := range uint64(3) {
		f := newFollower(t, History{Messages: 100})
		if err := f.hub.Make("r"); err != nil {
			t.Fatal(err)
		}
		f.fill("r", "epoch001", 0, 1, 2, 3)
		b := f.room("r").beginBuild(lines)
		if b.next(); b.encode() == 0 {
			t.Fatal("nothing was encoded")
		}
		for i := range published {
			f.append("r", 4+i)
		}
		f.hub.Reset("r", "epoch002")
		f.fill("r", "epoch002", 4, 5, 6)
		for b.goOn(buildSlice) {
		}
		b.end()
		c := f.mustTell(0, "r", lines, Start{Earliest: true})
		if f.flush(); string(c.got) != lineOf("epoch002", 5)+lineOf("epoch002", 6) {
			t.Errorf("%d published meanwhile: it got %q", published, c.got)
		}
	}
}

func TestOnRoomHearsOfRoomsInTheirOrder(t *testing.T) {
	f := newFollower(t, History{Messages: 100, Age: time.Hour})
	c := f.mustTell(0, "no", asIs, Start{})
	c.Leave()
	if err := f.hub.Make("no"); err != nil { // Nothing is kept there.
		t.Fatal(err)
	}
	_, _, _ = f.tell(0, "r", asIs, Start{})
	f.fill("r", "epoch001", 0, 1, 2)
	f.hub.Expire(f.now)
	f.now += graceTime
	f.hub.Expire(f.now) // It keeps two messages, which are kept elsewhere.
	f.append("r", 3)    // Nobody is there.
	if want := []string{"no true", "no false", "r true", "r false"}; !slices.Equal(f.heard, want) {
		t.Errorf("it heard %q", f.heard)
	}
}

// A publisher's turn and its vote go by what Append is to bring.
func TestPublishedCountsForTheTurn(t *testing.T) {
	f, all := newLine(t, 2)
	f.flush()
	all[0].Published(leaseBytes)
	if !all[0].AwaitRoom() {
		t.Error("it goes on behind its turn")
	}
}
