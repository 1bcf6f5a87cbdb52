package hub

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// some is a message of some 500 bytes.
func some() *note { return say(strings.Repeat("x", 500)) }

// Rooms in which nobody is have no rounds that count what was dropped no longer: neither do they
// make others wait for that, nor take more than they keep.
func TestRoomsWithoutMembersStayWithinTheirBounds(t *testing.T) {
	l := keeping()
	l.History, l.Backlog = 256<<10, 64<<10
	k := newKeeper(t, l, History{Bytes: 1 << 20})
	for i := range 2000 {
		k.offer(fmt.Sprint("r", i%4), some())
	}
	if s := k.hub.Histories(); s.Memory > l.History || s.Drops == 0 {
		t.Errorf("%+v", s)
	}
	l.History = 64 << 20
	k = newKeeper(t, l, History{Bytes: 256 << 10, Age: time.Hour})
	for range 3000 {
		k.offer("r", some())
	}
	if n := k.hub.Retained(); n > 512<<10 {
		t.Errorf("a room that keeps 256 KiB takes %d bytes", n)
	}
	k = newKeeper(t, l, History{Age: time.Second})
	c := &client{now: &k.now, room: -1}
	if err := k.fans[0].JoinToSpeak("r", asIs, Start{}, &c.Member, c); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		for range 10 {
			k.offer("r", some())
		}
		k.now += 2 * time.Second
		k.hub.Expire(k.now)
	}
	if n := k.hub.Retained(); n != 0 || k.hub.Rooms() != 1 {
		t.Errorf("%d rooms that keep nothing, with one who speaks, take %d bytes", k.hub.Rooms(), n)
	}
}

// What is built counts once, when it comes to its place, too: nothing is dropped for it if all has
// room.
func TestBuildDropsNothingForItsOwnShadow(t *testing.T) {
	k := newKeeper(t, keeping(), History{Age: time.Hour})
	for range 2000 {
		k.offer("r", some())
	}
	before := k.hub.Histories()
	k.hub.histories.setLimit(before.Memory * 5 / 2) // Enough for the records and one encoding.
	k.hub.Build(context.Background(), "r", asIs)
	if s := k.hub.Histories(); s.Drops != 0 || s.Messages != before.Messages || s.Built != 1 {
		t.Errorf("%+v, before %+v", s, before)
	}
}

// The time of grace of an encoding begins when it was built, whenever one of that name was closed
// before.
func TestGraceBeginsAnewWithABuild(t *testing.T) {
	k := newKeeper(t, keeping(), History{Messages: 10})
	k.offer("r", say("1"))
	c, _ := k.begin(0, "r", asIs, Start{})
	c.Leave()
	k.hub.Expire(k.now)
	k.now += graceTime
	k.hub.Expire(k.now)
	k.now += time.Hour
	k.hub.Build(context.Background(), "r", asIs)
	k.hub.Expire(k.now)
	if _, err := k.fans[0].Join(k.now, "r", asIs, Start{}, &c.Member, c); err != nil {
		t.Error("what was just built is closed:", err)
	}
}

func TestNoOffsetFollowsTheLastOneThereIs(t *testing.T) {
	k := newKeeper(t, keeping(), History{Messages: 10})
	k.offer("r", &note{Source{Payload: []byte("a"), Offset: math.MaxUint64}})
	if p, err := Offer(k.hub, "r", k.now, say("b")); !errors.Is(err, ErrOffset) {
		t.Error(p, err)
	}
}

// A member that is to finish at once gets no more, wherever in its track it stands.
func TestWhoStandsInABuiltEncodingFinishesAtOnce(t *testing.T) {
	k := newKeeper(t, keeping(), History{Messages: 1000})
	for range 100 {
		k.offer("r", some())
	}
	c, _ := k.begin(0, "r", asIs, Start{Earliest: true, IsHeld: true})
	c.Finish(math.MinInt64)
	if k.flush(); len(c.got) > 0 || c.IsIn() {
		t.Errorf("it got %d bytes more", len(c.got))
	}
	c, _ = k.begin(0, "r", asIs, Start{Earliest: true})
	c.Finish(c.End())
	if k.flush(); len(c.got) != 50_000 || c.IsIn() {
		t.Errorf("it got %d bytes of what it was owed", len(c.got))
	}
}

// asking clients hear where they go on, and may leave then.
type asking struct {
	client
	missed uint64
	at     []Position
	leaves bool
}

func (a *asking) Rejoined(missed uint64, at Position) {
	a.missed = missed
	if a.at = append(a.at, at); a.leaves {
		a.Leave()
	}
}

