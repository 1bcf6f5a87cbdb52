package hub

import (
	"sort"
	"time"
)

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

// kept is how many messages may be read, and how many bytes of records are retained. Only a log
// with history is asked.
func (l *log) kept() (messages uint64, bytes int64) {
	if t := l.tracks[source]; t.isOpen() {
		bytes = t.held()
	}
	return l.next - l.readFrom(), bytes
}

func (r *Room) kept() (messages uint64, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.kept()
}

// isJoinable reports whether a member can begin where it wants to.
func (l *log) isJoinable(start *Start) bool {
	h := l.history
	return h == nil || h.filling == isWhole || h.filling == isVoid && start.IsUnfilled
}

// begin is the number of the first message that a member gets that joins a track.
func (l *log) begin(start *Start, t *track) (from uint64, j Joined) {
	if l.history == nil {
		if start.Since.Epoch != "" || start.Last != 0 || start.Earliest {
			j.Answer = NoHistory
		}
		return l.next, j
	}
	if l.history.filling == isVoid {
		if start.Since.Epoch != "" {
			j.Answer = WrongEpoch
		}
		return l.next, j
	}
	from, j.Answer = l.find(start, max(l.readFrom(), t.oldest.Load().first))
	j.Position = Position{l.history.epoch, l.before(from).offset}
	j.Messages = l.next - from
	return from, j
}

// find is the number of the message that start names, of those from first on that may be read.
func (l *log) find(start *Start, first uint64) (from uint64, a Answer) {
	h, at := l.history, start.Since
	switch {
	case at.Epoch == "":
	case at.Epoch != h.epoch:
		return l.next, WrongEpoch
	case at.Offset > h.end():
		return l.next, BeyondEnd
	case !l.before(first).covers(at.Offset):
		return l.next, TooOld
	default:
		// What has no position follows the one before it.
		return l.search(first, func(r record) bool { return !r.mark().covers(at.Offset) }), Recovered
	}
	switch {
	case start.Last > 0:
		return l.next - min(l.next-first, uint64(start.Last)), Recovered
	case start.Earliest:
		return first, Recovered
	}
	return l.next, Live
}
