package hub

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A model is a hub under random joins, leaves, publishes, partial writes, stalls and recoveries,
// beside what a naive reader of this package's comments expects of it. Everything is tiny, so that
// every bound is met.
type model struct {
	*fixture
	t      *rapid.T
	policy Policy
	limits Limits
	rooms  map[string]*story
	ever   []*story // rooms that are gone included
	all    []*listener
	pipes  []*pipe
	missed uint64 // messages that members had to skip
	total  int64  // what all rooms may retain at present

	keeps   History // rooms' but that of b
	builds  []*build
	epochs  int
	expired time.Duration // when Expire was called last
	isFull  bool          // kept messages may be lost: there is little memory
}

// A story is what was published in a room since it was made.
type story struct {
	room   *Room
	frames [][numTracks][]byte // by number, from 1
	owed   uint64              // messages, times the members that were there
	got    uint64              // whole messages that came to members
	line   []*listener         // those that asked, have to wait and have not been resumed, in that order
	kept   []keptMessage       // by number, from 1, if the room keeps some
	clear  uint64              // number of the last message that was removed by Clear
}

var tiny = Limits{Backlog: 4 << 10, Window: 1 << 10, Total: 6 << 10, Pinned: 700, Turn: 1000, LongTurn: 2500}

const frameHead = 8 // 4 bytes of length, 4 of number

func newModel(t *rapid.T, policy Policy, l Limits, keeps History) *model {
	m := &model{t: t, policy: policy, limits: l, rooms: map[string]*story{}, total: l.Total, keeps: keeps}
	m.fixture = newFixtureOf(t, m.options())
	m.fixture.policy = policy
	m.now = time.Minute
	m.transport.isLate = rapid.Bool().Draw(t, "late answers")
	for range rapid.SampledFrom([]int{0, 0, 40}).Draw(t, "good members") { // Enough for a round to end in its middle.
		m.join(0, "a", Plain)
	}
	return m
}

// join joins at the end, unless it would take a build.
func (m *model) join(fan int, room string, t Encoding) {
	m.joinAt(fan, room, t, Start{})
}

func (m *model) speak(fan int, room string) {
	m.follow(m.fixture.speak(fan, room), room, Deflated, true)
}

func (m *model) follow(c *client, room string, t Encoding, isSpeaker bool) *listener {
	return m.followAs(&c.Member, c, room, t, isSpeaker)
}

func (m *model) followAs(member *Member, c *client, room string, t Encoding, isSpeaker bool) *listener {
	s := m.storyOf(room, member.Room())
	l := &listener{Member: member, client: c, m: m, story: s, track: t, next: uint64(len(s.frames)) + 1, isSpeaker: isSpeaker}
	m.all = append(m.all, l)
	return l
}

// storyOf is that of a room, begun if it is another than before.
func (m *model) storyOf(name string, r *Room) *story {
	s := m.rooms[name]
	if s == nil || s.room != r {
		s = &story{room: r}
		m.rooms[name] = s
		m.ever = append(m.ever, s)
	}
	return s
}

// frame is a whole frame with this number, of this many bytes; what it is filled with tells the
// tracks apart.
func frame(seq uint64, size int, fill byte) []byte {
	p := bytes.Repeat([]byte{fill ^ byte(seq)}, frameHead+size)
	binary.BigEndian.PutUint32(p, uint32(len(p)))
	binary.BigEndian.PutUint32(p[4:], uint32(seq))
	return p
}

// publish sends a message from a member or, if that has none, from outside of all loops.
func (m *model) publish(room string, by *listener, size int, isDeflated bool) {
	s := m.rooms[room]
	if m.historyOf(room) != (History{}) && by == nil && !m.hub.IsShort() {
		r, err := m.hub.roomOrNew(room) // A message makes it; the model wants to know of it before.
		if err != nil {
			m.t.Fatal(err)
		}
		s = m.storyOf(room, r)
	} else if s == nil || s.room.Stats().Members == 0 {
		return
	}
	if m.hub.IsShort() {
		return
	}
	if by != nil && by.mustWait() || by == nil && s.room.IsFull() {
		return
	}
	seq := uint64(len(s.frames)) + 1
	msg := messageOf(room, seq, size, isDeflated)
	if s.room.log.history != nil {
		m.keep(s, msg)
	}
	s.frames = append(s.frames, framesOf(s, seq, size, isDeflated))
	for _, l := range m.all {
		if l.story == s && l.IsIn() && !l.isSpeaker {
			s.owed++
		}
	}
	var got uint64
	if by != nil {
		m.said(by, s.sizeOf(msg))
		got = by.Publish(m.now, msg)
	} else {
		got = s.room.Publish(nil, m.now, msg)
	}
	if got != seq {
		m.t.Fatalf("message %d got number %d", seq, got)
	}
}