// Segments end at other numbers in each track. A member that rejoins is told what its next message
// really follows.
func TestWhoRejoinsGoesOnBehindWhatItIsTold(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		l := keeping()
		l.Backlog = 16 << 10
		k := newKeeper(t, l, History{Messages: 1})
		k.policy = Skip
		c := &asking{client: client{now: &k.now}, leaves: leaves}
		if _, err := k.fans[0].Join(k.now, "r", asIs, Start{}, &c.Member, c); err != nil {
			t.Fatal(err)
		}
		log := &c.Room().log
		for i := 1; i < 3000 && !(c.cursor.isOverrun() && log.tracks[asIs].oldest.Load().first < log.tracks[source].oldest.Load().first); i++ {
			c.Room().Publish(k.fans[0], k.now, &note{Source{Payload: fmt.Appendf(nil, "<%d>", i), ID: strings.Repeat("i", 120)}})
			k.flush()
		}
		c.rest.Release()
		c.room = -1
		c.Ready()
		if k.flush(); len(c.at) != 1 || c.missed == 0 {
			t.Fatal(c.at, c.missed)
		}
		if first := fmt.Sprintf("<%d>", c.at[0].Offset+1); leaves != (len(c.got) == 0) || !leaves && !strings.HasPrefix(string(c.got), first) {
			t.Errorf("it goes on behind %v, and gets %.20q", c.at[0], c.got)
		}
	}
}

// The last member leaves in the middle of a round, and the room ends with it: the round ends all
// the same.
func TestRoundEndsBehindItsRoom(t *testing.T) {
	k := newKeeper(t, keeping(), History{Age: time.Second})
	k.hub.SaveMemory(true)
	c, _ := k.begin(0, "r", asIs, Start{})
	c.leavesAt = 1
	k.offer("r", say("x"))
	k.room("r").Clear()
	k.flush()
	k.hub.Expire(k.now)
	k.now += graceTime
	if k.hub.Expire(k.now); c.IsIn() || k.hub.Rooms() != 0 {
		t.Errorf("%d rooms are left", k.hub.Rooms())
	}
}

// All rooms had too much while an encoding was built, and its track has dropped what the chain was
// to come before, though older messages are kept: it is built anew.
func TestBuildIsMadeAnewWhenItsTrackHasDropped(t *testing.T) {
	l := keeping()
	k := newKeeper(t, l, History{Bytes: 10 << 20})
	for range 1500 {
		k.offer("r", say(strings.Repeat("x", 100)))
	}
	r := k.room("r")
	b := r.beginBuild(asIs)
	for b.next() && b.frames < 100 {
		b.encode()
	}
	for range 1000 { // Others publish meanwhile.
		k.offer("r", say(strings.Repeat("x", 100)))
	}
	for b.track.oldest.Load() == b.first { // Others come, byte by byte.
		k.hub.histories.setLimit(k.hub.histories.retained + k.hub.histories.pinned.Load() - 1)
		k.hub.fitFromOutside()
	}
	k.hub.histories.setLimit(l.History)
	for b.goOn(buildSlice) {
	}
	b.end()
	kept := r.Stats().Kept
	if c, j := k.begin(0, "r", asIs, Start{Earliest: true}); j.Messages < kept {
		t.Errorf("%+v: %d messages are kept", j, kept)
	} else if k.flush(); uint64(len(c.got)) != 100*j.Messages {
		t.Errorf("it got %d bytes of %d messages", len(c.got), j.Messages)
	}
}

// A build for which nobody waits any more ends, and leaves the encoding to the next one who asks.
func TestBuildEndsWithItsContext(t *testing.T) {
	k := newKeeper(t, keeping(), History{Messages: 5000})
	for range 2000 {
		k.offer("r", some())
	}
	ctx, cancel := context.WithCancel(t.Context())
	restore, n := k.hub.restore, 0
	k.hub.restore = func(room string, r *Record) Encoder {
		if n++; n == 300 {
			cancel()
		}
		return restore(room, r)
	}
	k.hub.Build(ctx, "r", asIs)
	if memory, _ := k.room("r").log.memory(); n > 600 || k.hub.Histories().Built != 0 || k.hub.Histories().Memory != memory {
		t.Errorf("%d were made; %+v, the room takes %d", n, k.hub.Histories(), memory)
	}
	k.hub.Build(ctx, "r", asIs)
	if _, j := k.begin(0, "r", asIs, Start{Earliest: true}); n > 2600 || j.Messages != 2000 {
		t.Errorf("%d were made; %+v", n, j)
	}
}

// A room that has become quiet keeps no segment for what may come.
func TestQuietRoomWithHistoryKeepsNoSpare(t *testing.T) {
	k := newKeeper(t, keeping(), History{Messages: 5000})
	k.offer("r", some())
	r := k.room("r")
	for r.log.tracks[source].spare == nil {
		k.offer("r", some())
	}
	k.hub.Expire(k.now)
	before := r.Stats()
	if k.hub.Expire(k.now); r.Stats().Memory >= before.Memory || r.Stats().Kept != before.Kept || r.log.tracks[source].spare != nil {
		t.Errorf("%d bytes, before %d", r.Stats().Memory, before.Memory)
	}
	k.offer("r", some())
	if s := r.log.tracks[source].spare; s != nil && len(s.data) > segmentMin {
		t.Errorf("one message makes a segment of %d bytes", len(s.data))
	}
}
