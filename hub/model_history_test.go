package hub

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"
)

// placeWidth is that of the tests' places for positions: four digits of the epoch and an offset.
const placeWidth = 4 + 8

func putPlace(place []byte, p Position) {
	if p.Epoch == "" {
		copy(place, bytes.Repeat([]byte{'-'}, placeWidth))
		return
	}
	copy(place, p.Epoch)
	binary.BigEndian.PutUint64(place[4:], p.Offset)
}

// A keptMessage is what the model knows of a message that its room was to keep.
type keptMessage struct {
	offset   uint64 // that of the one before it, if it has none
	isAbsent bool
	at       time.Duration
	size     int64 // of its record
	source   Source
}

func (m *model) historyOf(room string) History {
	if room == "b" {
		return History{}
	}
	return m.keeps
}

func (m *model) options() Options {
	o := Options{Limits: m.limits, Encodings: testEncodings}
	if m.keeps != (History{}) {
		o.HistoryOf = m.historyOf
		o.NewEpoch = func() string { m.epochs++; return fmt.Sprintf("%04d", m.epochs) }
		o.Restore = func(_ string, r *Record) Encoder {
			size := len(r.Payload) - frameHead
			return messageOf(string(r.Sender), uint64(binary.BigEndian.Uint32(r.Payload[4:])), size, r.Kind == 1)
		}
	}
	return o
}

// messageOf is a message with all of its frames but for their positions.
func messageOf(room string, seq uint64, size int, isDeflated bool) *Message {
	plain := frame(seq, size, 'p')
	placed := frame(seq, placeWidth+size, 'o')
	bundled := frame(seq, 1+size, 'b')
	bundled[frameHead] = room[0]
	m := &Message{
		Bundled: Frame{Head: bundled[:frameHead], Payload: bundled[frameHead:]},
		Plain:   Frame{Head: plain[:frameHead], Payload: plain[frameHead:]},
		Placed:  Frame{Head: placed[:frameHead+placeWidth], Payload: placed[frameHead+placeWidth:], PositionAt: frameHead},
		source:  Source{Payload: plain, Sender: room, ID: fmt.Sprint(seq)},
	}
	if isDeflated {
		short := frame(seq, size/3, 'd')
		m.Deflated = Frame{Head: short[:frameHead], Payload: short[frameHead:]}
		m.source.Kind = 1
	}
	return m
}

// framesOf are the frames that members of the story are to get of that message.
func framesOf(s *story, seq uint64, size int, isDeflated bool) (all [numTracks][]byte) {
	m := messageOf(s.room.name, seq, size, isDeflated)
	all[Plain] = slices.Concat(m.Plain.Head, m.Plain.Payload)
	if all[Deflated] = all[Plain]; isDeflated {
		all[Deflated] = slices.Concat(m.Deflated.Head, m.Deflated.Payload)
	}
	var p Position
	if len(s.kept) > 0 {
		p = Position{s.room.Epoch(), s.kept[seq-1].offset}
	}
	all[Bundled] = slices.Concat(m.Bundled.Head, m.Bundled.Payload)
	putPlace(m.Placed.Head[frameHead:], p)
	all[Placed] = slices.Concat(m.Placed.Head, m.Placed.Payload)
	return all
}

// sizeOf is what a message counts for its publisher: its largest frame of those in use.
func (s *story) sizeOf(msg *Message) (n int) {
	for e := range tracksOf(s.room.log.inUse) {
		f := Frame{Payload: msg.source.appendHead(slices.Clone(msg.source.Payload))}
		if e != source {
			if f = msg.Encode(e); f.len() == 0 {
				f = msg.Plain
			}
		}
		n = max(n, f.len())
	}
	return n
}

// last is the offset of the last message that has one.
func (s *story) last() uint64 {
	if len(s.kept) == 0 {
		return 0
	}
	return s.kept[len(s.kept)-1].offset
}

// keep gives a message an offset, now and then another than the next one, or none.
func (m *model) keep(s *story, msg *Message) {
	k := keptMessage{offset: s.last() + 1, at: m.now}
	switch rapid.IntRange(0, 9).Draw(m.t, "offset") {
	case 0:
		msg.source.HasNoOffset, k.isAbsent = true, true
		k.offset = s.last()
	case 1, 2:
		k.offset += uint64(rapid.IntRange(0, 5).Draw(m.t, "jump"))
		msg.source.Offset = k.offset
	}
	k.size = int64(len(msg.source.appendHead(nil)) + len(msg.source.Payload))
	k.source = msg.source
	k.source.Offset = k.offset
	s.kept = append(s.kept, k)
}