func (m *model) pick() *listener {
	in := slices.DeleteFunc(slices.Clone(m.all), func(l *listener) bool { return !l.IsIn() })
	if len(in) == 0 {
		return nil
	}
	return rapid.SampledFrom(in).Draw(m.t, "member")
}

func (m *model) actions() map[string]func(*rapid.T) {
	room := rapid.SampledFrom([]string{"a", "a", "b"})
	track := rapid.SampledFrom([]Encoding{Plain, Deflated, Placed})
	publish := func(t *rapid.T) {
		by := m.pick()
		name := room.Draw(t, "room")
		if by != nil && rapid.Bool().Draw(t, "inside") {
			name = by.story.room.name
		} else {
			by = nil
		}
		for range rapid.IntRange(1, 8).Draw(t, "times") {
			m.publish(name, by, rapid.IntRange(0, 500).Draw(t, "size"), rapid.Bool().Draw(t, "deflated"))
		}
	}
	flush := func(t *rapid.T) {
		step := rapid.SampledFrom([]time.Duration{0, time.Microsecond, time.Millisecond}).Draw(t, "clock")
		m.fans[rapid.IntRange(0, 1).Draw(t, "loop")].Flush(func() time.Duration { m.now += step; return m.now })
	}
	all := map[string]func(*rapid.T){
		"publish":      publish,
		"publish more": publish,
		"turn":         m.takeTurn,
		"turn again":   m.takeTurn,
		"hold":         m.hold,
		"flush":        flush,
		"flush again":  flush,
		"join": func(t *rapid.T) {
			if len(m.all) < 80 {
				m.join(rapid.IntRange(0, 1).Draw(t, "loop"), room.Draw(t, "room"), track.Draw(t, "track"))
			}
		},
		"join to speak": func(t *rapid.T) {
			if len(m.all) < 80 {
				m.speak(rapid.IntRange(0, 1).Draw(t, "loop"), room.Draw(t, "room"))
			}
		},
		"leave": func(t *rapid.T) {
			if l := m.pick(); l != nil {
				l.leave()
			}
		},
		"stall": func(t *rapid.T) {
			if l := m.pick(); l != nil {
				l.socket().room = rapid.IntRange(0, 600).Draw(t, "bytes")
			}
		},
		"own frame": func(t *rapid.T) { // is refused, whatever becomes of the room's
			if l := m.pick(); l != nil {
				if s := l.socket(); !s.IsBlocked() && s.CanSendOwn() {
					s.room = 0
					s.Block(m.now)
				}
			}
		},
		"answer": func(t *rapid.T) {
			if n := len(m.transport.due); n > 0 {
				m.transport.answer(rapid.IntRange(0, n-1).Draw(t, "delivery"))
			}
		},
		"open": func(t *rapid.T) {
			if l := m.pick(); l != nil && l.socket().IsBlocked() {
				l.open(rapid.SampledFrom([]int{-1, 1, 10, 300, 2000}).Draw(t, "bytes"))
			}
		},
		"kernel": func(t *rapid.T) { // says something else than before of what a client took, true or not
			if l := m.pick(); l != nil {
				l.socket().queued = int64(rapid.IntRange(0, 5000).Draw(t, "queued"))
				l.socket().means = rapid.SampledFrom([]Queued{QueuedBytes, QueuedMemory, QueuedUntold}).Draw(t, "means")
			}
		},
		"wait": func(t *rapid.T) {
			m.now += rapid.SampledFrom([]time.Duration{time.Millisecond, 400 * time.Millisecond, 3 * time.Second}).Draw(t, "time")
		},
		"memory": func(t *rapid.T) {
			total := rapid.SampledFrom([]int64{0, m.limits.Total / 6, m.limits.Total / 2, 1 << 50}).Draw(t, "total")
			m.total = min(total, m.limits.Total)
			m.hub.Tighten(total)
			m.hub.SaveMemory(rapid.Bool().Draw(t, "low memory"))
		},
		"": func(*rapid.T) { m.check() },
	}
	if m.keeps != (History{}) {
		m.addHistory(all)
	}
	m.addBundles(all)
	return all
}

