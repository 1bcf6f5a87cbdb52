package hub

import (
	"crypto/rand"
	"sort"
	"strings"
	"sync/atomic"
	"time"
)

// A History says what a room keeps for those who come later, whoever reads it now: whatever is
// within all of the limits. A limit of zero is none; the zero History keeps nothing.
type History struct {
	Messages int
	Bytes    int64 // of records: payloads, and 34 bytes and more of each for its head
	Age      time.Duration
}

func (h History) isNone() bool { return h == History{} }

// A history is what a room knows of what it keeps. The records themselves are the log's source
// track, which is open for as long as the room is there:
//
//	oldest        floor, next − Messages        next
//	  [ dropped later │ read by who asks           ]
//
// Segments are dropped whole, and all tracks together; reading is cut at the message. It is guarded
// by the room's lock, but for what never changes: whether a log has one.
type history struct {
	epoch  string
	limits History
	floor  uint64 // number of the first message that may be read: those before are too old, or removed
	last   mark   // of the last message
	lost   mark   // of the last message that the log has dropped

	filling  filling
	provedTo uint64        // as Proved said
	resets   atomic.Uint32 // times that members were to be told that the room has begun anew …
	resetAt  Position      // … and where that was the last time

	building    *build                   // nil: nobody builds a track
	unusedSince [tracksMax]time.Duration // when tracks were first seen without readers; zero: it has some, or was not
	expiredAt   uint64                   // number of the next message when Expire came last
	emptySince  time.Duration            // when the room was first seen without anybody and anything; zero: it is not
	catchingUp  atomic.Int32             // members
	weight      int64                    // guarded by the hub's histories: which room drops first
}

// newEpoch is random: nobody can have seen it before.
func newEpoch() string { return strings.ToLower(rand.Text()[:8]) }

// readFrom is the number of the first message that may be read. Only a log with history is asked.
func (l *log) readFrom() uint64 {
	h, t := l.history, l.tracks[source]
	if h.limits.isNone() || !t.isOpen() { // The room has ended.
		return l.next
	}
	from := max(h.floor, t.oldest.Load().first)
	if n := uint64(h.limits.Messages); n > 0 && l.next-from > n {
		from = l.next - n
	}
	return from
}

// isEmpty reports whether nothing is kept that may be read.
func (l *log) isEmpty() bool { return l.history == nil || l.readFrom() == l.next }

// needFrom is the number of the first message that has to be kept for the history.
func (l *log) needFrom() uint64 {
	from := l.readFrom()
	if most := l.history.limits.Bytes; most > 0 && from < l.next {
		t := l.tracks[source]
		s := t.oldest.Load()
		for next := s.next.Load(); next != nil && t.end.Load()-next.base >= most; next = s.next.Load() {
			s = next
		}
		from = max(from, s.first)
	}
	return from
}

// lose notes what the log drops with a segment of the source track.
func (h *history) lose(s *segment) {
	if frames, _ := s.load(); frames > s.skipped {
		h.lost = s.record(frames - 1).mark()
	}
}

// record is the record at an index of the source track's segment.
func (s *segment) record(frame uint32) record {
	c := cursor{seg: s, frame: frame}
	return record(s.data[c.frameStart():s.ends[frame]])
}

// before is the mark of the message before the one of that number, which is retained or the next.
func (l *log) before(seq uint64) mark {
	t := l.tracks[source]
	if seq <= t.oldest.Load().first {
		return l.history.lost
	}
	c := t.at(seq - 1)
	return c.seg.record(c.frame).mark()
}

// search is the number of the first message from a number on for which is says so, as for all
// behind it; the next one's if there is none.
func (l *log) search(from uint64, is func(record) bool) uint64 {
	c := l.tracks[source].at(from)
	s, begin := c.seg, c.frame
	tail := l.tracks[source].tail
	if frames, _ := tail.load(); frames > tail.skipped && tail.first > s.first && !is(tail.record(tail.skipped)) {
		s, begin = tail, tail.skipped // Most have missed little.
	}
	for next := s.next.Load(); next != nil; next = s.next.Load() {
		if frames, _ := next.load(); frames > next.skipped && is(next.record(next.skipped)) {
			break
		}
		s, begin = next, next.skipped
	}
	frames, _ := s.load()
	n := sort.Search(int(frames-begin), func(i int) bool { return is(s.record(begin + uint32(i))) })
	return s.first + uint64(begin-s.skipped) + uint64(n)
}

// expire makes nothing readable that is older than the history's age.
func (l *log) expire(now time.Duration) {
	if age := l.history.limits.Age; age > 0 {
		from := l.readFrom()
		l.history.floor = max(l.history.floor, l.search(from, func(r record) bool { return now-r.at() < age }))
	}
}

// Epoch is the room's epoch, empty if it has no history.
func (r *Room) Epoch() string {
	if r.log.history == nil {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.history.epoch
}

// Clear removes what the room keeps. Its epoch goes on: who has everything missed nothing, and
// older positions are too old.
func (r *Room) Clear() {
	if r.log.history == nil {
		return
	}
	by := new(Fanout)
	defer by.wakeOwed()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log.history.floor = r.log.next
	r.giveBack(by)
}

// Expire lets rooms with history go of what is older than its age, gives back what memory neither
// the history nor a member needs, and ends the rooms in which nobody has been for a while and
// nothing is kept. It is to be called every second or so, from a goroutine that is no loop's, with
// the clock by which messages are published.
func (h *Hub) Expire(now time.Duration) {
	by := new(Fanout)
	for r := range h.All {
		if r.log.history != nil {
			r.expire(by, now)
			by.wakeOwed()
		}
	}
}

func (r *Room) expire(by *Fanout, now time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isClosed {
		return
	}
	r.log.expire(now)
	if r.log.history.expiredAt == r.log.next { // It is quiet, and the next segments are not to come.
		for e := range tracksOf(r.log.inUse) {
			r.log.tracks[e].dropSpare()
		}
		r.noteMoved()
	}
	r.log.history.expiredAt = r.log.next
	if r.log.closeUnused(now) {
		r.noteTracks()
		r.noteMoved()
	}
	r.giveBack(by)
	if r.isOver(now) {
		r.close()
	}
}

// isOver reports whether nobody has been in the room for a while, and nothing is kept. Its epoch is
// worth that time: who lost its connection is back soon, and may have missed nothing.
func (r *Room) isOver(now time.Duration) bool {
	h := r.log.history
	switch {
	case !r.hasNobody() || !r.log.isEmpty() && !r.hub.follows: // What such a hub keeps is kept elsewhere.
		h.emptySince = 0
	case h.emptySince == 0:
		h.emptySince = max(now, 1)
	}
	return h.emptySince > 0 && (now-h.emptySince >= graceTime || h.limits.isNone())
}

// giveBack lets go of what neither the room's history nor a member needs. The caller holds the
// lock.
func (r *Room) giveBack(by *Fanout) {
	if r.isClosed {
		return
	}
	if r.log.isEmpty() && r.retains() && r.isCaughtUp() {
		r.retire(by)
		return
	}
	r.trim(by)
}

// TakeHistories asks Options.HistoryOf anew for the rooms that have a history. Others have none
// until they are made anew.
func (h *Hub) TakeHistories() {
	for r := range h.All {
		if r.log.history != nil {
			limits := h.historyOf(r.name)
			r.mu.Lock()
			r.log.history.limits = limits
			r.mu.Unlock()
		}
	}
}