// joinAt joins, unless it would take a build.
func (m *model) joinAt(fan int, room string, e Encoding, start Start) {
	c := &client{now: &m.now, room: -1}
	j, err := m.fans[fan].Join(m.now, room, e, start, &c.Member, c)
	if err == ErrNotBuilt {
		m.beginBuild(room, e)
		return
	}
	if err != nil {
		m.t.Fatal(err)
	}
	l := m.follow(c, room, e, false)
	m.holdToStory(l, start, j)
	l.isHeld = start.IsHeld
}

func (m *model) beginBuild(room string, e Encoding) {
	if r, _ := m.hub.Room(room); r.log.history.building == nil {
		m.builds = append(m.builds, r.beginBuild(e))
	}
}

// holdToStory holds what a member was told about where it begins to what was published.
func (m *model) holdToStory(l *listener, start Start, j Joined) {
	s, end := l.story, uint64(len(l.story.frames))+1
	if s.room.log.history == nil {
		asked := start.Since.Epoch != "" || start.Last > 0 || start.Earliest
		if j.Position != (Position{}) || j.Messages != 0 || (j.Answer == NoHistory) != asked || (j.Answer == Live) == asked {
			m.t.Fatalf("a room without history answers %+v to %+v", j, start)
		}
		return
	}
	l.next = end - j.Messages
	s.owed += j.Messages
	before := uint64(0)
	if l.next > 1 {
		before = s.kept[l.next-2].offset
	}
	if j.Position != (Position{s.room.Epoch(), before}) {
		m.t.Fatalf("it begins behind %+v and has %d messages to get, of %d", j.Position, j.Messages, end-1)
	}
	m.holdToLimits(s, l.next)
	asked, a := m.find(s, start)
	first := max(asked, m.keptFrom(s)) // What is before that may be there, because segments are dropped whole.
	isRight := j.Answer == a && l.next == asked
	switch {
	case a != Recovered:
	case start.Since.Epoch == "":
		isRight = j.Answer == Recovered && l.next >= asked && (l.next <= first || m.isFull)
	case j.Answer == TooOld:
		isRight = l.next == end && (asked < first || m.isFull)
	}
	if !isRight {
		m.t.Fatalf("to %+v a room with %d messages answers %+v; %v and from %d on was asked, and those from %d on are kept", start, end-1, j, a, asked, first)
	}
}

// find is where a member begins that asks for start, and the answer, if the room keeps everything.
func (m *model) find(s *story, start Start) (from uint64, a Answer) {
	end := uint64(len(s.frames)) + 1
	switch at := start.Since; {
	case at.Epoch == "" && start.Last > 0:
		return end - min(end-1, uint64(start.Last)), Recovered
	case at.Epoch == "" && start.Earliest:
		return 1, Recovered
	case at.Epoch == "":
		return end, Live
	case at.Epoch != s.room.Epoch():
		return end, WrongEpoch
	case at.Offset > s.last():
		return end, BeyondEnd
	default:
		for i, k := range s.kept {
			if k.offset > at.Offset || k.offset == at.Offset && k.isAbsent {
				return uint64(i) + 1, Recovered
			}
		}
		return end, Recovered
	}
}

// keptFrom is the number of the first message that the room has to have, if memory is not short.
func (m *model) keptFrom(s *story) uint64 {
	from, bytes := uint64(len(s.kept))+1, int64(0)
	for from > s.clear+1 {
		k := &s.kept[from-2]
		if bytes += k.size; m.keeps.Bytes > 0 && bytes > m.keeps.Bytes {
			break
		}
		if n := len(s.kept) - int(from-2); m.keeps.Messages > 0 && n > m.keeps.Messages {
			break
		}
		if m.keeps.Age > 0 && m.expired-k.at >= m.keeps.Age {
			break
		}
		from--
	}
	return from
}

// holdToLimits holds the number of the first message that somebody gets to what no room may give.
func (m *model) holdToLimits(s *story, first uint64) {
	end := uint64(len(s.frames)) + 1
	if first == end {
		return
	}
	k := &s.kept[first-1]
	if first <= s.clear || m.keeps.Messages > 0 && end-first > uint64(m.keeps.Messages) || m.keeps.Age > 0 && m.expired-k.at >= m.keeps.Age {
		m.t.Fatalf("message %d of %d is still given, %v old at the last look, and up to %d were removed", first, end-1, m.expired-k.at, s.clear)
	}
}