// heal lets every client take whatever waits for it: all of them must come to the end of their
// rooms.
func (m *model) heal() {
	for _, s := range m.rooms {
		s.room.Hold(false)
	}
	m.check()
	m.transport.answerAll()
	m.flush()
	m.now += watchEvery
	m.flush()
	m.checkBrakes()
	for range 3 { // Longer than any vote.
		m.outvote()
	}
	for range 2 { // What is watched comes to its turn.
		m.now += watchEvery
		m.flush()
	}
	m.check()
	for name, s := range m.rooms {
		if s.room.IsFull() && s.room.Stats().Members > 0 {
			m.t.Fatalf("publishers wait in room %s, in which nobody moves", name)
		}
	}
	m.endBuilds()
	for _, l := range m.all {
		l.socket().room = -1
		switch {
		case l.isHeld && l.pipe != nil:
			l.isHeld = false
			if l.IsIn() {
				l.release()
			}
		case l.isHeld:
			l.isHeld = false
			l.open(-1)
		}
	}
	m.endLines()
	for range 3 {
		m.flush()
		for _, l := range m.all {
			if l.look(); l.IsIn() && l.socket().IsBlocked() {
				l.open(-1)
			}
		}
		for _, p := range m.pipes {
			if p.IsIn() && p.IsBlocked() {
				p.open(-1)
			}
		}
		m.now += time.Second
	}
	m.flush()
	m.check()
	for _, l := range m.all {
		if !l.IsIn() || l.isSpeaker && len(l.got) == 0 && !l.IsBlocked() {
			continue
		}
		if l.mayJump && l.cursor.seq() > l.next { // Memory was too short to keep even the last message.
			l.miss(l.cursor.seq())
		}
		if last := uint64(len(l.story.frames)); l.next != last+1 || l.IsBlocked() || l.read != len(l.got) {
			m.t.Fatalf("a member waits for message %d of %d, blocked %v", l.next, last, l.IsBlocked())
		}
		if l.story.room.IsFull() || l.lineState.mustWait() || len(l.story.line) > 0 {
			m.t.Fatal("a room in which everybody is caught up makes its publishers wait")
		}
	}
	if m.hub.Pinned() > 0 {
		// Only members that were made to leave may still be owed something.
		for _, l := range m.all {
			l.rest.Release()
		}
		for _, p := range m.pipes {
			p.rest.Release()
		}
		if n := m.hub.Pinned(); n != 0 {
			m.t.Fatalf("%d bytes are pinned for nobody", n)
		}
	}
	for _, l := range m.all {
		l.Leave()
		l.rest.Release()
	}
	for _, p := range m.pipes {
		if p.finished > 1 || p.bundle.isFinishing && p.IsIn() {
			m.t.Fatalf("a client that takes everything was told %d times that it has all", p.finished)
		}
		if p.rest.Release(); p.IsIn() && (p.IsBlocked() || p.CanSendOwn() && p.read != len(p.got)) {
			m.t.Fatalf("a client that takes everything is blocked: %v; %d of %d bytes make whole frames", p.IsBlocked(), p.read, len(p.got))
		}
		p.Leave()
	}
	if m.check(); slices.ContainsFunc(m.ever, func(s *story) bool { a := s.room.Account(); return a.Due() != 0 }) {
		m.t.Fatal("all have left, and something is due")
	}
	m.clearAll()
	if n, kept := m.hub.Rooms(), m.hub.Retained(); n != 0 || kept != 0 {
		m.t.Fatalf("%d rooms and %d retained bytes are left", n, kept)
	}
}

func TestRoomAgainstANaiveModel(t *testing.T) {
	for policy := range numPolicies {
		t.Run(policy.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				m := newModel(t, policy, tiny, History{})
				t.Repeat(m.actions())
				m.heal()
			})
		})
	}
}

// The same with rooms that keep messages, some so little memory for it that they lose them.
func TestRoomWithHistoryAgainstANaiveModel(t *testing.T) {
	for policy := range numPolicies {
		t.Run(policy.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				l := tiny
				l.History = rapid.SampledFrom([]int64{1 << 40, 1 << 40, 12 << 10}).Draw(t, "memory of histories")
				m := newModel(t, policy, l, rapid.SampledFrom([]History{
					{Messages: 20}, {Messages: 5, Bytes: 10 << 10, Age: time.Minute}, {Bytes: 8 << 10, Age: 10 * time.Second}, {Messages: 100, Bytes: 3 << 10},
				}).Draw(t, "history"))
				m.isFull = l.History < 1<<40
				t.Repeat(m.actions())
				m.heal()
			})
		})
	}
}

// Rooms without bounds that saves memory: what they let go of, nobody had yet to get.
func TestLowMemoryRoomsOverrunNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t, Disconnect, limits(1<<40, 1<<40), History{})
		m.hub.SaveMemory(true)
		actions := m.actions()
		delete(actions, "memory")
		actions[""] = func(*rapid.T) {
			for _, s := range m.rooms {
				s.room.log.largest = segmentMin // Or there would be too few segments to let go of.
			}
			m.check()
			for _, l := range m.all {
				if l.overruns > 0 {
					m.t.Fatalf("a member that waited for message %d was overrun", l.next)
				}
			}
		}
		t.Repeat(actions)
		m.heal()
	})
}
