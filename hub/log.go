package hub

import (
	"iter"
	"math/bits"
	"time"
)

// A log is one room's stream, in as many tracks as its members read: one for each encoding in use.
// A message has the same number in all of them. A track nobody reads holds nothing. All of it is
// guarded by the room's lock, but for what readers may load without (see track).
type log struct {
	tracks  [tracksMax]*track // nil until the first reader came
	inUse   uint8             // a bit for each open track
	next    uint64            // number of the next frame
	held    int64             // bytes of frames that all tracks retain
	backlog int64             // … at least, once it held that many
	largest int               // bytes of a grown segment
	history *history          // nil: it keeps nothing for those who come later
}

func (l *log) init(backlog int64, h *history) {
	l.backlog = backlog
	l.largest = int(min(segmentMax, max(segmentMin, backlog/segmentsPerLog)))
	l.next = 1
	if l.history = h; h != nil {
		h.floor = l.next
		l.open(source)
	}
}

// tracksOf yields the encodings of a set of tracks.
func tracksOf(set uint8) iter.Seq[Encoding] {
	return func(yield func(Encoding) bool) {
		for ; set != 0 && yield(Encoding(bits.TrailingZeros8(set))); set &= set - 1 {
		}
	}
}

// largeFrom is from how many bytes on a frame lies in a segment of its own.
func (l *log) largeFrom() int { return l.largest / ownPart }

// append adds a message to every open track, in all of which the draft has it. It reports whether a
// segment was added or dropped.
func (l *log) append(d *draft, now time.Duration) (seq uint64, hasMoved bool) {
	for set := l.inUse; set != 0; set &= set - 1 {
		e := bits.TrailingZeros8(set)
		t := l.tracks[e]
		if own := d.own[e]; own != nil {
			t.appendOwn(own, l.next)
			hasMoved = true
		} else if t.append(&d.frames[e], l.next, now, l.largest) {
			hasMoved = true
		}
		l.held += int64(d.frames[e].len())
	}
	l.next++
	if l.held > l.backlog && l.drop() {
		hasMoved = true
	}
	return l.next - 1, hasMoved
}

// drop lets go of the oldest segments beyond the backlog, and reports whether there were any. What
// counts is what frames take: where their ends are, and what segments have free, is no client's
// lag.
func (l *log) drop() (hasDropped bool) {
	for t := l.oldestTrack(); t != nil; t = l.oldestTrack() {
		oldest := t.oldest.Load()
		if l.held-(oldest.next.Load().base-oldest.base) < l.backlog {
			break
		}
		if l.history != nil && oldest.next.Load().first > l.needFrom() {
			break
		}
		l.dropOldest(t)
		hasDropped = true
	}
	return hasDropped
}

func (l *log) dropOldest(t *track) {
	if t.encoding == source {
		l.history.lose(t.oldest.Load())
	}
	l.held -= t.dropOldest()
}

// oldestTrack is the one whose oldest segment ends at the lowest number, so that the tracks drop
// together and none drops what another still has: nil when there is none with more than its tail.
func (l *log) oldestTrack() (oldest *track) {
	var lowest uint64
	for set := l.inUse; set != 0; set &= set - 1 {
		t := l.tracks[bits.TrailingZeros8(set)]
		if t.oldest.Load() == t.tail {
			continue
		}
		if next := t.oldest.Load().next.Load().first; oldest == nil || next < lowest {
			oldest, lowest = t, next
		}
	}
	return oldest
}

// memory is how many bytes of memory all tracks take, and how many of them are of segments that
// were dropped, in which cursors may stand.
func (l *log) memory() (all, dropped int64) {
	for set := l.inUse; set != 0; set &= set - 1 {
		t := l.tracks[bits.TrailingZeros8(set)]
		all += t.memory
		dropped += t.dropped
	}
	return all, dropped
}

// open opens a track that is closed.
func (l *log) open(e Encoding) *track {
	t := l.tracks[e]
	if t == nil {
		t = &track{encoding: e}
		l.tracks[e] = t
	}
	t.open(l.next)
	l.inUse |= 1 << e
	if l.history != nil {
		l.history.unusedSince[e] = 0
	}
	return t
}

// shut closes a track.
func (l *log) shut(t *track) {
	l.held -= t.held()
	t.close()
	l.inUse &^= 1 << t.encoding
}

// shutAll closes all tracks of a log that has ended.
func (l *log) shutAll() {
	for e := range tracksOf(l.inUse) {
		l.shut(l.tracks[e])
	}
}

// enter counts a reader of an encoding in; the first one opens its track.
func (l *log) enter(e Encoding) (t *track, isNew bool) {
	if t = l.tracks[e]; t == nil || !t.isOpen() {
		t, isNew = l.open(e), true
	}
	t.readers++
	if l.history != nil {
		l.history.unusedSince[e] = 0
	}
	return t, isNew
}

// exit counts a reader out; the last one closes the track, unless it is kept for those who come
// back.
func (l *log) exit(t *track) {
	if t.readers--; t.readers == 0 && l.isEmpty() {
		l.shut(t)
	}
}

// retire drops everything, the tails too: cursors that are caught up move to empty segments when
// they are next looked at.
func (l *log) retire() {
	if l.history != nil {
		l.history.lost = l.history.last
	}
	for set := l.inUse; set != 0; set &= set - 1 {
		l.held -= l.tracks[bits.TrailingZeros8(set)].retire(l.next)
	}
}

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