// anyStart is somewhere in the room's story, or not.
func (m *model) anyStart(t *rapid.T, room string) (start Start) {
	start.IsHeld = rapid.IntRange(0, 4).Draw(t, "held") == 0
	s := m.rooms[room]
	switch rapid.IntRange(0, 5).Draw(t, "start") {
	case 0:
		start.Earliest = true
	case 1:
		start.Last = rapid.IntRange(1, 30).Draw(t, "last")
	case 2, 3, 4:
		start.Since = Position{"else", 3}
		if s != nil && s.room.log.history != nil && rapid.IntRange(0, 5).Draw(t, "same epoch") > 0 {
			last := int(s.last())
			start.Since = Position{s.room.Epoch(), uint64(rapid.IntRange(max(0, last-30), last+1).Draw(t, "since"))}
		}
	}
	return start
}

// addHistory adds what is done to rooms that keep messages.
func (m *model) addHistory(all map[string]func(*rapid.T)) {
	room := rapid.SampledFrom([]string{"a", "a", "a", "b"})
	joinAt := func(t *rapid.T) {
		name, e := room.Draw(t, "room"), rapid.SampledFrom([]Encoding{Plain, Deflated, Placed}).Draw(t, "track")
		if len(m.all) < 80 {
			m.joinAt(rapid.IntRange(0, 1).Draw(t, "loop"), name, e, m.anyStart(t, name))
		}
	}
	all["join at"], all["join at a place"] = joinAt, joinAt
	build := func(t *rapid.T) {
		if len(m.builds) > 0 {
			m.goOnBuilding(rapid.IntRange(0, len(m.builds)-1).Draw(t, "build"), rapid.SampledFrom([]int{1, 1000, 1 << 30}).Draw(t, "slice"))
		}
	}
	all["build"], all["build on"] = build, build
	all["release"] = func(t *rapid.T) {
		for _, l := range m.all {
			if l.isHeld && l.pipe == nil && rapid.Bool().Draw(t, "it") {
				l.isHeld = false
				l.open(-1)
			}
		}
	}
	all["expire"] = func(t *rapid.T) {
		m.now += rapid.SampledFrom([]time.Duration{0, time.Second, 11 * time.Second, graceTime}).Draw(t, "time")
		m.expire()
	}
	all["clear"] = func(t *rapid.T) {
		if s := m.rooms["a"]; s != nil && rapid.IntRange(0, 3).Draw(t, "it") == 0 {
			s.room.Clear()
			s.clear = uint64(len(s.frames))
		}
	}
	all["read"] = func(t *rapid.T) {
		if s := m.rooms["a"]; s != nil && !s.room.isClosed {
			m.read(t, s)
		}
	}
	memory := all["memory"]
	all["memory"] = func(t *rapid.T) {
		memory(t)
		m.isFull = true
		m.total = m.hub.backlog.limit.Load()
	}
	open := all["open"]
	all["open"] = func(t *rapid.T) {
		for _, l := range m.all { // What is held takes nothing.
			if l.isHeld && l.pipe == nil && l.IsIn() {
				return
			}
		}
		open(t)
	}
}

func (m *model) expire() {
	m.expired = m.now
	m.hub.Expire(m.now)
}

func (m *model) goOnBuilding(i, slice int) {
	b := m.builds[i]
	if !b.goOn(slice) {
		b.end()
		m.builds = slices.Delete(m.builds, i, i+1)
	}
}

func (m *model) endBuilds() {
	for len(m.builds) > 0 {
		m.goOnBuilding(0, 1<<30)
	}
}

// clearAll ends the rooms that are there only for what they keep.
func (m *model) clearAll() {
	for _, s := range m.rooms {
		s.room.Clear()
	}
	m.expire()
	m.now += graceTime
	m.expire()
}

// read pages through what is kept from somewhere on.
func (m *model) read(t *rapid.T, s *story) {
	start := m.anyStart(t, "a")
	limit, most := rapid.IntRange(1, 10).Draw(t, "limit"), rapid.SampledFrom([]int64{1, 1000, 1 << 20}).Draw(t, "bytes")
	p := s.room.Read(start, limit, most)
	for n := 0; ; n++ {
		if len(p.Records) > limit || n > len(s.kept) {
			t.Fatalf("%d records, %d pages", len(p.Records), n)
		}
		if p.Answer != Recovered {
			if asked, a := m.find(s, start); a == Recovered && asked >= m.keptFrom(s) && !m.isFull {
				t.Fatalf("%+v is kept, and the answer %v", start, p.Answer)
			}
			return
		}
		for _, r := range p.Records {
			i := slices.IndexFunc(s.kept, func(k keptMessage) bool { return k.offset == r.Offset && !k.isAbsent })
			if want := s.kept[i].source; r.Sender != want.Sender || r.ID != want.ID || r.Kind != want.Kind || !bytes.Equal(r.Payload, want.Payload) {
				t.Fatalf("record %d is %+v", r.Offset, r)
			}
			if n == 0 {
				m.holdToLimits(s, uint64(i)+1)
			}
			// All between it and the one before are without a position.
			if before := slices.IndexFunc(s.kept, func(k keptMessage) bool { return k.offset == start.Since.Offset }); start.Since.Epoch != "" && before >= 0 {
				for _, k := range s.kept[before+1 : i] {
					if !k.isAbsent {
						t.Fatalf("since %d comes %d, and %d is between them", start.Since.Offset, r.Offset, k.offset)
					}
				}
			}
			start.Since = Position{s.room.Epoch(), r.Offset}
		}
		if !p.HasMore {
			if p.Offset != p.End.Offset || p.End.Offset != s.last() {
				t.Fatalf("the last page ends at %d of %d, want %d", p.Offset, p.End.Offset, s.last())
			}
			return
		}
		p = s.room.Read(Start{Since: p.Position}, limit, most)
	}
}

// checkKept holds what rooms keep, and what is built of it, to their bounds, and tells whether
// publishers have to wait for them.
func (m *model) checkKept() (mustBeShort, mayBeShort bool) {
	var memory, dropped, building, catching int64
	for _, s := range m.rooms {
		n := int64(0)
		for _, l := range m.all {
			if l.IsIn() && l.Room() == s.room && l.IsCatchingUp() {
				n++
			}
		}
		catching += n
		if s.room.log.history == nil || s.room.isClosed {
			continue
		}
		all, of := s.room.log.memory()
		memory, dropped = memory+all, dropped+of
		st := s.room.Stats()
		if st.Position != (Position{s.room.Epoch(), s.last()}) || st.CatchingUp != int(n) || int(st.Kept) > len(s.kept) || m.keeps.Messages > 0 && int(st.Kept) > m.keeps.Messages {
			m.t.Fatalf("%d of %d messages are kept, up to %+v; %d members are catching up, by its count %d", st.Kept, len(s.kept), st.Position, n, st.CatchingUp)
		}
		if first := m.keptFrom(s); !m.isFull && uint64(len(s.kept))+1-first > st.Kept {
			m.t.Fatalf("%d messages are kept, want those from %d of %d on", st.Kept, first, len(s.kept))
		}
	}
	for _, b := range m.builds {
		building += b.memory
		if t := b.room.log.tracks[source]; !b.room.isClosed && b.reads > 0 && b.reads < t.first.base {
			m.t.Fatal("what is being built of is not counted")
		}
	}
	h := m.hub.Histories()
	if h.Memory != memory+building || h.CatchingUp != catching {
		m.t.Fatalf("rooms with history take %d bytes, and %d are being built; %d members are catching up. By the hub's count %+v", memory, building, catching, h)
	}
	if h.Memory-dropped > max(h.Limit, building) {
		m.t.Fatalf("rooms with history retain %d bytes, the limit is %d", h.Memory-dropped, h.Limit)
	}
	return dropped > 0 && h.Memory > h.Limit, dropped > 0
}

// keptBound is what a room may take for what it keeps.
func (m *model) keptBound(r *Room) int64 {
	if r.log.history == nil {
		return 0
	}
	const largest = frameHead + placeWidth + 500 + recordHead + 20
	n := int64(m.keeps.Messages)
	if most := m.keeps.Bytes/(recordHead+frameHead+8) + 1; m.keeps.Bytes > 0 && (n == 0 || most < n) {
		n = most
	}
	return 2 * largest * n * int64(numTracks+1)
}
